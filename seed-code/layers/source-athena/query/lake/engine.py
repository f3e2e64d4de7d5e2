"""One statement in Athena: started once, waited for, and what came of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lake.errors import LakeError

ATTEMPTS = 3
FIRST_PAUSE_S, MOST_PAUSE_S, GROWTH = 0.5, 15.0, 1.5
RUNNING = ("QUEUED", "RUNNING")
BYTES_LIMIT = "bytes scanned limit"
NOT_SEEN = ("COLUMN_NOT_FOUND", "TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND")


class HiddenError(LakeError):
    """Athena does not find a name: it is misspelt, or not granted; only the catalog can tell which."""


class RetryableError(LakeError):
    """Athena failed for reasons of its own, and says that the same statement may work when it is tried again."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What Athena says about a statement that it carried out.

    Attributes:
        query_id: Id of the query.
        scanned_bytes: What it is charged by.
        engine: Version of the engine.
        files: S3 URIs of the files that it wrote.
        results: S3 URIs under which it left results of its own.
    """

    query_id: str
    scanned_bytes: int
    engine: str
    files: tuple[str, ...]
    results: tuple[str, ...]


def run(
    athena: Any,
    s3: Any,
    statement: str,
    *,
    database: str,
    work_group: str,
    token: str,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Carry out an UNLOAD and return what it wrote.

    Args:
        athena: Client of Athena.
        s3: Client of S3.
        statement: The statement.
        database: Database in which names are looked up.
        work_group: Work group that limits and encrypts.
        token: 32 to 128 characters; the same token and statement are one query, however often they are sent.
        sleep: Waits, in seconds.

    Raises:
        HiddenError: A table or column is not there, or not for this role.
        RetryableError: Trying again with another token and another place may help.
        LakeError: It cannot be carried out; the message says why.
    """
    try:
        query_id = athena.start_query_execution(
            QueryString=statement,
            ClientRequestToken=token,
            QueryExecutionContext={"Database": database},
            WorkGroup=work_group,
        )["QueryExecutionId"]
    except Exception as err:
        answer = getattr(err, "response", {}).get("Error", {})
        if answer.get("Code") == "InvalidRequestException":
            raise LakeError(
                f"Athena does not take the statement: {answer.get('Message')}. Check where in data.yaml; the statement "
                f"is in the log of the step Query."
            ) from err
        raise
    found = _ended(athena, query_id, sleep)
    if found["Status"]["State"] != "SUCCEEDED":
        raise _failed(query_id, work_group, found)
    statistics = found.get("Statistics", {})
    manifest = statistics.get("DataManifestLocation")
    if not manifest:
        raise LakeError(f"Athena named no manifest for query {query_id}, so it is unknown which files it wrote.")
    bucket, key = split_uri(manifest)
    text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    return Answer(
        query_id=query_id,
        scanned_bytes=int(statistics.get("DataScannedInBytes", 0)),
        engine=(found.get("EngineVersion") or {}).get("EffectiveEngineVersion", ""),
        files=tuple(sorted(line.strip().strip('"') for line in text.splitlines() if line.strip())),
        results=(manifest, found.get("ResultConfiguration", {}).get("OutputLocation") or manifest),
    )


def _ended(athena: Any, query_id: str, sleep: Callable[[float], None]) -> Mapping[str, Any]:
    """Wait for the end of a query, which ends with the job when that is stopped, and return what is known of it."""
    pause = FIRST_PAUSE_S
    try:
        while True:
            found: Mapping[str, Any] = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            if found["Status"]["State"] not in RUNNING:
                return found
            sleep(pause)
            pause = min(pause * GROWTH, MOST_PAUSE_S)
    except (KeyboardInterrupt, SystemExit):
        athena.stop_query_execution(QueryExecutionId=query_id)
        raise


def remove_results(s3: Any, answer: Answer) -> None:
    """Delete what Athena left about a query besides the files of the statement: its list of files, its metadata.

    They are outside of Lake Formation, so that who reads them needs no grant. A rule of the bucket deletes after a day
    what cannot be deleted here.
    """
    bucket, key = split_uri(answer.results[0])
    folder = key.rpartition("/")[0]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/{answer.query_id}")
    for page in pages:
        for item in page.get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=item["Key"])


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an S3 URI."""
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def _failed(query_id: str, work_group: str, found: Mapping[str, Any]) -> LakeError:
    status = found["Status"]
    error = status.get("AthenaError") or {}
    reason = error.get("ErrorMessage") or status.get("StateChangeReason") or "no reason given"
    if BYTES_LIMIT in f"{reason} {status.get('StateChangeReason', '')}".lower():
        scanned = int(found.get("Statistics", {}).get("DataScannedInBytes", 0))
        return LakeError(
            f"Query {query_id} was stopped, because it scanned more than the work group {work_group} allows "
            f"({scanned:,} bytes by then, which are charged). Read fewer columns or partitions (data.yaml), or have "
            f"the project updated with a higher limit in its form."
        )
    if any(name in reason for name in NOT_SEEN):
        return HiddenError(f"Query {query_id} failed: {reason}")
    if status["State"] == "FAILED" and error.get("Retryable"):
        return RetryableError(f"Query {query_id} failed: {reason}")
    if status["State"] == "CANCELLED":
        return LakeError(f"Query {query_id} was cancelled: {reason}. Start the pipeline again.")
    return LakeError(f"Query {query_id} failed: {reason}. The statement is in the log of the step Query.")
