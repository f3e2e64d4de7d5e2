"""What every emulated service needs: organisation, caller, operations, events, credentials."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import boto3
from botocore.config import Config
from ministack.core.responses import (
    AccountRegionScopedDict,
    get_account_id,
    get_region,
    set_request_account_id,
    set_request_region,
)
from ministack.services import sts

from aws_emulator import inside
from aws_emulator.clock import clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json: TypeAlias = dict[str, Any]
Reply: TypeAlias = tuple[int, dict[str, str], bytes]
AwsClient: TypeAlias = Any
"""A boto3 client; which one depends on a string, so its type cannot be narrower."""

ROOT_SECRET: Final = "test"  # noqa: S105 - MiniStack's fixed secret of every account's root key, no real credential
JSON_11: Final = "application/x-amz-json-1.1"


# ---- the organisation -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class OrganizationalUnit:
    """One organisational unit.

    Attributes:
        path: Its path as in ``aws:PrincipalOrgPaths``, e.g. ``o-1/r-1/ou-1/``.
        accounts: Ids of the accounts directly or indirectly in it.
    """

    path: str
    accounts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Organization:
    """The emulated organisation and where the emulator keeps things, as the driver's configuration file says.

    Attributes:
        port: Loopback port of the one endpoint.
        work_dir: Folder for everything written while running.
        accounts: Account names by 12-digit id.
        ous: Organisational units by id.
        git_root: Folder of bare repositories, ``<owner>/<name>.git``.
        python: Interpreter with which models are served, pipelines of SageMaker run, and builds run that lock no
            packages.
        pipeline_runner: Script that runs the definition of a pipeline (README.md). Default: none; no pipeline runs.
        pythonpath: Where the runner finds its modules. Default: beside the standard ones nowhere.
        programs: Programs that builds find in addition to those of this machine, by name. Default: none.
        share_seconds: How long sharing a portfolio with an organization node takes. Default: no time at all.
        interpreters: Interpreter of an environment that is installed already, by the ``uv.lock`` that it was made
            from. Default: none; builds use `python` and install what they lock.
        approval_minute_seconds: How long a minute of the time limit of an approval takes. Default: 60.
        faults: Which functions get injected faults (`aws_emulator.faults.install`). Default: none.
        permissions: File that says what resource types ask for (`aws_emulator.cloudformation.asked`). Default:
            none; only administrators and the root of an account make stacks then.
    """

    port: int
    work_dir: Path
    organization_id: str
    root_id: str
    management_account: str
    delegated_administrators: tuple[str, ...]
    accounts: Mapping[str, str]
    ous: Mapping[str, OrganizationalUnit]
    region: str
    git_root: Path
    python: str
    pipeline_runner: Path | None = None
    pythonpath: str = ""
    programs: Mapping[str, str] = field(default_factory=dict)
    share_seconds: float = 0
    interpreters: Mapping[str, str] = field(default_factory=dict)
    approval_minute_seconds: float = 60
    faults: Mapping[str, str] = field(default_factory=dict)
    permissions: Path | None = None

    @property
    def endpoint(self) -> str:
        """URL of the one endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @classmethod
    def from_file(cls, path: Path) -> Organization:
        """Read the configuration file.

        Raises:
            TypeError: A key is missing or unknown.
        """
        raw = json.loads(path.read_text())
        raw["accounts"] = {account: value["name"] for account, value in raw["accounts"].items()}
        raw["delegated_administrators"] = tuple(raw["delegated_administrators"])
        raw["ous"] = {
            ou: OrganizationalUnit(path=value["path"], accounts=tuple(value["accounts"]))
            for ou, value in raw["ous"].items()
        }
        for name in ("work_dir", "git_root", "pipeline_runner", "permissions"):
            raw |= {name: Path(raw[name])} if name in raw else {}
        return cls(**raw)

    def accounts_in(self, target: str) -> tuple[str, ...]:
        """Return the accounts below an organisational unit or the root (the management account is never a target).

        Raises:
            ServiceError: The organisation has no such unit.
        """
        if target == self.root_id:
            return tuple(account for account in self.accounts if account != self.management_account)
        if target not in self.ous:
            raise ServiceError("ValidationError", f"organizational unit {target} is not in {self.organization_id}")
        return self.ous[target].accounts

    def org_paths(self, account: str) -> list[str]:
        """Return the paths of an account, as in ``aws:PrincipalOrgPaths``; empty when it is not in the organisation.

        Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
        """
        paths = [ou.path for ou in self.ous.values() if account in ou.accounts]
        if not paths and account in self.accounts:
            paths = [f"{self.organization_id}/{self.root_id}/"]
        return paths


_organization: Organization | None = None


def configure(organization: Organization) -> None:
    """Set the organisation; called once, before any service is installed."""
    global _organization  # noqa: PLW0603 - one process is one organisation
    _organization = organization


def organization() -> Organization:
    """Return the organisation.

    Raises:
        RuntimeError: `configure` was not called.
    """
    if _organization is None:
        raise RuntimeError("the emulated organisation is not configured: call configure() first")
    return _organization


# ---- whose request it is --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def as_account(account: str, region: str | None = None) -> Iterator[None]:
    """Do what follows in another account (and region), as MiniStack's stores and ARNs see it."""
    before = get_account_id(), get_region()
    set_request_account_id(account)
    set_request_region(region or before[1])
    try:
        yield
    finally:
        set_request_account_id(before[0])
        set_request_region(before[1])


def arn(service: str, resource: str) -> str:
    """Return the ARN of a resource in the account and region of the current request."""
    return f"arn:aws:{service}:{get_region()}:{get_account_id()}:{resource}"


Records = AccountRegionScopedDict
"""A dictionary of its own for every account and region: `Records()` is how a service here keeps what was created."""


# ---- replies --------------------------------------------------------------------------------------------------------


class ServiceError(Exception):
    """An error as an AWS service answers it.

    Args:
        code: Error code as in botocore's model, e.g. ``ResourceNotFoundException``.
        message: Sentence for the caller.
        status: HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def reply(content: Json, status: int = 200) -> Reply:
    """Return a JSON reply."""
    return status, {"Content-Type": JSON_11}, json.dumps(content, default=str).encode()


def fail(error: ServiceError) -> Reply:
    """Return the reply that makes boto3 raise the error."""
    return reply({"__type": error.code, "message": error.message, "Message": error.message}, error.status)


# ---- events ---------------------------------------------------------------------------------------------------------


def emit(source: str, detail_type: str, detail: Json, *resources: str, place: tuple[str, str] | None = None) -> None:
    """Put an event of an AWS service on the default bus of an account.

    Args:
        source: e.g. ``aws.codebuild`` (only services can use ``aws.``; MiniStack refuses it from callers, as AWS does).
        detail_type: e.g. ``CodeBuild Build State Change``.
        detail: The event's detail.
        *resources: ARNs the event is about.
        place: Account and region in which it happened. Default: those of the request.
    """
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail, default=str),
        "Resources": list(resources),
    }
    with as_account(*(place or (get_account_id(), get_region()))):
        inside.eventbridge.ensure_default_bus()
        inside.eventbridge.put_events({"Entries": [entry]}, allow_aws_source=True)


# ---- credentials ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Keys of a role session (or of an account's root, then without token)."""

    access_key: str
    secret_key: str
    token: str | None = None

    def environment(self) -> dict[str, str]:
        """Return them as the environment variables of the AWS SDKs."""
        variables = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        return variables | ({"AWS_SESSION_TOKEN": self.token} if self.token else {})


def role_session(role_arn: str, session_name: str) -> Credentials:
    """Return credentials of a role session, as a service gets them after it assumed a role.

    Args:
        role_arn: ARN of an existing role, with or without path.
        session_name: Shown in the session's ARN; at most 64 characters are kept.

    Raises:
        ServiceError: The role does not exist.
    """
    account, role_name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
    if inside.iam.roles.get_scoped(account, None, role_name) is None:
        raise ServiceError("AccessDeniedException", f"role {role_arn} does not exist, so it cannot be assumed")
    session_name = session_name[:64]
    digest = hashlib.sha256(f"{role_arn}:{session_name}".encode()).hexdigest()
    session = Credentials(
        access_key=f"ASIA{digest[:16].upper()}",
        secret_key=hashlib.sha256(f"secret:{digest}".encode()).hexdigest(),
        token=hashlib.sha256(f"token:{digest}".encode()).hexdigest(),
    )
    record = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role_name}/{session_name}",
        "UserId": f"{role_name}:{session_name}",
        "SecretAccessKey": session.secret_key,
        "SessionToken": session.token,
    }
    sts.register_session(session.access_key, record)
    return session


_client_lock: Final = clock.lock()
_session: Final = boto3.session.Session()  # one, because a session reads the model of a service once


def client(service: str, *, credentials: Credentials | None = None, region: str | None = None) -> AwsClient:
    """Return a boto3 client of the endpoint: with `credentials`, else as root of the current account.

    Never call it on the event loop: the server could not answer. Overlays, resource types and threads are safe.
    """
    keys = credentials or Credentials(access_key=get_account_id(), secret_key=ROOT_SECRET)
    with _client_lock:  # creating a client is not thread-safe
        return _session.client(
            service,
            endpoint_url=organization().endpoint,
            region_name=region or get_region(),
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.token,
            config=Config(retries={"total_max_attempts": 2}),
        )
