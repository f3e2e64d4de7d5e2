"""The end of a shadow period: a schedule starts a build that compares the models and answers for the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from lambdas.model_promotion.names import PACKAGE_VARIABLE
from products.shared import names, template
from products.shared.deployment.builds import PIPELINE, build_name
from products.shared.deployment.pipeline import EXECUTION_VARIABLE, SHADOW_ACTION, SHADOW_STAGE, STEP_VARIABLE
from products.shared.roles import Grant, ServiceRole, pass_role

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEDULES: Final = names.project_resource("shadow")
"""Group of the schedules; EventBridge Scheduler deletes them with the group."""

ARCHIVES: Final = "shadow/*"
"""Keys of the archives that a scheduled build works with; only the build of production writes there."""

COMPARE: Final = "compare"
"""Step of the seed code that a schedule starts."""

STARTED_WITH: Final = (STEP_VARIABLE, EXECUTION_VARIABLE, PACKAGE_VARIABLE)
"""Variables of a scheduled build (`schedule_request` in the seed code's shadow.py)."""

NEVER_OVERRIDDEN: Final = (
    "artifacts.location",
    "cache",
    "encryptionKey",
    "environment.certificate",
    "environment.computeType",
    "environment.fleet.fleetArn",
    "environment.image",
    "environment.imagePullCredentialsType",
    "environment.privilegedMode",
    "environment.registryCredential",
    "environment.type",
    "logsConfig",
    "secondaryArtifacts",
    "secondarySources",
    "serviceRole",
    "source.auth.type",
    "source.buildspec",
    "source.insecureSsl",
)
"""Members of StartBuild that a schedule leaves as the project has them, as condition keys of CodeBuild without prefix.

A request has the key of what it overrides ("AWS CodeBuild condition keys" in the CodeBuild user guide).
"""

_PIPELINE_ARN: Final = template.arn("codepipeline", PIPELINE)


class ShadowSchedules(Construct):
    """Group of one-time schedules, and the role with which they start the build of production.

    Args:
        dead_letters_arn: Queue that keeps a start which could not be delivered.
        condition: Whether the project has a shadow period; without one nothing of this is made.

    Attributes:
        variables: What the builds are told; empty texts without a shadow period.
    """

    def __init__(self, scope: Construct, id_: str, *, dead_letters_arn: str, condition: cdk.CfnCondition) -> None:
        super().__init__(scope, id_)
        self._condition = condition
        self._role = ServiceRole(
            self,
            "Role",
            service="scheduler",
            path=names.PROJECT_ROLE_PATH,
            purpose="Starts the comparison at the end of a shadow period",
            grants=[
                # Approved code writes the schedules and could leave one behind: that starts nothing but the comparison,
                # and with nothing but what approved code put into the archive.
                Grant(
                    sid="StartComparison",
                    actions=["codebuild:StartBuild"],
                    resources=[template.arn("codebuild", f"project/{build_name('prod')}")],
                    conditions={
                        "StringLike": {"codebuild:source.location": f"{names.PROJECT_BUCKET}/{ARCHIVES}"},
                        "StringEquals": {f"codebuild:environment.environmentVariables/{STEP_VARIABLE}.value": COMPARE},
                        "ForAllValues:StringEquals": {
                            "codebuild:environment.environmentVariables.name": STARTED_WITH,
                        },
                        "Null": {f"codebuild:{key}": "true" for key in NEVER_OVERRIDDEN},
                    },
                ),
                Grant(sid="KeepMissedStarts", actions=["sqs:SendMessage"], resources=[dead_letters_arn]),
            ],
        ).role
        group = scheduler.CfnScheduleGroup(self, "Schedules", name=template.sub(SCHEDULES))
        self._only_with_shadow(self)
        told = {
            "SCHEDULE_GROUP": group.ref,
            "SCHEDULE_ROLE_ARN": self._role.role_arn,
            "MISSED_STARTS_ARN": dead_letters_arn,
        }
        self.variables: Mapping[str, str] = {
            name: cdk.Fn.condition_if(condition.logical_id, value, "").to_string() for name, value in told.items()
        }

    def let_end_period(self, role: iam.IRole) -> None:
        """Let a build's role schedule the comparison, and answer the period of its own pipeline and nothing else."""
        grants = [
            Grant(
                sid="ScheduleComparison",
                actions=["scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:GetSchedule"],
                resources=[template.arn("scheduler", f"schedule/{SCHEDULES}/*")],
                because="One schedule per execution of the pipeline, in the project's own group.",
            ),
            # Out of reach of the other builds, because it runs with the role of production when the period ends.
            Grant(
                sid="KeepSource",
                actions=["s3:PutObject"],
                resources=[template.bucket_arn(names.PROJECT_BUCKET, ARCHIVES)],
                because="One archive per execution of the pipeline.",
            ),
            pass_role(self._role.role_arn, "scheduler"),
            Grant(sid="FindPeriod", actions=["codepipeline:GetPipelineState"], resources=[_PIPELINE_ARN]),
            Grant(
                sid="AnswerPeriod",
                actions=["codepipeline:PutApprovalResult"],
                resources=[f"{_PIPELINE_ARN}/{SHADOW_STAGE}/{SHADOW_ACTION}"],
            ),
        ]
        # Apart from the role, because a role cannot have a statement on a condition.
        policy = iam.Policy(self, "EndPeriod", roles=[role], statements=[grant.statement() for grant in grants])
        for grant in grants:
            template.acknowledge(policy, grant.findings(cdk.Stack.of(self)))
        self._only_with_shadow(policy)

    def _only_with_shadow(self, construct: Construct) -> None:
        for node in construct.node.find_all():
            if isinstance(node, cdk.CfnResource):
                node.cfn_options.condition = self._condition
