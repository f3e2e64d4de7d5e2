"""The runner, with jobs that are small shell scripts: what a job sees, what comes back, what fails and how."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_pipelines.runner import Events, Execution, Outcome, PipelineRunner, main, write_registration
from local_pipelines.sandbox import Sandbox, has_namespaces
from local_pipelines.stores import FolderStore

SOURCE = Path(__file__).resolve().parents[1] / "src"
ARN = "arn:aws:sagemaker:eu-west-1:111111111111:pipeline/demo/execution/abc123def456"
NAMESPACES = pytest.param(True, marks=pytest.mark.skipif(not has_namespaces(), reason="no mount namespaces here"))


class Workshop:
    """A store, a runner and the events of its executions."""

    def __init__(self, folder: Path, *, namespaces: bool | None = None) -> None:
        self.store = folder / "store"
        self.work = folder / "work"
        self.events: list[dict[str, Any]] = []
        self._runner = PipelineRunner(
            store=FolderStore(self.store),
            sandbox=Sandbox(folder / "tools", namespaces=namespaces),
            register=write_registration(folder),
            work=self.work,
            on_event=self.events.append,
        )

    def put(self, uri: str, text: str) -> None:
        path = self.store / uri.removeprefix("s3://")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def get(self, uri: str) -> str:
        return (self.store / uri.removeprefix("s3://")).read_text()

    def run(self, *steps: dict[str, Any], parameters: Any = (), given: dict[str, Any] | None = None) -> Outcome:
        definition = {"Version": "2020-12-01", "Parameters": list(parameters), "Steps": list(steps)}
        return self._runner.run(definition, Execution("demo", ARN, given or {}))


def processing(
    name: str,
    script: str,
    *,
    inputs: dict[str, Any] | None = None,
    outputs: dict[str, Any] | None = None,
    instances: Any = 1,
    sharded: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Return a step that runs a shell script."""
    distribution = "ShardedByS3Key" if sharded else "FullyReplicated"
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "ProcessingResources": {"ClusterConfig": {"InstanceCount": instances, "InstanceType": "ml.m5.large"}},
            "AppSpecification": {
                "ContainerEntrypoint": ["/bin/bash", "-c", script],
                "ContainerArguments": ["job", "--flag"],
            },
            "ProcessingInputs": [
                {
                    "InputName": key,
                    "S3Input": {
                        "S3Uri": uri,
                        "LocalPath": f"/opt/ml/processing/input/{key}",
                        "S3DataDistributionType": distribution,
                    },
                }
                for key, uri in (inputs or {}).items()
            ],
            "ProcessingOutputConfig": {
                "Outputs": [
                    {"OutputName": key, "S3Output": {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/output/{key}"}}
                    for key, uri in (outputs or {}).items()
                ]
            },
            **more.pop("arguments", {}),
        },
        **more,
    }


@pytest.mark.parametrize("namespaces", [NAMESPACES, False])
def test_a_processing_job_finds_its_input_and_leaves_its_output(tmp_path: Path, namespaces: bool) -> None:
    shop = Workshop(tmp_path, namespaces=namespaces)
    shop.put("s3://lake/data/a.csv", "1,2\n")
    shop.put("s3://lake/data/deep/b.csv", "3,4\n")
    script = (
        "cd /opt/ml/processing; cat input/data/a.csv input/data/deep/b.csv > output/copy/all.csv;"
        'echo "$GREETING $0 $1 $AWS_REGION" > output/copy/job.txt;'
        "cp ../config/resourceconfig.json output/copy/hosts.json"
    )
    step = processing(
        "Copy",
        script,
        inputs={"data": "s3://lake/data/"},
        outputs={"copy": "s3://bucket/out"},
        arguments={"Environment": {"GREETING": "hello"}},
    )
    outcome = shop.run(step)
    assert outcome.failure_reason == ""
    assert shop.get("s3://bucket/out/all.csv") == "1,2\n3,4\n"
    assert shop.get("s3://bucket/out/job.txt") == "hello job --flag eu-west-1\n"
    assert json.loads(shop.get("s3://bucket/out/hosts.json")) == {"current_host": "algo-1", "hosts": ["algo-1"]}


@pytest.mark.parametrize("namespaces", [NAMESPACES, False])
def test_scripts_within_an_archive_see_their_folder_too(tmp_path: Path, namespaces: bool) -> None:
    shop = Workshop(tmp_path, namespaces=namespaces)
    source = tmp_path / "job.py"
    source.write_text(
        "from pathlib import Path\nPath('/opt/ml/processing/output/o/made').write_text('by the archive')\n"
    )
    archive = shop.store / "bucket" / "code" / "sourcedir.tar.gz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source, "job.py")
    script = "cd /opt/ml/processing/input/code && tar -xzf sourcedir.tar.gz && python3 job.py"
    step = processing("Run", script, inputs={"code": "s3://bucket/code/"}, outputs={"o": "s3://bucket/o"})
    assert shop.run(step).failure_reason == ""
    assert shop.get("s3://bucket/o/made") == "by the archive"


def manifest_step(**more: Any) -> dict[str, Any]:
    """Return a step that copies what a manifest lists."""
    script = (
        "cd /opt/ml/processing/input/data && find . -type f | sort > "
        "../../output/o/$(grep -o 'algo-[0-9]' /opt/ml/config/resourceconfig.json | head -1)"
    )
    inputs, outputs = {"data": "s3://lake/list.json"}, {"o": "s3://b/o"}
    step = processing("Copy", script, inputs=inputs, outputs=outputs, **more)
    step["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3DataType"] = "ManifestFile"
    return step


def test_of_a_manifest_exactly_the_objects_it_lists_are_there_with_their_folders(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    for name in ("x=1/a.csv", "x=1/b.csv", "x=2/c.csv", "left-over.csv"):
        shop.put(f"s3://lake/data/{name}", name)
    shop.put("s3://lake/list.json", '[{"prefix": "s3://lake/data/"}, "x=2/c.csv", "x=1/a.csv", "x=1/b.csv"]')
    assert shop.run(manifest_step()).failure_reason == ""
    assert shop.get("s3://b/o/algo-1").split() == ["./x=1/a.csv", "./x=1/b.csv", "./x=2/c.csv"]
    assert shop.run(manifest_step(instances=2, sharded=True)).failure_reason == ""
    assert shop.get("s3://b/o/algo-1").split() == ["./x=1/a.csv", "./x=2/c.csv"]
    assert shop.get("s3://b/o/algo-2").split() == ["./x=1/b.csv"]


@pytest.mark.parametrize("content", ["s3://lake/data/a.csv", "[]", '["a.csv"]', '[{"prefix": "lake"}, "a.csv"]', "{}"])
def test_what_is_not_a_manifest_fails_the_step_by_its_name(tmp_path: Path, content: str) -> None:
    shop = Workshop(tmp_path)
    shop.put("s3://lake/list.json", content)
    assert "s3://lake/list.json is not a manifest such as" in shop.run(manifest_step()).failure_reason


def test_instances_share_sharded_input_and_write_to_one_output(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    for number in range(5):
        shop.put(f"s3://lake/data/{number}.csv", str(number))
    script = (
        "cd /opt/ml; host=$(python3 -c \"import json; print(json.load(open('/opt/ml/config/resourceconfig.json'))"
        "['current_host'])\"); ls processing/input/data > processing/output/o/$host"
    )
    count = {"Get": "Parameters.Count"}
    step = processing(
        "Split", script, inputs={"data": "s3://lake/data"}, outputs={"o": "s3://b/o"}, instances=count, sharded=True
    )
    parameters = [{"Name": "Count", "Type": "Integer", "DefaultValue": 1}]
    assert shop.run(step, parameters=parameters, given={"Count": "2"}).succeeded
    assert shop.get("s3://b/o/algo-1").split() == ["0.csv", "2.csv", "4.csv"]
    assert shop.get("s3://b/o/algo-2").split() == ["1.csv", "3.csv"]


def test_steps_run_when_what_they_need_is_there(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    first_output = {"Get": "Steps.First.ProcessingOutputConfig.Outputs['o'].S3Output.S3Uri"}
    second = processing(
        "Second",
        "cp /opt/ml/processing/input/i/x /opt/ml/processing/output/o/y",
        inputs={"i": first_output},
        outputs={"o": "s3://b/two"},
    )
    target = {"Std:Join": {"On": "/", "Values": ["s3://b/runs", {"Get": "Execution.PipelineExecutionId"}]}}
    first = processing("First", "echo hi > /opt/ml/processing/output/o/x", outputs={"o": target})
    last = processing("Last", "true", DependsOn=["Second"])
    assert shop.run(last, second, first).succeeded
    assert shop.get("s3://b/two/y") == "hi\n"
    assert [event["step"] for event in shop.events if event.get("status") == "Succeeded"] == ["First", "Second", "Last"]
    assert (shop.store / "b" / "runs" / "abc123def456" / "x").is_file()


def test_steps_in_a_circle_are_reported(tmp_path: Path) -> None:
    outcome = Workshop(tmp_path).run(processing("A", "true", DependsOn=["B"]), processing("B", "true", DependsOn=["A"]))
    assert "steps A, B depend on each other" in outcome.failure_reason


def gated(report: str, threshold: Any = 0.7) -> list[dict[str, Any]]:
    evaluate = processing(
        "Evaluate",
        f"echo '{report}' > /opt/ml/processing/output/evaluation/evaluation.json",
        outputs={"evaluation": "s3://b/evaluation"},
        PropertyFiles=[{"PropertyFileName": "Report", "OutputName": "evaluation", "FilePath": "evaluation.json"}],
    )
    auc = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}, "Path": "auc"}}
    message = {"Std:Join": {"On": " ", "Values": ["auc is", auc, "but should be", threshold]}}
    gate = {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "GreaterThanOrEqualTo", "LeftValue": auc, "RightValue": threshold}],
            "IfSteps": [
                {"Name": "Register", "Type": "RegisterModel", "Arguments": {"CustomerMetadataProperties": {"auc": auc}}}
            ],
            "ElseSteps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": message}}],
        },
    }
    return [gate, evaluate]


def test_a_condition_that_holds_leads_to_registration(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    outcome = shop.run(*gated('{"auc": 0.75}'))
    assert outcome.succeeded
    assert json.loads((tmp_path / "model-package.json").read_text()) == {"CustomerMetadataProperties": {"auc": 0.75}}
    assert outcome.steps["Gate"] == {"Outcome": "True"}
    assert outcome.steps["Register"]["ModelPackageArn"] == str(tmp_path / "model-package.json")


def test_a_condition_that_does_not_hold_fails_with_the_numbers(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    outcome = shop.run(*gated('{"auc": 0.65}'))
    assert outcome.failure_reason == "Step Stop failed: auc is 0.65 but should be 0.7"
    assert not (tmp_path / "model-package.json").exists()
    last_step, end = shop.events[-2:]
    assert (last_step["step"], last_step["status"]) == ("Stop", "Failed")
    assert last_step["metadata"] == {"Fail": {"ErrorMessage": "auc is 0.65 but should be 0.7"}}
    assert end == {"execution": "Failed", "failure_reason": outcome.failure_reason}


def test_training_gets_channels_and_hyperparameters_and_returns_archives_and_metrics(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.put("s3://b/train/x.csv", "1")
    script = (
        "cd /opt/ml; cp input/data/train/x.csv model/m.bin; cp input/config/hyperparameters.json output/data/hps.json;"
        "echo 'validation:auc=0.5'; echo 'validation:auc=0.81'; echo $TRAINING_JOB_NAME > output/data/name"
    )
    step = {
        "Name": "Train",
        "Type": "Training",
        "Arguments": {
            "AlgorithmSpecification": {
                "ContainerEntrypoint": ["/bin/bash", "-c", script],
                "MetricDefinitions": [
                    {"Name": "validation:auc", "Regex": "validation:auc=([0-9.]+)"},
                    {"Name": "validation:f1", "Regex": "validation:f1=([0-9.]+)"},
                ],
            },
            "InputDataConfig": [
                {
                    "ChannelName": "train",
                    "DataSource": {"S3DataSource": {"S3Uri": "s3://b/train"}},
                    "ContentType": "text/csv",
                }
            ],
            "HyperParameters": {"depth": 4, "fast": True},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            "OutputDataConfig": {"S3OutputPath": "s3://b/models"},
        },
    }
    outcome = shop.run(step)
    assert outcome.failure_reason == ""
    train = outcome.steps["Train"]
    name = train["TrainingJobName"]
    assert name.startswith("pipelines-abc123def456-Train-")
    assert len(name) <= 63
    assert train["FinalMetricDataList"] == [{"MetricName": "validation:auc", "Value": 0.81}]
    assert train["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://b/models/{name}/output/model.tar.gz"
    with tarfile.open(shop.store / "b" / "models" / name / "output" / "model.tar.gz") as tar:
        assert tar.getnames() == ["m.bin"]
    with tarfile.open(shop.store / "b" / "models" / name / "output" / "output.tar.gz") as tar:
        hyperparameters = tar.extractfile("hps.json")
        assert hyperparameters
        assert json.load(hyperparameters) == {"depth": "4", "fast": "true"}
    assert shop.events[-2]["metadata"] == {
        "TrainingJob": {"Arn": f"arn:aws:sagemaker:eu-west-1:111111111111:training-job/{name}"}
    }


def test_the_message_of_a_failed_job_is_the_reason(tmp_path: Path) -> None:
    step = processing("Check", "echo 'a.csv, line 7: no number' > /opt/ml/output/message; exit 3")
    outcome = Workshop(tmp_path).run(step)
    assert outcome.failure_reason == "Step Check failed: a.csv, line 7: no number"


def test_without_a_message_the_end_of_the_log_is_the_reason(tmp_path: Path) -> None:
    outcome = Workshop(tmp_path).run(processing("Check", "echo one; echo two >&2; exit 3"))
    assert "Step Check failed: exit code 3: one\ntwo\nThe whole log: " in outcome.failure_reason


def test_nothing_runs_after_a_failed_step(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    outcome = shop.run(processing("A", "exit 1"), processing("B", "true"))
    assert not outcome.succeeded
    assert [event["step"] for event in shop.events if "step" in event] == ["A", "A"]


def test_a_job_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path) -> None:
    limit = {"StoppingCondition": {"MaxRuntimeInSeconds": 1}}
    began = time.monotonic()
    outcome = Workshop(tmp_path).run(processing("Slow", "sleep 60 & wait", arguments=limit))
    assert "the job ran longer than 1 s" in outcome.failure_reason
    assert time.monotonic() - began < 10


def test_missing_input_is_named(tmp_path: Path) -> None:
    outcome = Workshop(tmp_path).run(processing("Read", "true", inputs={"data": "s3://lake/nothing/"}))
    assert outcome.failure_reason == "Step Read failed: there is nothing at s3://lake/nothing/"


def test_a_job_has_neither_credentials_nor_the_python_path_of_the_runner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    shop = Workshop(tmp_path)
    assert shop.run(processing("Env", "env > /opt/ml/processing/output/o/env", outputs={"o": "s3://b/o"})).succeeded
    assert "secret" not in shop.get("s3://b/o/env")
    assert "PYTHONPATH" not in shop.get("s3://b/o/env")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "parameter Version has no default"),
        ({"Version": "1", "Typo": "x"}, "the pipeline has no parameter Typo; it has Version, Count"),
        ({"Version": "1", "Count": "many"}, "parameter Count is 'many', which is no integer"),
    ],
)
def test_parameters_that_cannot_be_used_are_named(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    parameters = [{"Name": "Version", "Type": "String"}, {"Name": "Count", "Type": "Integer", "DefaultValue": 1}]
    outcome = Workshop(tmp_path).run(processing("A", "true"), parameters=parameters, given=given)
    assert message in outcome.failure_reason


def test_a_kind_of_step_that_cannot_run_here_is_named(tmp_path: Path) -> None:
    outcome = Workshop(tmp_path).run({"Name": "Tune", "Type": "Tuning", "Arguments": {}})
    assert (
        "steps of type Tuning cannot be run on this machine, only Condition, Processing, Training"
        in outcome.failure_reason
    )


@pytest.mark.parametrize(("script", "code"), [("true", 0), ("exit 1", 1)])
def test_the_command_line_writes_events_and_returns_the_outcome(tmp_path: Path, script: str, code: int) -> None:
    definition = tmp_path / "definition.json"
    definition.write_text(json.dumps({"Steps": [processing("Only", script)]}))
    options = {
        "--definition": definition,
        "--pipeline-name": "demo",
        "--execution-arn": ARN,
        "--parameters": "{}",
        "--work": tmp_path / "work",
        "--store": tmp_path / "store",
        "--events": tmp_path / "events.jsonl",
    }
    assert main([str(part) for pair in options.items() for part in pair]) == code
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event.get("status") for event in events[:2]] == ["Executing", "Failed" if code else "Succeeded"]
    assert events[-1]["execution"] == ("Failed" if code else "Succeeded")
    assert set(events[0]) == {"time", "step", "type", "status"}


def test_events_are_on_disk_at_once(tmp_path: Path) -> None:
    events = Events(tmp_path / "deep" / "events.jsonl")
    events({"step": "A"})
    assert (tmp_path / "deep" / "events.jsonl").read_text() == '{"step": "A"}\n'


@pytest.mark.skipif(not has_namespaces(), reason="no mount namespaces here")
def test_a_runner_that_is_killed_takes_its_jobs_with_it(tmp_path: Path) -> None:
    mark = f"31.{int(time.time() * 1000) % 100000}"  # a duration that no other process sleeps
    definition = tmp_path / "definition.json"
    definition.write_text(json.dumps({"Steps": [processing("Slow", f"sleep {mark} & wait")]}))
    options = [
        "--pipeline-name",
        "demo",
        "--execution-arn",
        ARN,
        "--store",
        str(tmp_path),
        "--work",
        str(tmp_path / "w"),
    ]
    command = [sys.executable, "-m", "local_pipelines.runner", "--definition", str(definition), *options]
    runner = subprocess.Popen(command, cwd=SOURCE, stdout=subprocess.DEVNULL)
    try:
        assert soon(lambda: is_running(mark))
    finally:
        runner.kill()
        runner.wait()
    assert soon(lambda: not is_running(mark))


def is_running(mark: str) -> bool:
    """Return whether any process has the mark as an argument."""
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended in the meantime
            if arguments.read_bytes().split(b"\0")[:2] == [b"sleep", mark.encode()]:
                return True
    return False


def soon(holds: Callable[[], bool]) -> bool:
    """Wait up to 20 seconds for something to become true."""
    end = time.monotonic() + 20
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
