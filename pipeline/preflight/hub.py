"""What the hub must have."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from pipeline.execution_policy import policies
from pipeline.paging import pages
from pipeline.preflight.checking import Problem, check, parameter_value
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.preflight.checking import Account, Check

CHECKS: Final[list[Check]] = []
AUDIT_WORK_GROUP: Final = "ml-platform-audit"
_WRITE_POLICIES: Final = ".venv/bin/python -m pipeline.execution_policy build/hub-policies"
_FAILED_STATES: Final = ("_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_IN_PROGRESS")
BOOTSTRAP_QUALIFIER: Final = "hnb659fds"
"""Qualifier of `cdk bootstrap`, its default."""

BOOTSTRAP_VERSION_MIN: Final = 8
"""Oldest bootstrap stack that the assembly accepts (``requiresBootstrapStackVersion`` in the manifest of the CDK)."""


@check(CHECKS, "the region is bootstrapped with the catalog's own execution policies", "hub")
def _bootstrapped(account: Account, region: str) -> Iterator[Problem]:
    settings = account.settings
    remedy = (
        "run what `.venv/bin/python -m pipeline.execution_policy build/hub-policies` prints (docs/setup.md, step 3)"
    )
    version = parameter_value(account, region, f"/cdk-bootstrap/{BOOTSTRAP_QUALIFIER}/version")
    if version is None or int(version) < BOOTSTRAP_VERSION_MIN:
        yield Problem(what=f"`cdk bootstrap` has version {version or 'none'} in {region}", remedy=remedy)
        return
    iam = account.client("iam", region)
    role = f"cdk-{BOOTSTRAP_QUALIFIER}-cfn-exec-role-{account.id}-{region}"
    attached = {
        policy["PolicyName"]: policy["PolicyArn"]
        for policy in pages(iam, "list_attached_role_policies", "AttachedPolicies", RoleName=role)
    }
    wanted = policies(settings.account_id, settings.partition)
    for name in sorted(attached.keys() - wanted.keys()):
        yield Problem(
            what=f"role {role} also has the policy {name}: it allows more than the catalog needs", remedy=remedy
        )
    for name, document in wanted.items():
        if name not in attached:
            yield Problem(what=f"role {role} lacks the policy {name}", remedy=remedy)
            continue
        arn = attached[name]
        default = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=arn, VersionId=default)["PolicyVersion"]["Document"]
        if found != document:
            yield Problem(
                what=f"policy {name} is not what this version of the catalog needs",
                remedy=f"{_WRITE_POLICIES}; aws iam create-policy-version --set-as-default --policy-arn {arn} "
                f"--policy-document file://build/hub-policies/{name}.json",
            )


@check(CHECKS, "no stack of the platform is in a failed state", "hub", "workload", "deployment")
def _stacks(account: Account, region: str) -> Iterator[Problem]:
    client = account.client("cloudformation", region)
    for stack in pages(client, "describe_stacks", "Stacks"):
        name, state = stack["StackName"], stack["StackStatus"]
        ours = name.startswith(
            (names.PREFIX, names.PIPELINE_STACK, f"StackSet-{names.PREFIX}", names.PROJECT_RESOURCE_PREFIX)
        )
        if not ours or not state.endswith(_FAILED_STATES) or state.endswith("UPDATE_ROLLBACK_IN_PROGRESS"):
            continue
        first = state in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")
        again = (
            f"aws cloudformation delete-stack --region {region} --stack-name {name}"
            if first
            else "release the change again"
        )
        yield Problem(
            what=f"stack {name} is {state}",
            remedy=f"aws cloudformation describe-stack-events --region {region} --stack-name {name} shows why; then "
            f"{again}",
        )


@check(CHECKS, "every account of the units has its baseline", "hub", per_region=False)
def _baselines(account: Account, region: str) -> Iterator[Problem]:
    client = account.client("cloudformation", region)
    found = pages(client, "list_stack_sets", "Summaries", CallAs="DELEGATED_ADMIN", Status="ACTIVE")
    sets = [entry["StackSetName"] for entry in found if entry["StackSetName"].startswith(names.PREFIX)]
    if not sets:
        yield Problem(
            what="there is no StackSet of the platform yet", remedy="deploy the pipeline (docs/setup.md, step 4)"
        )
    for name in sets:
        for instance in pages(client, "list_stack_instances", "Summaries", StackSetName=name, CallAs="DELEGATED_ADMIN"):
            if instance["Status"] != "CURRENT":
                yield Problem(
                    what=f"StackSet {name}: account {instance['Account']}, region {instance['Region']} is "
                    f"{instance['Status']}: {instance.get('StatusReason', 'no reason given')}",
                    remedy="correct the cause in that account or move it out of the unit, and release the change again",
                )


@check(CHECKS, "Git connections are available", "hub", "workload")
def _connections(account: Account, region: str) -> Iterator[Problem]:
    client = account.client("codeconnections", region)
    given = (
        account.settings.connection_arn if account.kind == "hub" and region == account.settings.home_region else None
    )
    found = {entry["ConnectionArn"]: entry for entry in pages(client, "list_connections", "Connections")}
    if given and given not in found:
        yield Problem(
            what=f"connection_arn {given} is not a connection of {account.id} in {region}",
            remedy="aws codeconnections list-connections, and set connection_arn in cdk.json to one of them or to null",
        )
    for arn, entry in found.items():
        ours = arn == given or entry["ConnectionName"].startswith((names.PREFIX, names.PROJECT_RESOURCE_PREFIX))
        if ours and entry["ConnectionStatus"] != "AVAILABLE":
            yield Problem(
                what=f"connection {entry['ConnectionName']} is {entry['ConnectionStatus']}: finish its handshake",
                remedy="console: Developer Tools → Settings → Connections → Update pending connection",
            )


@check(CHECKS, "deployment projects have a Git connection", "hub")
def _project_connection(account: Account, region: str) -> Iterator[Problem]:
    name = names.contract_parameter("connection-arn")
    if parameter_value(account, region, name) is None:
        yield Problem(
            what=f"parameter {name} does not exist, so no deployment project can be launched",
            remedy=f"aws ssm put-parameter --region {region} --name {name} --type String --value CONNECTION_ARN",
        )


@check(CHECKS, "SageMaker may create projects", "hub")
def _projects_enabled(account: Account, region: str) -> Iterator[Problem]:
    if account.client("sagemaker", region).get_sagemaker_servicecatalog_portfolio_status().get("Status") != "Enabled":
        yield Problem(
            what="SageMaker's access to Service Catalog is off, so create-project finds no product",
            remedy=f"aws sagemaker enable-sagemaker-servicecatalog-portfolio --region {region}",
        )


@check(CHECKS, "governance officers have a work group for the audit records", "hub")
def _work_group(account: Account, region: str) -> Iterator[Problem]:
    client = account.client("athena", region)
    create = (
        f"aws athena create-work-group --region {region} --name {AUDIT_WORK_GROUP} --configuration "
        "'EnforceWorkGroupConfiguration=true,ManagedQueryResultsConfiguration={Enabled=true}'"
    )
    if AUDIT_WORK_GROUP not in {found["Name"] for found in pages(client, "list_work_groups", "WorkGroups")}:
        yield Problem(what=f"work group {AUDIT_WORK_GROUP} does not exist", remedy=create)
        return
    configuration = client.get_work_group(WorkGroup=AUDIT_WORK_GROUP)["WorkGroup"].get("Configuration", {})
    if not configuration.get("ManagedQueryResultsConfiguration", {}).get("Enabled"):
        yield Problem(
            what=f"work group {AUDIT_WORK_GROUP} does not manage its results, so officers need a bucket that they lack",
            remedy=f"aws athena delete-work-group --region {region} --work-group {AUDIT_WORK_GROUP} "
            f"--recursive-delete-option; {create}",
        )


@check(CHECKS, "somebody hears of failures", "hub")
def _subscriptions(account: Account, region: str) -> Iterator[Problem]:
    emails = set(account.settings.notification_emails)
    for entry in pages(account.client("sns", region), "list_subscriptions", "Subscriptions"):
        if entry["Endpoint"] in emails and entry["SubscriptionArn"] == "PendingConfirmation":
            yield Problem(
                what=f"{entry['Endpoint']} has not confirmed the mails of topic {entry['TopicArn'].rsplit(':', 1)[-1]}",
                remedy=f"open the mail of SNS, or send another one: aws sns subscribe --region {region} --topic-arn "
                f"{entry['TopicArn']} --protocol email --notification-endpoint {entry['Endpoint']}",
            )


@check(CHECKS, "the patterns of principals match roles", "hub", per_region=False)
def _principals(account: Account, region: str) -> Iterator[Problem]:
    roles = [
        (role["Path"] + role["RoleName"]).lstrip("/")
        for role in pages(account.client("iam", region), "list_roles", "Roles")
    ]
    for portfolio in account.portfolios:
        # Shared portfolios are launched from in workload accounts, whose roles cannot be seen from here.
        for pattern in () if portfolio.shared else account.settings.principals.get(portfolio.id, ()):
            if not any(_like(role, pattern) for role in roles):
                yield Problem(
                    what=f"no role of the hub matches {pattern}, so nobody launches from {portfolio.id} by it",
                    remedy=f'assign the permission set to {account.id}, or correct "principals" in cdk.json',
                )


def _like(text: str, pattern: str) -> bool:
    """Return whether a role's path and name match a pattern of Service Catalog (wildcards ``*`` and ``?``)."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))
