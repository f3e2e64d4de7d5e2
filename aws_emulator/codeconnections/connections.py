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
from aws_emulator.cloudformation.resources import resource_type
from aws_emulator.core import Credentials, Json, Records, ServiceError
from aws_emulator.iam import permissions as iam
from aws_emulator.records import tag_map

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVICE: Final = "codeconnections"
_connections: Final = Records()


def _find(arn: str) -> Json:
    account, region = arn.split(":")[4], arn.split(":")[3]
    found: Json | None = _connections.get_scoped(account, region, arn)
    if found is None or account != get_account_id():
        raise ServiceError("ResourceNotFoundException", f"Connection {arn} not found")
    return found


@overlay(_SERVICE, "CreateConnection")
def create_connection(request: Json) -> Json:
    """Create a connection; its status is PENDING until the handshake."""
    arn = core.arn(_SERVICE, f"connection/{clock.uuid()}")
    _connections[arn] = {
        "ConnectionName": request["ConnectionName"],
        "ConnectionArn": arn,
        "ProviderType": request.get("ProviderType", "GitHub"),
        "OwnerAccountId": get_account_id(),
        "ConnectionStatus": "PENDING",
        "Tags": request.get("Tags", []),
    }
    return {"ConnectionArn": arn, "Tags": request.get("Tags", [])}


@overlay(_SERVICE, "GetConnection")
def get_connection(request: Json) -> Json:
    """Describe a connection of the caller's account."""
    return {"Connection": _find(request["ConnectionArn"])}


@overlay(_SERVICE, "ListConnections")
def list_connections(request: Json) -> Json:
    """List the connections of the account."""
    provider = request.get("ProviderTypeFilter")
    return {"Connections": [record for record in _connections.values() if provider in (None, record["ProviderType"])]}


@overlay(_SERVICE, "UpdateConnectionInstallation")
def update_connection_installation(request: Json) -> Json:
    """Connect the provider's app, as the console does for a person; the connection is AVAILABLE from then on."""
    _find(request["ConnectionArn"])["ConnectionStatus"] = "AVAILABLE"
    return {}


@overlay(_SERVICE, "ListTagsForResource")
def list_tags(request: Json) -> Json:
    """List the tags of a connection."""
    return {"Tags": _find(request["ResourceArn"])["Tags"]}


def _tags(arn: str) -> Mapping[str, str]:
    _, _, _, region, account, _ = arn.split(":", 5)
    return tag_map((_connections.get_scoped(account, region, arn) or {}).get("Tags"))


def status(arn: str) -> str:
    """Return the status of a connection of the current account.

    Raises:
        ServiceError: There is no such connection.
    """
    return str(_find(arn)["ConnectionStatus"])


def repository(name: str) -> Path:
    """Return the folder of a repository.

    Args:
        name: ``<owner>/<name>``.
    """
    return core.organization().git_root / f"{name}.git"


def git_environment(credentials: Credentials) -> dict[str, str]:
    """Return variables with which git finds the repositories that a build's role may use, and nothing else.

    A build reaches a repository at
    ``https://codeconnections.<region>.amazonaws.com/git-http/<account>/<region>/<connection id>/<owner>/<name>.git``
    (https://docs.aws.amazon.com/dtconsole/latest/userguide/connections.html). That needs a connection whose handshake
    is complete, and GetConnectionToken and UseConnection for it
    (https://docs.aws.amazon.com/codebuild/latest/userguide/connections-github-app.html), of which only the latter says
    which repository is meant (Service Authorization Reference, codeconnections); without them git is refused.
    """
    region, account = get_region(), get_account_id()
    settings = [("protocol.allow", "never"), ("protocol.file.allow", "always")]
    for arn, record in list(_connections.items()):
        if record["ConnectionStatus"] != "AVAILABLE" or not iam.may(credentials, f"{_SERVICE}:GetConnectionToken", arn):
            continue
        host = f"https://codeconnections.{region}.amazonaws.com/git-http/{account}/{region}/{arn.rsplit('/', 1)[1]}/"
        for name in _repositories():
            if iam.may(credentials, f"{_SERVICE}:UseConnection", arn, {f"{_SERVICE}:FullRepositoryId": name}):
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


def _create(properties: Json, logical_id: str, stack_name: str) -> Json:
    return _find(create_connection(properties)["ConnectionArn"])


def _update(arn: str, old: Json, new: Json) -> Json:
    record = _find(arn)
    record["Tags"] = new.get("Tags", [])
    return record


def _delete(arn: str, properties: Json) -> None:
    del _connections[_find(arn)["ConnectionArn"]]


resource_type("AWS::CodeConnections::Connection", create=_create, update=_update, delete=_delete)
iam.TAGS[_SERVICE] = _tags
