"""What CloudFormation may do in the hub: the policies for ``cdk bootstrap``, in place of AdministratorAccess.

Derived like the launch role: CloudFormation's schemas say which actions the resource types of the hub's stacks need,
and the table below on which resources. Run as ``python -m pipeline.execution_policy FOLDER``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from foundation.handler_permissions import handler_permissions, resource_kinds
from pipeline.settings import HubSettings, SettingsError
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HUB_TYPES: Final = frozenset(
    {
        "AWS::CloudFormation::StackSet",
        "AWS::CloudWatch::Alarm",
        "AWS::CodeBuild::Project",
        "AWS::CodeConnections::Connection",
        "AWS::CodePipeline::Pipeline",
        "AWS::DynamoDB::Table",
        "AWS::ECR::Repository",
        "AWS::Events::EventBus",
        "AWS::Events::EventBusPolicy",
        "AWS::Events::Rule",
        "AWS::Glue::Database",
        "AWS::Glue::Table",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::KMS::Alias",
        "AWS::KMS::Key",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::EventSourceMapping",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::Topic",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::Queue",
        "AWS::SQS::QueuePolicy",
        "AWS::SSM::Parameter",
        "AWS::ServiceCatalog::CloudFormationProduct",
        "AWS::ServiceCatalog::LaunchRoleConstraint",
        "AWS::ServiceCatalog::Portfolio",
        "AWS::ServiceCatalog::PortfolioPrincipalAssociation",
        "AWS::ServiceCatalog::PortfolioProductAssociation",
        "AWS::ServiceCatalog::TagOption",
        "AWS::ServiceCatalog::TagOptionAssociation",
    }
)
"""Resource types of the stacks that the pipeline deploys to the hub."""

_OWN: Final = ("MlPlatformPipeline-*", "ml-platform-*")  # generated names begin with the name of the stack

RESOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "cloudformation": ("cloudformation:*:ACCOUNT:stackset/ml-platform-*", "cloudformation:*:ACCOUNT:type/resource/*"),
    "cloudwatch": ("cloudwatch:*:ACCOUNT:alarm:ml-platform-*",),
    "codebuild": (
        "codebuild:*:ACCOUNT:project/Pipeline*",  # CloudFormation names projects by their logical id alone
        "codebuild:*:ACCOUNT:project/ml-platform-*",  # named by CDK Pipelines, or by the baseline
    ),
    "codeconnections": ("codeconnections:*:ACCOUNT:connection/*",),
    "codepipeline": ("codepipeline:*:ACCOUNT:ml-platform-catalog",),
    "codestar-connections": ("codestar-connections:*:ACCOUNT:connection/*", "codeconnections:*:ACCOUNT:connection/*"),
    "dynamodb": ("dynamodb:*:ACCOUNT:table/ml-platform-*",),
    "ecr": ("ecr:*:ACCOUNT:repository/ml-platform-*",),
    "events": (
        "events:*:ACCOUNT:event-bus/ml-platform",
        "events:*:ACCOUNT:rule/MlPlatformPipeline-*",
        "events:*:ACCOUNT:rule/ml-platform-*",
        "events:*:ACCOUNT:rule/ml-platform/ml-platform-*",  # a rule on a bus of its own has the bus in its ARN
    ),
    "glue": ("glue:*:ACCOUNT:catalog", "glue:*:ACCOUNT:database/ml_platform", "glue:*:ACCOUNT:table/ml_platform/*"),
    "iam": (
        *(f"iam::ACCOUNT:role/{name}" for name in _OWN),
        f"iam::ACCOUNT:role{names.HUB_ROLE_PATH}ml-platform-*",
        f"iam::ACCOUNT:role{names.BASELINE_ROLE_PATH}ml-platform-*",
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
"""Resources of each service that the hub's stacks own, without ``arn:<partition>:``."""

UNUSED: Final = frozenset(
    {
        # Of types that the hub uses, what it does not use them for.
        "dynamodb:AssociateTableReplica",
        "dynamodb:BatchWriteItem",
        "dynamodb:CreateTableReplica",
        "dynamodb:DeleteItem",
        "dynamodb:DescribeImport",
        "dynamodb:DisableKinesisStreamingDestination",
        "dynamodb:EnableKinesisStreamingDestination",
        "dynamodb:GetItem",
        "dynamodb:ImportTable",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
        "dynamodb:UpdateKinesisStreamingDestination",
        "ec2",
        "elasticfilesystem",
        "firehose",
        "glue:CreateConnection",
        "glue:DeleteConnection",
        "glue:GetConnection",
        "glue:GetSchemaVersion",
        "glue:PassConnection",
        "glue:UpdateConnection",
        "kinesis",
        "lakeformation",
        "s3files",
        "s3tables",
        "iam:AttachGroupPolicy",
        "iam:AttachUserPolicy",
        "iam:CreateServiceLinkedRole",
        "iam:DeleteGroupPolicy",
        "iam:DeleteUserPolicy",
        "iam:DetachGroupPolicy",
        "iam:DetachUserPolicy",
        "iam:GetGroup",
        "iam:GetGroupPolicy",
        "iam:GetUser",
        "iam:GetUserPolicy",
        "iam:PutGroupPolicy",
        "iam:PutUserPolicy",
    }
)
"""Services and actions that the schemas list for options that the hub's stacks do not use (VPCs, users, groups)."""

_POLICY_MAX: Final = 6144  # characters of a managed policy without white space (IAM quotas)


def statements(account_id: str, partition: str) -> list[dict[str, Any]]:
    """Return the statements of the policies, one per service and scope, sorted.

    Args:
        account_id: Account of the hub.
        partition: E.g. ``aws``.
    """
    needed = {action for type_ in HUB_TYPES for action in handler_permissions(type_)}
    grouped: dict[tuple[str, ...], set[str]] = {}
    for action in sorted(needed):
        service = action.split(":")[0]
        kinds = resource_kinds(action)
        if kinds is None or UNUSED & {service, action}:
            continue  # None: the schema names something that is no action, e.g. s3:REST.PUT.OBJECT
        scope = (
            tuple(f"arn:{partition}:{r.replace('ACCOUNT', account_id)}" for r in RESOURCES[service])
            if kinds
            else ("*",)
        )
        grouped.setdefault(scope, set()).add(action)
    found = [{"Effect": "Allow", "Action": sorted(a), "Resource": list(scope)} for scope, a in sorted(grouped.items())]
    own = f"arn:{partition}"
    return [
        *found,
        # What CloudFormation does besides calling handlers: invoke custom resources, read parameters of type SSM.
        {
            "Effect": "Allow",
            "Action": ["lambda:InvokeFunction"],
            "Resource": [f"{own}:lambda:*:{account_id}:function:ml-platform-*"],
        },
        {
            "Effect": "Allow",
            "Action": ["ssm:GetParameters"],
            "Resource": [f"{own}:ssm:*:{account_id}:parameter/cdk-bootstrap/*"],
        },
        # StackSets asks for it when a delegated administrator deploys (CloudFormation user guide).
        {"Effect": "Allow", "Action": ["organizations:ListDelegatedAdministrators"], "Resource": ["*"]},
    ]


def documents(account_id: str, partition: str) -> list[dict[str, Any]]:
    """Return the policy documents, each within the size of a managed policy."""
    parts: list[list[dict[str, Any]]] = [[]]
    for statement in _pieces(statements(account_id, partition)):
        if _size([*parts[-1], statement]) > _POLICY_MAX:
            parts.append([])
        parts[-1].append(statement)
    return [_document(part) for part in parts]


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
    partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(settings.home_region.rsplit("-", 2)[0], "aws")
    folder.mkdir(parents=True, exist_ok=True)
    arns = []
    for number, document in enumerate(documents(settings.account_id, partition), start=1):
        name = f"ml-platform-hub-execution-{number}"
        path = folder / f"{name}.json"
        path.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
        arns.append(f"arn:{partition}:iam::{settings.account_id}:policy/{name}")
        sys.stdout.write(f"aws iam create-policy --policy-name {name} --policy-document file://{path}\n")
    environments = " ".join(f"aws://{settings.account_id}/{region}" for region in settings.regions)
    sys.stdout.write(f"npx cdk bootstrap {environments} --cloudformation-execution-policies {','.join(arns)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
