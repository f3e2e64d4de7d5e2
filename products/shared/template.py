"""What every product's template says in the same words: contract values, names, ARNs, acknowledged findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
from aws_cdk import Acknowledgment, Validations

from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constructs import IConstruct


def sub(text: str) -> str:
    """Return text with ``${…}`` as ``Fn::Sub``, and any other text (tokens of CDK included) as it is."""
    return cdk.Fn.sub(text) if "${" in text and not cdk.Token.is_unresolved(text) else text


def substituted(value: Any) -> Any:  # noqa: ANN401 - a policy document is JSON of any shape
    """Return JSON in which every text with a placeholder ``${AWS::…}`` is an ``Fn::Sub``.

    Policy variables are written ``${!aws:…}``; a text with these alone needs no ``Fn::Sub``.
    """
    if isinstance(value, str):
        return cdk.Fn.sub(value) if "${" in value.replace("${!", "") else value.replace("${!", "${")
    if isinstance(value, dict):
        return {key: substituted(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [substituted(entry) for entry in value]
    return value


def arn(service: str, resource: str) -> str:
    """Return the ARN of a resource in the launching account and Region, as text for ``Fn::Sub``.

    Args:
        service: Service part of the ARN, e.g. ``sagemaker``.
        resource: Resource part, e.g. ``pipeline/${SageMakerProjectName}-${SageMakerProjectId}``.
    """
    account = "${AWS::AccountId}"
    region = "" if service == "iam" else "${AWS::Region}"
    return f"arn:${{AWS::Partition}}:{service}:{region}:{account}:{resource}"


def bucket_arn(name: str, keys: str | None = None) -> str:
    """Return the ARN of a bucket, or of the objects in it whose keys match `keys`, as text for ``Fn::Sub``."""
    return f"arn:${{AWS::Partition}}:s3:::{name}" + (f"/{keys}" if keys else "")


def contract_value(name: names.ContractValue) -> str:
    """Return the dynamic reference that CloudFormation replaces by a contract value of the launching account."""
    return f"{{{{resolve:ssm:{names.contract_parameter(name)}}}}}"


def hub_principal() -> str:
    """Return the ARN with which policies name the hub account, as text for ``Fn::Sub``."""
    return f"arn:${{AWS::Partition}}:iam::{contract_value('hub-account-id')}:root"


def hub_roles() -> str:
    """Return the pattern of the hub's roles that read what projects register, as text for ``Fn::Sub``."""
    return f"arn:${{AWS::Partition}}:iam::{contract_value('hub-account-id')}:role{names.HUB_ROLE_PATH}*"


def acknowledge(construct: IConstruct, findings: Mapping[str, str]) -> None:
    """Accept findings of cdk-nag and checkov on a construct; those of cdk-nag on everything below it, too.

    Those of checkov are written into the metadata of the construct's resource, where it looks for them.

    Args:
        construct: The construct that causes them.
        findings: Id of each finding, e.g. ``AwsSolutions-S1`` or ``CKV_AWS_18``, as the report of the synthesis or of
            checkov spells it, with the reason that a reviewer can check.
    """
    skipped = [{"id": id_, "comment": reason} for id_, reason in findings.items() if id_.startswith("CKV_")]
    others = [Acknowledgment(id=id_, reason=reason) for id_, reason in findings.items() if not id_.startswith("CKV_")]
    Validations.of(construct).acknowledge(*others)
    if skipped:
        resource = construct.node.default_child or construct
        if not isinstance(resource, cdk.CfnResource):
            raise TypeError(
                f"{construct.node.path} is not a resource, so checkov would not see {skipped[0]['id']} accepted"
            )
        known = resource.get_metadata("checkov") or {"skip": []}
        resource.add_metadata("checkov", {"skip": [*known["skip"], *skipped]})


def tag_everything(stack: cdk.Stack, tags: Mapping[str, str]) -> None:
    """Tag every resource of a product that can be tagged; the values may be parameters."""
    for key, value in tags.items():
        # Tags of the stack itself cannot hold deploy-time values, and Service Catalog sets its own.
        cdk.Tags.of(stack).add(key, value, exclude_resource_types=["aws:cdk:stack"])


def tag_project(stack: cdk.Stack, cost_center: str) -> None:
    """Tag every resource of a project product with its cost center and with the project itself."""
    tag_everything(
        stack,
        {
            names.COST_CENTER_TAG: cost_center,
            names.PROJECT_NAME_TAG: cdk.Fn.ref("SageMakerProjectName"),
            names.PROJECT_ID_TAG: cdk.Fn.ref("SageMakerProjectId"),
        },
    )


class Console:
    """Links into the AWS console of whatever partition the product is launched in.

    Args:
        stack: The product; it gets one small mapping.
    """

    def __init__(self, stack: cdk.Stack) -> None:
        self._hosts = cdk.CfnMapping(
            stack,
            "Console",
            mapping={
                "aws": {"Host": "console.aws.amazon.com"},
                "aws-cn": {"Host": "console.amazonaws.cn"},
                "aws-us-gov": {"Host": "console.amazonaws-us-gov.com"},
            },
        )

    @property
    def host(self) -> str:
        """Host of the console without a Region, e.g. ``console.aws.amazon.com``."""
        return self._hosts.find_in_map(cdk.Aws.PARTITION, "Host")

    def link(self, path: str) -> str:
        """Return the address of a console page.

        Args:
            path: Path and query as text for ``Fn::Sub``, e.g. ``codesuite/codepipeline/pipelines/${Name}/view``.
        """
        return cdk.Fn.sub(f"https://${{AWS::Region}}.${{Host}}/{path}", {"Host": self.host})
