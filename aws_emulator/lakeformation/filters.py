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


def _path(data: Json) -> Path:
    """Return the path of a filter, with which the caller may do something: only the table's account makes filters."""
    who = caller()
    path = (data["TableCatalogId"], data["DatabaseName"].lower(), data["TableName"].lower())
    if path[0] != who.account or not may_pass_on(who, Resource("TABLE", path), {"SELECT"}):
        raise ServiceError("AccessDeniedException", "Insufficient Lake Formation permission(s) on the table.")
    if path not in lake().tables:
        raise ServiceError("EntityNotFoundException", f"Table not found: {path[2]}")
    return (*path, data["Name"])


@overlay("lakeformation", "CreateDataCellsFilter")
def _create(request: Json) -> Json:
    data = request["TableData"]
    path, rows = _path(data), data.get("RowFilter") or {}
    if path in lake().filters:
        raise ServiceError("AlreadyExistsException", f"Data cells filter exists: {path[3]}")
    table = lake().tables[path[:3]]
    included, wildcard = lower(data.get("ColumnNames") or ()), data.get("ColumnWildcard")
    excluded = lower((wildcard or {}).get("ExcludedColumnNames") or ())
    if table.get("TargetTable") or table.get("TableType") == "VIRTUAL_VIEW" or path[3].lower() in _RESERVED:
        raise invalid("Data cells filters are not for views and links, and not called like system columns.")
    if bool(included) == (wildcard is not None) or ("FilterExpression" in rows) == ("AllRowsWildcard" in rows):
        raise invalid("A filter has ColumnNames or ColumnWildcard, and FilterExpression or AllRowsWildcard.")
    types = {column["Name"]: column["Type"].lower() for column in table["StorageDescriptor"]["Columns"]}
    if any(types.get(name, "").startswith(("struct", "array", "map")) for name in (*included, *excluded)):
        raise invalid("Nested columns are not for data cells filters.")
    require_columns(path[:3], (*included, *excluded))
    sql = predicate(rows["FilterExpression"], table) if "FilterExpression" in rows else ""
    columns = {"ColumnNames": list(included), "ColumnWildcard": {"ExcludedColumnNames": list(excluded)}}
    lake().filters[path] = {**data, **columns, "VersionId": random_id()}, sql
    return {}


@overlay("lakeformation", "DeleteDataCellsFilter")
def _delete(request: Json) -> Json:
    path = _path(request)
    if lake().filters.pop(path, None) is None:
        raise ServiceError("EntityNotFoundException", f"Data cells filter not found: {path[3]}")
    forget_grants(lambda resource: (resource.kind, *resource.path, *resource.detail) == ("FILTER", *path))
    return {}
