"""What the rehearsal knows so far, and what one of its steps is."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rehearsal import report
from rehearsal.organization import REGION, RehearsalError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rehearsal.organization import AwsClient, Credentials, Organization


@dataclass
class World:
    """What the rehearsal knows so far; every step reads what earlier steps wrote.

    Attributes:
        work: Folder of this rehearsal.
        data: File or folder with the data set.
        label: Column to predict.
        training_product: Id of the product with which the model is trained.
        regions: Regions of the hub, home first.
        doing: Shows at the terminal what the current step waits for.
        ask: Asks the person at the terminal a question with yes or no; None when the rehearsal is not interactive.
        deployment: The deployment project in the hub.
        execution: Id of the execution of its pipeline that brings the model to production.
        over: Nothing is left to do, although not every step ran.
    """

    work: Path
    organization: Organization
    data: Path | None
    label: str | None
    training_product: str = "train-s3"
    regions: tuple[str, ...] = (REGION,)
    doing: Callable[[str], None] = field(default=lambda _what: None)
    ask: Callable[[str, Sequence[str]], bool] | None = None
    synth: subprocess.Popen[str] | None = None
    lead: Credentials | None = None
    data_scientist: Credentials | None = None
    ml_engineer: Credentials | None = None
    governance_officer: Credentials | None = None
    data_uri: str = ""
    domain: report.Launched | None = None
    project: report.Launched | None = None
    deployment: report.Launched | None = None
    execution: str = ""
    over: bool = False
    facts: report.Facts = field(default_factory=report.Facts)

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

    def client(self, service: str, credentials: Credentials | None, *, region: str = REGION) -> AwsClient:
        """Return a boto3 client of this organisation."""
        if credentials is None:
            raise RehearsalError(f"no person is signed in to call {service}: an earlier step did not run")
        return self.organization.client(service, credentials, region=region)


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
