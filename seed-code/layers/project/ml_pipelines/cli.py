"""Commands of the project: publish the pipeline, start it, look at it, or run it on this machine.

python -m ml_pipelines local                                     sample data, no AWS
python -m ml_pipelines local --data claims.csv --label fraud     your data, no AWS
python -m ml_pipelines definition                                the JSON that SageMaker would get
python -m ml_pipelines upsert --start                            publish and start; what the build of the project does
python -m ml_pipelines start --set TrainingInstanceType=ml.m5.4xlarge
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_pipelines.config import ROOT, ConfigError, ProjectConfig, for_aws, for_this_machine

_LOCAL_REGION = "us-east-1"  # decides only which image the definition names; nothing is fetched from there
_LOCAL_ARN = "arn:aws:sagemaker:us-east-1:000000000000:pipeline/local/execution/local"
_WIDTH = 72
_MARK = ".made-by-ml-pipelines"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, or 1 with one plain message on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except ConfigError as err:
        print(f"ERROR: {err}", file=sys.stderr)
        return 1


def upsert(options: argparse.Namespace) -> int:
    """Create or update the pipeline in this account, and start it if asked to."""
    config = for_aws()
    boto_session, sdk = _boto_session_and_sdk()
    from ml_pipelines.pipeline import build_pipeline

    session = sdk.pipeline_session(boto_session, config.bucket)
    with build_pipeline(_with_commit(config), session) as pipeline:
        tags = [{"Key": key, "Value": value} for key, value in config.tags.items()]
        answer = pipeline.upsert(role_arn=config.role_arn, tags=tags or None)
    print(f"pipeline {config.pipeline_name} is up to date: {answer['PipelineArn']}")
    return _start(config, boto_session, options.set or []) if options.start else 0


def start(options: argparse.Namespace) -> int:
    """Start an execution of the published pipeline; do not wait for it."""
    boto_session, _ = _boto_session_and_sdk()
    return _start(for_aws(), boto_session, options.set or [])


def definition(options: argparse.Namespace) -> int:
    """Print the definition of the pipeline, built without AWS."""
    _need_local_pipelines()
    config = for_this_machine(options.config, label=options.label, problem_type=options.problem_type)
    text = _define(config, ROOT / "build" / "definition")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n", encoding="utf-8")
        print(f"{options.output}: {len(text)} characters")
    else:
        print(text)
    return 0


def local(options: argparse.Namespace) -> int:
    """Run the pipeline on this machine and say what came out."""
    _need_local_pipelines()
    from local_pipelines.runner import Events, Execution, PipelineRunner, write_registration
    from local_pipelines.sandbox import Sandbox
    from local_pipelines.stores import FolderStore

    from ml_pipelines import sample

    began = time.monotonic()
    _check_places(options.data, options.output)
    label = options.label
    if options.data is None and label is None and not os.environ.get("LABEL"):
        label = sample.LABEL
    config = for_this_machine(options.config, label=label, problem_type=options.problem_type)
    build = options.output.resolve()
    shutil.rmtree(build, ignore_errors=True)
    build.mkdir(parents=True)
    (build / _MARK).write_text("`python -m ml_pipelines local` made this folder, and empties it when it runs again.\n")
    store = build / "store"
    if options.data is None:
        sample.write(build / "sample" / "customers.csv")
        print(f"No data given: using a made-up sample, {_short(build / 'sample' / 'customers.csv')}")
    config.source.copy_local(options.data or build / "sample", store / "local" / "data")
    print("Building the definition of the pipeline")
    text = _define(config, store)
    (build / "definition.json").write_text(text + "\n", encoding="utf-8")

    progress, events = _Progress(), Events(build / "events.jsonl")

    def on_event(event: dict[str, Any]) -> None:
        events(event)
        progress(event)

    runner = PipelineRunner(
        store=FolderStore(store),
        sandbox=Sandbox(build / "tools", namespaces=False if options.no_namespaces else None),
        register=write_registration(build),
        work=build / "jobs",
        on_event=on_event,
    )
    parameters = {"DataVersion": "local", **_settings(options.set or [])}
    outcome = runner.run(json.loads(text), Execution(config.pipeline_name, _LOCAL_ARN, parameters))
    evaluation = store / "local" / "local" / "runs" / "local" / "evaluate" / "evaluation"
    if evaluation.is_dir():
        shutil.copytree(evaluation, build / "evaluation")  # out of the depths of what would be a bucket
    _summarise(config.job.label, build / "evaluation", build / "model-package.json", time.monotonic() - began)
    if not outcome.succeeded:
        print(f"\n{outcome.failure_reason}", file=sys.stderr)
    return 0 if outcome.succeeded else 1


def _check_places(data: Path | None, output: Path) -> None:
    """Check that there is data, and that emptying the output folder loses nothing of anybody's.

    Raises:
        ConfigError: Says what would be lost, or what is missing.
    """
    if data is not None and re.match(r"s3:/", str(data)):
        raise ConfigError(
            f"DATA is {str(data).replace(':/', '://', 1)}, and nothing is read from S3 on this machine: copy the files "
            f"first, e.g. with aws s3 cp --recursive, and give their folder."
        )
    if data is not None and not data.exists():
        raise ConfigError(f"There is no data at {data}: give a CSV or Parquet file, or a folder with such files.")
    build = output.resolve()
    if build.exists() and not build.is_dir():
        raise ConfigError(f"{output} is a file; the results need a folder.")
    inputs = () if data is None else (data.resolve(), *(file.resolve() for file in data.rglob("*")))
    if inside := next((path for path in inputs if path == build or path.is_relative_to(build)), None):
        raise ConfigError(
            f"The data {_short(inside)} is in {_short(build)}, which is emptied first, so it would be deleted. "
            f"Copy it to another place, or choose another output folder."
        )
    own = build == ROOT / "build" / "local" or (build / _MARK).is_file()
    if build.is_dir() and not own and any(build.iterdir()):
        raise ConfigError(
            f"{output} is not empty, and this command did not make it, so its files would be lost. Choose another "
            f"output folder, or empty it yourself."
        )


class _Progress:
    """Prints one line per step while the pipeline runs."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()

    def __call__(self, event: dict[str, Any]) -> None:
        if event.get("type") == "Fail" or "step" not in event:
            return  # the reason is printed at the end
        if event["status"] == "Executing":
            if self._is_terminal:
                print(f"  {event['step']:<10} ...", end="", flush=True)
            return
        start = "\r" if self._is_terminal else ""
        detail = event["detail"] if event["status"] == "Succeeded" else "failed"
        detail = "see below" if event["type"] == "RegisterModel" else detail
        line = f"  {event['step']:<10} {event['seconds']:5.1f} s  {detail}"
        print(start + line, flush=True)


def _summarise(label: str, folder: Path, package: Path, seconds: float) -> None:
    """Print what a person wants to know after a run: the metrics, the gate, and where to look further."""
    print("-" * _WIDTH)
    report = folder / "evaluation.json"
    if report.is_file():
        content = json.loads(report.read_text(encoding="utf-8"))
        print(f"label       {label} ({content['problem_type']})")
        print(_metrics_line(content))
        for column, reason in content["columns_left_out"].items():
            print(f"left out    column {column}: {reason}")
        print(f"gate        {content['gate']['reason']}")
        pictures = ", ".join(picture.name for picture in sorted(folder.glob("*.png")))
        print(f"pictures    {_short(folder)}/: {pictures}")
    if package.is_file():
        print(f"registered  nothing, as this is not AWS; {_short(package)} is what the registry would get")
    print(f"logs        {_short(package.parent / 'jobs')}/<job>/algo-1/log.txt")
    print(f"time        {seconds:.1f} s")


def _short(path: Path) -> str:
    """Return a path as people write it: relative to where they are."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _metrics_line(report: dict[str, Any]) -> str:
    section = next(content for name, content in report.items() if name.endswith("_metrics"))
    values = {name: entry["value"] for name, entry in section.items() if "value" in entry}
    return "metrics     " + ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _define(config: ProjectConfig, store: Path) -> str:
    from local_pipelines.offline import offline_session

    from ml_pipelines import sdk
    from ml_pipelines.pipeline import definition as define

    sdk.quiet()
    session = sdk.pipeline_session(offline_session(store, region=_LOCAL_REGION), config.bucket)
    return define(_with_commit(config), session)


def _need_local_pipelines() -> None:
    """Check that what replaces AWS on this machine is installed; it is a development dependency.

    Raises:
        ConfigError: It is not.
    """
    try:
        import local_pipelines  # noqa: F401
    except ModuleNotFoundError as err:
        raise ConfigError(
            "The package local-pipelines, which replaces AWS on this machine, is not installed, so no pipeline can "
            "run here: install it from vendor/ with `uv sync` and repeat the command, or use `make local`."
        ) from err


def _start(config: ProjectConfig, boto_session: Any, settings: Sequence[str]) -> int:
    given = _settings(settings)
    if "DataVersion" not in given:
        given["DataVersion"] = config.source.version(boto_session, given)
    answer = boto_session.client("sagemaker").start_pipeline_execution(
        PipelineName=config.pipeline_name,
        PipelineParameters=[{"Name": name, "Value": value} for name, value in given.items()],
    )
    print(f"started {answer['PipelineExecutionArn']} on data version {given['DataVersion']}")
    return 0


def _boto_session_and_sdk() -> tuple[Any, Any]:
    import boto3

    from ml_pipelines import sdk

    sdk.quiet()
    return boto3.Session(), sdk


def _with_commit(config: ProjectConfig) -> ProjectConfig:
    """Return the configuration with the commit that is checked out, where the build did not name one."""
    if config.commit != "unknown":
        return config
    try:
        run = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return config
    return ProjectConfig(**{**vars(config), "commit": run.stdout.strip() or "unknown"})


def _settings(pairs: Sequence[str]) -> dict[str, str]:
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {pair!r} is not of the form Parameter=value, e.g. ProcessingInstanceCount=3.")
        settings[name] = value
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ml_pipelines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    what = {
        "upsert": (upsert, "create or update the pipeline in this account"),
        "start": (start, "start an execution of the pipeline; does not wait"),
        "definition": (definition, "print the definition, built without AWS"),
        "local": (local, "run the pipeline on this machine, without AWS and Docker"),
    }
    for name, (command, text) in what.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(command=command)
        if name in ("local", "definition"):
            sub.add_argument("--config", type=Path, default=ROOT / "config.yaml", help="default: config.yaml")
            sub.add_argument("--label", help="column to predict; default: as config.yaml says")
            sub.add_argument(
                "--problem-type", help="auto, binary, multiclass or regression; default: as config.yaml says"
            )
        if name != "definition":
            sub.add_argument(
                "--set", action="append", metavar="NAME=VALUE", help="a parameter of the pipeline; may be repeated"
            )
        if name == "upsert":
            sub.add_argument("--start", action="store_true", help="start an execution afterwards; does not wait")
        if name == "definition":
            sub.add_argument("--output", type=Path, help="file to write; default: standard output")
        if name == "local":
            sub.add_argument(
                "--output", type=Path, default=ROOT / "build" / "local", help="folder for the results; emptied first"
            )
            sub.add_argument(
                "--data", type=Path, help="CSV or Parquet file, or a folder of them; default: a made-up sample"
            )
            sub.add_argument(
                "--no-namespaces", action="store_true", help="replace /opt/ml in scripts instead of mounting over it"
            )
    return parser
