"""The deployment accounts: whether the platform gets in, and whether they are ready."""

from __future__ import annotations

from typing import Any, Literal

import boto3
from botocore.exceptions import ClientError

from lambdas.deployment import core
from lambdas.shared.clients import CONFIG
from lambdas.shared.custom_resource import CustomResourceError
from lambdas.shared.product_names import BUCKET_EMPTIER_FUNCTION, DEPLOYMENT_TAG


class Targets:
    """Deployment accounts, reached through their deploy role.

    Args:
        partition: ``aws``, ``aws-cn``, ….
    """

    def __init__(self, partition: str) -> None:
        self._partition = partition
        self._sts = boto3.client("sts", config=CONFIG)

    def require_reachable(self, stage: core.Stage, *, leaving: bool) -> dict[str, str]:
        """Return credentials for a stage's account.

        Args:
            stage: The stage.
            leaving: Whether it is being taken down; the error says something else then.

        Raises:
            CustomResourceError: The account does not let the platform in.
        """
        try:
            found = self._sts.assume_role(
                RoleArn=core.role_arn(stage, self._partition),
                RoleSessionName=f"check-{stage.tag}",
                DurationSeconds=900,
                Tags=[{"Key": DEPLOYMENT_TAG, "Value": stage.tag}],
            )["Credentials"]
        except ClientError as err:
            if err.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
                raise
            detail = str(err.response["Error"].get("Message", err)).rstrip(".") + "."
            raise CustomResourceError(core.unreachable(stage, leaving=leaving, detail=detail)) from err
        return {key: str(found[key]) for key in ("AccessKeyId", "SecretAccessKey", "SessionToken")}

    def require_ready(self, stage: core.Stage, *, new: bool) -> None:
        """Check that a stage's account lets the platform in and has the baseline in the stage's region.

        Args:
            stage: The stage.
            new: Whether the stage is a new one; then nothing of it may be there.

        Raises:
            CustomResourceError: One of these is not so.
        """
        credentials = self.require_reachable(stage, leaving=False)
        try:
            _client("lambda", stage, credentials).get_function_configuration(FunctionName=BUCKET_EMPTIER_FUNCTION)
        except ClientError as err:
            if err.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            raise CustomResourceError(core.no_baseline_in_region(stage)) from err
        if new:
            stacks = _client("cloudformation", stage, credentials)
            found = [name for name in stage.stacks if _exists(stacks, name)]
            if found:
                raise CustomResourceError(core.occupied(stage, found))


def _client(service: Literal["cloudformation", "lambda"], stage: core.Stage, credentials: dict[str, str]) -> Any:  # noqa: ANN401 (boto3)
    return boto3.client(
        service,
        region_name=stage.region,
        config=CONFIG,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def _exists(client: Any, stack: str) -> bool:  # noqa: ANN401 (boto3)
    try:
        client.describe_stacks(StackName=stack)
    except ClientError as err:
        if "does not exist" not in err.response["Error"].get("Message", ""):
            raise
        return False
    return True
