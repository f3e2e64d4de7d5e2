"""CodeConnections: connections to a Git provider whose repositories are bare repositories on disk.

A new connection is PENDING until a person completes the handshake in the console, which calls operations no SDK has.
One of them, UpdateConnectionInstallation, is here; `aws_emulator.codeconnections.handshake` calls it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ministack.core.responses import get_account_id, get_region

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.cloudformation.resources import record_type
from aws_emulator.iam import permissions as iam
from aws_emulator.records import Table, answer_tags

if TYPE_CHECKING:
    from aws_emulator.core import Credentials, Json

_SERVICE: Final = "codeconnections"
_CONNECTIONS: Final = Table(
    service=_SERVICE,
    noun="Connection",
    key=("ConnectionId",),
    code="ResourceNotFoundException",
    missing="Connection {arn} not found",
).answers("Get", "List", "Delete")


@overlay(_SERVICE, "CreateConnection")
def create_connection(request: Json) -> Json:
    """Create a connection; its status is PENDING until the handshake."""
    given = {"ProviderType": "GitHub", **request}
    return _CONNECTIONS.add(
        given, ConnectionId=clock.uuid(), OwnerAccountId=get_account_id(), ConnectionStatus="PENDING"
    )


@overlay(_SERVICE, "UpdateConnectionInstallation")
def update_connection_installation(request: Json) -> Json:
    """Connect the provider's app, as the console does for a person; the connection is AVAILABLE from then on."""
    _CONNECTIONS.find(request)["ConnectionStatus"] = "AVAILABLE"
    return {}


def status(arn: str) -> str:
    """Return the status of a connection of the current account.

    Raises:
        ServiceError: There is no such connection.
    """
    return str(_CONNECTIONS.find({"ConnectionArn": arn})["ConnectionStatus"])


def repository(name: str) -> Path:
    """Return the folder of a repository.

    Args:
        name: ``<owner>/<name>``.
    """
    return core.organization().git_root / f"{name}.git"


def git_environment(credentials: Credentials) -> dict[str, str]:
    """Return variables with which git finds the repositories that a build's role is allowed to use, and nothing else.

    A build reaches a repository at
    ``https://codeconnections.<region>.amazonaws.com/git-http/<account>/<region>/<connection id>/<owner>/<name>.git``
    (https://docs.aws.amazon.com/dtconsole/latest/userguide/connections.html). That needs a connection whose handshake
    is complete, and GetConnectionToken and UseConnection for it
    (https://docs.aws.amazon.com/codebuild/latest/userguide/connections-github-app.html), of which only the latter says
    which repository is meant (Service Authorization Reference, codeconnections); without them git is refused.
    """
    region, account = get_region(), get_account_id()
    settings = [("protocol.allow", "never"), ("protocol.file.allow", "always")]
    for record in list(_CONNECTIONS.records.values()):
        arn = record["ConnectionArn"]
        if record["ConnectionStatus"] != "AVAILABLE" or not iam.is_allowed(
            credentials, f"{_SERVICE}:GetConnectionToken", arn
        ):
            continue
        host = f"https://codeconnections.{region}.amazonaws.com/git-http/{account}/{region}/{arn.rsplit('/', 1)[1]}/"
        for name in _repositories():
            if iam.is_allowed(credentials, f"{_SERVICE}:UseConnection", arn, {f"{_SERVICE}:FullRepositoryId": name}):
                settings.append((f"url.file://{repository(name)}.insteadOf", f"{host}{name}.git"))
    variables = {"GIT_CONFIG_COUNT": str(len(settings)), "GIT_CONFIG_NOSYSTEM": "1"}
    for number, (key, value) in enumerate(settings):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def _repositories() -> list[str]:
    """Return the names of all repositories of the provider."""
    root, found = core.organization().git_root, []
    for folder, names, _ in os.walk(root):
        found += [
            str((Path(folder) / name).relative_to(root)).removesuffix(".git") for name in names if name.endswith(".git")
        ]
        names[:] = [name for name in names if not name.endswith(".git")]
    return found


answer_tags(_SERVICE)
record_type(_CONNECTIONS, "AWS::CodeConnections")
