"""SSM Parameter Store: the connection that an account's projects use unless told otherwise."""

from __future__ import annotations

import boto3
from botocore.exceptions import ClientError

from lambdas.shared.clients import CONFIG


class ConnectionParameter:
    """The contract's parameter for the default connection.

    Args:
        name: Name of the parameter, ``/ml-platform/v1/connection-arn``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._client = boto3.client("ssm", config=CONFIG)

    def get(self) -> str | None:
        """Return the connection's ARN, or None when the account has no default yet."""
        try:
            return str(self._client.get_parameter(Name=self._name)["Parameter"]["Value"])
        except ClientError as err:
            if err.response["Error"]["Code"] != "ParameterNotFound":
                raise
            return None

    def create(self, connection_arn: str) -> None:
        """Set the default unless there is one; the first domain of an account decides."""
        try:
            self._client.put_parameter(
                Name=self._name,
                Description="CodeConnection that projects use unless told otherwise, set by the first domain.",
                Value=connection_arn,
                Type="String",
            )
        except ClientError as err:
            if err.response["Error"]["Code"] != "ParameterAlreadyExists":
                raise

    def replace(self, connection_arn: str) -> None:
        """Change the default."""
        self._client.put_parameter(Name=self._name, Value=connection_arn, Type="String", Overwrite=True)

    def remove(self) -> None:
        """Remove the default; no change when there is none."""
        try:
            self._client.delete_parameter(Name=self._name)
        except ClientError as err:
            if err.response["Error"]["Code"] != "ParameterNotFound":
                raise
