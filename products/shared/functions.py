"""The platform's own Lambda functions: what all of them have in common, whichever stack they are in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3

from lambdas.bundling import asset_key
from products.shared.findings import FUNCTION_FINDINGS, acknowledge, acknowledge_lint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import CfnResource
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_sqs as sqs
    from constructs import Construct

    from lambdas.shared.environment import Environment

RUNTIME: Final = lambda_.Runtime.PYTHON_3_13
"""Runtime of every function; the tests of `lambdas/` hold the code to it."""

_LOG_KEPT: Final = logs.RetentionDays.ONE_YEAR


@dataclass(frozen=True, kw_only=True)
class PlatformFunction:
    """One Lambda function of the platform.

    Attributes:
        folder: Folder below ``lambdas/``.
        purpose: Its description.
        module: Module with the handler. Default: ``handler``.
        name: Fixed name in the account. Default: CloudFormation makes one up.
        timeout_s: Longest run, in seconds. Default: 60.
        memory_mib: Memory; the share of a processor follows from it. Default: 256.
        environment: What it reads. Default: nothing.
        hands_on: Whether it hands work on to itself by its queue, more often than the 16 times after which Lambda takes
            this for an endless loop. A limit of its own must end it. Default: no.
    """

    folder: str
    purpose: str
    module: str = "handler"
    name: str | None = None
    timeout_s: int = 60
    memory_mib: int = 256
    environment: Environment | None = None
    hands_on: bool = False


def platform_logs(
    scope: Construct, id_: str, *, name: str | None = None, key: kms.IKey | None = None, lines: str = ""
) -> logs.LogGroup:
    """Return a log group that is kept for a year, and goes with its stack.

    Args:
        scope: Where to add it.
        id_: Construct id.
        name: Its name. Default: CloudFormation makes one up.
        key: Encrypts it. Default: CloudWatch Logs does, with a key of its own.
        lines: Without `key`, what its lines name, for whoever reviews that they are not under a key of ours.
    """
    log_group = logs.LogGroup(
        scope,
        id_,
        log_group_name=name,
        retention=_LOG_KEPT,
        encryption_key=key,
        removal_policy=RemovalPolicy.DESTROY,
    )
    if key is None:
        acknowledge(log_group, {"CKV_AWS_158": f"Its lines name {lines}; CloudWatch Logs encrypts them itself."})
    return log_group


def add_function(
    scope: Construct,
    id_: str,
    function: PlatformFunction,
    *,
    artifact_bucket: str,
    role: iam.IRole,
    log_group: logs.ILogGroup,
    findings: Mapping[str, str] | None = None,
    key: kms.IKey | None = None,
    dead_letters: sqs.IQueue | None = None,
) -> lambda_.Function:
    """Add a function whose code is in the hub's artifact bucket.

    Args:
        scope: Where to add it.
        id_: Construct id.
        function: What is particular about it.
        artifact_bucket: Name of the hub's artifact bucket in this region.
        role: What it may do.
        log_group: Where it writes.
        findings: Findings that are accepted besides `FUNCTION_FINDINGS`. Default: none.
        key: Encrypts its environment. Default: Lambda does, with a key of its own.
        dead_letters: Keeps asynchronous invocations that failed three times or waited an hour. Default: nothing
            invokes it asynchronously.
    """
    code = s3.Bucket.from_bucket_name(scope, f"{id_}Code", artifact_bucket)
    acknowledge(
        code,
        {
            "@aws-cdk/aws-lambda:codeFromBucketObjectVersionNotSpecified": (
                "The key is the digest of the code: other code has another key, so CloudFormation sees the change."
            )
        },
    )
    result = lambda_.Function(
        scope,
        id_,
        function_name=function.name,
        description=function.purpose,
        runtime=RUNTIME,
        handler=f"lambdas.{function.folder}.{function.module}.lambda_handler",
        code=lambda_.Code.from_bucket(code, asset_key(function.folder)),
        role=role,
        timeout=Duration.seconds(function.timeout_s),
        memory_size=function.memory_mib,
        environment=function.environment.variables if function.environment else {},
        environment_encryption=key,
        log_group=log_group,
        recursive_loop=lambda_.RecursiveLoop.ALLOW if function.hands_on else None,
        dead_letter_queue=dead_letters,
        retry_attempts=2 if dead_letters else None,
        max_event_age=Duration.hours(1) if dead_letters else None,
    )
    acknowledge(result, {**FUNCTION_FINDINGS, **(findings or {})})
    acknowledge_lint(
        cast("CfnResource", result.node.default_child),
        {"W3005": "The construct depends on its role as well as on the role's policy; naming both does no harm."},
    )
    return result
