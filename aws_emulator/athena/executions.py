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

from aws_emulator.athena.errors import QueryError, from_duckdb
from aws_emulator.athena.workgroups import (
    ENGINE,
    EXECUTIONS,
    PRIMARY,
    SERVICE,
    arn_of,
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
"""Query and request by token (ClientRequestToken)."""
_TOKEN_LENGTH: Final = (32, 128)
_PAGE: Final = 1000
_TYPES: Final = {
    "COLUMN_NOT_FOUND": 1006,
    "DIVISION_BY_ZERO": 1001,
    "FUNCTION_NOT_FOUND": 1303,
    "INVALID_CAST_ARGUMENT": 1100,
    "NOT_SUPPORTED": 1200,
    "SCHEMA_NOT_FOUND": 1301,
    "TABLE_NOT_FOUND": 1301,
    "TYPE_MISMATCH": 1002,
}
"""AthenaError.ErrorType by the name of an error; 1000 for others."""
_STATEMENTS: Final = (
    (r"(SELECT|WITH|VALUES)\b|\(", "DML", "SELECT"),
    (r"UNLOAD\b", "DML", "UNLOAD"),
    (r"CREATE\s+TABLE\b.*\bAS\b", "DDL", "CREATE_TABLE_AS_SELECT"),
    (r"CREATE\s+EXTERNAL\s+TABLE\b", "DDL", "CREATE_TABLE"),
    (r"CREATE\s+(OR\s+REPLACE\s+)?VIEW\b", "DDL", "CREATE_VIEW"),
    (r"DROP\s+TABLE\b", "DDL", "DROP_TABLE"),
    (r"DROP\s+VIEW\b", "DDL", "DROP_VIEW"),
    (r"MSCK\s+REPAIR\s+TABLE\b", "DDL", "MSCK_REPAIR_TABLE"),
)
"""Statements that are emulated: how they begin, StatementType and SubstatementType."""


# ---- starting -------------------------------------------------------------------------------------------------------


@overlay(SERVICE, "StartQueryExecution")
def start_query_execution(request: Json) -> Json:
    """Start a query; the same token and the same request start it once.

    https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html
    """
    token = request.get("ClientRequestToken", "")
    if not token:
        raise refused("clientRequestToken is null or empty")
    if not _TOKEN_LENGTH[0] <= len(token) <= _TOKEN_LENGTH[1]:
        short = len(token) < _TOKEN_LENGTH[0]
        end = f"{'greater' if short else 'less'} than or equal to {_TOKEN_LENGTH[not short]}"
        raise refused(
            "1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: "
            f"Member must have length {end}"
        )
    if token in _tokens:
        known, first = _tokens[token]
        if first != request:
            raise refused("Idempotent parameters do not match")
        return {"QueryExecutionId": known}
    group = work_group(request.get("WorkGroup", PRIMARY))
    if group["State"] != "ENABLED":
        raise refused("WorkGroup is disabled.")
    if request.get("ExecutionParameters"):
        raise refused("ExecutionParameters are not emulated here: write the values into the query.")
    if request.get("ResultReuseConfiguration", {}).get("ResultReuseByAgeConfiguration", {}).get("Enabled"):
        raise refused("Reuse of results is not emulated here.")
    who, statement = caller(), _uncommented(request["QueryString"])
    if ":user/" in who.arn:
        raise refused("Queries of IAM users are not emulated here: assume a role.")
    results = _results(request, group)
    kind, sub = _classified(statement)
    if sub == "CREATE_TABLE_AS_SELECT" and _enforced(group) and re.search(r"\bexternal_location\b", statement):
        raise refused(
            "The Create Table As Select query failed because it was submitted with an 'external_location' property to "
            "an Athena Workgroup that enforces a centralized output location for all queries. Please remove the "
            "'external_location' property and resubmit the query."
        )
    try:
        _statements().check(sub, statement)
    except QueryError as error:
        raise refused(error.message) from error
    return {"QueryExecutionId": _started(request, who, group["Name"], results, (kind, sub, statement))}


def _started(request: Json, who: Caller, group: str, results: Json, statement: tuple[str, str, str]) -> str:
    kind, sub, text = statement
    id_, location = clock.uuid(), results["OutputLocation"].rstrip("/")
    name = {"UNLOAD": id_, "CREATE_TABLE_AS_SELECT": f"tables/{id_}"}.get(sub, f"{id_}.txt")
    name = f"{id_}.csv" if sub == "SELECT" else name
    EXECUTIONS[id_] = query = {
        "QueryExecutionId": id_,
        "Query": request["QueryString"],
        "StatementType": kind,
        "SubstatementType": sub,
        "ResultConfiguration": {**results, "OutputLocation": f"{location}/{name}"},
        "QueryExecutionContext": request.get("QueryExecutionContext", {}),
        "Status": {"State": "QUEUED", "SubmissionDateTime": clock.now()},
        "Statistics": {"DataScannedInBytes": 0},
        "WorkGroup": group,
        "EngineVersion": ENGINE,
        "folder": location,
        "cutoff": work_group(group)["Configuration"].get("BytesScannedCutoffPerQuery"),
    }
    _tokens[request["ClientRequestToken"]] = (id_, dict(request))
    clock.start(_run, query, who, text)
    return id_


def _statements() -> Any:  # noqa: ANN401 - a module
    """Return what executes statements; it needs DuckDB and sqlglot, which take a while to import."""
    return importlib.import_module("aws_emulator.athena.statements")


def _uncommented(text: str) -> str:
    """Return a statement without comments before it and without a semicolon at its end."""
    return re.sub(r"^(\s|--[^\n]*\n|/\*.*?\*/)+", "", text, flags=re.DOTALL).rstrip().removesuffix(";").rstrip()


def _classified(statement: str) -> tuple[str, str]:
    for pattern, kind, sub in _STATEMENTS:
        if re.match(pattern, statement, re.IGNORECASE | re.DOTALL):
            return kind, sub
    raise refused(f"Not emulated here: statements that begin with {' '.join(statement.split()[:3])!r}.")


def _enforced(group: Json) -> bool:
    return bool(group["Configuration"].get("EnforceWorkGroupConfiguration"))


def _results(request: Json, group: Json) -> Json:
    """Return where and how results are written: what the work group enforces, else what the request says.

    https://docs.aws.amazon.com/athena/latest/ug/workgroups-settings-override.html
    """
    own: Json = group["Configuration"].get("ResultConfiguration", {})
    asked: Json = request.get("ResultConfiguration", {})
    check_results(asked)
    results = own if _enforced(group) else (asked if asked.get("OutputLocation") else {**own, **asked})
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


def _run(query: Json, who: Caller, statement: str) -> None:
    """Execute a query on its thread, and let it end in one of its states whatever happens."""
    status, began = query["Status"], clock.monotonic()
    queue = clock.now() - status["SubmissionDateTime"]
    if status["State"] != "CANCELLED":
        status["State"] = "RUNNING"
    error: QueryError | None = None
    try:
        _statements().execute(query, who, statement)
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
        type_ = _TYPES.get(error.name, 1000)
        given = {"ErrorCategory": 2, "ErrorType": type_, "Retryable": False, "ErrorMessage": str(error)}
        status["AthenaError"] = given
    status["State"] = "FAILED" if error else "SUCCEEDED"


def cancel(query: Json, reason: str) -> None:
    """End a query as CANCELLED, if it has not ended."""
    if query["Status"]["State"] in {"QUEUED", "RUNNING"}:
        query["Status"] |= {"State": "CANCELLED", "StateChangeReason": reason, "CompletionDateTime": clock.now()}
        if connection := query.get("connection"):
            connection.interrupt()  # what it executes; what is not executed yet does not write


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


@overlay(SERVICE, "BatchGetQueryExecution")
def batch_get_query_execution(request: Json) -> Json:
    """Return queries; the caller needs the permission for the work group of each."""
    found, missing = [], []
    for id_ in request["QueryExecutionIds"]:
        query = EXECUTIONS.get(id_)
        if query is None:
            missing.append({"QueryExecutionId": id_, "ErrorCode": "INVALID_INPUT", "ErrorMessage": "was not found"})
            continue
        authorize("athena:BatchGetQueryExecution", arn_of(query["WorkGroup"]))
        found.append(query)
    return {"QueryExecutions": found, "UnprocessedQueryExecutionIds": missing}


@overlay(SERVICE, "ListQueryExecutions")
def list_query_executions(request: Json) -> Json:
    """List the ids of the queries of a work group, newest first."""
    group = work_group(request.get("WorkGroup", PRIMARY))["Name"]
    queries = [id_ for id_, query in EXECUTIONS.items() if query["WorkGroup"] == group]
    return {"QueryExecutionIds": queries[::-1]}


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
        text = (
            "Could not find results"
            if state == "CANCELLED"
            else f"Query did not finish successfully. Final query state: {state}"
        )
        raise refused(text)
    if query["SubstatementType"] == "SELECT":
        authorize(
            "s3:GetObject", f"arn:aws:s3:::{query['ResultConfiguration']['OutputLocation'].removeprefix('s3://')}"
        )
    start, size = int(request.get("NextToken", "0")), request.get("MaxResults", _PAGE)
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(query["rows"].open(encoding="utf-8")) if "rows" in query else ()
        rows = [json.loads(line) for line in itertools.islice(lines, start, start + size + 1)]
    shown = [{"Data": [{} if text is None else {"VarCharValue": text} for text in row]} for row in rows[:size]]
    found: Json = {
        "ResultSet": {"Rows": shown, "ResultSetMetadata": {"ColumnInfo": query.get("columns", [])}},
        "NextToken": str(start + size) if len(rows) > size else None,
    }
    return found | ({"UpdateCount": query["count"]} if "count" in query else {})


def _resource(_path: str, body: bytes, _query: Mapping[str, Any]) -> str | None:
    """Return the work group on which a request is authorised: the one that it names, or that of the query."""
    request = json.loads(body or b"{}")
    ids = [request.get("QueryExecutionId"), *request.get("QueryExecutionIds", [])]
    name = request.get("WorkGroup") or request.get("Name") or (PRIMARY if "QueryString" in request else None)
    for query in (EXECUTIONS.get(id_) for id_ in ids if id_ in EXECUTIONS):
        name = name or query["WorkGroup"]
    return arn_of(name) if name else request.get("ResourceARN")


iam.RESOURCES_BY_PATH[SERVICE] = _resource
