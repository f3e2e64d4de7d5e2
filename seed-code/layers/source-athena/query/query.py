"""Have Athena select the data of a training: the first step of the pipeline.

Reads ``settings.json`` beside this file. One statement writes the rows and columns that are wanted as Parquet into the
project's bucket; ``output/manifest/manifest.json`` names the files, and Validate and Prepare read these and no others.
``output/manifest/query.json`` says which query it was, of which state of the table.

Needs boto3 only, and the project's role: Lake Formation decides what that role sees.
"""

import datetime
import hashlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lake import catalog, engine, retention, statement
from lake.errors import LakeError

JOB = Path("/opt/ml/config/processingjobconfig.json")
OUTPUT = Path(os.environ.get("SM_PROCESSING_BASE", "/opt/ml/processing")) / "output" / "manifest"
MESSAGE = Path("/opt/ml/output/message")
MOST_MESSAGE_CHARACTERS = 1024  # SageMaker cuts ExitMessage there
MANIFEST, REPORT = "manifest.json", "query.json"
DATA = "data/"


class Clients:
    """Clients of the services that the step calls.

    Args:
        session: Session of boto3.
    """

    def __init__(self, session: Any) -> None:
        from botocore.config import Config

        config = Config(retries={"mode": "standard", "max_attempts": 8})
        self.athena, self.glue, self.s3, self.sagemaker = (
            session.client(name, config=config) for name in ("athena", "glue", "s3", "sagemaker")
        )


def main(clients: Any, settings: Mapping[str, Any], given: Mapping[str, str], execution: str, output: Path) -> None:
    """Query the data, unless an earlier try of this execution has done so, and leave manifest and report.

    Args:
        clients: `Clients`.
        settings: What the pipeline wrote beside this file.
        given: ``DATA_VERSION``: state of the data; ``INSTANCES``: how many of them are to divide the data.
        execution: The same for all tries of one execution, and for no other (`execution_of`).
        output: Folder of the output.

    Raises:
        LakeError: The data cannot be had; the message says why.
    """
    wanted = statement.Wanted.of(settings)
    table = catalog.find(clients.glue, wanted.database, wanted.table)
    query, divided = statement.select(wanted, table)
    state = f"{given['DATA_VERSION']}/{table.version}/{table.snapshot_file}"
    digest = _digest(query, state)[:16]
    report = None
    for attempt in range(engine.ATTEMPTS):
        token = _digest(execution, query, state, str(attempt))
        folder = f"{DATA}{digest}/{token[:16]}/"
        report = _committed(clients.s3, settings["bucket"], folder)
        if report is None:
            try:
                report = _unload(clients, settings, table, query, folder, token, divided=divided)
            except engine.RetryableError as err:
                print(f"{err}. Trying again, at another place.")
                last = err
                continue
        break
    if report is None:
        raise LakeError(f"{last}. That was try {engine.ATTEMPTS}; start the pipeline again later.")
    asked = int(given["INSTANCES"])
    report["instances"] = min(asked, report["files"])
    if report["instances"] < asked:
        print(
            f"Prepare runs on {report['instances']} instance(s) and not on {asked}: there are {report['files']} "
            f"file(s), and each is read by one instance."
        )
    manifest = clients.s3.get_object(Bucket=settings["bucket"], Key=f"{folder}{MANIFEST}")["Body"].read()
    output.mkdir(parents=True, exist_ok=True)
    (output / MANIFEST).write_bytes(manifest)
    (output / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))
    _tidy_up(clients, settings, folder)


def _unload(
    clients: Any,
    settings: Mapping[str, Any],
    table: catalog.Table,
    query: str,
    folder: str,
    token: str,
    *,
    divided: bool,
) -> dict[str, Any]:
    """Run the query, and commit what it wrote: first the manifest, then the report."""
    bucket = settings["bucket"]
    location = f"s3://{bucket}/{folder}"
    text = statement.unload(query, location, divided=divided)
    print(text)
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        answer = engine.run(
            clients.athena, clients.s3, text, database=table.database, work_group=settings["work_group"], token=token
        )
    except engine.HiddenError as err:
        # A name that was misspelt looks like one that was not granted: the catalog knows, Athena does not say.
        statement.select(
            statement.Wanted.of(settings), catalog.find(clients.glue, settings["database"], settings["table"])
        )
        raise LakeError(
            f"{err}. The columns that data.yaml lists are there, and the project may see them: either where names "
            f"another column, which is misspelt or was not granted, or a table under the view was not granted. The "
            f"project sees: {', '.join(table.columns)}."
        ) from err
    if not answer.files:
        engine.remove_results(clients.s3, answer)
        raise LakeError(
            f"Query {answer.query_id} found no row in {table.place}: there is nothing to train on. Check where and "
            f"partitions in data.yaml; rows that were not granted to the project are not there for it."
        )
    foreign = [uri for uri in answer.files if not uri.startswith(location)]
    if foreign:
        raise LakeError(f"Athena names a file outside of {location}: {foreign[0]}. Nothing is trained on it.")
    report = {
        "query_id": answer.query_id,
        "scanned_bytes": str(answer.scanned_bytes),
        "table": f"{table.owner}/{table.target}.{table.name}",
        "table_version": table.snapshot_file.rpartition("/")[2] or table.version or "unknown",
        "snapshot": settings.get("snapshot") or "newest",
        "time": moment,
        "engine": answer.engine or "unknown",
        "sql_digest": _digest(query)[:16],
        "manifest": f"{location}{MANIFEST}",
        "files": len(answer.files),
        "divided": divided,
    }
    names = [uri.removeprefix(location) for uri in answer.files]
    clients.s3.put_object(
        Bucket=bucket, Key=f"{folder}{MANIFEST}", Body=json.dumps([{"prefix": location}, *names]).encode()
    )
    clients.s3.put_object(Bucket=bucket, Key=f"{folder}{REPORT}", Body=json.dumps(report).encode())
    engine.remove_results(clients.s3, answer)
    return report


def _committed(s3: Any, bucket: str, folder: str) -> dict[str, Any] | None:
    """Return the report that an earlier try of this execution committed."""
    try:
        body = s3.get_object(Bucket=bucket, Key=f"{folder}{REPORT}")["Body"].read()
    except Exception as err:
        if getattr(err, "response", {}).get("Error", {}).get("Code") in ("NoSuchKey", "404"):
            return None
        raise
    found: dict[str, Any] = json.loads(body)
    return found


def _tidy_up(clients: Any, settings: Mapping[str, Any], folder: str) -> None:
    """Retire what earlier trainings unloaded; a training does not fail because that fails."""
    try:
        retired = retention.retire(
            clients.s3,
            clients.sagemaker,
            bucket=settings["bucket"],
            prefix=DATA,
            group=settings["model_package_group"],
            keep_days=settings["cache_days"],
            current=folder,
        )
    except Exception as err:  # whatever it was, the data of this training are there
        print(f"What earlier trainings unloaded was not looked through: {err}")
    else:
        for name in retired:
            print(f"No model and no cached step needs {name} any more: its files go within two days.")


def execution_of(job: Mapping[str, Any]) -> str:
    """Return what tells the execution of a job from others: where its output goes.

    A variable of the job would do as well, but the step cache compares variables, and would never answer.
    """
    uri: str = job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
    return uri


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


if __name__ == "__main__":
    import boto3

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("The job was stopped, and its query with it."))
    try:
        main(
            Clients(boto3.Session(region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"))),
            json.loads((Path(__file__).parent / "settings.json").read_text(encoding="utf-8")),
            os.environ,
            execution_of(json.loads(JOB.read_text(encoding="utf-8"))),
            OUTPUT,
        )
    except LakeError as err:
        if MESSAGE.parent.is_dir():
            MESSAGE.write_text(str(err)[:MOST_MESSAGE_CHARACTERS], encoding="utf-8")
        sys.exit(f"ERROR: {err}")
