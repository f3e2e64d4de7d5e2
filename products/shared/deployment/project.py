"""A deployment project: everything between an approved model in the central registry and production.

It is launched in the hub. What it makes in the accounts of test and production is made by its builds, with the deploy
role of that account and only within what carries the stage's tag; when the project goes, that goes too.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_events as events
from constructs import Construct

from lambdas.model_promotion.names import APPROVED, MODEL_EVENT, MODEL_SOURCE
from lambdas.shared.artifact_bucket import archive_key
from products.shared import custom_resources, names, seed_code, template
from products.shared.deployment.builds import (
    CARD_ARNS,
    PIPELINE,
    RENDER,
    REPORTS,
    DeploymentBuild,
)
from products.shared.deployment.notices import Notices
from products.shared.deployment.pipeline import DeploymentPipeline
from products.shared.deployment.shadow import ShadowSchedules
from products.shared.missed_starts import missed_starts
from products.shared.roles import Grant, ServiceRole
from products.shared.storage import ProjectStorage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from products.shared.deployment.answers import Answers

_PIPELINE_ARN: Final = template.arn("codepipeline", PIPELINE)


class DeploymentProject(Construct):
    """Seeded repository, pipeline, builds, notices and triggers of one deployment project.

    Args:
        seed_code_template: Seed-code template, e.g. ``deploy-realtime``.
        answers: What the form was answered.
        choices: Further variables of the builds: the choices of this product.
        test_action: Name of the action that tries what was deployed to test, e.g. ``EndpointTest``.
        test_step: Its step in the seed code, e.g. ``endpoint-test``.
        shadow: Condition under which production first runs the new model as a shadow. Default: the product has none.

    Attributes:
        storage: Bucket and key of the project.
        seed: The check-in of the seed code.
        pipeline: The CodePipeline.
        notices: Topic of the approver.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        seed_code_template: str,
        answers: Answers,
        choices: Mapping[str, str],
        test_action: str,
        test_step: str,
        shadow: cdk.CfnCondition | None = None,
    ) -> None:
        super().__init__(scope, id_)
        self._console = template.Console(cdk.Stack.of(self))
        repository = answers.repository
        checked = custom_resources.preflight(
            self,
            ["connection", "repository"],
            {
                "ConnectionArn": repository.connection_arn,
                "Repository": repository.name,
                "ProjectName": cdk.Fn.ref("SageMakerProjectName"),
                "ProjectId": cdk.Fn.ref("SageMakerProjectId"),
            },
        )
        # Promotion reads training projects; nothing in the hub reads what a deployment project writes.
        self.storage = ProjectStorage(self, "Storage", hub_reads=False)
        stages = [
            custom_resources.deployment(
                self,
                f"{stage.capitalize()}Deployment",
                stage=stage,
                account_id=answers.places[stage].account_id,
                region=answers.places[stage].region,
            )
            for stage in names.STAGES
        ]
        archive = hashlib.sha256(seed_code.archive(seed_code_template)).hexdigest()
        self.seed = custom_resources.seed_code(
            self,
            connection_arn=repository.connection_arn,
            repository=repository.name,
            branch=repository.branch,
            asset_key=archive_key(archive),
        )
        dead_letters = missed_starts(self, "DeadLetters")
        self.notices = Notices(
            self,
            "Notices",
            storage=self.storage,
            email=answers.approver_email,
            missed_starts=dead_letters,
            pipeline_url=self.pipeline_url,
        )
        variables = {**self._variables(answers), **choices}
        if shadow:
            schedules = ShadowSchedules(self, "Shadow", dead_letters_arn=dead_letters.queue_arn, condition=shadow)
            variables |= schedules.variables
        builds = self._builds(answers, variables)
        if shadow:
            schedules.let_end_period(builds[-1].role)
        delivery = DeploymentPipeline(
            self,
            "Delivery",
            storage=self.storage,
            repository=repository,
            topic=self.notices.topic,
            test_action=test_action,
            test_step=test_step,
            shadow=shadow,
        )
        self.pipeline = delivery.pipeline
        # CodePipeline starts once when it is created: by then the commit, the builds and their roles must be there.
        self.pipeline.node.add_dependency(self.seed, *builds)
        self._start_on_approval(dead_letters.queue_arn)
        for part in self.node.children:
            if part is not checked:
                part.node.add_dependency(checked)
        # On termination: first what starts builds, then what they deployed, then the builds (Custom::Deployment stops
        # those that run, for which their projects must still be there), then the bucket's contents, then the bucket.
        # On launch: a repository gets its seed code only when both accounts can be reached.
        for writer in (delivery, self.seed):
            writer.node.add_dependency(*stages)
        for build in builds:
            build.node.add_dependency(self.storage.contents)
        for stage_resource in stages:
            stage_resource.node.add_dependency(self.storage.contents, *builds)

    @property
    def pipeline_url(self) -> str:
        """Address of the pipeline in the console."""
        return self._console.link(f"codesuite/codepipeline/pipelines/{PIPELINE}/view?region=${{AWS::Region}}")

    def _variables(self, answers: Answers) -> dict[str, str]:
        places = {
            f"{stage.upper()}_{name}": value
            for stage in names.STAGES
            for name, value in (
                ("ACCOUNT_ID", answers.places[stage].account_id),
                ("REGION", answers.places[stage].region),
            )
        }
        return {
            "PROJECT_NAME": cdk.Fn.ref("SageMakerProjectName"),
            "PROJECT_ID": cdk.Fn.ref("SageMakerProjectId"),
            "MODEL_PACKAGE_GROUP": cdk.Fn.ref("ModelPackageGroup"),
            "PIPELINE_NAME": template.sub(PIPELINE),
            "ARTIFACT_BUCKET": self.storage.bucket.bucket_name,
            "KMS_KEY_ARN": self.storage.key.key_arn,
            "HUB_ACCOUNT_ID": cdk.Aws.ACCOUNT_ID,
            "HUB_REGION": cdk.Aws.REGION,
            "HUB_BUS_ARN": template.sub(template.arn("events", f"event-bus/{names.HUB_EVENT_BUS}")),
            "CONSOLE_HOST": self._console.host,
            "COST_CENTER": answers.cost_center,
            **places,
        }

    def _builds(self, answers: Answers, variables: Mapping[str, str]) -> list[DeploymentBuild]:
        # It chooses the package and refuses early, and hands nothing on but the package's ARN: what it wrote for one
        # execution, its code of a later one could replace while the first waits for the approver.
        stop = Grant(
            sid="StopWithoutModel",
            actions=["codepipeline:StopPipelineExecution"],
            resources=[_PIPELINE_ARN],
        )
        render = DeploymentBuild(
            self,
            "Render",
            purpose=RENDER,
            storage=self.storage,
            variables=variables,
            grants=[stop],
        )
        stages = [
            DeploymentBuild(
                self,
                stage.capitalize(),
                purpose=stage,
                storage=self.storage,
                variables=variables,
                writes=[REPORTS],
                account_id=answers.places[stage].account_id,
                grants=[_export_model_card()] if stage == "prod" else (),
            )
            for stage in names.STAGES
        ]
        return [render, *stages]

    def _start_on_approval(self, dead_letters_arn: str) -> None:
        role = ServiceRole(
            self,
            "StartRole",
            service="events",
            path=names.PROJECT_ROLE_PATH,
            purpose="Starts the deployment of one project",
            grants=[
                Grant(sid="Start", actions=["codepipeline:StartPipelineExecution"], resources=[_PIPELINE_ARN]),
            ],
        ).role
        events.CfnRule(
            self,
            "Approved",
            name=template.sub(names.project_resource("approved")),
            description=template.sub("Deploys models of ${ModelPackageGroup} when they are approved"),
            # "SageMaker Model package state change" in
            # https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
            event_pattern={
                "source": [MODEL_SOURCE],
                "detail-type": [MODEL_EVENT],
                "detail": {
                    "ModelPackageGroupName": [cdk.Fn.ref("ModelPackageGroup")],
                    "ModelApprovalStatus": [APPROVED],
                },
            },
            targets=[
                events.CfnRule.TargetProperty(
                    id="CodePipeline",
                    arn=template.sub(_PIPELINE_ARN),
                    role_arn=role.role_arn,
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(arn=dead_letters_arn),
                )
            ],
        )

    def add_outputs(self, outputs: Mapping[str, tuple[str, str]]) -> None:
        """Add the outputs of the product.

        Args:
            outputs: What only this product has: name to description and value.
        """
        everything = {
            "PipelineUrl": ("CodePipeline that deploys", self.pipeline_url),
            "PipelineName": ("Name of that CodePipeline", self.pipeline.ref),
            "RepositoryUrl": ("Repository with the seed code", self.seed.get_att_string("RepositoryUrl")),
            "CommitId": ("Commit of the seed code", self.seed.get_att_string("CommitId")),
            **outputs,
            "NextStep": (
                "What to do now",
                template.sub(
                    "The approver confirms the subscription mail. An approved model of ${ModelPackageGroup} is "
                    "deployed by itself: watch it at PipelineUrl. Without one, approve a model in the registry."
                ),
            ),
            "TopicArn": ("Topic that asks the approver and reports failures", self.notices.topic.topic_arn),
            "ArtifactBucketName": (
                f"Reports and exported model cards, below {names.REPORTS_PREFIX}",
                self.storage.bucket.bucket_name,
            ),
            "KeyArn": ("Key of bucket, topic and logs", self.storage.key.key_arn),
        }
        stack = cdk.Stack.of(self)
        for name, (description, value) in everything.items():
            cdk.CfnOutput(stack, name, description=description, value=value)


def _export_model_card() -> Grant:
    return Grant(
        sid="ExportModelCard",
        actions=[
            "sagemaker:CreateModelCardExportJob",
            "sagemaker:DescribeModelCard",
            "sagemaker:DescribeModelCardExportJob",
        ],
        resources=CARD_ARNS,
        because="Export jobs are below the card of the group, under names that SageMaker forms.",
    )
