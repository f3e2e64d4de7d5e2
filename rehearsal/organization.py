"""The organisation that is rehearsed: its accounts, its units, and the process that emulates it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.credentials
from botocore.config import Config

from aws_emulator.codeconnections.handshake import complete_handshake
from products.shared import names
from rehearsal import caller_permissions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

ROOT: Final = Path(__file__).resolve().parent.parent
REGION: Final = "eu-west-1"
ORGANIZATION_ID: Final = "o-rehearsal01"
ROOT_ID: Final = "r-re01"
WORKLOADS_OU: Final = "ou-re01-workload"
DEPLOYMENT_OU: Final = "ou-re01-deploymt"

MANAGEMENT: Final = "100000000000"
HUB: Final = "111111111111"
DEV: Final = "222222222222"
TEST: Final = "333333333333"
PROD: Final = "444444444444"
GOVERNANCE: Final = "555555555555"
ACCOUNTS: Final[Mapping[str, str]] = {
    MANAGEMENT: "management",
    HUB: "hub",
    DEV: "dev",
    TEST: "test",
    PROD: "prod",
    GOVERNANCE: "governance",
}
PIPELINE_RUNNER: Final = Path(__file__).with_name("pipeline_runner.py")
"""What runs pipelines of SageMaker in the emulator."""
_FAULTS: Final = {"prefix": f"{names.PREFIX}-", "crashing": names.MODEL_PROMOTION_FUNCTION}
"""Functions of the platform that get faults: all are throttled, the promotion is killed too."""
BOOT_TIMEOUT_S: Final = 60.0


AwsClient: TypeAlias = Any
"""A boto3 client: its operations are made from service models at run time."""

_POLL_S: Final = 0.1
_PERMISSIONS: Final = "permissions.json"
_session: Final = boto3.session.Session()  # one, because a session reads the model of a service once
T = TypeVar("T")


class RehearsalError(Exception):
    """A step could not be done; the message says why and what to look at."""


def wait_for(look: Callable[[], T | None], *, overdue: str, timeout_s: float) -> T:
    """Look again and again until there is something, and return it.

    Args:
        look: Returns what is awaited, or None while there is nothing; raises what ends the wait early.
        overdue: What to say when the time is over, e.g. ``stack x was not complete``.
        timeout_s: Longest total wait, in seconds.

    Raises:
        RehearsalError: There was nothing in time.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = look()
        if found is not None:
            return found
        time.sleep(_POLL_S)
    raise RehearsalError(f"{overdue} after {timeout_s:.0f} s")


def hub_context(regions: Sequence[str] = (REGION,)) -> dict[str, Any]:
    """Return the `hub` settings of cdk.json with the ids of this organisation in place of the sample's.

    Args:
        regions: Regions of the hub, home first. Default: one.
    """
    sample: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]["hub"]
    return {
        **sample,
        "account_id": HUB,
        "regions": list(regions),
        "organization_id": ORGANIZATION_ID,
        "root_id": ROOT_ID,
        "workloads_ou_id": WORKLOADS_OU,
        "workloads_ou_path": org_path(WORKLOADS_OU),
        "deployment_ou_id": DEPLOYMENT_OU,
        "deployment_account_ids": [TEST, PROD],
        "principals": {
            "ml-admin": ["aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_LeadDataScientist_*"],
            "ml-deployment": ["aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_MLEngineer_*"],
        },
    }


def org_path(ou_id: str) -> str:
    """Return the organisation path of a unit, as ``aws:PrincipalOrgPaths`` shows it."""
    return f"{ORGANIZATION_ID}/{ROOT_ID}/{ou_id}/"


def _interpreters() -> dict[str, str]:
    """Return the interpreters of the environments that `make` installs from lock files, by the paths of these."""
    found = {}
    for layer, environment in (("project", ".venv-seed"), ("deployment", ".venv-deployment")):
        lock, python = ROOT / f"seed-code/layers/{layer}/uv.lock", ROOT / f"{environment}/bin/python"
        if lock.exists() and python.exists():
            found[str(lock)] = str(python)
    return found


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Organization:
    """The emulated accounts, alive between ``__enter__`` and ``__exit__``.

    Attributes:
        work: Folder that holds everything the emulator writes: logs, builds, repositories, objects.
        faults: Whether faults are injected into the functions of the platform. Default: False.
        endpoint: URL of the one loopback endpoint, once entered.
    """

    work: Path
    faults: bool = False
    endpoint: str = ""
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)
    _clients: dict[tuple[str, Credentials, str], AwsClient] = field(default_factory=dict, repr=False)

    def __enter__(self) -> Self:
        """Start the emulator and wait until it answers.

        Raises:
            RehearsalError: It did not become ready within `BOOT_TIMEOUT_S`.
        """
        port = free_port()
        shutil.rmtree(self.work, ignore_errors=True)
        temporary = self.work / "tmp"
        temporary.mkdir(parents=True)
        config = self.work / "organization.json"
        config.write_text(json.dumps(self._config(port), indent=1), encoding="utf-8")
        caller_permissions.write(self.work / _PERMISSIONS)
        # A clean environment: no credentials, proxies or AWS settings of the person reach the emulator or what it runs.
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.work / "home"),
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
            **{
                name: os.environ[name]
                for name in ("SSL_CERT_FILE", "UV_INDEX_URL", "UV_CACHE_DIR")
                if name in os.environ
            },
        }
        environment.setdefault("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))
        (self.work / "home").mkdir()
        with (self.work / "stderr.log").open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [str(ROOT / ".venv-rehearsal/bin/python"), "-m", "aws_emulator", str(config)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.endpoint = self._await_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the emulator and everything it started; its files stay for inspection."""
        if self._process is None:
            return
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
        if self._process.stdout:
            self._process.stdout.close()
        shutil.rmtree(self.work / "tmp", ignore_errors=True)

    def _config(self, port: int) -> dict[str, Any]:
        return {
            "port": port,
            "region": REGION,
            "work_dir": str(self.work),
            "organization_id": ORGANIZATION_ID,
            "root_id": ROOT_ID,
            "management_account": MANAGEMENT,
            "delegated_administrators": [HUB],
            "ous": {
                WORKLOADS_OU: {"path": org_path(WORKLOADS_OU), "accounts": [DEV]},
                DEPLOYMENT_OU: {"path": org_path(DEPLOYMENT_OU), "accounts": [TEST, PROD]},
            },
            "accounts": {account: {"name": name} for account, name in ACCOUNTS.items()},
            "faults": _FAULTS if self.faults else {},
            "permissions": str(self.work / _PERMISSIONS),
            "git_root": str(self.work / "git"),
            "python": str(ROOT / ".venv-seed/bin/python"),
            "pipeline_runner": str(PIPELINE_RUNNER),
            "programs": {"uv": str(ROOT / ".tools/uv")} if (ROOT / ".tools/uv").exists() else {},
            "interpreters": _interpreters(),
            "pythonpath": str(ROOT / "seed-code/runner/src"),
        }

    def _await_ready(self) -> str:
        process = self._process
        if process is None or process.stdout is None:
            raise RehearsalError("the emulator was not started")
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.append(process.stdout.readline() if process.stdout else ""))
        reader.daemon = True
        reader.start()
        reader.join(BOOT_TIMEOUT_S)
        try:
            ready = json.loads(lines[0])
        except (IndexError, json.JSONDecodeError):
            process.kill()
            tail = (self.work / "stderr.log").read_text(encoding="utf-8")[-1500:]
            raise RehearsalError(
                f"the emulated organisation did not start within {BOOT_TIMEOUT_S:.0f} s; "
                f"nothing was deployed. Its output ({self.work / 'stderr.log'}) ends with:\n{tail}"
            ) from None
        return str(ready["endpoint"])

    def client(self, service: str, credentials: Credentials, *, region: str = REGION) -> AwsClient:
        """Return a boto3 client that talks to this organisation as `credentials`; the same one every time."""
        key = (service, credentials, region)
        if key not in self._clients:
            self._clients[key] = _session.client(
                service,
                endpoint_url=self.endpoint,
                region_name=region,
                aws_access_key_id=credentials.key_id,
                aws_secret_access_key=credentials.secret,
                aws_session_token=credentials.token,
                config=Config(retries={"max_attempts": 2}, connect_timeout=5, read_timeout=120),
            )
        return self._clients[key]

    def assume(self, account: str, role_path_and_name: str, *, session: str, caller: Credentials) -> Credentials:
        """Return credentials of a role, if its trust policy lets the caller have them."""
        sts = self.client("sts", caller)
        arn = f"arn:aws:iam::{account}:role/{role_path_and_name.lstrip('/')}"
        found = sts.assume_role(RoleArn=arn, RoleSessionName=session)["Credentials"]
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"], account)

    def open_studio(self, domain_id: str, profile: str, *, caller: Credentials) -> Credentials:
        """Return the credentials of Studio's applications for a user profile, as a person gets who opens Studio.

        Args:
            domain_id: e.g. ``d-abc``.
            profile: Name of the user profile.
            caller: A principal that is allowed ``sagemaker:CreatePresignedDomainUrl`` for the profile.
        """
        sagemaker = self.client("sagemaker", caller)
        url = sagemaker.create_presigned_domain_url(DomainId=domain_id, UserProfileName=profile)["AuthorizedUrl"]
        session = json.loads(base64.urlsafe_b64decode(parse_qs(urlsplit(url).query)["token"][0]))
        return Credentials(
            session["AWS_ACCESS_KEY_ID"],
            session["AWS_SECRET_ACCESS_KEY"],
            session["AWS_SESSION_TOKEN"],
            caller.account,
        )

    def connect(self, connection_arn: str, *, caller: Credentials) -> None:
        """Finish the handshake of a CodeConnections connection, as a person does in the console."""
        keys = botocore.credentials.Credentials(caller.key_id, caller.secret, caller.token)
        complete_handshake(self.endpoint, connection_arn.split(":")[3], keys, connection_arn)

    def repository(self, name: str) -> Path:
        """Return the folder of the bare repository ``owner/name``."""
        return self.work / "git" / f"{name}.git"

    def make_repository(self, name: str) -> None:
        """Create the empty repository ``owner/name`` at the Git provider, as a person does."""
        bare = self.repository(name)
        bare.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)], check=True)


@dataclass(frozen=True)
class Credentials:
    """Keys of a principal in an account; `token` is None for the account's own administrator."""

    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(repr=False)
    account: str

    @classmethod
    def administrator(cls, account: str) -> Credentials:
        """Return the account's root: only for what is outside of the platform (vending the account and its network)."""
        return cls(account, "test", None, account)
