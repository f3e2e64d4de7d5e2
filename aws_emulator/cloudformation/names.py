"""CloudFormation: a name belongs to one resource; who claims it a second time is refused.

MiniStack overwrites roles and most other resources that have a name. A create handler has to fail when there is a
resource with the identifier already: https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/
resource-type-test-contract.html. What names a resource follows from its schema
(`aws_emulator.cloudformation.resource_names`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ministack.core.responses import get_account_id, get_region

from aws_emulator import core, inside
from aws_emulator.cloudformation.resource_names import claimed_name, scope_of_names
from aws_emulator.core import ServiceError
from aws_emulator.inside import replaces
from aws_emulator.schemas import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aws_emulator.cloudformation.resources import Made
    from aws_emulator.core import Json

_STORES: Final[Mapping[str, Callable[[str], bool]]] = {
    "AWS::CloudWatch::Alarm": lambda name: name in inside.cloudwatch.alarms,
    "AWS::CodeBuild::Project": lambda name: name in inside.codebuild.projects,
    "AWS::DynamoDB::Table": lambda name: name in inside.dynamodb.tables,
    "AWS::ECR::Repository": lambda name: name in inside.ecr.repositories,
    "AWS::Events::EventBus": lambda name: name in inside.eventbridge.event_buses,
    "AWS::IAM::ManagedPolicy": lambda name: any(arn.rsplit("/", 1)[-1] == name for arn in inside.iam.policies),
    "AWS::IAM::Role": lambda name: name in inside.iam.roles,
    "AWS::KMS::Alias": lambda name: core.arn("kms", name) in inside.kms.aliases,
    "AWS::Lambda::Function": lambda name: name in inside.lambda_svc.functions,
    "AWS::Logs::LogGroup": lambda name: name in inside.cloudwatch_logs.log_groups,
    "AWS::S3::Bucket": lambda name: inside.s3.bucket_owner_account(name) is not None,
    "AWS::SNS::Topic": lambda name: core.arn("sns", name) in inside.sns.topics,
    "AWS::SQS::Queue": lambda name: inside.sqs.queue_url(name) in inside.sqs.queues,
    "AWS::SSM::Parameter": lambda name: name in inside.ssm.parameters,
}
"""Whether there is a resource of a type with a name here, whoever made it; other types are looked for in stacks."""

_ERROR: Final[Mapping[str, str]] = {
    "AWS::IAM::ManagedPolicy": "EntityAlreadyExists",
    "AWS::IAM::Role": "EntityAlreadyExists",
}


def _claim(resource_type: str, properties: Json) -> tuple[str, ...] | None:
    if not resource_type.startswith("AWS::"):
        return None
    try:
        return claimed_name(resource_type, properties)
    except SchemaError:  # an old type without schema, such as AWS::CDK::Metadata
        return None


def _in_stacks(resource_type: str) -> Iterator[tuple[str, ...] | None]:
    """Yield the names that resources of a type in stacks of this account have, in this region or in all."""
    here = (get_account_id(), get_region())
    for (account, region, _), stack in inside.cloudformation.stacks.all_items():
        if account == here[0] and (region == here[1] or scope_of_names(resource_type) != "region"):
            for resource in list((stack.get("_resources") or {}).values()):
                if resource.get("ResourceType") == resource_type:
                    yield _claim(resource_type, resource.get("Properties") or {})


def _refuse_taken(resource_type: str, properties: Json) -> None:
    """Refuse a resource whose name is taken.

    Raises:
        ServiceError: There is such a resource.
    """
    claim = _claim(resource_type, properties)
    if claim is None:
        return
    store = _STORES.get(resource_type)
    if store(claim[0]) if store else claim in _in_stacks(resource_type):
        name = "|".join(claim)
        raise ServiceError(
            _ERROR.get(resource_type, "AlreadyExists"),
            f"Resource of type '{resource_type}' with identifier '{name}' already exists.",
        )


@replaces(inside.stacks, "provision_keeping_seed")
def _provision(
    provision: Callable[..., Made], resource_type: str, logical_id: str, properties: Json, stack: str
) -> Made:
    _refuse_taken(resource_type, properties)
    return provision(resource_type, logical_id, properties, stack)


@replaces(inside.stacks, "update_keeping_seed")
def _update(
    update: Callable[..., Made], resource_type: str, physical_id: str, old: Json, new: Json, *rest: object
) -> Made:
    if _claim(resource_type, old) != _claim(resource_type, new):
        _refuse_taken(resource_type, new)
    return update(resource_type, physical_id, old, new, *rest)
