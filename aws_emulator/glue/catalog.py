"""Glue's Data Catalog: databases, tables, partitions and links, as far as IAM and Lake Formation show them.

MiniStack keeps the records. IAM is asked on the ARNs of catalog, database and table, of both accounts where a link
leads to another one (https://docs.aws.amazon.com/glue/latest/dg/glue-specifying-resource-arns.html). What an operation
does with a link: https://docs.aws.amazon.com/lake-formation/latest/dg/resource-links-glue-apis.html, which permission
of Lake Formation it takes: https://docs.aws.amazon.com/lake-formation/latest/dg/lf-permissions-reference.html.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from botocore import xform_name
from ministack.core.responses import get_account_id, get_region

from aws_emulator import inside
from aws_emulator.bridge import overlay
from aws_emulator.core import Json, ServiceError, as_account
from aws_emulator.iam.callers import Caller, caller
from aws_emulator.iam.permissions import RESOURCES_BY_PATH, refusal
from aws_emulator.lakeformation.decision import Resource
from aws_emulator.lakeformation.store import forget, give_defaults, lake, settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aws_emulator.lakeformation.decision import Part, Path


# ---- permissions ----------------------------------------------------------------------------------------------------


def arns(path: Path) -> list[str]:
    """Return the ARNs on which an operation is authorised: those of the catalog, the database and the table."""
    kinds = ("catalog", "database/{1}", "table/{1}/{2}")[: len(path)]
    return [f"arn:aws:glue:{get_region()}:{path[0]}:{kind.format(*path)}" for kind in kinds]


def ask(who: Caller, action: str, path: Path) -> None:
    """Check that IAM allows an action of Glue.

    Raises:
        ServiceError: It does not.
    """
    with as_account(who.account):
        for arn in arns(path):
            if refused := refusal(who.access_key, f"glue:{action}", arn):
                raise ServiceError("AccessDeniedException", refused)


def lacking(permission: str, path: Path) -> ServiceError:
    """Return how Glue refuses what Lake Formation does not allow."""
    what, on = permission.replace("_", " ").title(), path[-1] if len(path) > 1 else "Catalog"
    return ServiceError("AccessDeniedException", f"Insufficient Lake Formation permission(s): Required {what} on {on}")


def require(permission: str, path: Path, who: Caller | None = None) -> None:
    """Check that Lake Formation allows somebody, by default the caller, something on a catalog, database or table.

    Raises:
        ServiceError: It does not, or there is no such thing in the caller's account.
    """
    who, found = who or caller(), lake()
    settings(path[0])
    exists = len(path) == 1 or path in (found.databases if len(path) == 2 else found.tables)
    if not exists and path[0] == who.account:
        raise ServiceError("EntityNotFoundException", f"{('Database', 'Table')[len(path) - 2]} {path[-1]} not found.")
    if not exists or not found.permits(who.arn, permission, path):
        raise lacking(permission, path)


def require_location(account: str, location: str | None) -> None:
    """Check that the caller may put something at a place that is registered with Lake Formation.

    Source: https://docs.aws.amazon.com/lake-formation/latest/dg/access-control-underlying-data.html

    Raises:
        ServiceError: DATA_LOCATION_ACCESS is missing.
    """
    who, found, place = caller(), lake(), str(location or "").split("://", 1)[-1].rstrip("/")
    if place and found.registered(account, place) and not found.may_use(who.arn, account, place):
        raise ServiceError("AccessDeniedException", f"Insufficient Lake Formation permission(s) on s3://{place}")


def _front_door(_path: str, body: bytes, _query: Mapping[str, Any]) -> str:
    """Return the catalog's ARN; operations ask for database and table themselves."""
    return arns((json.loads(body or b"{}").get("CatalogId") or get_account_id(),))[0]


RESOURCES_BY_PATH["glue"] = _front_door


def _path(request: Json, *members: str) -> Path:
    return (request.get("CatalogId") or get_account_id(), *(str(request[member]).lower() for member in members))


def _followed(action: str, path: Path) -> Path:
    """Ask IAM about a database or table and return it, or what the link stands for, also asked about."""
    ask(caller(), action, path)
    link, target = lake().target(path)
    if link:
        require("DESCRIBE", link)
        ask(caller(), action, target)
    return target


def _perform(operation: str, request: Json, path: Path) -> Json:
    """Have MiniStack perform an operation on a database or table of some account."""
    names = dict(zip(("DatabaseName", "TableName"), path[1:], strict=False))
    names |= {"Name": path[-1]}
    with as_account(path[0]):
        status, _, body = getattr(inside.glue, xform_name(operation))({**request, **names})
    answer: Json = json.loads(body or b"{}")
    if status >= 400:
        raise ServiceError(answer["__type"], answer["message"])
    return answer


# ---- databases ------------------------------------------------------------------------------------------------------


def _shown_database(path: Path) -> Json:
    """Return a database, or a link with what the target says when the caller may see that."""
    found, who = lake(), caller()
    _, target = found.target(path)
    if target != path and target in found.databases and found.permits(who.arn, "DESCRIBE", target):
        with as_account(who.account):
            if not any(refusal(who.access_key, "glue:GetDatabase", arn) for arn in arns(target)):
                return {**found.databases[target], **found.databases[path]}
    return found.databases[path]


@overlay("glue", "CreateDatabase")
def _create_database(request: Json) -> Json:
    given = request["DatabaseInput"] | {"Name": request["DatabaseInput"]["Name"].lower()}
    path = (*_path(request), given["Name"])
    ask(caller(), "CreateDatabase", path)
    require("CREATE_DATABASE", path[:1])
    require_location(path[0], given.get("LocationUri"))
    target = given.get("TargetDatabase", {})
    if target.get("Region", get_region()) != get_region():
        raise ServiceError("InvalidInputException", "Links to databases in other Regions are not emulated.")
    _perform("CreateDatabase", {**request, "DatabaseInput": given}, path)
    defaults, record = settings(path[0]), lake().databases[path]
    record |= {"CreateTableDefaultPermissions": defaults["CreateTableDefaultPermissions"], **given}
    give_defaults(caller().arn, Resource("DATABASE", path), defaults["CreateDatabaseDefaultPermissions"])
    return {}


@overlay("glue", "GetDatabase")
def _get_database(request: Json) -> Json:
    path = _path(request, "Name")
    ask(caller(), "GetDatabase", path)
    require("DESCRIBE", path)
    return {"Database": _shown_database(path)}


@overlay("glue", "GetDatabases")
def _get_databases(request: Json) -> Json:
    (account,), found, arn = _path(request), lake(), caller().arn
    ask(caller(), "GetDatabases", (account, "*"))
    asked = request.get("ResourceShareType")
    chosen = {"ALL": {True, False}, "FOREIGN": {False}}.get(asked or "", {True})
    paths = (path for path in sorted(found.databases) if (path[0] == account) in chosen)
    return {"DatabaseList": [_shown_database(path) for path in paths if found.permits(arn, "DESCRIBE", path)]}


@overlay("glue", "UpdateDatabase")
def _update_database(request: Json) -> Json:
    path = _followed("UpdateDatabase", _path(request, "Name"))
    require("ALTER", path)
    require_location(path[0], request["DatabaseInput"].get("LocationUri"))
    return _perform("UpdateDatabase", request, path)


# ---- tables ---------------------------------------------------------------------------------------------------------


def shown_table(record: Json, parts: Iterable[Part]) -> tuple[Json, tuple[str, ...]]:
    """Return a table with the columns of which parts show something, and their names, partition keys included."""
    seen = frozenset[str]().union(*(part.columns for part in parts))
    storage = record.get("StorageDescriptor") or {}
    columns = [column for column in storage.get("Columns") or () if column["Name"] in seen]
    names = [column["Name"] for column in (*columns, *(record.get("PartitionKeys") or ()))]
    return {**record, "StorageDescriptor": {**storage, "Columns": columns}}, tuple(names)


def _visible(path: Path) -> Json | None:
    """Return a table, or that of a link, with what the caller may see; None when that is nothing."""
    found = lake()
    decision = found.decide(caller().arn, path, None)
    if decision is None:
        return None
    shown, _ = shown_table(found.tables[decision.table], decision.parts)
    return {**shown, "IsRegisteredWithLakeFormation": found.location_of(decision.table) is not None}


def _all_visible(paths: Iterable[Path]) -> Json:
    return {"TableList": [shown for path in paths if (shown := _visible(path)) is not None]}


def _readable(action: str, path: Path) -> tuple[Path, Json]:
    """Return path and record of a table that the caller may see.

    Raises:
        ServiceError: IAM or Lake Formation does not allow it, or there is none.
    """
    target, found = _followed(action, path), lake()
    if target not in found.tables and target[0] == caller().account:
        raise ServiceError("EntityNotFoundException", f"Entity Not Found: table {path[-1]} in {path[1]}.")
    shown = _visible(path)
    if shown is None:
        raise lacking("DESCRIBE", path)
    return target, shown


def _lower(columns: Iterable[Json] | None) -> list[Json]:
    return [{**column, "Name": column["Name"].lower()} for column in columns or ()]


def _write_table(operation: str, request: Json, permission: str) -> Path:
    """Create or change a table, as far as the caller may; Glue keeps names in lower case."""
    given = request["TableInput"] | {"Name": request["TableInput"]["Name"].lower()}
    path = _followed(operation, (*_path(request, "DatabaseName"), given["Name"]))
    require(permission, path[:2] if permission == "CREATE_TABLE" else path)
    if storage := given.get("StorageDescriptor"):
        require_location(path[0], storage.get("Location"))
        given["StorageDescriptor"] = {**storage, "Columns": _lower(storage.get("Columns"))}
    given["PartitionKeys"] = _lower(given.get("PartitionKeys"))
    _perform(operation, {**request, "TableInput": given}, path)
    if "TargetTable" in given:
        lake().tables[path]["TargetTable"] = given["TargetTable"]
    return path


@overlay("glue", "CreateTable")
def _create_table(request: Json) -> Json:
    path = _write_table("CreateTable", request, "CREATE_TABLE")
    defaults = lake().databases[path[:2]]["CreateTableDefaultPermissions"]
    give_defaults(caller().arn, Resource("TABLE", path), defaults)
    return {}


@overlay("glue", "UpdateTable")
def _update_table(request: Json) -> Json:
    _write_table("UpdateTable", request, "ALTER")
    return {}


@overlay("glue", "GetTable")
def _get_table(request: Json) -> Json:
    return {"Table": _readable("GetTable", _path(request, "DatabaseName", "Name"))[1]}


@overlay("glue", "GetTables")
def _get_tables(request: Json) -> Json:
    path, found = _path(request, "DatabaseName"), lake()
    if path[0] == caller().account and path not in found.databases:
        raise ServiceError("EntityNotFoundException", f"Database {path[1]} not found.")
    database, pattern = _followed("GetTables", (*path, "*"))[:2], re.compile(request.get("Expression") or ".*")
    names = (table[2] for table in sorted(found.tables) if table[:2] == database)
    return _all_visible((*path, name) for name in names if pattern.fullmatch(name))


@overlay("glue", "SearchTables")
def _search_tables(request: Json) -> Json:
    """Search by name only."""
    if request.get("Filters") or request.get("SortCriteria"):
        raise ServiceError("InvalidInputException", "Filters and SortCriteria of SearchTables are not emulated.")
    (account,), text = _path(request), request.get("SearchText", "").lower()
    ask(caller(), "SearchTables", (account, "*", "*"))
    shared = request.get("ResourceShareType") in {"ALL", "FOREIGN"}
    return _all_visible(p for p in sorted(lake().tables) if text in p[2] and (shared or p[0] == account))


# ---- what is changed or deleted, and partitions ---------------------------------------------------------------------


@overlay("glue", "DeleteDatabase")
def _delete_database(request: Json) -> Json:
    path = _path(request, "Name")
    ask(caller(), "DeleteDatabase", (*path, "*"))
    require("DROP", path)
    _perform("DeleteDatabase", request, path)
    forget(path)
    return {}


@overlay("glue", "DeleteTable")
def _delete_table(request: Json) -> Json:
    """Delete a table, through a link to its database too; of a table that is a link itself, only the link."""
    path = _path(request, "DatabaseName", "Name")
    path = _followed("DeleteTable", path) if path not in lake().tables else path
    ask(caller(), "DeleteTable", path)
    require("DROP", path)
    _perform("DeleteTable", request, path)
    forget(path)
    return {}


_MEMBERS: Final = ("DatabaseName", "TableName")


def _changes(operation: str) -> None:
    @overlay("glue", operation)
    def answer(request: Json) -> Json:
        path = _followed(operation, _path(request, *_MEMBERS))
        require("ALTER", path)
        entries = request.get("PartitionInputList") or [e["PartitionInput"] for e in request.get("Entries", ())]
        for given in (*entries, request.get("PartitionInput", {})):
            require_location(path[0], (given.get("StorageDescriptor") or {}).get("Location"))
        return _perform(operation, request, path)


def _shows(operation: str) -> None:
    @overlay("glue", operation)
    def answer(request: Json) -> Json:
        if request.get("Expression"):
            raise ServiceError("InvalidInputException", "Expression of GetPartitions is not emulated.")
        path, table = _readable(operation, _path(request, *_MEMBERS))
        columns, found = [c["Name"] for c in table["StorageDescriptor"]["Columns"]], _perform(operation, request, path)
        for partition in found.get("Partitions", [found.get("Partition")]):
            storage = partition.get("StorageDescriptor") or {}
            storage["Columns"] = [column for column in storage.get("Columns") or () if column["Name"] in columns]
        return found


for _operation in ("CreatePartition", "BatchCreatePartition", "BatchUpdatePartition", "DeletePartition"):
    _changes(_operation)
for _operation in ("GetPartition", "GetPartitions", "BatchGetPartition"):
    _shows(_operation)
