"""The commands that the pipeline runs in each region, and what each of them may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Aws, aws_iam

from lambdas.shared.artifact_bucket import ASSETS_PREFIX, RELEASES_PREFIX
from pipeline.baselines import PERMISSION, STACK_SETS
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from foundation.settings import HubSettings


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of the catalog that the pipeline runs.

    Attributes:
        id: Id of its step.
        arguments: Command and arguments of `portfolio`.
        allowed: What the command may do.
        wildcards: Why each resource with a star in `allowed` is as narrow as it can be.
    """

    id: str
    arguments: str
    allowed: Sequence[aws_iam.PolicyStatement]
    wildcards: Mapping[str, str]


def upload(settings: HubSettings, region: str) -> Command:
    """Return the upload of the releases to the artifact bucket of a region."""
    bucket = names.artifact_bucket(settings.account_id, region)
    return Command(
        id=f"UploadReleases-{region}",
        arguments=f"upload --bucket {bucket} --region {region}",
        allowed=[
            _allow([f"arn:{Aws.PARTITION}:s3:::{bucket}"], "s3:ListBucket"),
            _allow(
                [f"arn:{Aws.PARTITION}:s3:::{bucket}/{prefix}*" for prefix in (RELEASES_PREFIX, ASSETS_PREFIX)],
                "s3:GetObject",
                "s3:PutObject",
            ),
            aws_iam.PolicyStatement(
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=[f"arn:{Aws.PARTITION}:kms:{region}:{settings.account_id}:key/*"],
                conditions={"ForAnyValue:StringEquals": {"kms:ResourceAliases": names.ARTIFACT_KEY_ALIAS}},
            ),
        ],
        wildcards={
            f"arn:<AWS::Partition>:s3:::{bucket}/{RELEASES_PREFIX}*": "The releases, which it is there to upload.",
            f"arn:<AWS::Partition>:s3:::{bucket}/{ASSETS_PREFIX}*": "Their archives, which it uploads as well.",
            f"arn:<AWS::Partition>:kms:{region}:{settings.account_id}:key/*": (
                "The condition admits only the key with the artifact bucket's alias, whose id is not known yet."
            ),
        },
    )


def check_published(settings: HubSettings, region: str) -> Command:
    """Return the check that the catalog is published in a region as this repository says."""
    stack_sets = f"cloudformation:{region}:*:stackset"
    arn = f"arn:{Aws.PARTITION}:catalog:{region}:{settings.account_id}"
    arn_shown = arn.replace(Aws.PARTITION, "<AWS::Partition>")
    return Command(
        id=f"CheckPublished-{region}",
        arguments=f"check-published --region {region} --ou {settings.workloads_ou_id}",
        allowed=[
            _allow(
                ["*"],
                "servicecatalog:ListConstraintsForPortfolio",
                "servicecatalog:ListPortfolios",
                "servicecatalog:SearchProductsAsAdmin",
            ),
            _allow(
                [f"{arn}:portfolio/*"],
                "servicecatalog:DescribePortfolioShares",
                "servicecatalog:ListPrincipalsForPortfolio",
            ),
            _allow([f"{arn}:product/*"], "servicecatalog:ListProvisioningArtifacts"),
            _allow([f"arn:{Aws.PARTITION}:{stack_sets}/{name}:*" for name in STACK_SETS], PERMISSION),
        ],
        wildcards={
            "*": "Two lists and a search of the catalog, which have no resource level.",
            f"{arn_shown}:portfolio/*": "It checks every portfolio of the catalog, and only reads.",
            f"{arn_shown}:product/*": "It checks every product of the catalog, and only reads.",
            **{
                f"arn:<AWS::Partition>:{stack_sets}/{name}:*": (
                    "Such a StackSet is in the organisation's management account; its accounts are only listed."
                )
                for name in STACK_SETS
            },
        },
    )


def _allow(resources: list[str], *actions: str) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(actions=list(actions), resources=resources)
