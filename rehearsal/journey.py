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

from products.releases import load_catalog
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
from rehearsal.data_sources import SOURCES
from rehearsal.organization import ROOT, Organization, RehearsalError
from rehearsal.world import Step, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rehearsal.console import Terminal

PRELUDE: Final = (
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
)
"""Everything before data come in and a first project is made."""

_PROJECT: Final = (
    Step(
        "Create the project",
        "dev",
        training_steps.create_project,
        "Builds run with bash on this machine instead of in containers.",
    ),
    Step("Look at the seeded repository", "dev", training_steps.inspect_seed),
)
_MODEL: Final = (
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
)
_PRODUCTION: Final = (
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


def training_products() -> tuple[str, ...]:
    """Return the ids of the released products with which a model can be trained."""
    return tuple(sorted(product for product in load_catalog(ROOT).products if product.startswith("train-")))


def walk(product: str) -> tuple[Step, ...]:
    """Return the steps from data to production with a training product."""
    source = SOURCES[product]
    return (
        *source.before, *_PROJECT, *source.in_project, *_MODEL, *source.of_model, *_PRODUCTION, *source.afterwards
    )  # fmt: skip


def steps_before(run: Callable[[World], str], *, product: str = "train-s3") -> Sequence[Callable[[World], str]]:
    """Return what runs before a step of a rehearsal with a training product, in order."""
    runs = [step.run for step in (*PRELUDE, *walk(product))]
    return runs[: runs.index(run)]


def rehearse(
    work: Path,
    *,
    data: Path | None,
    label: str | None,
    products: Sequence[str] = ("train-s3",),
    faults: bool = False,
    interactive: bool = False,
    terminal: Terminal,
) -> int:
    """Run every step, write the report, stop what was started.

    Args:
        work: Folder to write to; what an earlier rehearsal left there is replaced.
        data: CSV or Parquet file, or a folder of them; None generates the demo data.
        label: Column to predict; needed with `data`.
        products: Training products with which a model is trained, one after the other. Default: train-s3.
        faults: Inject faults into the promotion and compare the registry at the end. Default: False.
        interactive: Ask the person at the terminal what the governance officer decides. Default: the officer approves.
        terminal: Where progress is shown.

    Returns:
        0 when every step succeeded, 1 otherwise.
    """
    _replace(work)
    world = World(work, Organization(work / "cloud", faults=faults), data, label)
    world.ask = terminal.ask if interactive else None
    total = sum(1 for _ in _steps(world, products, faults=faults))
    facts = [world.facts]
    start, ok = time.monotonic(), True
    try:
        for number, (walked, step) in enumerate(_steps(world, products, faults=faults), 1):
            if walked.facts is not facts[-1]:
                facts.append(walked.facts)
                if len(products) > 1:
                    terminal.say(walked.training_product)
            ok = _run(step, number, total, walked, terminal)
            if not ok or walked.over:
                break
    finally:
        world.close()
    seconds = time.monotonic() - start
    page = report.write(work, facts, ok=ok, seconds=seconds)
    outcome = "The rehearsal succeeded" if ok else "The rehearsal stopped"
    terminal.say(f"{outcome} after {seconds:.1f} s. Report: {_relative(page)}")
    if not ok:
        terminal.say(f"Everything is left for inspection in {_relative(work)} (cloud/ has the logs of the emulator).")
    return 0 if ok else 1


def _steps(world: World, products: Sequence[str], *, faults: bool) -> Iterator[tuple[World, Step]]:
    """Yield every step, and what the rehearsal knows at that time of the walk that the step belongs to."""
    yield from ((world, step) for step in PRELUDE)
    done: set[Step] = set()
    for product in products:
        walked = world.turn_to(product)
        yield from ((walked, step) for step in walk(product) if step not in done)
        done |= set(SOURCES[product].before)
        if faults:
            yield walked, FAULTS


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
