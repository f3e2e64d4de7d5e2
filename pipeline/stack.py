"""The pipeline: what a push to the repository does, the pipeline's own changes included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from aws_cdk import (
    Annotations,
    CfnParameter,
    CfnRule,
    CfnRuleAssertion,
    Duration,
    Fn,
    RemovalPolicy,
    aws_codebuild,
    aws_codeconnections,
    aws_codepipeline,
    aws_events,
    aws_events_targets,
    aws_iam,
    aws_s3,
    pipelines,
)

from foundation.buckets import lasting_key
from foundation.hub_stack import HubStack
from pipeline import steps
from pipeline.generated_policies import accept_asset_role, accept_build, accept_pipeline_roles
from pipeline.stages import FoundationStage, PortfoliosStage, tag_resources
from products.releases import load_catalog
from products.shared.alerts import AlertTopic
from products.shared.findings import acknowledge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from constructs import Construct

    from foundation.settings import HubSettings

BUILD_IMAGE: Final = aws_codebuild.LinuxBuildImage.STANDARD_7_0
"""Ubuntu image that offers both runtimes below."""

RUNTIMES: Final = {"python": "3.11", "nodejs": "22"}
"""Python of pyproject.toml; a Node.js that the pinned CDK command line runs on."""

CDK_ASSETS_VERSION: Final = "4.7.3"
"""Command that publishes assets; the CDK command line itself is pinned in package.json."""


class PipelineStack(HubStack):
    """Self-mutating pipeline from a push to shared portfolios.

    Args:
        settings: Settings of the hub.
        root: The repository: its releases are published, and its package.json pins the CDK command line.

    Attributes:
        pipeline: The pipeline.
    """

    def __init__(self, scope: Construct, id_: str, *, settings: HubSettings, root: Path) -> None:
        super().__init__(
            scope,
            id_,
            settings=settings,
            region=settings.home_region,
            name=id_,
            description="pipeline that publishes the catalog",
        )
        self._steps: list[tuple[pipelines.CodeBuildStep, Mapping[str, str]]] = []
        self._refuse_sample_values()
        source = self._source()
        cdk_version = json.loads((root / "package.json").read_text(encoding="utf-8"))["devDependencies"]["aws-cdk"]
        synth = pipelines.CodeBuildStep(
            "Synth",
            input=source,
            commands=[
                "make check test",
                # Says early what the upload would refuse: a change of what was released. A first commit has no parent.
                "if git rev-parse --quiet --verify HEAD^; then .venv/bin/portfolio verify --against HEAD^; fi",
                "make synth",
            ],
            primary_output_directory="cdk.out",
            role_policy_statements=[self._use_of_connection()],
            timeout=Duration.minutes(60),
            build_environment=aws_codebuild.BuildEnvironment(compute_type=aws_codebuild.ComputeType.LARGE),
        )
        self.pipeline = pipelines.CodePipeline(
            self,
            "Pipeline",
            pipeline_name="ml-platform-catalog",
            pipeline_type=aws_codepipeline.PipelineType.V2,
            execution_mode=aws_codepipeline.ExecutionMode.SUPERSEDED,
            synth=synth,
            cli_version=cdk_version,
            cdk_assets_cli_version=CDK_ASSETS_VERSION,
            artifact_bucket=self._transit_bucket(),
            # With keys that CDK makes for the buckets of further regions it would grant the use of every key ("*").
            cross_account_keys=False,
            publish_assets_in_parallel=False,
            use_change_sets=False,  # one action per stack; nobody reviews the change sets
            code_build_defaults=pipelines.CodeBuildOptions(
                build_environment=aws_codebuild.BuildEnvironment(build_image=BUILD_IMAGE),
                partial_build_spec=aws_codebuild.BuildSpec.from_object(
                    {"version": "0.2", "phases": {"install": {"runtime-versions": RUNTIMES}}}
                ),
            ),
        )
        self._add_foundation(source)
        self._add_portfolios(source, root)
        self.pipeline.build_pipeline()
        (action,) = self.pipeline.pipeline.node.find_child("Source").node.children
        source_role = cast("aws_iam.Role", action.node.find_child("CodePipelineActionRole"))
        source_role.add_to_policy(self._use_of_connection())
        accept_pipeline_roles(self, self.pipeline)
        accept_asset_role(self, self.pipeline)
        for project in (synth.project, self.pipeline.self_mutation_project, *(step.project for step, _ in self._steps)):
            accept_build(self, project)
        for step, wildcards in self._steps:
            acknowledge(step.project, {f"AwsSolutions-IAM5[Resource::{arn}]": why for arn, why in wildcards.items()})
        self._report_failures()
        tag_resources(self, settings)

    def _refuse_sample_values(self) -> None:
        """Let the sample synthesise, but have CloudFormation refuse to deploy this stack with values of the sample.

        The CDK command line does not tell an app whether it synthesises or deploys, so the refusal is in the template:
        a rule that CloudFormation checks before it creates or changes anything.
        """
        samples = self.settings.sample_values()
        if not samples:
            return
        advice = (
            f"cdk.json still describes the sample organisation, so nothing is deployed. Set in context.hub: "
            f"{'; '.join(samples)} (docs/setup.md)"
        )
        Annotations.of(self).add_info(advice)
        parameter = CfnParameter(
            self, "SettingsToReplace", default=str(len(samples)), description="Settings that still have sample values"
        )
        CfnRule(
            self,
            "SettingsDescribeARealHub",
            assertions=[
                CfnRuleAssertion(assert_=Fn.condition_equals(parameter, "0"), assert_description=advice),
            ],
        )

    def _transit_bucket(self) -> aws_s3.Bucket:
        """Return the bucket through which the actions of the pipeline hand each other files."""
        key = lasting_key(self, "TransitKey", "Files in transit through the catalog's pipeline")
        bucket = aws_s3.Bucket(
            self,
            "Transit",
            encryption=aws_s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            lifecycle_rules=[aws_s3.LifecycleRule(expiration=Duration.days(30))],
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        acknowledge(
            bucket,
            {
                "AwsSolutions-S1": "Holds copies of the repository and the cloud assembly for 30 days.",
                "CKV_AWS_18": "Holds copies of the repository and the cloud assembly for 30 days.",
                "CKV_AWS_21": "Every execution of the pipeline writes under names of its own, for 30 days.",
            },
        )
        return bucket

    def _source(self) -> pipelines.CodePipelineSource:
        source = self.settings.source
        arn = self.settings.connection_arn
        if arn is None:
            connection = aws_codeconnections.CfnConnection(
                self, "Connection", connection_name="ml-platform-catalog", provider_type=source.provider
            )
            arn = connection.attr_connection_arn
        self._connection_arn = arn
        return pipelines.CodePipelineSource.connection(
            source.repository,
            source.branch,
            connection_arn=arn,
            code_build_clone_output=True,  # a clone with history, which `portfolio verify --against` compares with
        )

    def _use_of_connection(self) -> aws_iam.PolicyStatement:
        """Return what whoever clones the repository needs, besides the old name of this action that the CDK grants.

        New connections have the prefix ``codeconnections`` in their ARN, and the prefix of the action in a policy has
        to be that of the resource (Developer Tools console user guide, "Connections rename").
        """
        return aws_iam.PolicyStatement(actions=["codeconnections:UseConnection"], resources=[self._connection_arn])

    def _add_foundation(self, source: pipelines.IFileSetProducer) -> None:
        wave = self.pipeline.add_wave("Foundation")
        for region in self.settings.regions:
            stage = FoundationStage(self, f"Foundation-{region}", region=region, settings=self.settings)
            upload = self._step(steps.upload(self.settings, region), source)
            wave.add_stage(stage, stack_steps=[pipelines.StackSteps(stack=stage.artifacts, post=[upload])])

    def _add_portfolios(self, source: pipelines.IFileSetProducer, root: Path) -> None:
        catalog = load_catalog(root)
        wave = self.pipeline.add_wave("Portfolios")
        for region in self.settings.regions:
            stage = PortfoliosStage(
                self, f"Portfolios-{region}", region=region, settings=self.settings, catalog=catalog
            )
            wave.add_stage(stage, post=[self._step(steps.check_published(self.settings, region), source)])

    def _step(self, command: steps.Command, source: pipelines.IFileSetProducer) -> pipelines.CodeBuildStep:
        """Return a step that runs one command of the catalog with only the permissions it needs."""
        step = pipelines.CodeBuildStep(
            command.id,
            input=source,
            commands=["make .venv/.ready", f".venv/bin/portfolio {command.arguments}"],
            role_policy_statements=[self._use_of_connection(), *command.allowed],
            timeout=Duration.minutes(20),
        )
        self._steps.append((step, command.wildcards))
        return step

    def _report_failures(self) -> None:
        alerts = AlertTopic(self, "Failures", emails=self.settings.notification_emails)
        name = aws_events.EventField.from_path("$.detail.pipeline")
        execution = aws_events.EventField.from_path("$.detail.execution-id")
        self.pipeline.pipeline.on_state_change(
            "OnFailure",
            description="Mails the platform team when the pipeline of the catalog fails",
            event_pattern=aws_events.EventPattern(detail={"state": ["FAILED"]}),
            target=aws_events_targets.SnsTopic(
                alerts.topic,
                message=aws_events.RuleTargetInput.from_text(
                    f"Pipeline {name} failed (execution {execution}). Nothing that was published before has changed. "
                    f"See https://{self.region}.console.aws.amazon.com/codesuite/codepipeline/pipelines/{name}/view"
                ),
            ),
        )
