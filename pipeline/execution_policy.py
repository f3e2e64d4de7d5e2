"""What CloudFormation may do in the hub: the policies for ``cdk bootstrap``, in place of AdministratorAccess.

Derived like the launch role: `foundation.caller_permissions` says which actions the hub's stacks take, and the tables
below on which resources. Run as ``python -m pipeline.execution_policy FOLDER``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from foundation.caller_permissions import needs
from foundation.handler_permissions import resource_kinds
from foundation.policy_documents import MANAGED_POLICY_MAX
from foundation.settings import HubSettings, SettingsError
from lambdas.shared.artifact_bucket import ASSETS_PREFIX, RELEASES_PREFIX
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HUB_RESOURCES: Final[Mapping[str, Mapping[str, Any]]] = {
    "AWS::CloudFormation::StackSet": {"TemplateURL": "asset of the stack"},
    "AWS::CloudWatch::Alarm": {},
    "AWS::CodeBuild::Project": {},
    "AWS::CodeConnections::Connection": {},
    "AWS::CodePipeline::Pipeline": {"ConnectionArn": "either prefix", "RestartExecutionOnUpdate": True},
    "AWS::DynamoDB::Table": {},
    "AWS::ECR::Repository": {},
    "AWS::Events::EventBus": {},
    "AWS::Events::EventBusPolicy": {},
    "AWS::Events::Rule": {},
    "AWS::Glue::Database": {},
    "AWS::Glue::Table": {},
    "AWS::IAM::ManagedPolicy": {},
    "AWS::IAM::Policy": {},
    "AWS::IAM::Role": {"ManagedPolicyArns": ["of the launch role"]},
    "AWS::KMS::Alias": {},
    "AWS::KMS::Key": {},
    "AWS::Lambda::EventInvokeConfig": {},
    "AWS::Lambda::EventSourceMapping": {},
    "AWS::Lambda::Function": {},
    "AWS::Lambda::Permission": {},
    "AWS::Logs::LogGroup": {},
    "AWS::S3::Bucket": {},
    "AWS::S3::BucketPolicy": {},
    "AWS::SNS::Subscription": {},
    "AWS::SNS::Topic": {},
    "AWS::SNS::TopicPolicy": {},
    "AWS::SQS::Queue": {},
    "AWS::SQS::QueuePolicy": {},
    "AWS::SSM::Parameter": {},
    "AWS::ServiceCatalog::CloudFormationProduct": {},
    "AWS::ServiceCatalog::LaunchRoleConstraint": {},
    "AWS::ServiceCatalog::Portfolio": {},
    "AWS::ServiceCatalog::PortfolioPrincipalAssociation": {},
    "AWS::ServiceCatalog::PortfolioProductAssociation": {},
    "AWS::ServiceCatalog::TagOption": {},
    "AWS::ServiceCatalog::TagOptionAssociation": {},
    "Custom::Any": {},
}
"""Resource types of the stacks that the pipeline deploys to the hub, with the options that take further permissions."""

HUB: Final = {
    "Parameters": {"BootstrapVersion": {"Type": "AWS::SSM::Parameter::Value<String>"}},
    "Resources": {type_: {"Type": type_, "Properties": options} for type_, options in HUB_RESOURCES.items()},
}
"""What the hub's stacks take, as a template."""

_OWN: Final = (f"{names.PIPELINE_STACK}-*", "ml-platform-*")  # generated names begin with the name of the stack

RESOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "cloudformation": (
        # StackSets with service-managed permissions are in the management account, also those that a delegated
        # administrator makes (CreateStackSet, CallAs); the account of AWS's own types is empty or theirs.
        "cloudformation:*:*:stackset/ml-platform-*",
        "cloudformation:*:*:stackset-target/*",
        "cloudformation:*:*:type/resource/*",
    ),
    "cloudwatch": ("cloudwatch:*:ACCOUNT:alarm:ml-platform-*",),
    "codebuild": (
        "codebuild:*:ACCOUNT:project/Pipeline*",  # CloudFormation names projects by their logical id alone
        "codebuild:*:ACCOUNT:project/ml-platform-*",  # named by CDK Pipelines, or by the baseline
    ),
    "codeconnections": ("codeconnections:*:ACCOUNT:connection/*",),
    "codepipeline": ("codepipeline:*:ACCOUNT:ml-platform-catalog", "codepipeline:*:ACCOUNT:ml-platform-catalog/*"),
    "codestar-connections": ("codestar-connections:*:ACCOUNT:connection/*",),
    "dynamodb": ("dynamodb:*:ACCOUNT:table/ml-platform-*",),
    "ecr": ("ecr:*:ACCOUNT:repository/ml-platform-*",),
    "events": (
        f"events:*:ACCOUNT:event-bus/{names.HUB_EVENT_BUS}",
        f"events:*:ACCOUNT:rule/{names.PIPELINE_STACK}-*",
        "events:*:ACCOUNT:rule/ml-platform-*",
        "events:*:ACCOUNT:rule/ml-platform/ml-platform-*",  # a rule on a bus of its own has the bus in its ARN
    ),
    "glue": (
        "glue:*:ACCOUNT:catalog",
        f"glue:*:ACCOUNT:database/{names.AUDIT_DATABASE}",
        f"glue:*:ACCOUNT:table/{names.AUDIT_DATABASE}/*",
        f"glue:*:ACCOUNT:userDefinedFunction/{names.AUDIT_DATABASE}/*",  # a database is deleted with all that is in it
    ),
    "iam:role": (
        *(f"iam::ACCOUNT:role/{name}" for name in _OWN),
        f"iam::ACCOUNT:role{names.HUB_ROLE_PATH}ml-platform-*",
        f"iam::ACCOUNT:role{names.BASELINE_ROLE_PATH}ml-platform-*",
    ),
    "iam:policy": (
        f"iam::ACCOUNT:policy/{names.BOUNDARY_POLICY}",
        f"iam::ACCOUNT:policy{names.BASELINE_ROLE_PATH}{names.LAUNCH_ROLE}-*",
    ),
    "kms": ("kms:*:ACCOUNT:key/*", "kms:*:ACCOUNT:alias/ml-platform-*"),
    "lambda": ("lambda:*:ACCOUNT:function:ml-platform-*", "lambda:*:ACCOUNT:event-source-mapping:*"),
    "logs": tuple(f"logs:*:ACCOUNT:log-group:{at}ml-platform-*" for at in ("", "/aws/lambda/", "/aws/codebuild/")),
    "s3": (
        "s3:::ml-platform-*",
        "s3:::mlplatformpipeline-*",
        "s3:::cdk-*-assets-ACCOUNT-*",  # templates of the stacks and of the StackSet
    ),
    "servicecatalog": ("catalog:*:ACCOUNT:*", "servicecatalog:*:ACCOUNT:*"),
    "sns": tuple(f"sns:*:ACCOUNT:{name}" for name in _OWN),
    "sqs": ("sqs:*:ACCOUNT:ml-platform-*",),
    "ssm": ("ssm:*:ACCOUNT:parameter/ml-platform/*",),
}
"""Resources of each service, or kind of resource, that the hub's stacks own, without ``arn:<partition>:``."""

ACTION_RESOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "lambda:InvokeFunction": ("lambda:*:ACCOUNT:function:ml-platform-*",),
    # Code of functions and templates: nothing of what models, cards and audit records the hub keeps in other buckets.
    "s3:GetObject": (
        "s3:::cdk-*-assets-ACCOUNT-*/*",
        f"s3:::{names.PREFIX}-artifacts-ACCOUNT-*/{ASSETS_PREFIX}*",
        f"s3:::{names.PREFIX}-artifacts-ACCOUNT-*/{RELEASES_PREFIX}*",
    ),
    # Each stack looks up the version of the bootstrap stack.
    "ssm:GetParameters": ("ssm:*:ACCOUNT:parameter/cdk-bootstrap/*", "ssm:*:ACCOUNT:parameter/ml-platform/*"),
}
"""Resources of single actions that differ from those of their service."""


class ExecutionPolicyError(Exception):
    """The policies cannot be derived from what the hub's stacks take."""


def statements(account_id: str, partition: str) -> list[dict[str, Any]]:
    """Return the statements of the policies, one per service and scope, sorted.

    Args:
        account_id: Account of the hub.
        partition: E.g. ``aws``.

    Raises:
        ExecutionPolicyError: `RESOURCES` does not say on which resources an action is needed.
    """
    grouped: dict[tuple[str, ...], set[str]] = {
        # StackSets asks for it when a delegated administrator deploys (CloudFormation user guide).
        ("*",): {"organizations:ListDelegatedAdministrators"}
    }
    for need in needs(HUB):
        service, kinds = need.action.split(":")[0], resource_kinds(need.action)
        on = ACTION_RESOURCES.get(need.action) or [
            resource
            for owner in (service, *(f"{service}:{kind}" for kind in sorted(kinds or ())))
            for resource in RESOURCES.get(owner, ())
        ]
        if need.on == "*" or not kinds:
            scope: tuple[str, ...] = ("*",)
        elif on:
            scope = tuple(f"arn:{partition}:{resource.replace('ACCOUNT', account_id)}" for resource in on)
        else:
            raise ExecutionPolicyError(
                f"{need.action} is needed for {need.because} and has a resource level: say in RESOURCES of "
                f"{Path(__file__).name} on which resources, or in EXCEPTIONS of foundation/caller_exceptions.py why "
                f"nobody asks for it."
            )
        grouped.setdefault(scope, set()).add(need.action)
    return [{"Effect": "Allow", "Action": sorted(a), "Resource": list(scope)} for scope, a in sorted(grouped.items())]


def documents(account_id: str, partition: str) -> list[dict[str, Any]]:
    """Return the policy documents, each within the size of a managed policy."""
    parts: list[list[dict[str, Any]]] = [[]]
    for statement in _pieces(statements(account_id, partition)):
        if _size([*parts[-1], statement]) > MANAGED_POLICY_MAX:
            parts.append([])
        parts[-1].append(statement)
    return [_document(part) for part in parts]


def policies(account_id: str, partition: str) -> dict[str, dict[str, Any]]:
    """Return the `documents` by the names of the policies that `cdk bootstrap` is told of."""
    found = enumerate(documents(account_id, partition), start=1)
    return {f"{names.PREFIX}-hub-execution-{number}": document for number, document in found}


def _pieces(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cut long statements, so that the documents fill up."""
    size = 20
    return [
        {**statement, "Action": statement["Action"][start : start + size]}
        for statement in found
        for start in range(0, len(statement["Action"]), size)
    ]


def _document(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": found}


def _size(found: list[dict[str, Any]]) -> int:
    return len(json.dumps(_document(found), separators=(",", ":")))


def main(arguments: Sequence[str]) -> None:
    """Write the policies of the hub that cdk.json describes, and say what to do with them."""
    if len(arguments) != 1:
        sys.exit("Usage: python -m pipeline.execution_policy FOLDER")
    folder = Path(arguments[0])
    cdk = json.loads((Path(__file__).resolve().parent.parent / "cdk.json").read_text(encoding="utf-8"))
    try:
        settings = HubSettings.parse(cdk["context"]["hub"])
    except SettingsError as err:
        sys.exit(str(err))
    partition = settings.partition
    folder.mkdir(parents=True, exist_ok=True)
    arns = []
    for name, document in policies(settings.account_id, partition).items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
        arns.append(f"arn:{partition}:iam::{settings.account_id}:policy/{name}")
        sys.stdout.write(f"aws iam create-policy --policy-name {name} --policy-document file://{path}\n")
    environments = " ".join(f"aws://{settings.account_id}/{region}" for region in settings.regions)
    sys.stdout.write(f"npx cdk bootstrap {environments} --cloudformation-execution-policies {','.join(arns)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
