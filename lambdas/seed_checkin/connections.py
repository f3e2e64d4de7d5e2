"""CodeConnections: what the account knows about the connection to a repository host."""

from __future__ import annotations

import boto3
from botocore.exceptions import ClientError

from lambdas.seed_checkin.core import Connection
from lambdas.shared.clients import CONFIG
from lambdas.shared.custom_resource import CustomResourceError


class Connections:
    """The CodeConnections of this account and region."""

    def __init__(self) -> None:
        self._client = boto3.client("codeconnections", config=CONFIG)

    def get(self, arn: str) -> Connection:
        """Describe a connection.

        Raises:
            CustomResourceError: There is no such connection.
        """
        try:
            found = self._client.get_connection(ConnectionArn=arn)["Connection"]
        except ClientError as err:
            if err.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            raise CustomResourceError(
                f"The connection {arn} does not exist, so the repository cannot be reached. Choose one that Developer "
                f"Tools > Settings > Connections of this account shows as Available, then launch again."
            ) from err
        host_arn = found.get("HostArn")
        host = self._client.get_host(HostArn=host_arn) if host_arn else {}
        return Connection(
            arn=arn,
            status=found["ConnectionStatus"],
            provider=found.get("ProviderType", ""),
            web_address=host.get("ProviderEndpoint"),
        )
