"""The path of a model, step by step: what each person does, through the same API calls that they make on AWS."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from rehearsal import (
    deployment_steps,
    domain_steps,
    fault_steps,
    hub_steps,
    organization_steps,
    production_steps,
    promotion_steps,
    report,
    training_steps,
)
from rehearsal.console import Line
from rehearsal.organization import Organization, RehearsalError
from rehearsal.world import Step, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rehearsal.console import Terminal

STEPS: Final = (
    Step(
        "Start the organisation",
        "all",
        organization_steps.start_organization,
        "The rehearsal makes the accounts, their network and people's Identity Center roles.",
    ),
    Step(
        "Synthesise the hub",
        "hub",
        hub_steps.synthesise,
        "The pipeline's own CodeBuild runs are left out; app.py runs here.",
    ),
    Step(
        "Publish the releases",
        "hub",
        hub_steps.publish_releases,
        "The pipeline's builds run here, each as its own role.",
    ),
    Step(
        "Roll out the baselines",
        "all",
        hub_steps.roll_out_baselines,
        "The StackSets are applied at once, in one process.",
    ),
    Step("Publish and share the portfolios", "hub", hub_steps.publish_portfolios),
    Step(
        "Launch the domain", "dev", domain_steps.launch_domain, "The domain is a record: no Studio application starts."
    ),
    Step(
        "Connect the Git provider",
        "dev",
        domain_steps.connect_git,
        "The provider is a folder of bare Git repositories.",
    ),
    Step("Land the data", "dev", training_steps.land_data),
    Step(
        "Create the project",
        "dev",
        training_steps.create_project,
        "Builds run with bash on this machine instead of in containers.",
    ),
    Step("Look at the seeded repository", "dev", training_steps.inspect_seed),
    Step(
        "Build: upsert and start",
        "dev",
        training_steps.start_training,
        "CodePipeline runs its actions one after the other.",
    ),
    Step(
        "Train, evaluate, gate, register",
        "dev",
        training_steps.train,
        "Jobs run as processes here; XGBoost, data and metrics are real.",
    ),
    Step("Look at the registered model", "dev", training_steps.inspect_registry),
    Step("Approve as data scientist: refused", "dev", training_steps.try_to_approve),
    Step("Approve as lead data scientist", "dev", promotion_steps.approve_as_lead),
    Step(
        "Promote to the hub's registry",
        "hub",
        promotion_steps.promote_to_hub,
        "EventBridge does not retry; model cards and the registry are records.",
    ),
    Step(
        "Create the deployment project",
        "hub",
        deployment_steps.create_project,
        "The Git connection's handshake is done as in the console; its provider is a folder of bare repositories.",
    ),
    Step("Approve as ML engineer", "hub", deployment_steps.approve_as_ml_engineer),
    Step(
        "Deploy to test and try the endpoint",
        "test",
        deployment_steps.deploy_to_test,
        "The endpoint is a process on this machine that serves the model archive.",
    ),
    Step("Approve prod as ML engineer: refused", "hub", deployment_steps.try_to_approve),
    Step(
        "Approve prod as governance officer",
        "hub",
        deployment_steps.approve_as_governance_officer,
        "No mail is sent: the request shown is what the project's topic received.",
    ),
    Step(
        "Deploy to production",
        "prod",
        production_steps.deploy_to_production,
        "Instances are processes here, traffic shifts at once, and alarms do not go off by themselves.",
    ),
    Step(
        "Ask the production endpoint",
        "prod",
        production_steps.predict,
        "Captured data is written within a second, not after minutes.",
    ),
    Step(
        "Send drifted records",
        "prod",
        production_steps.send_drifted_records,
        "The records are made: numbers shifted, unknown categories.",
    ),
    Step(
        "Detect drift and report it to the hub",
        "hub",
        production_steps.detect_drift,
        "The rehearsal starts the monitor in place of its schedule; its job is a process here.",
    ),
)


FAULTS: Final = Step(
    "Compare the registry after the faults",
    "hub",
    fault_steps.compare_registry,
    "Messages do not wait; the functions' clock is moved forward instead.",
)


def steps_before(run: Callable[[World], str]) -> Sequence[Callable[[World], str]]:
    """Return what runs before a step of `STEPS`, in order."""
    runs = [step.run for step in STEPS]
    return runs[: runs.index(run)]


def rehearse(
    work: Path,
    *,
    data: Path | None,
    label: str | None,
    product: str = "train-s3",
    faults: bool = False,
    interactive: bool = False,
    terminal: Terminal,
) -> int:
    """Run every step, write the report, stop what was started.

    Args:
        work: Folder to write to; what an earlier rehearsal left there is replaced.
        data: CSV or Parquet file, or a folder of them; None generates the demo data.
        label: Column to predict; needed with `data`.
        product: Training product with which the model is trained.
        faults: Inject faults into the promotion and compare the registry at the end. Default: False.
        interactive: Ask the person at the terminal what the governance officer decides. Default: the officer approves.
        terminal: Where progress is shown.

    Returns:
        0 when every step succeeded, 1 otherwise.
    """
    _replace(work)
    world = World(work, Organization(work / "cloud", faults=faults), data, label, product)
    world.ask = terminal.ask if interactive else None
    steps = (*STEPS, FAULTS) if faults else STEPS
    start = time.monotonic()
    ok = True
    try:
        for number, step in enumerate(steps, 1):
            ok = _run(step, number, len(steps), world, terminal)
            if not ok or world.over:
                break
    finally:
        world.close()
    seconds = time.monotonic() - start
    page = report.write(work, world.facts, ok=ok, seconds=seconds)
    outcome = "The rehearsal succeeded" if ok else "The rehearsal stopped"
    terminal.say(f"{outcome} after {seconds:.1f} s. Report: {_relative(page)}")
    if not ok:
        terminal.say(f"Everything is left for inspection in {_relative(work)} (cloud/ has the logs of the emulator).")
    return 0 if ok else 1


def _replace(work: Path) -> None:
    """Make `work` an empty folder, whatever an earlier rehearsal left there.

    The old one is moved away first: a process of a rehearsal that was just killed cannot write into the new one.
    """
    work.parent.mkdir(parents=True, exist_ok=True)
    aside = work.with_name(f".{work.name}-{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        work.rename(aside)
    for old in work.parent.glob(f".{work.name}-*"):
        shutil.rmtree(old, ignore_errors=True)
    work.mkdir()


def _run(step: Step, number: int, of: int, world: World, terminal: Terminal) -> bool:
    begin = time.monotonic()
    line = Line(number, of, step.account, step.title)
    detail, ok = "", True
    try:
        with terminal.running(line) as doing:
            world.doing = doing
            detail = step.run(world)
    except (RehearsalError, ClientError) as err:
        ok, detail = False, str(err)
    except Exception:  # an error in the rehearsal itself: the trace is the cause
        ok, detail = False, traceback.format_exc()
    seconds = time.monotonic() - begin
    terminal.finished(line, seconds, detail, ok=ok)
    world.facts.steps.append(report.StepResult(step.title, step.account, seconds, detail, step.emulated, ok))
    return ok


def _relative(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
