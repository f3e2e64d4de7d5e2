"""The custom resources that grant data of a lake in an account of the workloads OU, and the administrator behind them.

Lake Formation lets a data lake administrator grant everything to everybody. So the administrator is not the launch
role, which carries out what templates say, but the role of one function, which grants to people and projects of its own
account only (`lambdas.data_permissions.core`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from foundation.baseline import BaselineFunction
from lambdas.data_permissions.environment import DataPermissionsEnvironment
from products.shared import names

if TYPE_CHECKING:
    from foundation.baseline import Baseline

_LINK: Final = "*_????????"
"""Names of resource links end in a digest (`names.link_database`)."""


def add_data_permissions(baseline: Baseline) -> None:
    """Add ``Custom::DataAccess`` and ``Custom::ProjectDataAccess``, whose role becomes data lake administrator."""
    ledger = baseline.ledger("DataLedger", key=("Kind", "Id"))
    links = [baseline.arn("glue", f"database/{_LINK}"), baseline.arn("glue", f"table/{_LINK}/*")]
    functions = baseline.arn("glue", f"userDefinedFunction/{_LINK}/*")
    # The account that owns a database is a question of the form; Lake Formation decides on what it shares.
    shared = [f"arn:{Aws.PARTITION}:glue:{Aws.REGION}:*:{what}" for what in ("catalog", "database/*", "table/*/*")]
    projects = baseline.arn("sagemaker", "project/*")
    roles = f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role{names.PROJECT_ROLE_PATH}*"
    function = baseline.function(
        "DataPermissions",
        BaselineFunction(
            name=names.DATA_PERMISSIONS_FUNCTION,
            folder="data_permissions",
            purpose="Custom::DataAccess and Custom::ProjectDataAccess: grants data to people and projects.",
            timeout_s=300,  # less than its lease (lambdas/data_permissions/ledger.py), so that no two runs overlap
            environment=DataPermissionsEnvironment(account_id=Aws.ACCOUNT_ID, ledger_table=ledger.table_name),
            allowed=[
                iam.PolicyStatement(
                    sid="GrantAndRevoke",
                    actions=[
                        "lakeformation:CreateLakeFormationOptIn",
                        "lakeformation:DeleteLakeFormationOptIn",
                        "lakeformation:GrantPermissions",
                        "lakeformation:ListLakeFormationOptIns",
                        "lakeformation:ListPermissions",
                        "lakeformation:RevokePermissions",
                        "ram:GetResourceShareInvitations",
                        "sagemaker:ListProjects",
                    ],
                    resources=["*"],
                ),
                # https://docs.aws.amazon.com/lake-formation/latest/dg/required-permissions-for-grant.html
                iam.PolicyStatement(
                    sid="SeeWhatIsGranted", actions=["glue:GetDatabase", "glue:GetTable"], resources=shared
                ),
                iam.PolicyStatement(
                    sid="MakeLinks",
                    actions=["glue:CreateDatabase", "glue:DeleteDatabase"],
                    resources=[baseline.arn("glue", "catalog"), *links, functions],
                ),
                iam.PolicyStatement(
                    sid="KeepLedger",
                    actions=["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
                    resources=[ledger.table_arn],
                ),
                iam.PolicyStatement(
                    sid="KnowProjects",
                    actions=["sagemaker:DescribeProject", "sagemaker:ListTags"],
                    resources=[projects],
                ),
                iam.PolicyStatement(sid="KnowRoles", actions=["iam:ListRoleTags"], resources=[roles]),
            ],
            findings=baseline.wild("These actions have no resource level.", "*")
            | baseline.wild(
                "The owner's account and its tables are named by the form; only metadata are read.", *shared
            )
            | baseline.wild("Links are named after what they link to, with a digest.", *links, functions)
            | baseline.wild("People name their projects, and CloudFormation their roles.", projects, roles),
        ),
    )
    administrator = baseline.function(
        "DataLakeAdministrator",
        BaselineFunction(
            name=names.DATA_LAKE_ADMINISTRATOR_FUNCTION,
            folder="data_permissions",
            module="administrator",
            purpose="Custom::DataLakeAdministrator: adds one role to the data lake administrators, and removes it.",
            allowed=[
                iam.PolicyStatement(
                    sid="ChangeAdministrators",
                    actions=["lakeformation:GetDataLakeSettings", "lakeformation:PutDataLakeSettings"],
                    resources=["*"],
                )
            ],
            findings=baseline.wild("These actions have no resource level.", "*"),
        ),
    )
    if function.role is None:
        raise TypeError("a function of a baseline has a role")
    cdk.CustomResource(
        baseline.scope,
        "AdministerDataLake",
        resource_type="Custom::DataLakeAdministrator",
        service_token=administrator.function_arn,
        service_timeout=cdk.Duration.minutes(15),
        properties={"RoleArn": function.role.role_arn},
    )
