"""Findings about the policies that CDK Pipelines writes for its own roles, each accepted with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aws_cdk import RemovalPolicy

from products.shared.findings import acknowledge, acknowledge_lint

if TYPE_CHECKING:
    from aws_cdk import CfnElement, CfnResource, Stack, aws_codebuild, aws_iam, pipelines


def accept_pipeline_roles(stack: Stack, generated: pipelines.CodePipeline) -> None:
    """Accept the wildcards in the policies that CDK Pipelines writes for its roles."""
    pipeline = generated.pipeline
    bucket = stack.get_logical_id(cast("CfnElement", pipeline.artifact_bucket.node.default_child))
    copies = pipeline.cross_region_support.values()
    own_bucket = "Granted by CDK Pipelines on the pipeline's own artifact bucket, which holds its files in transit only"
    own_key = "Granted by CDK Pipelines on the key of the pipeline's own artifact bucket, which protects nothing else"
    s3_actions = ("Abort", "DeleteObject", "GetBucket", "GetObject", "List")
    acknowledge(
        generated,
        {
            **{f"AwsSolutions-IAM5[Action::s3:{action}*]": f"{own_bucket}." for action in s3_actions},
            **{f"AwsSolutions-IAM5[Action::kms:{a}*]": f"{own_key}." for a in ("GenerateDataKey", "ReEncrypt")},
            f"AwsSolutions-IAM5[Resource::<{bucket}.Arn>/*]": f"{own_bucket}; the star stands for their keys.",
            **{
                f"AwsSolutions-IAM5[Resource::{stack.resolve(copy.replication_bucket.bucket_arn)}/*]": (
                    f"{own_bucket}; the star stands for their keys."
                )
                for copy in copies
            },
        },
    )
    for copy in copies:
        # Its name is fixed, so it must not outlive a first deployment that fails.
        copy.replication_bucket.apply_removal_policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
        acknowledge(
            copy.replication_bucket,
            {"AwsSolutions-S1": "Holds copies of the cloud assembly for a further region, kept elsewhere."},
        )
    acknowledge_lint(
        cast("CfnResource", pipeline.node.default_child),
        {
            "W3005": "The construct depends on its role as well as on the role's policy; naming both does no harm.",
            "E3703": "Takes a Fn::Join in a RoleArn for an error; rule I1022 calls it a matter of taste.",
        },
    )
    acknowledge(
        generated.self_mutation_project,
        {
            "AwsSolutions-IAM5[Resource::*]": (
                "Written by CDK Pipelines: DescribeStacks and ListBucket, with which the CDK command line finds "
                "the bootstrap resources; both only read."
            ),
            f"AwsSolutions-IAM5[Resource::arn:*:iam::{stack.account}:role/*]": (
                "Written by CDK Pipelines: AssumeRole, and a condition admits only roles that carry the tag of the "
                "bootstrap stack."
            ),
        },
    )


def accept_asset_role(stack: Stack, generated: pipelines.CodePipeline) -> None:
    """Accept the wildcards in the role with which CDK Pipelines publishes file assets, when there are any."""
    assets = generated.node.try_find_child("Assets")
    role = assets.node.try_find_child("FileRole") if assets else None
    if role is None:
        return
    place = f"{stack.region}:{stack.account}"
    builds = "Written by CDK Pipelines before the name of the build that uses the role is known"
    acknowledge(
        role,
        {
            f"AwsSolutions-IAM5[Resource::arn:{stack.partition}:logs:{place}:log-group:/aws/codebuild/*]": (
                f"{builds}: writing logs of builds."
            ),
            f"AwsSolutions-IAM5[Resource::arn:{stack.partition}:codebuild:{place}:report-group/*]": (
                f"{builds}: writing test reports of builds."
            ),
            "AwsSolutions-IAM5[Resource::*]": (
                "Written by CDK Pipelines: starting and stopping builds; the hub has those of this pipeline only."
            ),
        },
    )
    acknowledge(
        cast("aws_iam.Policy", role.node.find_child("DefaultPolicy")),
        {"CKV_AWS_111": "Written by CDK Pipelines: starting and stopping builds has no narrower form there."},
    )


def accept_build(stack: Stack, project: aws_codebuild.IProject) -> None:
    """Accept the stars behind a build's own name in the policy that CDK writes for its logs and reports."""
    name = stack.get_logical_id(cast("CfnElement", project.node.default_child))
    place = f"{stack.region}:{stack.account}"
    acknowledge(
        project,
        {
            f"AwsSolutions-IAM5[Resource::arn:{stack.partition}:logs:{place}:log-group:/aws/codebuild/<{name}>:*]": (
                "The log streams of this build's own log group."
            ),
            f"AwsSolutions-IAM5[Resource::arn:{stack.partition}:codebuild:{place}:report-group/<{name}>-*]": (
                "The report groups that CodeBuild names after this build."
            ),
        },
    )
