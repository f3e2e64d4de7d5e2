"""Runs a SageMaker pipeline definition for real, on this machine: the jobs, the conditions, the registration.

A pipeline keeps everything in a folder, or in S3 with the credentials of the environment. From the command line:

    python -m local_pipelines.runner --definition FILE --pipeline-name NAME --execution-arn ARN --work DIR \
        (--store DIR | --aws) [--parameters JSON] [--events FILE]

Nothing here needs the SageMaker SDK: what is run is the JSON that the service would run. Steps run one after the other
in the order of their dependencies; with ``--cache DIR`` a step that an earlier execution has run is not run again.
Retry policies and instance types have no meaning on one machine and are ignored; instance counts are not: a processing
job on three instances is three processes, each with a third of the input.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import re
import shutil
import signal
import sys
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from local_pipelines.cache import StepCache
from local_pipelines.expressions import DefinitionError, Scope, as_text, holds, referenced_steps, resolve
from local_pipelines.sandbox import ROOT, Sandbox
from local_pipelines.stores import FolderStore, S3Store, Store, StoreError

_METRICS_SHOWN = 3
_Done: TypeAlias = tuple[dict[str, Any], dict[str, Any], str]
"""Properties of a step, its metadata, and a short text about it."""
_REASON_LENGTH = 1024  # FailureReason of DescribeTrainingJob


class StepFailedError(Exception):
    """A step failed; the message is the reason, as the service would report it."""


@dataclass(frozen=True)
class Execution:
    """One execution of a pipeline.

    Attributes:
        pipeline_name: Name of the pipeline.
        arn: ``arn:<partition>:sagemaker:<region>:<account>:pipeline/<name>/execution/<id>``.
        parameters: Values given at the start; the others have the defaults of the definition.
    """

    pipeline_name: str
    arn: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The last part of the ARN."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def region(self) -> str:
        """Region in the ARN."""
        return self.arn.split(":")[3]

    def job_arn(self, kind: str, name: str) -> str:
        """Return the ARN of a job of this execution, e.g. of kind ``training-job``."""
        return f"{':'.join(self.arn.split(':')[:5])}:{kind}/{name}"


@dataclass(frozen=True)
class Outcome:
    """How an execution ended.

    Attributes:
        succeeded: Whether every step that was to run has succeeded.
        failure_reason: What failed and why, empty on success.
        steps: Properties of the steps that are done, by step name.
    """

    succeeded: bool
    failure_reason: str
    steps: Mapping[str, Any]


class PipelineRunner:
    """Executes pipeline definitions.

    Args:
        store: Where inputs are found and outputs are put.
        sandbox: How jobs are run.
        register: Registers a model package, given the request of CreateModelPackage, and returns its ARN.
        work: Folder for the jobs; each job leaves its log and its files there.
        cache: Steps of earlier executions. Default: none, so every step runs.
        on_event: Called with every event: a step is executing, has succeeded or failed; the execution has ended.
    """

    def __init__(
        self,
        *,
        store: Store,
        sandbox: Sandbox,
        register: Callable[[dict[str, Any]], str],
        work: Path,
        cache: StepCache | None = None,
        on_event: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._sandbox = sandbox
        self._register = register
        self._work = work.resolve()
        self._cache = cache
        self._on_event = on_event

    def run(self, definition: Mapping[str, Any], execution: Execution) -> Outcome:
        """Execute a definition and return how it ended; a failing step is an outcome, not an exception."""
        started = _now()
        property_files: dict[tuple[str, str], str] = {}
        scope = Scope(
            parameters={},
            execution={
                "PipelineExecutionId": execution.id,
                "PipelineExecutionArn": execution.arn,
                "PipelineName": execution.pipeline_name,
                "PipelineArn": execution.arn.split("/execution/")[0],
                "StartDateTime": started,
                "CurrentDateTime": started,
            },
            read_property_file=lambda step, name: self._read_property_file(property_files, step, name),
        )
        try:
            scope.parameters = _parameters(definition, execution.parameters)
            self._run_steps(definition["Steps"], _Run(execution, scope, property_files))
        except (StepFailedError, DefinitionError) as err:
            self._on_event({"execution": "Failed", "failure_reason": str(err)})
            return Outcome(False, str(err), scope.steps)
        self._on_event({"execution": "Succeeded"})
        return Outcome(True, "", scope.steps)

    def _run_steps(self, steps: Sequence[Mapping[str, Any]], run: _Run) -> None:
        waiting = list(steps)
        while waiting:
            names = {step["Name"] for step in waiting}
            ready = next((step for step in waiting if not _dependencies(step) & (names - {step["Name"]})), None)
            if ready is None:
                raise StepFailedError(
                    f"steps {', '.join(sorted(names))} depend on each other in a circle; none can start"
                )
            waiting.remove(ready)
            self._run_step(ready, run)

    def _run_step(self, step: Mapping[str, Any], run: _Run) -> None:
        name, kind = step["Name"], step["Type"]
        began = time.monotonic()
        self._on_event({"time": _now(), "step": name, "type": kind, "status": "Executing"})

        def finish(status: str, **more: Any) -> None:
            seconds = round(time.monotonic() - began, 3)
            self._on_event({"time": _now(), "step": name, "type": kind, "status": status, "seconds": seconds, **more})

        branch: Sequence[Mapping[str, Any]] = ()
        try:
            if kind == "Condition":
                outcome = all(holds(condition, run.scope) for condition in step["Arguments"]["Conditions"])
                branch = step["Arguments"]["IfSteps" if outcome else "ElseSteps"]
                result = {"Outcome": str(outcome)}
                metadata, detail = (
                    {"Condition": result},
                    f"{str(outcome).lower()}: {', '.join(s['Name'] for s in branch)}",
                )
            else:
                action = self._actions().get(kind)
                if action is None:
                    known = ", ".join(["Condition", *self._actions()])
                    raise StepFailedError(f"steps of type {kind} cannot be run on this machine, only {known}")
                result, metadata, detail = self._once(action, step, resolve(step["Arguments"], run.scope), run)
        except (StepFailedError, DefinitionError, StoreError, TimeoutError, ValueError) as err:
            reason = str(err)
            finish(
                "Failed", failure_reason=reason, metadata={"Fail": {"ErrorMessage": reason}} if kind == "Fail" else {}
            )
            raise StepFailedError(f"Step {name} failed: {reason}") from err
        run.scope.steps[name] = result
        finish("Succeeded", detail=detail, metadata=metadata, properties=result)
        self._run_steps(branch, run)

    def _once(self, action: Callable[..., _Done], step: Mapping[str, Any], request: dict[str, Any], run: _Run) -> _Done:
        """Do what a step says, unless the cache knows what came of it."""
        if self._cache is None:
            return action(step, request, run)
        name, pipeline = step["Name"], run.execution.pipeline_name
        kept = self._cache.find(pipeline, step, request)
        if kept:
            run.property_files.update({(name, file): uri for file, uri in kept.files.items()})
            hit = {"CacheHitResult": {"SourcePipelineExecutionArn": kept.execution}}
            return kept.properties, {**kept.metadata, **hit}, "from the cache"
        properties, metadata, detail = action(step, request, run)
        files = {file: uri for (of_step, file), uri in run.property_files.items() if of_step == name}
        self._cache.keep(
            pipeline,
            step,
            request,
            properties=properties,
            metadata=metadata,
            files=files,
            execution=run.execution.arn,
        )
        return properties, metadata, detail

    def _actions(self) -> dict[str, Callable[..., tuple[dict[str, Any], dict[str, Any], str]]]:
        return {
            "Processing": self._processing,
            "Training": self._training,
            "RegisterModel": self._register_model,
            "Fail": self._fail,
        }

    def _processing(
        self, step: Mapping[str, Any], request: dict[str, Any], run: _Run
    ) -> tuple[dict[str, Any], dict[str, Any], str]:
        name = run.job_name(step["Name"])
        inputs = request.get("ProcessingInputs", [])
        output_config = request.get("ProcessingOutputConfig", {})
        outputs = [output for output in output_config.get("Outputs", []) if "S3Output" in output]
        application = request["AppSpecification"]
        hosts = _hosts(request["ProcessingResources"]["ClusterConfig"]["InstanceCount"])
        folders = []
        for index, host in enumerate(hosts):
            ml = self._folder(name, host)
            for item in inputs:
                if "S3Input" not in item:
                    raise StepFailedError(
                        f"input {item.get('InputName')} is not in S3; only S3 inputs are supported here"
                    )
                source = item["S3Input"]
                sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
                shard = (index, len(hosts)) if sharded else (0, 1)
                self._fetch(source, _inside(ml, source["LocalPath"]), shard)
            for output in outputs:
                _inside(ml, output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
            _write_json(ml / "config" / "processingjobconfig.json", {"ProcessingJobName": name, **request})
            _write_json(ml / "config" / "resourceconfig.json", {"current_host": host, "hosts": hosts})
            folders.append(ml)
        arn = run.execution.job_arn("processing-job", name)
        self._run_containers(
            folders,
            [*application.get("ContainerEntrypoint", []), *application.get("ContainerArguments", [])],
            {
                "AWS_REGION": run.execution.region,
                "PROCESSING_JOB_ARN": arn,
                **{key: as_text(value) for key, value in request.get("Environment", {}).items()},
            },
            timeout_s=request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
        )
        for ml in folders:
            for output in outputs:
                target = output["S3Output"]
                self._put_folder(_inside(ml, target["LocalPath"]), target["S3Uri"], output_config.get("KmsKeyId"))
        uris = {output["OutputName"]: output["S3Output"]["S3Uri"] for output in outputs}
        for file in step.get("PropertyFiles", []):
            uri = f"{uris[file['OutputName']]}/{file['FilePath']}"
            run.property_files[step["Name"], file["PropertyFileName"]] = uri
        properties = {
            **request,
            "ProcessingJobName": name,
            "ProcessingJobArn": arn,
            "ProcessingJobStatus": "Completed",
            "ProcessingInputs": {item["InputName"]: item for item in inputs},
            "ProcessingOutputConfig": {**output_config, "Outputs": {item["OutputName"]: item for item in outputs}},
        }
        return properties, {"ProcessingJob": {"Arn": arn}}, f"{len(hosts)} instance{'s' if len(hosts) > 1 else ''}"

    def _training(
        self, step: Mapping[str, Any], request: dict[str, Any], run: _Run
    ) -> tuple[dict[str, Any], dict[str, Any], str]:
        name = run.job_name(step["Name"])
        resources = request["ResourceConfig"]
        if int(resources.get("InstanceCount", 1)) != 1:
            raise StepFailedError("training on several instances needs a cluster; here InstanceCount must be 1")
        channels = request.get("InputDataConfig", [])
        algorithm = request["AlgorithmSpecification"]
        ml = self._folder(name, "algo-1")
        for folder in ("model", "output/data", "input/data", "code"):
            (ml / folder).mkdir(parents=True, exist_ok=True)
        for channel in channels:
            source = channel["DataSource"]["S3DataSource"]
            self._fetch(source, ml / "input" / "data" / channel["ChannelName"], (0, 1))
        hyperparameters = {key: as_text(value) for key, value in request.get("HyperParameters", {}).items()}
        _write_json(ml / "input" / "config" / "hyperparameters.json", hyperparameters)
        _write_json(
            ml / "input" / "config" / "inputdataconfig.json",
            {
                channel["ChannelName"]: {
                    "ContentType": channel.get("ContentType", ""),
                    "TrainingInputMode": "File",
                    "S3DistributionType": "FullyReplicated",
                    "RecordWrapperType": "None",
                }
                for channel in channels
            },
        )
        _write_json(
            ml / "input" / "config" / "resourceconfig.json",
            {
                "current_host": "algo-1",
                "current_instance_type": resources["InstanceType"],
                "current_group_name": "homogeneousCluster",
                "hosts": ["algo-1"],
                "instance_groups": [
                    {
                        "instance_group_name": "homogeneousCluster",
                        "instance_type": resources["InstanceType"],
                        "hosts": ["algo-1"],
                    }
                ],
                "network_interface_name": "eth0",
            },
        )
        arn = run.execution.job_arn("training-job", name)
        self._run_containers(
            [ml],
            [*algorithm.get("ContainerEntrypoint", ["train"]), *algorithm.get("ContainerArguments", [])],
            {
                "AWS_REGION": run.execution.region,
                "TRAINING_JOB_NAME": name,
                "TRAINING_JOB_ARN": arn,
                **{key: as_text(value) for key, value in request.get("Environment", {}).items()},
            },
            timeout_s=request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
        )
        output_config = request["OutputDataConfig"]
        target = f"{output_config['S3OutputPath'].rstrip('/')}/{name}/output"
        archives = []
        for folder, archive in (("model", "model.tar.gz"), ("output/data", "output.tar.gz")):
            if any((ml / folder).iterdir()):
                _pack(ml / folder, ml.parent / archive)
                archives.append((ml.parent / archive, f"{target}/{archive}"))
        self._store.upload(archives, output_config.get("KmsKeyId"))
        metrics = _metrics(algorithm.get("MetricDefinitions", []), (ml.parent / "log.txt").read_text(errors="replace"))
        properties = {
            **request,
            "TrainingJobName": name,
            "TrainingJobArn": arn,
            "TrainingJobStatus": "Completed",
            "ModelArtifacts": {"S3ModelArtifacts": f"{target}/model.tar.gz"},
            "FinalMetricDataList": [{"MetricName": key, "Value": value} for key, value in metrics.items()],
        }
        detail = ", ".join(f"{key} {value:g}" for key, value in list(metrics.items())[:_METRICS_SHOWN])
        return properties, {"TrainingJob": {"Arn": arn}}, detail

    def _register_model(
        self, _step: Mapping[str, Any], request: dict[str, Any], _run: _Run
    ) -> tuple[dict[str, Any], dict[str, Any], str]:
        arn = self._register(request)
        return {**request, "ModelPackageArn": arn}, {"RegisterModel": {"Arn": arn}}, arn

    def _fail(
        self, _step: Mapping[str, Any], request: dict[str, Any], _run: _Run
    ) -> tuple[dict[str, Any], dict[str, Any], str]:
        raise StepFailedError(str(request["ErrorMessage"]))

    def _run_containers(
        self, folders: Sequence[Path], command: list[str], environment: dict[str, str], *, timeout_s: float | None
    ) -> None:
        """Run the same command once per host, all at the same time, and raise when one of them fails."""

        def run(ml: Path) -> int:
            return self._sandbox.run(ml, command, environment, log=ml.parent / "log.txt", timeout_s=timeout_s)

        with ThreadPoolExecutor(len(folders)) as pool:
            codes = list(pool.map(run, folders))
        for ml, code in zip(folders, codes, strict=True):
            if code:
                raise StepFailedError(_failure_reason(ml, code))

    def _folder(self, job: str, host: str) -> Path:
        """Return an empty folder that will be /opt/ml on a host of a job."""
        ml = self._work / job / host / "ml"
        shutil.rmtree(ml.parent, ignore_errors=True)
        (ml / "config").mkdir(parents=True)
        (ml / "input" / "config").mkdir(parents=True)
        (ml / "output").mkdir()
        return ml

    def _fetch(self, source: Mapping[str, Any], target: Path, shard: tuple[int, int]) -> None:
        """Download the objects of an S3 input; of N shards, the one with the given index gets every Nth object."""
        uri = source["S3Uri"]
        if source.get("S3DataType") == "ManifestFile":
            base, objects = _listed(uri, self._store.read(uri))
        else:
            base, objects = uri.rstrip("/"), self._store.list(uri)
        if not objects:
            raise StoreError(f"there is nothing at {uri}")
        target.mkdir(parents=True, exist_ok=True)
        index, count = shard
        for item in objects[index::count]:
            relative = item.removeprefix(base).removeprefix("/") or PurePosixPath(item).name
            self._store.download(item, target / relative)

    def _put_folder(self, folder: Path, uri: str, kms_key_id: str | None) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        base = uri.rstrip("/")
        self._store.upload([(file, f"{base}/{file.relative_to(folder).as_posix()}") for file in files], kms_key_id)

    def _read_property_file(self, files: Mapping[tuple[str, str], str], step: str, name: str) -> Any:
        uri = files.get((step, name))
        if uri is None:
            raise DefinitionError(f"property file {name} of step {step} does not exist")
        return json.loads(self._store.read(uri))


def _listed(uri: str, content: bytes) -> tuple[str, list[str]]:
    """Return the prefix and the sorted objects of a manifest: ``[{"prefix": "s3://bucket/a/"}, "b.csv", "c.csv"]``.

    Its form is that of ManifestFile in the API reference (S3DataSource); files keep their path below the prefix.

    Raises:
        StoreError: It has another form.
    """
    try:
        first, *names = json.loads(content)
        prefix = str(first["prefix"])
        if not prefix.startswith("s3://") or not all(isinstance(name, str) for name in names):
            raise ValueError(prefix)
    except (ValueError, KeyError, TypeError) as err:
        raise StoreError(
            f'{uri} is not a manifest such as [{{"prefix": "s3://bucket/folder/"}}, "part-0.csv"]: {err}'
        ) from err
    return prefix.rstrip("/"), sorted(f"{prefix}{name}" for name in names)


@dataclass
class _Run:
    """What the steps of one execution share."""

    execution: Execution
    scope: Scope
    property_files: dict[tuple[str, str], str]

    def job_name(self, step: str) -> str:
        """Return a job name of the form that the service gives: ``pipelines-<execution>-<step>-<10 characters>``."""
        suffix = hashlib.sha256(f"{self.execution.arn}/{step}".encode()).hexdigest()[:10]
        # 63 characters are the service's limit for job names.
        head = f"pipelines-{self.execution.id}-{step}"[: 63 - 11].rstrip("-")
        return f"{head}-{suffix}"


class Events:
    """A file with one JSON object per line: every change of a step's status, and at last how the execution ended."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def __call__(self, event: dict[str, Any]) -> None:
        """Append one event; readers see it at once."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


def write_registration(folder: Path) -> Callable[[dict[str, Any]], str]:
    """Return a stand-in for the model registry: it writes each request into ``<folder>/model-package.json``."""

    def register(request: dict[str, Any]) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "model-package.json"
        _write_json(path, request)
        return str(path)

    return register


def register_with(client: Any) -> Callable[[dict[str, Any]], str]:
    """Return a function that registers model packages with SageMaker; the group has to exist."""

    def register(request: dict[str, Any]) -> str:
        try:
            return str(client.create_model_package(**request)["ModelPackageArn"])
        except client.exceptions.ClientError as err:
            raise StepFailedError(str(err)) from err

    return register


def _parameters(definition: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every parameter, typed as declared.

    Raises:
        DefinitionError: A parameter is unknown, has no value, or has one of another type or outside its enumeration.
    """
    declared = {item["Name"]: item for item in definition.get("Parameters", [])}
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise DefinitionError(f"the pipeline has no parameter {', '.join(unknown)}; it has {', '.join(declared)}")
    values = {}
    for name, item in declared.items():
        if name not in given and "DefaultValue" not in item:
            raise DefinitionError(f"parameter {name} has no default: give it a value")
        values[name] = _typed(name, item["Type"], given.get(name, item.get("DefaultValue")))
        if "EnumValues" in item and values[name] not in item["EnumValues"]:
            raise DefinitionError(f"parameter {name} is {values[name]!r}; it may be one of {item['EnumValues']}")
    return values


def _typed(name: str, kind: str, value: Any) -> Any:
    """Return a parameter's value as its declared type; executions are started with strings only."""
    try:
        if kind == "Integer":
            return int(value)
        if kind == "Float":
            return float(value)
    except (TypeError, ValueError) as err:
        raise DefinitionError(f"parameter {name} is {value!r}, which is no {kind.lower()}") from err
    if kind == "Boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    return str(value)


def _dependencies(step: Mapping[str, Any]) -> set[str]:
    """Return the names of the steps that have to be done before a step; steps within a condition count for it."""
    return set(step.get("DependsOn", [])) | referenced_steps(step.get("Arguments"))


def _hosts(count: Any) -> list[str]:
    if int(count) < 1:
        raise StepFailedError(f"the job is to run on {count} instances; it needs at least one")
    return [f"algo-{number + 1}" for number in range(int(count))]


def _inside(ml: Path, path: str) -> Path:
    """Return the file of this machine that a container sees at a path below /opt/ml."""
    return ml / PurePosixPath(path).relative_to(ROOT)


def _pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name)


def _metrics(definitions: Sequence[Mapping[str, str]], log: str) -> dict[str, float]:
    """Return the last value of every metric that the log of a training job mentions."""
    found = {item["Name"]: re.findall(item["Regex"], log) for item in definitions}
    return {name: float(values[-1]) for name, values in found.items() if values}


def _failure_reason(ml: Path, code: int) -> str:
    """Return what a job said about its failure: its failure or exit message, else the end of its log."""
    for name in ("failure", "message"):  # training jobs write the first, processing jobs the second
        path = ml / "output" / name
        if path.is_file() and (text := path.read_text(errors="replace").strip()):
            return text[:_REASON_LENGTH]
    log = ml.parent / "log.txt"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"exit code {code}: {chr(10).join(lines[-8:])[-_REASON_LENGTH:]}\nThe whole log: {log}"


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one execution as the command line says and return the exit code: 0, or 1 when a step failed."""
    parser = argparse.ArgumentParser(
        prog="python -m local_pipelines.runner", description="Run a pipeline definition here."
    )
    parser.add_argument("--definition", type=Path, required=True, help="the definition, JSON")
    parser.add_argument("--pipeline-name", required=True)
    parser.add_argument("--execution-arn", required=True)
    parser.add_argument(
        "--parameters", type=json.loads, default={}, help='JSON, e.g. {"TrainingInstanceType": "ml.m5.large"}'
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the files and logs of the jobs")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--store", type=Path, help="folder that stands for S3")
    where.add_argument(
        "--aws", action="store_true", help="use S3 and the model registry, with this environment's credentials"
    )
    parser.add_argument("--cache", type=Path, help="folder with the step cache; default: every step runs")
    parser.add_argument("--events", type=Path, help="file to which one JSON object per event is appended")
    options = parser.parse_args(arguments)
    # A runner that is told to stop takes its jobs with it (the sandbox stops them when the stack unwinds).
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    execution = Execution(options.pipeline_name, options.execution_arn, options.parameters)
    store: Store
    if options.aws:
        import boto3  # a third of a second that a local run does not need

        store = S3Store(boto3.client("s3", region_name=execution.region))
        register = register_with(boto3.client("sagemaker", region_name=execution.region))
    else:
        store = FolderStore(options.store)
        register = write_registration(options.work)
    runner = PipelineRunner(
        store=store,
        sandbox=Sandbox(options.work / "tools", aws=options.aws),
        register=register,
        work=options.work,
        cache=StepCache(options.cache) if options.cache else None,
        on_event=Events(options.events) if options.events else lambda event: print(json.dumps(event)),
    )
    outcome = runner.run(json.loads(options.definition.read_text(encoding="utf-8")), execution)
    if not outcome.succeeded:
        print(outcome.failure_reason, file=sys.stderr)
    return 0 if outcome.succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
