"""Start and use the emulated organisation in tests."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import boto3
import pytest
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")
AwsClient: TypeAlias = Any
Option: TypeAlias = Any
"""A further argument, passed on as it is."""

SESSION = boto3.session.Session()  # one for all clients: a session reads the model of a service only once

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-rehearsal/bin/python"

REGION = "eu-west-1"
MANAGEMENT = "000000000001"
HUB = "111111111111"
DEV = "222222222222"
DEV2 = "333333333333"
SHORT_PAUSES = {"PYTHONPATH": str(ROOT / "aws_emulator/codebuild/pauses")}
"""Variables of a process whose pauses are shorter, as those of emulated builds are."""
LOCK = b"version = 1\n"
"""Content of a lock file whose environment is installed: the one of the tests."""
OUTSIDER = "999999999999"
ORGANIZATION_ID = "o-a1b2c3d4e5"
ROOT_ID = "r-ab12"
WORKLOADS_OU = "ou-ab12-workload"
LARGE_OU = "ou-ab12-large000"
NINE = [f"90000000000{number}" for number in range(9)]
"""Accounts of the large unit."""
WORKLOADS_PATH = f"{ORGANIZATION_ID}/{ROOT_ID}/{WORKLOADS_OU}/"


@dataclass(frozen=True)
class Cloud:
    """The running organisation.

    Attributes:
        endpoint: URL of the endpoint.
        work_dir: Its folder.
        git_root: Folder of the bare repositories.
    """

    endpoint: str
    work_dir: Path
    git_root: Path

    def client(
        self, service: str, account: str, credentials: dict[str, str] | None = None, *, region: str = REGION
    ) -> AwsClient:
        """Return a client as root of an account, or with credentials of STS."""
        keys = credentials or {"AccessKeyId": account, "SecretAccessKey": "test"}
        return SESSION.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys.get("SessionToken"),
            config=Config(retries={"total_max_attempts": 1}),
        )

    def role(self, account: str, name: str, statements: list[dict[str, Any]], **options: Option) -> str:
        """Create a role that anybody in the account and every service can assume, and return its ARN."""
        services = ["lambda", "codebuild", "codepipeline", "events", "sagemaker", "scheduler", "servicecatalog"]
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {
                        "AWS": f"arn:aws:iam::{account}:root",
                        "Service": [f"{service}.amazonaws.com" for service in services],
                    },
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        iam = self.client("iam", account)
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), **options)["Role"]["Arn"]
        if statements:
            document = {"Version": "2012-10-17", "Statement": statements}
            iam.put_role_policy(RoleName=name, PolicyName="Inline", PolicyDocument=json.dumps(document))
        return arn

    def queue(self, account: str, name: str, condition: dict[str, Any] | None = None, **attributes: str) -> str:
        """Create a queue that takes messages of rules and topics, under a condition, and return its URL."""
        arn = f"arn:aws:sqs:{REGION}:{account}:{name}"
        principal = {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]}
        may_send = {"Effect": "Allow", "Principal": principal, "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [{**may_send, "Condition": condition or {}}]})
        made = self.client("sqs", account).create_queue(QueueName=name, Attributes={"Policy": policy, **attributes})
        return str(made["QueueUrl"])

    def assume(self, role_arn: str) -> dict[str, str]:
        """Return credentials of a role, assumed by its own account."""
        sts = self.client("sts", role_arn.split(":")[4])
        credentials: dict[str, str] = sts.assume_role(RoleArn=role_arn, RoleSessionName="test")["Credentials"]
        return credentials

    def deploy(self, account: str, stack: str, template: dict[str, Any], **options: Option) -> dict[str, Any]:
        """Create or update a stack, wait until it is done, and return its description."""
        cloudformation = self.client("cloudformation", account)
        exists = True
        try:
            cloudformation.describe_stacks(StackName=stack)
        except cloudformation.exceptions.ClientError:
            exists = False
        operation = cloudformation.update_stack if exists else cloudformation.create_stack
        operation(
            StackName=stack,
            TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            **options,
        )
        return self.settled(account, stack)

    def settled(self, account: str, stack: str, timeout_s: float = 30) -> dict[str, Any]:
        """Wait until a stack is not in progress, and return its description."""
        cloudformation = self.client("cloudformation", account)

        def description() -> dict[str, Any] | None:
            found: dict[str, Any] = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
            return None if found["StackStatus"].endswith("IN_PROGRESS") else found

        return eventually(description, timeout_s=timeout_s)

    def failures(self, account: str, stack: str) -> list[str]:
        """Return the reasons of the failed resources of a stack."""
        events = self.client("cloudformation", account).describe_stack_events(StackName=stack)["StackEvents"]
        return [event["ResourceStatusReason"] for event in events if event["ResourceStatus"].endswith("_FAILED")]


def eventually(probe: Callable[[], T | None], *, timeout_s: float = 15) -> T:
    """Return the first result of `probe` that is true, or fail."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.05)
    pytest.fail(f"nothing came within {timeout_s} s")


def free_port() -> int:
    """Return a loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configuration(folder: Path, port: int, more: Mapping[str, str] | None = None) -> Path:
    """Write a configuration file of the organisation and return its path.

    Args:
        folder: Where everything is.
        port: Port of the endpoint.
        more: Further settings. Default: none, so nobody says what types ask for, and nothing runs pipelines.
    """
    names = {MANAGEMENT: "management", HUB: "hub", DEV: "dev", DEV2: "dev-two"}
    content = {
        "port": port,
        "work_dir": str(folder / "work"),
        "organization_id": ORGANIZATION_ID,
        "root_id": ROOT_ID,
        "management_account": MANAGEMENT,
        "delegated_administrators": [HUB],
        "ous": {
            WORKLOADS_OU: {"path": WORKLOADS_PATH, "accounts": [DEV, DEV2]},
            LARGE_OU: {"path": f"{ORGANIZATION_ID}/{ROOT_ID}/{LARGE_OU}/", "accounts": NINE},
        },
        "accounts": {account: {"name": name} for account, name in names.items()},
        "region": REGION,
        "git_root": str(folder / "git"),
        "python": str(PYTHON),
        "share_seconds": 0.2,
        "approval_minute_seconds": 0.02,
        "interpreters": {str(folder / "uv.lock"): sys.executable},
        **(more or {}),
    }
    (folder / "uv.lock").write_bytes(LOCK)
    path = folder / "cloud.json"
    path.write_text(json.dumps(content))
    return path


def start(config: Path, **options: Option) -> subprocess.Popen[str]:
    """Start the emulator and return it without waiting for its ready line."""
    return subprocess.Popen(
        [str(PYTHON), "-m", "aws_emulator", str(config)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "AWS_SECRET_ACCESS_KEY": "must-not-be-inherited"},
        **options,
    )


@contextlib.contextmanager
def running(folder: Path, more: Mapping[str, str] | None = None) -> Iterator[Cloud]:
    """Run the organisation in a folder, with further settings as of `configuration`."""
    port = free_port()
    (folder / "git").mkdir()
    with start(configuration(folder, port, more)) as process:
        try:
            assert process.stdout
            ready = process.stdout.readline()
            if not ready:
                log = folder / "work/cloud.log"
                pytest.fail(f"the organisation did not start: {log.read_text() if log.exists() else 'no log'}")
            yield Cloud(json.loads(ready)["endpoint"], folder / "work", folder / "git")
        finally:
            assert process.stdin
            process.stdin.close()
            assert process.wait(timeout=10) == 0
