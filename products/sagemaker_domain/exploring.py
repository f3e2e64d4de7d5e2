"""What lets people query governed tables from Studio; a policy of its own, because their roles are at IAM's limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from products.sagemaker_domain.personas import BY_PROJECT_ID, KEYS_OF_PROJECTS
from products.shared import lake, names, template
from products.shared.roles import Grant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct


_BUCKETS: Final = names.PROJECTS_PREFIX + "?" * 12 + "-${AWS::AccountId}-${AWS::Region}"
"""Buckets of projects, whose ids SageMaker makes of ``p-`` and 12 characters, as a pattern of a fixed length.

With a star, a key that imitates the end of a bucket's name would let people write anywhere in a project's bucket. A
question mark fits a slash, too, but then the bucket has a shorter name, and no such bucket of the account is a
project's; those of strangers are left out by a condition.
"""


def exploring_policy(scope: Construct, id_: str, *, roles: Sequence[iam.IRole]) -> iam.ManagedPolicy:
    """Return the policy, attached to the roles of leads and data scientists."""
    grants = exploring()
    policy = iam.ManagedPolicy(
        scope,
        id_,
        path=names.DATA_POLICY_PATH,
        description="Lets people query governed tables in the work groups of projects",
        statements=[grant.statement() for grant in grants],
        roles=list(roles),
    )
    for grant in grants:
        template.acknowledge(policy, grant.findings(Stack.of(policy)))
    return policy


def exploring() -> list[Grant]:
    """Return what lets a persona query tables in the work group of a project, where its results are.

    Lake Formation decides what of a table a query sees; this lets people ask. Each project has a work group of its own,
    because results lie outside of what Lake Formation governs (Athena user guide, "Considerations and limitations for
    querying data registered with Lake Formation").
    """
    results = template.bucket_arn(_BUCKETS, f"{names.ATHENA_PREFIX}*")
    return [
        Grant(
            sid="QueryTables",
            actions=lake.QUERY,
            resources=[template.arn("athena", f"workgroup/{names.PROJECT_WORK_GROUPS}")],
            because=BY_PROJECT_ID,
        ),
        Grant(
            sid="SeeTables",
            actions=lake.SEE_TABLES,
            resources=[
                f"arn:${{AWS::Partition}}:glue:${{AWS::Region}}:*:{what}"
                for what in ("catalog", "database/*", "table/*/*")
            ],
            because="A link leads into the account that owns the table; Lake Formation shows what was granted there.",
        ),
        Grant(
            sid="ReadThroughLakeFormation",
            actions=lake.READ,
            resources=["*"],
            because="This action has no resources; Lake Formation gives access to what it granted.",
        ),
        Grant(
            sid="WriteQueryResults",
            actions=["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"],
            resources=[results],
            conditions={"StringEquals": {"aws:ResourceAccount": "${AWS::AccountId}"}},
            because=BY_PROJECT_ID,
        ),
        Grant(
            sid="EncryptQueryResults",
            actions=["kms:GenerateDataKey"],
            resources=[template.arn("kms", "key/*")],
            conditions=KEYS_OF_PROJECTS,
            because="Key ids are made by KMS; the condition keeps it to keys of projects, used by S3.",
        ),
    ]
