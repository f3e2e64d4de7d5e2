"""The governed table in the development account: opened by the lead, queried, trained on, and closed again."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from products.shared import names
from rehearsal import launching
from rehearsal.code_pipelines import await_execution, build_logs
from rehearsal.lake_steps import BUCKET, DATABASE, lake_files, shared, take_back
from rehearsal.organization import DEV, Credentials, RehearsalError, wait_for

if TYPE_CHECKING:
    from rehearsal.organization import AwsClient
    from rehearsal.world import World

_TIMEOUT_S: Final = 120.0


def open_data(world: World) -> str:
    """Launch data-access as the lead: a link, and what data scientists and tagged projects may read through it."""
    launched = launching.launch(world, world.lead, "data-access", world.known["lake-table"])
    world.facts.launched.append(launched)
    return (
        f"{launched.product} {launched.version}: {launched.outputs['DatabaseName']} for data scientists and projects "
        f"with the tag {world.known['project-tag']}"
    )


def query(world: World, question: str, sql: str, **named: str) -> dict[str, Any]:
    """Ask Athena as the data scientist in the project's work group, and keep query and answer for the report.

    Args:
        world: The rehearsal.
        question: What the data scientist wants to know.
        sql: One statement; names in braces stand for columns and tables.
        **named: What they stand for. ``table`` is known.
    """
    athena = world.client("athena", world.data_scientist)
    quoted = {place: f'"{name}"' for place, name in ({"table": world.lake["table"]} | named).items()}
    project = world.project.parameters["SageMakerProjectId"]
    started = athena.start_query_execution(
        QueryString=sql.format(**quoted),
        WorkGroup=names.PROJECT_WORK_GROUP.replace("${SageMakerProjectId}", project),
        QueryExecutionContext={"Database": world.known["link"]},
    )["QueryExecutionId"]
    wait_for(
        lambda: _state(athena, started) not in {"QUEUED", "RUNNING"} or None,
        overdue=f"query {started} was not over",
        timeout_s=_TIMEOUT_S,
    )
    return _keep(world, athena, started, "data scientist", question)


def _state(athena: AwsClient, execution: str) -> str:
    return str(athena.get_query_execution(QueryExecutionId=execution)["QueryExecution"]["Status"]["State"])


def _keep(world: World, athena: AwsClient, execution: str, by: str, question: str) -> dict[str, Any]:
    """Keep a query that is over, with its answer, for the report; return it."""
    ended = athena.get_query_execution(QueryExecutionId=execution)["QueryExecution"]
    succeeded = ended["Status"]["State"] == "SUCCEEDED"
    rows = []
    if succeeded and not ended["Query"].startswith("UNLOAD"):
        rows = athena.get_query_results(QueryExecutionId=execution)["ResultSet"]["Rows"]
    asked = {
        "by": by,
        "question": question,
        "sql": ended["Query"],
        "id": execution,
        "succeeded": succeeded,
        "reason": ended["Status"].get("StateChangeReason", ""),
        "scanned": ended.get("Statistics", {}).get("DataScannedInBytes", 0),
        "answer": [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows[1:]],
    }
    world.facts.governance.setdefault("queries", []).append(asked)
    return asked


def explore(world: World) -> str:
    """Query the table through the link: what was granted is there, and withheld rows are not."""
    withheld, label = world.lake["withheld"], world.lake["label"]
    by = withheld["key"]
    sql = "SELECT {column}, count(*) AS records FROM {table} GROUP BY {column} ORDER BY {column}"
    parts = query(world, f"How many rows for each {by}?", sql, column=by)
    labels = query(world, f"How often is each value of {label}?", sql, column=label)
    for asked in (parts, labels):
        if not asked["succeeded"]:
            raise RehearsalError(f"the data scientist's query failed: {asked['reason']}\n  {asked['sql']}")
    world.facts.governance["grants"] = shared(world)
    found = {row[0]: int(row[1] or 0) for row in parts["answer"]}
    if withheld["value"] in found or not found:
        raise RehearsalError(f"{by} has the values {list(found)}; {withheld['value']} is withheld and must be absent")
    total = world.lake["tables"][world.lake["table"]]["rows"]
    return (
        f"{sum(found.values()):,} of {total:,} rows, {by} {', '.join(found)} but not {withheld['value']}; "
        f"{parts['scanned'] + labels['scanned']:,} bytes scanned"
    )


def try_withheld(world: World) -> str:
    """Ask for a column, a table and a file that were not granted: all is refused."""
    withheld = world.lake["withheld"]
    column, table = withheld["column"], withheld["table"]
    asked = [
        query(world, f"What is {column}?", "SELECT {column} FROM {table} LIMIT 5", column=column),
        query(world, f"What is in {table}?", "SELECT * FROM {table} LIMIT 5", table=table),
    ]
    for one, error in zip(asked, ("COLUMN_NOT_FOUND", "TABLE_NOT_FOUND"), strict=True):
        if one["succeeded"] or not one["reason"].startswith(error):
            raise RehearsalError(f"{one['sql']} should have ended with {error}: {one['reason'] or one['answer']}")
    files = f"s3://{BUCKET}/{DATABASE}/"
    code = world.refused(
        f"ListObjectsV2 of {files} as data scientist", partial(world.uris, world.data_scientist, files)
    )
    reasons = [one["reason"].partition(":")[0] for one in asked]
    return f"{column}: {reasons[0]}; {table}: {reasons[1]}; files in {files}: {code}"


def compare_with_grant(world: World) -> str:
    """Prove that no row and no column is in the data of the model which was not granted: compare all of them."""
    owner, folder = Credentials.administrator(DEV), world.work / "data" / "trained"
    folder.mkdir(parents=True)
    about = world.facts.model_package["CustomerMetadataProperties"]
    start, *listed = json.loads(world.read(owner, about["data_manifest"]))
    files = [str(folder / f"{number}.parquet") for number in range(len(listed))]
    for path, name in zip(files, listed, strict=True):
        Path(path).write_bytes(world.read(owner, start["prefix"] + name))
    of_project = partial(world.read, world.data_scientist, start["prefix"] + listed[0])
    code = world.refused("GetObject of the project's training set as data scientist", of_project)
    athena = world.client("athena", world.data_scientist)
    _keep(world, athena, about["data_query_id"], "training", "The training set")
    lake = world.lake
    table = str(world.work / "data/lake" / lake["table"])
    found = lake_files("compare", trained=files, lake=table, granted=lake["columns"], withheld=lake["withheld"])
    world.facts.governance["training_set"] = found
    if found["foreign_rows"] or found["foreign_columns"] or not found["rows"]:
        raise RehearsalError(
            f"of {found['rows']} rows in the model's data {found['foreign_rows']} were not granted, and of its columns "
            f"{found['foreign_columns'] or 'none'}: {', '.join(files)}"
        )
    return (
        f"all {found['rows']:,} rows and {len(found['columns'])} columns were granted; "
        f"the data scientist does not read these files: {code}"
    )


def revoke_and_train_again(world: World) -> str:
    """Revoke the share as the steward; the next query and the next training end with a plain message."""
    take_back(world)
    asked = query(world, "How many rows, now that the share is revoked?", "SELECT count(*) AS records FROM {table}")
    if asked["succeeded"]:
        raise RehearsalError(f"the share is revoked, but Athena answered: {asked['answer']}")
    codepipeline = world.client("codepipeline", world.data_scientist)
    name = world.project.outputs["BuildPipelineName"]
    started = codepipeline.start_pipeline_execution(name=name)["pipelineExecutionId"]
    ended = await_execution(world, codepipeline, name, started)
    if ended["status"] != "Failed":
        raise RehearsalError(f"the share is revoked, but {name} is {ended['status']}")
    log = build_logs(world, codepipeline, name)
    reasons = [line for line in log.splitlines() if line.startswith("ERROR: ") and world.known["link"] in line]
    if not reasons:
        raise RehearsalError(f"{name} failed, but does not say that the project may no longer read the table:\n{log}")
    world.facts.governance["revoked"] = reasons[0]
    return reasons[0]
