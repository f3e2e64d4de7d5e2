"""The rehearsal as a person runs it: killed now and then, and after that from the first step to a registered model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rehearsal.journey import PRELUDE, training_products, walk
from rehearsal.organization import ROOT

pytestmark = pytest.mark.rehearsal
CLAIMS = ROOT.parent / "shared/data/claims.csv"
DATA_SETS = {"demo": [], "claims": ["--data", str(CLAIMS), "--label", "fraud"]}
WALKS = ["demo", *(["claims"] if CLAIMS.exists() else [])]
TIMEOUT_S = 600


def rehearse(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rehearsal", "--work", str(work), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def processes_of(work: Path) -> set[str]:
    """Return the command lines of running processes that were given something below `work`."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            settings = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(work).encode() in settings and entry.name != str(os.getpid()):
            found.add(command)
    return found


def eventually_nothing_runs(work: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if not processes_of(work):
            return
        time.sleep(0.2)
    raise AssertionError(f"still running: {processes_of(work)}")


@pytest.mark.prove
@pytest.mark.parametrize("name", WALKS)
def test_every_training_product_brings_a_model_to_production_however_often_the_rehearsal_was_killed_before(
    name: str, tmp_path: Path
) -> None:
    work = tmp_path / "rehearsal"
    if name == "demo":
        for step in (1, 5, 10):
            kill_after(step, work)
    done = rehearse(work, "--product", "all", *DATA_SETS[name])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    titles = [step.title for step in (*PRELUDE, *(step for product in training_products() for step in walk(product)))]
    assert len([line for line in done.stdout.splitlines() if line.startswith("[")]) == len(titles)
    report = json.loads((work / "report.json").read_text(encoding="utf-8"))
    assert report["ok"] is True
    assert [step["name"] for step in report["steps"]] == titles
    assert list(report["walks"]) == list(training_products())
    for product, content in report["walks"].items():
        assert content["metrics"]["auc"] > {"demo": 0.75, "claims": 0.55}[name]
        assert content["model_package"]["ModelApprovalStatus"] == "PendingManualApproval"
        assert content["deployment"]["test"]["passed"] is True
        assert content["deployment"]["decision"] == {"approved": True, "summary": "Report read.", "asked": False}
        assert content["deployment"]["prod"]["status"] == "InService"
        assert [r["place"] for r in content["deployment"]["decisions"]] == ["development", "hub", "production"]
        assert all(entry["answer"] for entry in content["predictions"])
        assert content["drift"]["detail"]["endpoint"] == content["deployment"]["prod"]["endpoint"]
        assert content["drift"]["detail"]["results"][0]["size"] > 0
        assert {path.name for path in (work / "reports" / product).iterdir()} == {
            "endpoint-test.html",
            "model-card.pdf",
            "monitor.html",
        }
    assert "<svg" in (work / "report.html").read_text(encoding="utf-8")
    eventually_nothing_runs(work)
    assert not list(tmp_path.glob(".rehearsal-*"))


def kill_after(step: int, work: Path) -> None:
    """Start a rehearsal and kill it, without a chance to clean up, as soon as a step is done."""
    command = [sys.executable, "-u", "-m", "rehearsal", "--work", str(work)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith(f"[{step:>2}/"):
                break
        running.send_signal(signal.SIGKILL)


def test_interrupting_stops_everything_and_says_so(tmp_path: Path) -> None:
    work = tmp_path / "rehearsal"
    command = [sys.executable, "-u", "-m", "rehearsal", "--work", str(work)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
    assert running.returncode == 128 + signal.SIGINT
    assert "Interrupted. Everything was stopped" in rest
    assert processes_of(work) == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere.csv", "--label", "x"], "DATA=nowhere.csv: there is no such file"),
        (["--data", "README.md"], "has no LABEL"),
        (["--label", "x"], "has no DATA"),
        (["--product", "train-x"], "PRODUCT=train-x is not a released training product; choose one of: "),
        (["--product", "all", "--faults"], "FAULTS=1 with PRODUCT=all"),
        (["--data", "{csv}", "--label", "churned"], "has no column LABEL=churned; it has: age, left"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_starts(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("age,left\n1,0\n", encoding="utf-8")
    done = rehearse(tmp_path / "rehearsal", *(a.format(csv=tmp_path / "data.csv") for a in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "rehearsal").exists()


@pytest.mark.prove
def test_data_that_cannot_be_learned_from_stops_the_rehearsal_with_the_cause(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("age,left\n" + "".join(f"{n},no\n" for n in range(500)), encoding="utf-8")
    done = rehearse(tmp_path / "rehearsal", "--data", str(data), "--label", "left")
    assert done.returncode == 1
    assert "Validate" in done.stdout
    assert "left" in done.stdout.split("FAILED")[1]
    content = json.loads((tmp_path / "rehearsal/report.json").read_text(encoding="utf-8"))
    assert content["ok"] is False
    assert [step["ok"] for step in content["steps"]] == [True] * (len(content["steps"]) - 1) + [False]
    assert "Why it stopped" in (tmp_path / "rehearsal/report.html").read_text(encoding="utf-8")
