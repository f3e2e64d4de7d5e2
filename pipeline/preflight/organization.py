"""What the organisation must allow the hub, seen from the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.paging import pages
from pipeline.preflight.checking import Problem, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.paging import AwsClient
    from pipeline.preflight.checking import Account, Check

CHECKS: Final[list[Check]] = []
CATALOG_PRINCIPAL: Final = "servicecatalog.amazonaws.com"
STACKSETS_PRINCIPAL: Final = "member.org.stacksets.cloudformation.amazonaws.com"


@check(CHECKS, "cdk.json no longer holds values of the sample", "hub", per_region=False)
def _no_sample_values(account: Account, _region: str) -> Iterator[Problem]:
    for line in account.settings.sample_values():
        yield Problem(
            what=f"{line} is the sample's value", remedy="set context.hub in cdk.json (docs/setup.md, step 2)"
        )


@check(CHECKS, "cdk.json describes this organisation", "hub", per_region=False)
def _organization(account: Account, region: str) -> Iterator[Problem]:
    settings, organizations = account.settings, account.client("organizations", region)
    found = organizations.describe_organization()["Organization"]
    if found["Id"] != settings.organization_id:
        yield Problem(
            what=f"organization_id is {settings.organization_id}, but {account.id} belongs to {found['Id']}",
            remedy=f'set "organization_id": "{found["Id"]}" in cdk.json',
        )
    if found["FeatureSet"] != "ALL":
        yield Problem(
            what=f"the organisation has the features {found['FeatureSet']} only, so nothing can be shared with units",
            remedy="in the management account: aws organizations enable-all-features",
        )


@check(CHECKS, "Service Catalog can share with organisational units, and so can the hub", "hub", per_region=False)
def _catalog_access(account: Account, region: str) -> Iterator[Problem]:
    status = account.client("servicecatalog", region).get_aws_organizations_access_status()["AccessStatus"]
    if status != "ENABLED":
        yield Problem(
            what=f"Service Catalog's access to the organisation is {status}",
            remedy="in the management account: aws servicecatalog enable-aws-organizations-access",
        )
    yield from _delegated(account, region, CATALOG_PRINCIPAL)


@check(CHECKS, "StackSets can deploy to organisational units, and so can the hub", "hub", per_region=False)
def _stack_sets_access(account: Account, region: str) -> Iterator[Problem]:
    client = account.client("cloudformation", region)
    status = client.describe_organizations_access(CallAs="DELEGATED_ADMIN")["Status"]
    if status != "ENABLED":
        yield Problem(
            what=f"StackSets' access to the organisation is {status}",
            remedy="in the management account: aws cloudformation activate-organizations-access",
        )
    yield from _delegated(account, region, STACKSETS_PRINCIPAL)


def _delegated(account: Account, region: str, principal: str) -> Iterator[Problem]:
    client = account.client("organizations", region)
    found = pages(client, "list_delegated_administrators", "DelegatedAdministrators", ServicePrincipal=principal)
    if account.id not in {entry["Id"] for entry in found}:
        yield Problem(
            what=f"the hub {account.id} is not a delegated administrator of {principal}",
            remedy=f"in the management account: aws organizations register-delegated-administrator --account-id "
            f"{account.id} --service-principal {principal}",
        )


@check(CHECKS, "the organisational units are those of cdk.json, and the hub is in neither", "hub", per_region=False)
def _units(account: Account, region: str) -> Iterator[Problem]:
    settings, organizations = account.settings, account.client("organizations", region)
    path = _path_of(organizations, settings.workloads_ou_id, settings.organization_id)
    if path != settings.workloads_ou_path:
        yield Problem(
            what=f"workloads_ou_path is {settings.workloads_ou_path}, but the unit's path is {path}",
            remedy=f'set "workloads_ou_path": "{path}" in cdk.json',
        )
    own = _path_of(organizations, account.id, settings.organization_id)
    deployment = _path_of(organizations, settings.deployment_ou_id, settings.organization_id)
    for unit, key in ((path, "workloads_ou_id"), (deployment, "deployment_ou_id")):
        if own.startswith(unit):
            yield Problem(
                what=f"the hub {account.id} is in the unit of {key}, so a second baseline would collide with its own",
                remedy=f"in the management account: aws organizations move-account --account-id {account.id} "
                f"--source-parent-id {own.rstrip('/').rsplit('/', 1)[-1]} --destination-parent-id {settings.root_id}",
            )
    accounts = {
        entry["Id"]
        for entry in pages(organizations, "list_accounts_for_parent", "Accounts", ParentId=settings.deployment_ou_id)
        if entry.get("State", entry.get("Status")) == "ACTIVE"
    }
    for missing in sorted(accounts - set(settings.deployment_account_ids)):
        yield Problem(
            what=f"account {missing} is in the deployment OU but not in deployment_account_ids: it cannot read models",
            remedy=f'add "{missing}" to deployment_account_ids in cdk.json, or move the account out of the unit',
        )


def _path_of(organizations: AwsClient, entity: str, organization_id: str) -> str:
    """Return the path of a unit, or of the unit that an account is in, as ``aws:PrincipalOrgPaths`` shows it."""
    parts = [entity] if entity.startswith("ou-") else []
    child = entity
    while not child.startswith("r-"):
        child = organizations.list_parents(ChildId=child)["Parents"][0]["Id"]
        parts.insert(0, child)
    return "/".join([organization_id, *parts, ""])
