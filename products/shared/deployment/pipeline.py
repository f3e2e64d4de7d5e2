"""From an approved model to production: the CodePipeline of a deployment project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import aws_cdk as cdk
from aws_cdk import aws_codepipeline as codepipeline
from constructs import Construct

from lambdas.model_promotion.names import APPROVAL_ACTION, APPROVAL_STAGE, PACKAGE_VARIABLE, RENDER_STAGE
from products.shared import names, template
from products.shared.builds import use_repository
from products.shared.deployment.builds import ARTIFACTS, PIPELINE, RENDER, build_name
from products.shared.roles import Grant, ServiceRole, use_key

if TYPE_CHECKING:
    from aws_cdk import aws_sns as sns

    from products.shared.form.questions import Repository
    from products.shared.storage import ProjectStorage

STEP_VARIABLE: Final = "STEP"
EXECUTION_VARIABLE: Final = "PIPELINE_EXECUTION_ID"
"""Variables with which an action says what its build has to do, and for which execution."""

SHADOW_STAGE: Final = "Shadow"
SHADOW_ACTION: Final = "Period"
"""Approval that the comparison of the shadow answers, at the end of the time set."""

_SOURCE: Final = "Source"
_RENDERED: Final = RENDER_STAGE  # namespace of what its build exports, too
_PERIOD_MINUTES: Final = 30 * 24 * 60  # longer than any shadow period; CodePipeline allows 60 days

# What the person reads who decides. CodePipeline fills in #{...} (reference-variables in its user guide).
_QUESTION: Final = (
    "Deploy version #{Render.PACKAGE_VERSION} of ${ModelPackageGroup} to production (project ${SageMakerProjectName}, "
    "account ${ProdAccountId})? Test: #{Test.SUMMARY}. Model: #{Render.PACKAGE_ARN}"
)
"""At most 400 characters without the summary, for which the seed code takes 600: the text may have 1,000 in all."""


class DeploymentPipeline(Construct):
    """CodePipeline: source, render, test, approval by the governance officer, production.

    Args:
        storage: Bucket and key of the project.
        repository: The repository.
        topic: Topic that asks the approver.
        test_action: Name of the action that tries what was deployed to test, e.g. ``EndpointTest``.
        test_step: Its step in the seed code, e.g. ``endpoint-test``.
        shadow: Condition under which production first runs the new model as a shadow. Default: never.

    Attributes:
        pipeline: The CodePipeline.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        storage: ProjectStorage,
        repository: Repository,
        topic: sns.ITopic,
        test_action: str,
        test_step: str,
        shadow: cdk.CfnCondition | None = None,
    ) -> None:
        super().__init__(scope, id_)
        role = self._role(storage, repository, topic)
        source = _action(
            "Source",
            "CodeStarSourceConnection",
            {
                "ConnectionArn": repository.connection_arn,
                "FullRepositoryId": repository.name,
                "BranchName": repository.branch,
                "OutputArtifactFormat": "CODE_ZIP",
                "DetectChanges": "true",
            },
            name="Source",
            OutputArtifacts=[{"Name": _SOURCE}],
        )
        render = _build(
            "Render",
            RENDER,
            "render",
            Namespace=_RENDERED,
        )
        approval = _action(
            "Approval",
            "Manual",
            {
                "NotificationArn": topic.topic_arn,
                "CustomData": template.sub(_QUESTION),
                "ExternalEntityLink": "#{Test.REPORT_URL}",
            },
            name=APPROVAL_ACTION,
        )
        period = _action(
            "Approval",
            "Manual",
            {
                "CustomData": "The comparison of the new model with the one in production answers this; "
                "no action needed."
            },
            name=SHADOW_ACTION,
            RunOrder=2,
            TimeoutInMinutes=_PERIOD_MINUTES,
        )
        stages: list[Any] = [
            _stage("Source", source),
            _stage(RENDER_STAGE, render),
            _stage(
                "Test",
                _build("Deploy", "test", "deploy"),
                _build(test_action, "test", test_step, RunOrder=2, Namespace="Test"),
            ),
            _stage(APPROVAL_STAGE, approval),
            _stage("Prod", _build("Deploy", "prod", "deploy"), _build("SmokeTest", "prod", "smoke-test", RunOrder=2)),
        ]
        if shadow:
            runs = _stage(SHADOW_STAGE, _build("Deploy", "prod", "shadow"), period)
            stages.insert(4, cdk.Fn.condition_if(shadow.logical_id, runs, cdk.Aws.NO_VALUE))
        pipeline = codepipeline.CfnPipeline
        self.pipeline = codepipeline.CfnPipeline(
            self,
            "Pipeline",
            name=template.sub(PIPELINE),
            pipeline_type="V2",
            # Of approvals and commits that pile up behind a running deployment, only the newest goes on.
            execution_mode="SUPERSEDED",
            role_arn=role.role_arn,
            artifact_store=pipeline.ArtifactStoreProperty(
                type="S3",
                location=storage.bucket.bucket_name,
                encryption_key=pipeline.EncryptionKeyProperty(type="KMS", id=storage.key.key_arn),
            ),
            stages=[],
        )
        # As CloudFormation spells it, because a stage that depends on a condition can only be written so.
        self.pipeline.add_property_override("Stages", stages)

    def _role(self, storage: ProjectStorage, repository: Repository, topic: sns.ITopic) -> Any:  # noqa: ANN401
        return ServiceRole(
            self,
            "Role",
            service="codepipeline",
            path=names.PROJECT_ROLE_PATH,
            purpose="Takes the source of one deployment project, starts its builds and asks its approver",
            grants=[
                *use_repository(repository.connection_arn, repository.name),
                # Bucket and object actions as in the minimum policy of
                # https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html.
                Grant(
                    sid="StoreArtifacts",
                    actions=["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectAcl"],
                    resources=[template.bucket_arn(names.PROJECT_BUCKET, ARTIFACTS)],
                    because="CodePipeline names the archives in its folder of the project's bucket itself.",
                ),
                Grant(
                    sid="LookAtBucket",
                    actions=["s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning"],
                    resources=[template.bucket_arn(names.PROJECT_BUCKET)],
                ),
                use_key(storage.key.key_arn),
                Grant(
                    sid="StartBuilds",
                    actions=["codebuild:BatchGetBuilds", "codebuild:StartBuild"],
                    resources=[
                        template.arn("codebuild", f"project/{build_name(purpose)}")
                        for purpose in (RENDER, *names.STAGES)
                    ],
                ),
                Grant(sid="AskApprover", actions=["sns:Publish"], resources=[topic.topic_arn]),
            ],
        ).role


def _stage(name: str, *actions: dict[str, Any]) -> dict[str, Any]:
    return {"Name": name, "Actions": list(actions)}


def _action(
    category: str,
    provider: str,
    configuration: dict[str, Any],
    *,
    name: str,
    **more: Any,  # noqa: ANN401 (JSON)
) -> dict[str, Any]:
    type_ = {"Category": category, "Owner": "AWS", "Provider": provider, "Version": "1"}
    return {"Name": name, "ActionTypeId": type_, "Configuration": configuration, "RunOrder": 1, **more}


def _build(name: str, purpose: str, step: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    variables = {STEP_VARIABLE: step, EXECUTION_VARIABLE: "#{codepipeline.PipelineExecutionId}"}
    if purpose != RENDER:
        # Variables belong to one execution, and no build of another changes them.
        variables[PACKAGE_VARIABLE] = f"#{{{_RENDERED}.{PACKAGE_VARIABLE}}}"
    configuration = {
        "ProjectName": template.sub(build_name(purpose)),
        "EnvironmentVariables": json.dumps(
            [{"name": key, "value": value, "type": "PLAINTEXT"} for key, value in variables.items()]
        ),
    }
    return _action("Build", "CodeBuild", configuration, name=name, InputArtifacts=[{"Name": _SOURCE}], **more)
