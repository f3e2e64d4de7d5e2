"""Data cells filters: a list of columns and a predicate on rows, in the subset of PartiQL that Lake Formation knows.

Pages below https://docs.aws.amazon.com/lake-formation/latest/dg/: data-filtering-notes, partiql-support.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlglot
from sqlglot import exp

from aws_emulator.bridge import overlay
from aws_emulator.clock import random_id
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam.callers import caller
from aws_emulator.lakeformation.decision import Resource
from aws_emulator.lakeformation.grants import may_pass_on
from aws_emulator.lakeformation.store import forget_grants, lake
from aws_emulator.lakeformation.structures import invalid, lower, require_columns

if TYPE_CHECKING:
    from aws_emulator.lakeformation.decision import Path

_RESERVED: Final = {"ctid", "oid", "xmin", "cmin", "xmax", "cmax", "tableoid", "insertxid", "deletexid", "importoid"}
_NUMBERS: Final = ("tinyint", "smallint", "int", "integer", "bigint", "long", "float", "double", "decimal")
_TEXTS: Final = ("string", "char", "varchar")
_LOGIC: Final = (exp.And, exp.Or, exp.Not, exp.Paren)
_COMPARES: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Like)


def predicate(text: str, table: Json) -> str:
    """Return a row filter expression as SQL of DuckDB.

    Args:
        text: The expression.
        table: Record of the table.

    Raises:
        ServiceError: It is not of the subset, or does not fit the columns of the table.
    """
    columns = {c["Name"]: c["Type"].lower() for c in table.get("StorageDescriptor", {}).get("Columns") or ()}
    keys = {key["Name"]: key["Type"].lower() for key in table.get("PartitionKeys") or ()}
    try:
        tree = sqlglot.parse_one(text, read="athena")
    except sqlglot.ParseError as error:
        raise invalid(f"Row filter cannot be parsed: {text}") from error
    _check(tree, columns | keys, keys)
    for column in tree.find_all(exp.Column):
        column.this.replace(exp.to_identifier(column.name.lower(), quoted=True))
    return str(tree.sql(dialect="duckdb"))


def _check(node: exp.Expression, types: dict[str, str], keys: dict[str, str]) -> None:
    if isinstance(node, _LOGIC):
        for child in node.iter_expressions():
            _check(child, types, keys)
        return
    column, *values = list(node.iter_expressions()) or [node]
    is_null = isinstance(node, exp.Is) and isinstance(values[0], exp.Null)
    fits = is_null or isinstance(node, (*_COMPARES, exp.Between, exp.In))
    if not fits or not isinstance(column, exp.Column) or column.table or node.args.get("query"):
        raise invalid(f"Row filters compare a column with constants: {node.sql()}")
    type_ = types.get(column.name.lower(), "").split("(")[0]
    if type_ not in {*_NUMBERS, *_TEXTS, "boolean"}:
        raise invalid(f"Row filter has an unknown column or one of a type that is not supported: {column.name} {type_}")
    if is_null:
        if column.name.lower() in keys:
            raise invalid(f"IS NULL is not for partition columns: {column.name}")
        return
    for value in values:
        inner = value.this if isinstance(value, exp.Neg) else value
        kind = isinstance(inner, exp.Boolean) if type_ == "boolean" else isinstance(inner, exp.Literal)
        if not kind or (isinstance(inner, exp.Literal) and inner.is_string != (type_ in _TEXTS)):
            raise invalid(f"Row filter compares {column.name} ({type_}) with {value.sql()}")


def _table(data: Json) -> tuple[Path, Json]:
    """Return path and record of the table of a filter, which only its account makes."""
    who, found = caller(), lake()
    path = (data["TableCatalogId"], data["DatabaseName"].lower(), data["TableName"].lower())
    if path[0] != who.account or not may_pass_on(who, Resource("TABLE", path), {"SELECT"}):
        raise ServiceError("AccessDeniedException", "Insufficient Lake Formation permission(s) on the table.")
    if path not in found.tables:
        raise ServiceError("EntityNotFoundException", f"Table not found: {path[2]}")
    return path, found.tables[path]


def _keep(data: Json) -> None:
    path, table = _table(data)
    rows, columns = data.get("RowFilter") or {}, table.get("StorageDescriptor", {}).get("Columns") or ()
    nested = [column["Name"] for column in columns if column["Type"].lower().startswith(("struct", "array", "map"))]
    included = lower(data.get("ColumnNames") or ())
    excluded = lower((data.get("ColumnWildcard") or {}).get("ExcludedColumnNames") or ())
    if table.get("TargetTable") or table.get("TableType") == "VIRTUAL_VIEW":
        raise invalid("Data cells filters are not for views and links.")
    if data["Name"].lower() in _RESERVED or {*included, *excluded} & {*nested, *_RESERVED}:
        raise invalid("Reserved names and nested columns are not for data cells filters.")
    if bool(included) == ("ColumnWildcard" in data) or ("FilterExpression" in rows) == ("AllRowsWildcard" in rows):
        raise invalid("A filter has ColumnNames or ColumnWildcard, and FilterExpression or AllRowsWildcard.")
    require_columns(path, (*included, *excluded))
    sql = predicate(rows["FilterExpression"], table) if "FilterExpression" in rows else ""
    record = {**data, "ColumnNames": list(included), "VersionId": random_id()}
    if excluded:
        record["ColumnWildcard"] = {"ExcludedColumnNames": list(excluded)}
    lake().filters[*path, data["Name"]] = record, sql


@overlay("lakeformation", "CreateDataCellsFilter")
def create_filter(request: Json) -> Json:
    """Create a filter."""
    data = request["TableData"]
    path, _ = _table(data)
    if (*path, data["Name"]) in lake().filters:
        raise ServiceError("AlreadyExistsException", f"Data cells filter exists: {data['Name']}")
    _keep(data)
    return {}


@overlay("lakeformation", "UpdateDataCellsFilter")
def _update(request: Json) -> Json:
    _found(request["TableData"])
    _keep(request["TableData"])
    return {}


def _found(data: Json) -> tuple[Path, Json]:
    path, _ = _table(data)
    key = (*path, data["Name"])
    if key not in lake().filters:
        raise ServiceError("EntityNotFoundException", f"Data cells filter not found: {data['Name']}")
    return key, lake().filters[key][0]


@overlay("lakeformation", "GetDataCellsFilter")
def _get(request: Json) -> Json:
    return {"DataCellsFilter": _found(request)[1]}


@overlay("lakeformation", "DeleteDataCellsFilter")
def delete_filter(request: Json) -> Json:
    """Delete a filter with what was granted on it."""
    key, _ = _found(request)
    del lake().filters[key]
    forget_grants(lambda resource: (resource.kind, *resource.path, *resource.detail) == ("FILTER", *key))
    return {}


@overlay("lakeformation", "ListDataCellsFilter")
def _list(request: Json) -> Json:
    who, wanted = caller(), request.get("Table")
    names = (wanted["DatabaseName"].lower(), wanted["Name"].lower()) if wanted else None
    mine = {key: record for key, (record, _) in sorted(lake().filters.items()) if key[0] == who.account}
    seen = {key for key in mine if may_pass_on(who, Resource("TABLE", key[:3]), {"SELECT"})}
    return {"DataCellsFilters": [mine[key] for key in sorted(seen) if names is None or key[1:3] == names]}
