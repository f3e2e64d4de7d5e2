"""Athena's query executions: started, stopped, described, and their results in pages.

A query runs on a thread, as its caller: catalog, files and results are reached with the permissions of who started it
(https://docs.aws.amazon.com/athena/latest/ug/security-iam-athena.html). Words of refusals that no page of AWS has are
those that users report of Athena, measured in 2026 by https://github.com/aoyagikouhei/athena-local (README).
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import logging
import re
from typing import TYPE_CHECKING, Any, Final

from aws_emulator import s3_files
from aws_emulator.athena.errors import QueryError, from_duckdb
from aws_emulator.athena.workgroups import (
    ENGINE,
    EXECUTIONS,
    PRIMARY,
    SERVICE,
    arn_of,
    cancel,
    check_results,
    refused,
    work_group,
)
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.core import Json, Records, ServiceError
from aws_emulator.iam import permissions as iam
from aws_emulator.iam.callers import Caller, authorize, caller

if TYPE_CHECKING:
    from collections.abc import Mapping

_log: Final = logging.getLogger(__name__)
_tokens: Final = Records()
"""Query and request by caller and token (ClientRequestToken)."""
_PAGE: Final = 1000
_NO_RESULTS: Final = "Could not find results"
_TYPES: Final = {"COLUMN_NOT_FOUND": 1006, "DIVISION_BY_ZERO": 1001, "TABLE_NOT_FOUND": 1301, "TYPE_MISMATCH": 1002}
"""AthenaError.ErrorType by the name of an error; 1000 for others."""


# ---- starting -------------------------------------------------------------------------------------------------------


@overlay(SERVICE, "StartQueryExecution")
def start_query_execution(request: Json) -> Json:
    """Start a query; the same token and the same request start it once.

    https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html
    """
    if not request.get("ClientRequestToken"):
        raise refused("clientRequestToken is null or empty")
    who, statement = caller(), _uncommented(request["QueryString"])
    token = who.arn, request["ClientRequestToken"]  # nobody gets the query of somebody else
    if token in _tokens:
        known, first = _tokens[token]
        if first != request:
            raise refused("Idempotent parameters do not match")
        return {"QueryExecutionId": known}
    group = work_group(request.get("WorkGroup", PRIMARY))
    if group["State"] != "ENABLED":
        raise refused("WorkGroup is disabled.")
    reuse = request.get("ResultReuseConfiguration", {}).get("ResultReuseByAgeConfiguration", {}).get("Enabled")
    if reuse or request.get("ExecutionParameters") or ":user/" in who.arn:
        raise refused("Not emulated here: the reuse of results, ExecutionParameters, and queries of IAM users.")
    if not (found := re.match(r"(SELECT|WITH|VALUES|UNLOAD)\b|\(", statement, re.IGNORECASE)):
        raise refused(f"Not emulated here: statements that begin with {' '.join(statement.split()[:3])!r}.")
    results = _results(request, group)
    try:
        parsed = _statements().parts(statement)
    except QueryError as error:
        raise refused(error.message) from error
    id_, location, unloads = clock.uuid(), results["OutputLocation"].rstrip("/"), found[0].upper() == "UNLOAD"
    EXECUTIONS[id_] = query = {
        "QueryExecutionId": id_,
        "Query": request["QueryString"],
        "StatementType": "DML",
        "SubstatementType": "UNLOAD" if unloads else "SELECT",
        "ResultConfiguration": {**results, "OutputLocation": f"{location}/{id_}{'' if unloads else '.csv'}"},
        "QueryExecutionContext": request.get("QueryExecutionContext", {}),
        "Status": {"State": "QUEUED", "SubmissionDateTime": clock.now()},
        "Statistics": {"DataScannedInBytes": 0},
        "WorkGroup": group["Name"],
        "EngineVersion": ENGINE,
        "folder": location,
        "cutoff": group["Configuration"].get("BytesScannedCutoffPerQuery"),
    }
    _tokens[token] = (id_, dict(request))
    clock.start(_run, query, who, parsed)
    return {"QueryExecutionId": id_}


def _statements() -> Any:  # noqa: ANN401 - a module
    """Return what executes statements; it needs DuckDB and sqlglot, which take a while to import."""
    return importlib.import_module("aws_emulator.athena.statements")


def _uncommented(text: str) -> str:
    """Return a statement without comments before it and without a semicolon at its end."""
    return re.sub(r"^(\s|--[^\n]*\n|/\*.*?\*/)+", "", text, flags=re.DOTALL).rstrip().removesuffix(";").rstrip()


def _results(request: Json, group: Json) -> Json:
    """Return where and how results are written: what the work group enforces, else what the request says.

    https://docs.aws.amazon.com/athena/latest/ug/workgroups-settings-override.html
    """
    own: Json = group["Configuration"].get("ResultConfiguration", {})
    asked: Json = request.get("ResultConfiguration", {})
    check_results(asked)
    enforced = group["Configuration"]["EnforceWorkGroupConfiguration"]
    results = own if enforced else (asked if asked.get("OutputLocation") else {**own, **asked})
    if not results.get("OutputLocation"):
        raise refused(
            "No output location provided. An output location is required either through the Workgroup result "
            "configuration setting or as an API input."
        )
    bucket = results["OutputLocation"].removeprefix("s3://").split("/")[0]
    try:
        authorize("s3:GetBucketLocation", f"arn:aws:s3:::{bucket}")
    except ServiceError as error:
        raise refused(f"Unable to verify/create output bucket {bucket}. {error.message}") from error
    return dict(results)


# ---- running --------------------------------------------------------------------------------------------------------


def _run(query: Json, who: Caller, parsed: Any) -> None:  # noqa: ANN401 - a tree of sqlglot, and texts
    """Execute a parsed query on its thread, and let it end in one of its states whatever happens."""
    status, began = query["Status"], clock.monotonic()
    queue = clock.now() - status["SubmissionDateTime"]
    if status["State"] != "CANCELLED":
        status["State"] = "RUNNING"
    error: QueryError | None = None
    try:
        _statements().execute(query, who, *parsed)
    except QueryError as failed:
        error = failed
    except ServiceError as failed:
        error = QueryError("PERMISSION_DENIED" if "AccessDenied" in failed.code else failed.code, failed.message)
    except Exception as failed:  # of any kind: the query must not go on for ever
        _log.info("query %s failed", query["QueryExecutionId"], exc_info=True)
        error = from_duckdb(failed)
    taken = round((clock.monotonic() - began) * 1000)
    query["Statistics"] |= {
        "EngineExecutionTimeInMillis": taken,
        "QueryQueueTimeInMillis": round(queue * 1000),
        "TotalExecutionTimeInMillis": taken + round(queue * 1000),
    }
    status["CompletionDateTime"] = clock.now()
    if status["State"] == "CANCELLED":
        return
    if error:
        status["StateChangeReason"] = str(error)
        kind = {"ErrorCategory": 2, "ErrorType": _TYPES.get(error.name, 1000), "Retryable": False}
        status["AthenaError"] = {**kind, "ErrorMessage": str(error)}
    status["State"] = "FAILED" if error else "SUCCEEDED"


@overlay(SERVICE, "StopQueryExecution")
def stop_query_execution(request: Json) -> Json:
    """Cancel a query; one that has ended stays as it is."""
    cancel(_found(request), "Query cancelled by user")
    return {}


# ---- describing -----------------------------------------------------------------------------------------------------


def _found(request: Json) -> Json:
    query: Json | None = EXECUTIONS.get(request["QueryExecutionId"])
    if query is None:
        raise refused(f"QueryExecution {request['QueryExecutionId']} was not found")
    return query


@overlay(SERVICE, "GetQueryExecution")
def get_query_execution(request: Json) -> Json:
    """Return a query with its state."""
    return {"QueryExecution": _found(request)}


@overlay(SERVICE, "GetQueryResults")
def get_query_results(request: Json) -> Json:
    """Return a page of results: rows of texts, on the first page of a SELECT after one with the names.

    Whoever reads results needs to be allowed to read their file as well
    (https://docs.aws.amazon.com/athena/latest/APIReference/API_GetQueryResults.html).
    """
    query = _found(request)
    state = query["Status"]["State"]
    if state in {"QUEUED", "RUNNING"}:
        raise refused(f"Query has not yet finished. Current state: {state}")
    if state != "SUCCEEDED":
        found = state != "CANCELLED"
        raise refused(f"Query did not finish successfully. Final query state: {state}" if found else _NO_RESULTS)
    if "rows" in query:
        place = query["ResultConfiguration"]["OutputLocation"].removeprefix("s3://")
        authorize("s3:GetObject", f"arn:aws:s3:::{place}")
        bucket, key = place.split("/", 1)
        if key not in (s3_files.objects(bucket) or {}):
            raise refused(_NO_RESULTS)
    start, size = int(request.get("NextToken", "0")), request.get("MaxResults", _PAGE)
    with query["rows"].open(encoding="utf-8") if "rows" in query else contextlib.nullcontext(()) as lines:
        rows = [json.loads(line) for line in itertools.islice(lines, start, start + size + 1)]
    shown = [{"Data": [{} if text is None else {"VarCharValue": text} for text in row]} for row in rows[:size]]
    result = {"Rows": shown, "ResultSetMetadata": {"ColumnInfo": query["columns"]}}
    following = str(start + size) if len(rows) > size else None
    return {"ResultSet": result, "NextToken": following, "UpdateCount": query["count"]}


def _resource(_path: str, body: bytes, _query: Mapping[str, Any]) -> str | None:
    """Return the work group on which a request is authorised: the one that it names, or that of the query."""
    request = json.loads(body or b"{}")
    query = EXECUTIONS.get(request.get("QueryExecutionId"), {})
    default = PRIMARY if "QueryString" in request else None
    name = request.get("WorkGroup") or request.get("Name") or query.get("WorkGroup") or default
    return arn_of(name) if name else request.get("ResourceARN")


iam.RESOURCES_BY_PATH[SERVICE] = _resource
