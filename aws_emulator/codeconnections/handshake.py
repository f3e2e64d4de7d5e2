"""Complete the handshake of a connection, as a person does in the console; for drivers, without MiniStack."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

if TYPE_CHECKING:
    from botocore.credentials import Credentials


def complete_handshake(endpoint: str, region: str, credentials: Credentials, connection_arn: str) -> None:
    """Make a connection AVAILABLE.

    Args:
        endpoint: URL of the emulated organisation.
        region: Region of the connection.
        credentials: Of a principal that is allowed ``codeconnections:UpdateConnectionInstallation``.
        connection_arn: The connection.

    Raises:
        urllib.error.HTTPError: It does not exist, or the person is not allowed to.
    """
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "com.amazonaws.codeconnections.CodeConnections_20231201.UpdateConnectionInstallation",
    }
    body = json.dumps({"ConnectionArn": connection_arn})
    request = AWSRequest(method="POST", url=endpoint, data=body, headers=headers)
    SigV4Auth(credentials, "codeconnections", region).add_auth(request)
    signed = urllib.request.Request(  # noqa: S310 - the endpoint is a loopback http URL
        endpoint, data=body.encode(), headers=dict(request.headers.items())
    )
    urllib.request.urlopen(signed, timeout=10).close()  # noqa: S310
