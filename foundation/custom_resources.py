"""The custom resources that products have in every kind of account in which they are launched.

Each function adds one of them to a baseline: the Lambda function that answers it, and what that one needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from foundation.baseline import BaselineFunction
from foundation.boundary import keep_off
from lambdas.bucket_emptier.environment import EmptierEnvironment
from lambdas.preflight.environment import PreflightEnvironment
from lambdas.seed_checkin.environment import CompletionEnvironment, SeedCheckinEnvironment
from lambdas.shared.artifact_bucket import ASSETS_PREFIX
from products.shared import names
from products.shared.findings import acknowledge

if TYPE_CHECKING:
    from aws_cdk import aws_codebuild as codebuild

    from foundation.baseline import Baseline

_BUILDSPEC: Final = Path(__file__).with_name("seed_checkin_buildspec.yml")
_BUILD_MINUTES: Final = 10  # with as long in the queue this stays below the 30 minutes that Custom::SeedCode waits


def add_seed_checkin(baseline: Baseline, *, catalog: str) -> None:
    """Add ``Custom::SeedCode``: function, build, ledger and the completion that answers when the build has ended.

    Args:
        baseline: The baseline.
        catalog: Repository of this catalog, ``owner/name``, into which nothing is checked in.
    """
    ledger = baseline.ledger("Ledger", key=("Id",))
    build = _seed_build(baseline, catalog)
    build_arn = baseline.arn("codebuild", f"project/{names.SEED_CHECKIN_BUILD}")
    baseline.function(
        "SeedCheckin",
        BaselineFunction(
            name=names.SEED_CHECKIN_FUNCTION,
            folder="seed_checkin",
            purpose="Custom::SeedCode: starts the check-in of seed code into a repository.",
            environment=SeedCheckinEnvironment(
                artifact_bucket=baseline.artifact_bucket,
                build_project=names.SEED_CHECKIN_BUILD,
                ledger_table=ledger.table_name,
                url_suffix=Aws.URL_SUFFIX,
            ),
            allowed=[
                iam.PolicyStatement(
                    sid="ReadConnections",
                    actions=[
                        "codeconnections:GetConnection",
                        "codeconnections:GetHost",
                        "codestar-connections:GetConnection",
                        "codestar-connections:GetHost",
                    ],
                    resources=[*baseline.connections("connection"), *baseline.connections("host")],
                ),
                iam.PolicyStatement(sid="StartCheckin", actions=["codebuild:StartBuild"], resources=[build_arn]),
                iam.PolicyStatement(
                    sid="KeepLedger",
                    actions=[
                        "dynamodb:DeleteItem",
                        "dynamodb:GetItem",
                        "dynamodb:PutItem",
                        "dynamodb:UpdateItem",
                    ],
                    resources=[ledger.table_arn],
                ),
            ],
            findings=baseline.wild(
                "A product names the connection, whose id is generated; reading its status tells no secret.",
                *baseline.connections("connection"),
                *baseline.connections("host"),
            ),
        ),
    )
    completion = baseline.function(
        "SeedCheckinCompletion",
        BaselineFunction(
            name=names.SEED_CHECKIN_COMPLETION_FUNCTION,
            folder="seed_checkin",
            module="completion",
            purpose="Answers CloudFormation when the check-in of seed code has ended.",
            environment=CompletionEnvironment(build_project=names.SEED_CHECKIN_BUILD, ledger_table=ledger.table_name),
            allowed=[
                iam.PolicyStatement(sid="ReadBuilds", actions=["codebuild:BatchGetBuilds"], resources=[build_arn]),
                iam.PolicyStatement(
                    sid="KeepLedger",
                    actions=["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
                    resources=[ledger.table_arn],
                ),
            ],
        ),
    )
    baseline.call_when_ended(
        "SeedCheckinEnded",
        description="The end of every check-in of seed code, however it ended",
        build=build,
        name=names.SEED_CHECKIN_BUILD,
        function=completion,
    )


def _seed_build(baseline: Baseline, catalog: str) -> codebuild.CfnProject:
    log_group = baseline.log_group("SeedBuildLog", f"/aws/codebuild/{names.SEED_CHECKIN_BUILD}")
    assets = f"arn:{Aws.PARTITION}:s3:::{baseline.artifact_bucket}/{ASSETS_PREFIX}*"
    hub_keys = f"arn:{Aws.PARTITION}:kms:{Aws.REGION}:{baseline.hub_account_id}:key/*"
    role = iam.Role(
        baseline.scope,
        "SeedBuildRole",
        path=names.BASELINE_ROLE_PATH,
        description="Checks seed code into a repository through a CodeConnection.",
        assumed_by=iam.ServicePrincipal(
            "codebuild.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        ),
        inline_policies={
            "Purpose": iam.PolicyDocument(
                statements=[
                    iam.PolicyStatement(
                        sid="WriteLog",
                        actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                        resources=[log_group.log_group_arn],
                    ),
                    iam.PolicyStatement(sid="ReadSeedCode", actions=["s3:GetObject"], resources=[assets]),
                    iam.PolicyStatement(
                        sid="DecryptSeedCode",
                        actions=["kms:Decrypt"],
                        resources=[hub_keys],
                        conditions={"StringEquals": {"kms:ViaService": f"s3.{Aws.REGION}.{Aws.URL_SUFFIX}"}},
                    ),
                    iam.PolicyStatement(
                        sid="UseGit",
                        actions=[
                            f"{service}:{action}"
                            for service in ("codeconnections", "codestar-connections")
                            for action in ("GetConnection", "GetConnectionToken", "UseConnection")
                        ],
                        resources=baseline.connections("connection"),
                    ),
                    *(iam.PolicyStatement.from_json(statement) for statement in keep_off(catalog)),
                ]
            )
        },
    )
    acknowledge(
        role,
        {
            **baseline.log_streams(log_group, "Streams of the build's own log group."),
            **baseline.wild("Seed archives are named by their digests.", assets),
            **baseline.wild("Reached through S3 only, for objects of the hub's artifact bucket.", hub_keys),
            **baseline.wild(
                "A product names the connection, whose id is generated.", *baseline.connections("connection")
            ),
        },
    )
    return baseline.build(
        "SeedBuild",
        name=names.SEED_CHECKIN_BUILD,
        description="Checks seed code into a repository; started by Custom::SeedCode.",
        buildspec=_BUILDSPEC,
        role=role,
        log_group=log_group,
        minutes=_BUILD_MINUTES,
        queued_minutes=_BUILD_MINUTES,
    )


def add_bucket_emptier(baseline: Baseline) -> None:
    """Add ``Custom::BucketContents``, which empties buckets of products and no others."""
    itself = baseline.arn("lambda", f"function:{names.BUCKET_EMPTIER_FUNCTION}")
    buckets = f"arn:{Aws.PARTITION}:s3:::{names.PROJECT_RESOURCE_PREFIX}*-{Aws.ACCOUNT_ID}-{Aws.REGION}"
    baseline.function(
        "BucketEmptier",
        BaselineFunction(
            name=names.BUCKET_EMPTIER_FUNCTION,
            folder="bucket_emptier",
            purpose="Custom::BucketContents: empties a product's bucket when the product is terminated.",
            timeout_s=900,
            environment=EmptierEnvironment(account_id=Aws.ACCOUNT_ID),
            allowed=[
                iam.PolicyStatement(
                    sid="ListProductBuckets",
                    actions=["s3:ListBucketMultipartUploads", "s3:ListBucketVersions"],
                    resources=[buckets],
                ),
                iam.PolicyStatement(
                    sid="EmptyProductBuckets",
                    actions=["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion"],
                    resources=[f"{buckets}/*"],
                ),
                iam.PolicyStatement(sid="HandOver", actions=["lambda:InvokeFunction"], resources=[itself]),
            ],
            findings=baseline.wild(
                "Every product bucket of this account and region is named like this, and no other bucket.",
                buckets,
                f"{buckets}/*",
            ),
        ),
    )


def add_preflight(baseline: Baseline) -> None:
    """Add ``Custom::Preflight``, which only looks around."""
    stacks = baseline.arn("cloudformation", "stack/SC-*")
    keys = f"arn:{Aws.PARTITION}:kms:{Aws.REGION}:*:key/*"
    baseline.function(
        "Preflight",
        BaselineFunction(
            name=names.PREFLIGHT_FUNCTION,
            folder="preflight",
            purpose="Custom::Preflight: says what would make a launch fail before anything is created.",
            timeout_s=120,
            environment=PreflightEnvironment(data_function=names.DATA_PERMISSIONS_FUNCTION),
            allowed=[
                iam.PolicyStatement(
                    sid="LookAround",
                    actions=[
                        "ec2:DescribeRouteTables",
                        "ec2:DescribeSecurityGroups",
                        "ec2:DescribeSubnets",
                        "ec2:DescribeVpcEndpoints",
                        "ec2:DescribeVpcs",
                        "sagemaker:ListDomains",
                        "sso:ListInstances",
                    ],
                    resources=["*"],
                ),
                iam.PolicyStatement(sid="SeeRollback", actions=["cloudformation:DescribeStacks"], resources=[stacks]),
                iam.PolicyStatement(
                    sid="ReadDomains",
                    actions=["sagemaker:DescribeDomain"],
                    resources=[baseline.arn("sagemaker", "domain/*")],
                ),
                iam.PolicyStatement(
                    sid="ReadVpcs", actions=["ec2:DescribeVpcAttribute"], resources=[baseline.arn("ec2", "vpc/*")]
                ),
                iam.PolicyStatement(
                    sid="ReadConnections",
                    actions=["codeconnections:GetConnection", "codestar-connections:GetConnection"],
                    resources=baseline.connections("connection"),
                ),
                iam.PolicyStatement(
                    sid="AskForData",
                    actions=["lambda:InvokeFunction"],
                    resources=[baseline.arn("lambda", f"function:{names.DATA_PERMISSIONS_FUNCTION}")],
                ),
                iam.PolicyStatement(sid="SeeKeys", actions=["kms:DescribeKey"], resources=[keys]),
            ],
            findings=baseline.wild("These actions have no resource level.", "*")
            | baseline.wild("Service Catalog names its stacks SC-<account>-pp-....", stacks)
            | baseline.wild(
                "A person names the key of a data set, which may be another account's; it is only described.", keys
            )
            | baseline.wild(
                "A person may choose any VPC and connection of the account, which has any domain; they are only read.",
                baseline.arn("ec2", "vpc/*"),
                baseline.arn("sagemaker", "domain/*"),
                *baseline.connections("connection"),
            ),
        ),
    )
