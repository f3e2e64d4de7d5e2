"""Custom resources whose functions the workload baseline brings; a product only names them (docs/architecture.md)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import aws_cdk as cdk

from products.semver import Version
from products.shared import names, template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from constructs import Construct


SINCE: Final[Mapping[str, str]] = {"data": "1.1.0", "data-key": "1.1.0"}
"""Checks that came with a later version of the baseline than 1.0.0, and what else came with it.

A product that asks for one says which baseline it needs, so that an older one is refused before anything is made.
"""


def preflight(scope: Construct, checks: Sequence[Any], values: Mapping[str, Any]) -> cdk.CustomResource:
    """Add the check that comes before anything is created and that names every problem at once.

    Args:
        scope: Where to add it.
        checks: Names of checks; an entry may be a condition.
        values: What the checks need.
    """
    asked = json.dumps(cdk.Stack.of(scope).resolve(list(checks)))
    needed = [version for check, version in SINCE.items() if f'"{check}"' in asked]
    properties = {"Checks": checks, **values}
    if needed:
        properties[names.BASELINE_NEEDED] = str(max(map(Version.parse, needed)))
        # An account whose baseline is older than this value fails here, with the name of the parameter.
        properties["BaselineVersion"] = template.contract_value("baseline-version")
    return _custom(scope, "Preflight", names.PREFLIGHT_FUNCTION, properties, timeout=cdk.Duration.minutes(5))


def bucket_contents(scope: Construct, bucket_name: str) -> cdk.CustomResource:
    """Add what empties a bucket when the product is terminated; the bucket itself is deleted after it."""
    properties = {"BucketName": bucket_name}
    return _custom(scope, "BucketContents", names.BUCKET_EMPTIER_FUNCTION, properties, timeout=cdk.Duration.hours(1))


def seed_code(
    scope: Construct, *, connection_arn: str, repository: str, branch: str, asset_key: str
) -> cdk.CustomResource:
    """Add the check-in of the seed code into the project's repository.

    Args:
        scope: Where to add it.
        connection_arn: CodeConnection that reaches the repository.
        repository: ``owner/name`` of an empty repository.
        branch: Branch to create, e.g. ``main``.
        asset_key: Key of the archive in the hub's artifact bucket.
    """
    properties = {
        "ConnectionArn": connection_arn,
        "Repository": repository,
        "Branch": branch,
        "AssetBucket": template.contract_value("artifact-bucket"),
        "AssetKey": asset_key,
        "Version": names.UNRELEASED,
        "ProjectName": template.sub("${SageMakerProjectName}"),
        "ProjectId": template.sub("${SageMakerProjectId}"),
    }
    return _custom(scope, "SeedCode", names.SEED_CHECKIN_FUNCTION, properties, timeout=cdk.Duration.minutes(30))


def enable_projects(
    scope: Construct, *, domain_name: str, connection_arn: str, persona_role_arns: Sequence[str]
) -> cdk.CustomResource:
    """Add what switches SageMaker projects on for the account and tells it the connection of its projects."""
    properties = {
        "DomainName": domain_name,
        "ConnectionArn": connection_arn,
        "PersonaRoleArns": list(persona_role_arns),
    }
    return _custom(
        scope, "EnableProjects", names.ENABLE_PROJECTS_FUNCTION, properties, timeout=cdk.Duration.minutes(15)
    )


def data_access(scope: Construct, properties: Mapping[str, Any]) -> cdk.CustomResource:
    """Add what opens a database of another account: a resource link, permissions, and what projects may ask for.

    Args:
        scope: Where to add it.
        properties: As `lambdas.data_permissions.core.Access` reads them.
    """
    return _custom(scope, "DataAccess", names.DATA_PERMISSIONS_FUNCTION, properties, timeout=cdk.Duration.minutes(15))


def deployment(scope: Construct, id_: str, *, stage: str, account_id: str, region: str) -> cdk.CustomResource:
    """Add what checks that a stage's account can be reached, and takes the stage's stacks down on termination.

    Args:
        scope: Where to add it.
        id_: Id of the construct.
        stage: One of `names.STAGES`.
        account_id: Account of the stage.
        region: Region of the stage.
    """
    properties = {
        "ProjectId": template.sub("${SageMakerProjectId}"),
        "Stage": stage,
        "AccountId": account_id,
        "Region": region,
    }
    return _custom(scope, "Deployment", names.DEPLOYMENT_FUNCTION, properties, timeout=cdk.Duration.hours(1), id_=id_)


def project_data_access(
    scope: Construct,
    *,
    database: str,
    table: str,
    columns: cdk.IResolvable,
    location: str,
    role_arns: Sequence[str],
) -> cdk.CustomResource:
    """Add what asks the data lake administrator of the account to admit a project's roles to a table.

    It is refused in words when no access to data was launched for the project; on termination the roles lose it.

    Args:
        scope: Where to add it.
        database: Database in this account, as a rule a resource link.
        table: Table or view.
        columns: Columns as a list, which may be decided by a condition; empty for all that the project may have.
        location: S3 folder of a table that Lake Formation does not govern, for which nobody has to be admitted; blank
            where it does.
        role_arns: Roles of the project.
    """
    properties = {
        "ProjectId": template.sub("${SageMakerProjectId}"),
        "Database": database,
        "Table": table,
        "Columns": columns,
        "Location": location,
        "Roles": list(role_arns),
    }
    return _custom(
        scope,
        "ProjectDataAccess",
        names.DATA_PERMISSIONS_FUNCTION,
        properties,
        timeout=cdk.Duration.minutes(15),
    )


def _custom(
    scope: Construct,
    type_: str,
    function: str,
    properties: Mapping[str, Any],
    *,
    timeout: cdk.Duration,
    id_: str | None = None,
) -> cdk.CustomResource:
    # Without a timeout of its own a request that is never answered blocks the stack for an hour.
    return cdk.CustomResource(
        scope,
        id_ or type_,
        resource_type=f"Custom::{type_}",
        service_token=template.sub(template.arn("lambda", f"function:{function}")),
        properties=dict(properties),
        service_timeout=timeout,
    )
