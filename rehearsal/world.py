"""What the rehearsal knows so far, and what one of its steps is."""

from __future__ import annotations

import copy
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rehearsal import report
from rehearsal.organization import REGION, RehearsalError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rehearsal.organization import AwsClient, Credentials, Organization


@dataclass(eq=False, repr=False)
class World:
    """What the rehearsal knows so far; every step reads what earlier steps wrote.

    Attributes:
        work: Folder of this rehearsal.
        data: File or folder with the person's own data; None generates data.
        label: Column of it to predict.
        training_product: Id of the product with which the model is trained.
        rows: Rows of generated data. Default: 5,000.
        regions: Regions of the hub, home first.
        doing: Shows at the terminal what the current step waits for.
        ask: Asks the person at the terminal a question with yes or no; None when the rehearsal is not interactive.
        lake: The tables of the lake and what of them is granted, as `lake_files.write` returns it.
        known: What only this organisation knows, by the names that example answers of products give it.
        over: Nothing is left to do, although not every step ran.
        deployment: The deployment project in the hub.
        execution: Id of the execution of its pipeline that brings the model to production.
    """

    work: Path
    organization: Organization
    data: Path | None
    label: str | None
    training_product: str = "train-s3"
    rows: int = 5000
    regions: tuple[str, ...] = (REGION,)
    doing: Callable[[str], None] = field(default=lambda _what: None)
    ask: Callable[[str, Sequence[str]], bool] | None = None
    synth: subprocess.Popen[str] | None = None
    known: dict[str, str] = field(default_factory=dict)
    over: bool = False
    facts: report.Facts = field(default_factory=report.Facts)
    lead: Credentials = field(init=False)
    data_scientist: Credentials = field(init=False)
    ml_engineer: Credentials = field(init=False)
    governance_officer: Credentials = field(init=False)
    steward: Credentials = field(init=False)
    lake: dict[str, Any] = field(init=False)
    domain: report.Launched = field(init=False)
    project: report.Launched = field(init=False)
    deployment: report.Launched = field(init=False)
    execution: str = field(init=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Say what is missing, where a step runs without the one that makes what it reads."""
            if name in self.__dataclass_fields__:
                raise RehearsalError(f"there is no {name.replace('_', ' ')} yet: an earlier step did not run")
            raise AttributeError(name)

    def turn_to(self, product: str) -> World:
        """Return what a walk with a training product begins with: this organisation, its people, and no model."""
        begun = copy.copy(self)
        begun.training_product, begun.facts = product, report.Facts(product)
        return begun

    def named(self, what: str) -> str:
        """Return the name of something of this walk, e.g. ``s3-model`` for ``model``."""
        return f"{self.training_product.removeprefix('train-')}-{what}"

    def close(self) -> None:
        """Stop everything that was started."""
        if self.synth and self.synth.poll() is None:
            os.killpg(self.synth.pid, signal.SIGKILL)  # with the node process that the CDK starts
            self.synth.wait()
        self.organization.__exit__(None, None, None)

    @property
    def assembly(self) -> Path:
        """Cloud assembly of the hub."""
        return self.work / "cdk.out"

    def client(self, service: str, credentials: Credentials, *, region: str = REGION) -> AwsClient:
        """Return a boto3 client of this organisation."""
        return self.organization.client(service, credentials, region=region)

    def read(self, credentials: Credentials, uri: str) -> bytes:
        """Return the content of the object at ``s3://bucket/key``, as somebody reads it."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        content: bytes = self.client("s3", credentials).get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def uris(self, credentials: Credentials, uri: str) -> list[str]:
        """Return the URIs of the objects that begin with ``s3://bucket/prefix``, as somebody lists them."""
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        listed = self.client("s3", credentials).list_objects_v2(Bucket=bucket, Prefix=prefix)
        return [f"s3://{bucket}/{item['Key']}" for item in listed.get("Contents", ())]

    def refused(self, what: str, request: Callable[[], object]) -> str:
        """Return the code with which IAM refuses a request.

        Raises:
            RehearsalError: The request was allowed.
            ClientError: It failed for another reason.
        """
        try:
            request()
        except ClientError as err:
            if "AccessDenied" in (code := str(err.response["Error"]["Code"])):
                return code
            raise
        raise RehearsalError(f"{what} was allowed and must not be: a policy is too wide")


@dataclass(frozen=True)
class Step:
    """One line of the rehearsal.

    Attributes:
        title: What happens, in a few words.
        account: Account name in which it happens.
        run: Does it and returns one line about the outcome.
        emulated: How this differs from AWS; empty when only the service endpoints are emulated.
    """

    title: str
    account: str
    run: Callable[[World], str]
    emulated: str = ""
