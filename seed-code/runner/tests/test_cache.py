"""The step cache: the same arguments are answered once, others and old ones are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_runner import ARN, processing

from local_pipelines.cache import StepCache
from local_pipelines.runner import Execution, Outcome, PipelineRunner, write_registration
from local_pipelines.sandbox import Sandbox
from local_pipelines.stores import FolderStore

DAY = 86_400


class Workshop:
    """A pipeline that runs again and again, each time as another execution."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = 0.0
        self.executions = 0
        self.details: dict[str, str] = {}

    def run(self, *steps: dict[str, Any], cached: bool = True, pipeline: str = "demo") -> Outcome:
        self.executions += 1
        cache = StepCache(self.folder / "cache", now=lambda: self.clock) if cached else None
        self.details.clear()
        runner = PipelineRunner(
            store=FolderStore(self.folder / "store"),
            sandbox=Sandbox(self.folder / "tools"),
            register=write_registration(self.folder),
            work=self.folder / "work" / str(self.executions),
            cache=cache,
            on_event=lambda event: self.details.update({event["step"]: event["detail"]} if "detail" in event else {}),
        )
        definition = {"Version": "2020-12-01", "Parameters": [], "Steps": list(steps)}
        return runner.run(definition, Execution(pipeline, ARN.replace("abc123", f"run{self.executions:03}"), {}))


def steps(script: str = "echo 1", *, after: str = "true", days: str = "P30D", enabled: bool = True) -> list[Any]:
    """Return a step that writes a number where its execution says, and one that reads what it wrote."""
    cache = {"CacheConfig": {"Enabled": enabled, "ExpireAfter": days}}
    first = processing("First", f"{script} > /opt/ml/processing/output/o/n", **cache)
    place = {"Std:Join": {"On": "/", "Values": ["s3://b", {"Get": "Execution.PipelineExecutionId"}, "o"]}}
    outputs = first["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    outputs.append({"OutputName": "o", "S3Output": {"S3Uri": place, "LocalPath": "/opt/ml/processing/output/o"}})
    first["PropertyFiles"] = [{"PropertyFileName": "N", "OutputName": "o", "FilePath": "n"}]
    made = {"Get": "Steps.First.ProcessingOutputConfig.Outputs['o'].S3Output.S3Uri"}
    second = processing("Second", f"{after}; test -f /opt/ml/processing/input/i/n", **cache)
    second["Arguments"]["ProcessingInputs"].append(
        {"InputName": "i", "S3Input": {"S3Uri": made, "LocalPath": "/opt/ml/processing/input/i"}}
    )
    n = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.First.PropertyFiles.N"}, "Path": ""}}
    last = {
        "Name": "Last",
        "Type": "Fail",
        "Arguments": {"ErrorMessage": {"Std:Join": {"On": "", "Values": ["n ", n]}}},
    }
    return [first, second, last]


CACHED = "from the cache"


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_a_step_with_the_same_arguments_runs_once_and_others_go_on_from_what_it_made(shop: Workshop) -> None:
    assert shop.run(*steps()).failure_reason.endswith("n 1")
    assert CACHED not in shop.details.values()
    outcome = shop.run(*steps(after="echo changed"))
    assert outcome.failure_reason.endswith("n 1"), "its property file is known"
    assert (shop.details["First"], shop.details["Second"] == CACHED) == (CACHED, False)
    made = outcome.steps["First"]["ProcessingOutputConfig"]["Outputs"]["o"]["S3Output"]["S3Uri"]
    assert made == "s3://b/run001def456/o"
    shop.run(*steps())
    assert (shop.details["First"], shop.details["Second"]) == (CACHED, CACHED)


def test_other_arguments_and_other_pipelines_run(shop: Workshop) -> None:
    shop.run(*steps())
    assert shop.run(*steps("echo 2")).failure_reason.endswith("n 2")
    shop.run(*steps(), pipeline="other")
    assert CACHED not in shop.details.values()


def test_what_is_old_or_not_to_be_cached_runs_again(shop: Workshop) -> None:
    shop.run(*steps())
    shop.clock = 30 * DAY - 1
    shop.run(*steps())
    assert shop.details["First"] == CACHED
    shop.clock = 30 * DAY
    shop.run(*steps())
    assert shop.details["First"] != CACHED
    for other in ({"enabled": False}, {"days": "PT5M"}):
        shop.run(*steps(**other))
        assert shop.details["First"] != CACHED
    shop.run(*steps(), cached=False)
    assert shop.details["First"] != CACHED


def test_a_step_that_failed_is_not_kept(shop: Workshop) -> None:
    for _ in range(2):
        assert "First failed" in shop.run(*steps("exit 3; echo 1")).failure_reason
