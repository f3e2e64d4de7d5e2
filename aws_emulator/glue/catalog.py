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
from aws_emulator.bridge import call, overlay
from aws_emulator.cloudformation.resources import resource_type
from aws_emulator.core import Json, ServiceError, as_account
from aws_emulator.iam.callers import Caller, caller
from aws_emulator.iam.permissions import RESOURCES_BY_PATH, refusal
from aws_emulator.lakeformation.decision import Resource, place_of
from aws_emulator.lakeformation.store import forget, give_defaults, lake, settings
from aws_emulator.shapes import request_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aws_emulator.lakeformation.decision import Part, Path

_MEMBERS: Final = ("DatabaseName", "TableName")


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


def _lacking(permission: str, path: Path) -> ServiceError:
    """Return how Glue refuses what Lake Formation does not allow."""
    what, on = permission.replace("_", " ").title(), path[-1] if len(path) > 1 else "Catalog"
    return ServiceError("AccessDeniedException", f"Insufficient Lake Formation permission(s): Required {what} on {on}")


def require(permission: str, path: Path, who: Caller) -> None:
    """Check that Lake Formation allows somebody something on a catalog, database or table.

    Raises:
        ServiceError: It does not, or there is no such thing in the caller's account.
    """
    found = lake()
    settings(path[0])
    exists = len(path) == 1 or path in (found.databases if len(path) == 2 else found.tables)
    if not exists and path[0] == who.account:
        raise ServiceError("EntityNotFoundException", f"{('Database', 'Table')[len(path) - 2]} {path[-1]} not found.")
    if not exists or not found.permits(who.arn, permission, path):
        raise _lacking(permission, path)


def _require_location(account: str, *given: Json | None) -> None:
    """Check that the caller may put databases, tables or partitions at places that are registered.

    Source: https://docs.aws.amazon.com/lake-formation/latest/dg/access-control-underlying-data.html
    """
    who, found = caller(), lake()
    for record in given:
        place = place_of((record or {}).get("LocationUri") or (record or {}).get("Location") or "")
        if place and found.registered(account, place) and not found.may_use(who.arn, account, place):
            raise ServiceError("AccessDeniedException", f"Insufficient Lake Formation permission(s) on s3://{place}")


def _front_door(_path: str, body: bytes, _query: Mapping[str, Any]) -> str:
    """Return the catalog's ARN; operations ask for database and table themselves."""
    return arns((json.loads(body or b"{}").get("CatalogId") or get_account_id(),))[0]


RESOURCES_BY_PATH["glue"] = _front_door


def _path(request: Json, *members: str) -> Path:
    return (request.get("CatalogId") or get_account_id(), *(str(request[member]).lower() for member in members))


def _followed(action: str, path: Path) -> Path:
    """Ask IAM about a table and return it, or what the link stands for, also asked about."""
    link, target = lake().target(path)
    ask(caller(), action, path)
    if link:
        require("DESCRIBE", link, caller())
        ask(caller(), action, target)
    return target


def _perform(operation: str, request: Json, path: Path) -> Json:
    """Have MiniStack perform an operation on a database or table of some account."""
    names = {**dict(zip(_MEMBERS, path[1:], strict=False)), "Name": path[-1]}
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
    try:
        if target != path:
            ask(who, "GetDatabase", target)
            require("DESCRIBE", target, who)
        return {**found.databases[target], **found.databases[path]}
    except ServiceError:
        return found.databases[path]


@overlay("glue", "CreateDatabase")
def _create_database(request: Json) -> Json:
    given = request["DatabaseInput"] | {"Name": request["DatabaseInput"]["Name"].lower()}
    path = (*_path(request), given["Name"])
    ask(caller(), "CreateDatabase", path)
    require("CREATE_DATABASE", path[:1], caller())
    _require_location(path[0], given)
    if given.get("TargetDatabase", {}).get("Region", get_region()) != get_region():
        raise ServiceError("InvalidInputException", "Links to databases in other Regions are not emulated.")
    _perform("CreateDatabase", {**request, "DatabaseInput": given}, path)
    defaults, record = settings(path[0]), inside.glue.databases.get_scoped(path[0], get_region(), path[1])
    record |= {"CreateTableDefaultPermissions": defaults["CreateTableDefaultPermissions"], **given}
    give_defaults(caller().arn, Resource("DATABASE", path), defaults["CreateDatabaseDefaultPermissions"])
    return {}


@overlay("glue", "GetDatabase")
def _get_database(request: Json) -> Json:
    path = _path(request, "Name")
    ask(caller(), "GetDatabase", path)
    require("DESCRIBE", path, caller())
    return {"Database": _shown_database(path)}


@overlay("glue", "GetDatabases")
def _get_databases(request: Json) -> Json:
    (account,), found, arn = _path(request), lake(), caller().arn
    ask(caller(), "GetDatabases", (account, "*"))
    chosen = {"ALL": {True, False}, "FOREIGN": {False}}.get(request.get("ResourceShareType", ""), {True})
    paths = (path for path in sorted(found.databases) if (path[0] == account) in chosen)
    return {"DatabaseList": [_shown_database(path) for path in paths if found.permits(arn, "DESCRIBE", path)]}


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


def _readable(action: str, path: Path) -> tuple[Path, Json]:
    """Return path and record of a table that the caller may see."""
    target, found = _followed(action, path), lake()
    if target not in found.tables and target[0] == caller().account:
        raise ServiceError("EntityNotFoundException", f"Entity Not Found: table {path[-1]} in {path[1]}.")
    shown = _visible(path)
    if shown is None:
        raise _lacking("DESCRIBE", path)
    return target, shown


def _write_table(operation: str, permission: str) -> None:
    """Answer an operation that creates or changes a table; Glue keeps names in lower case."""

    def lower(columns: Iterable[Json] | None) -> list[Json]:
        return [{**column, "Name": column["Name"].lower()} for column in columns or ()]

    @overlay("glue", operation)
    def answer(request: Json) -> Json:
        given = request["TableInput"] | {"Name": request["TableInput"]["Name"].lower()}
        path = _followed(operation, (*_path(request, "DatabaseName"), given["Name"]))
        require(permission, path[:2] if permission == "CREATE_TABLE" else path, caller())
        storage = given.get("StorageDescriptor") or {}
        _require_location(path[0], storage)
        given["StorageDescriptor"] = {**storage, "Columns": lower(storage.get("Columns"))}
        given["PartitionKeys"] = lower(given.get("PartitionKeys"))
        _perform(operation, {**request, "TableInput": given}, path)
        record = inside.glue.tables.get_scoped(path[0], get_region(), "/".join(path[1:]))
        record |= {key: given[key] for key in ("TargetTable",) if key in given}
        if permission == "CREATE_TABLE":
            defaults = lake().databases[path[:2]]["CreateTableDefaultPermissions"]
            give_defaults(caller().arn, Resource("TABLE", path), defaults)
        return {}


_write_table("CreateTable", "CREATE_TABLE")
_write_table("UpdateTable", "ALTER")


@overlay("glue", "GetTable")
def _get_table(request: Json) -> Json:
    return {"Table": _readable("GetTable", _path(request, "DatabaseName", "Name"))[1]}


@overlay("glue", "GetTables")
def _get_tables(request: Json) -> Json:
    path, found = _path(request, "DatabaseName"), lake()
    if path[0] == caller().account and path not in found.databases:
        raise ServiceError("EntityNotFoundException", f"Database {path[1]} not found.")
    database, pattern = _followed("GetTables", (*path, "*"))[:2], re.compile(request.get("Expression") or ".*")
    names = (table[2] for table in sorted(found.tables) if table[:2] == database and pattern.fullmatch(table[2]))
    return {"TableList": [shown for name in names if (shown := _visible((*path, name))) is not None]}


# ---- what is changed or deleted, and partitions ---------------------------------------------------------------------


def _changes(operation: str, permission: str, *members: str) -> None:
    """Answer an operation that changes or deletes; of a link itself, the link is deleted and the target is changed."""

    @overlay("glue", operation)
    def answer(request: Json) -> Json:
        path, deletes = _path(request, *members), permission == "DROP"
        if deletes:
            ask(caller(), operation, (*path, "*")[:3])
        if not deletes or (len(path) == 3 and path not in lake().tables):
            path = _followed(operation, path)
        require(permission, path, caller())
        inputs = (request.get(member) or {} for member in ("DatabaseInput", "PartitionInput"))
        given = [*inputs, *request.get("PartitionInputList", ())]
        _require_location(path[0], *given, *(record.get("StorageDescriptor") for record in given))
        if deletes:
            forget(path)
        return _perform(operation, request, path)


_changes("UpdateDatabase", "ALTER", "Name")
_changes("DeleteDatabase", "DROP", "Name")
_changes("DeleteTable", "DROP", "DatabaseName", "Name")
for _operation in ("CreatePartition", "BatchCreatePartition", "DeletePartition"):
    _changes(_operation, "ALTER", *_MEMBERS)


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


for _operation in ("GetPartition", "GetPartitions", "BatchGetPartition"):
    _shows(_operation)


# ---- types of CloudFormation ----------------------------------------------------------------------------------------


def _type(noun: str, name: str) -> None:
    """Register a type that goes through the operations; a name is in its input, or in a property of its own."""

    def perform(operation: str, properties: Json) -> Json:
        given = dict(properties.get(f"{noun}Input") or {})
        given["Name"] = str(properties.get(name) or given["Name"]).lower()
        place = {key: properties[key] for key in ("CatalogId", "DatabaseName") if key in properties}
        request = place | {"Name": given["Name"], f"{noun}Input": given}
        call("glue", operation, request_of("glue", operation, request))
        return {name: given["Name"]}

    resource_type(
        f"AWS::Glue::{noun}",
        create=lambda properties, _logical_id, _stack: perform(f"Create{noun}", properties),
        update=lambda _ref, _old, new: perform(f"Update{noun}", new),
        delete=lambda _ref, properties: perform(f"Delete{noun}", properties),
    )


inside.provisioners.RESOURCE_HANDLERS.pop("AWS::Glue::Partition", None)  # MiniStack's asks nobody
_type("Database", "DatabaseName")
_type("Table", "Name")
