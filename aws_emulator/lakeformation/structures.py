"""Resources as Lake Formation's requests and answers have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_emulator.core import Json, ServiceError
from aws_emulator.lakeformation.decision import Resource
from aws_emulator.lakeformation.store import lake

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORMS: Final = {
    "Catalog": ("CATALOG", ("Id",)),
    "Database": ("DATABASE", ("CatalogId", "Name")),
    "Table": ("TABLE", ("CatalogId", "DatabaseName", "Name")),
    "TableWithColumns": ("COLUMNS", ("CatalogId", "DatabaseName", "Name")),
    "DataCellsFilter": ("FILTER", ("TableCatalogId", "DatabaseName", "TableName")),
    "DataLocation": ("LOCATION", ("CatalogId", "ResourceArn")),
    "LFTagPolicy": ("TAGS", ("CatalogId",)),
}
"""Kind of each form of a resource, and the members that are its path, the account first."""
_EVERY: Final = "ALL_TABLES"
"""How answers call the tables of a database together."""


def invalid(message: str) -> ServiceError:
    """Return how Lake Formation refuses a request that makes no sense."""
    return ServiceError("InvalidInputException", message)


def lower(names: Iterable[str]) -> tuple[str, ...]:
    """Return names as catalogs keep them, each once."""
    return tuple(sorted({name.lower() for name in names}))


def resource_of(given: Json, catalog: str) -> Resource:
    """Return what a request names.

    Args:
        given: The structure ``Resource``.
        catalog: Account whose catalog is meant where it names none.

    Raises:
        ServiceError: It names nothing, more than one thing, or one that is not emulated.
    """
    if len(given) != 1 or not given.keys() <= _FORMS.keys():
        raise invalid(f"Resource is exactly one of {', '.join(_FORMS)}: {', '.join(given)}")
    ((form, body),) = given.items()
    kind, (account, *members) = _FORMS[form]
    is_every = "TableWildcard" in body or body.get("Name") == _EVERY
    names = ["*" if is_every and member == "Name" else str(body.get(member, "")) for member in members]
    path = (body.get(account) or catalog, *(names if kind == "LOCATION" else (name.lower() for name in names)))
    if "" in path or (kind == "TAGS" and "Expression" not in body):
        raise invalid(f"{form} is incomplete, or has members that are not emulated: {body}")
    if kind == "FILTER":
        return Resource(kind, path, (body["Name"],))
    if kind == "TAGS":
        tags = sorted((tag["TagKey"].lower(), lower(tag["TagValues"])) for tag in body["Expression"])
        return Resource(kind, path, (body["ResourceType"], tuple(tags)))
    if kind != "COLUMNS":
        return Resource(kind, path)
    if ("ColumnNames" in body) == ("ColumnWildcard" in body):
        raise invalid("TableWithColumns has either ColumnNames or ColumnWildcard.")
    excluded = lower(body.get("ColumnWildcard", {}).get("ExcludedColumnNames") or ())
    included = lower(body["ColumnNames"]) if "ColumnNames" in body else None
    return Resource(kind, path, (included, excluded)) if included or excluded else Resource("TABLE", path)


def structure_of(resource: Resource, *, as_columns: bool = False) -> Json:
    """Return the structure ``Resource``; SELECT on a table is shown as on all of its columns."""
    kind, path, detail = resource
    form, members = next((form, members) for form, (known, members) in _FORMS.items() if known == kind)
    body: Json = dict(zip(members, (_EVERY if name == "*" else name for name in path), strict=True))
    if kind == "FILTER":
        body["Name"] = detail[0]
    elif kind == "TAGS":
        tags = [{"TagKey": key, "TagValues": list(values)} for key, values in detail[1]]
        body |= {"ResourceType": detail[0], "Expression": tags}
    elif kind == "COLUMNS":
        excluded = {"ColumnWildcard": {"ExcludedColumnNames": list(detail[1])}}
        body |= excluded if detail[0] is None else {"ColumnNames": list(detail[0])}
    elif as_columns:
        form, body = "TableWithColumns", {**body, "ColumnWildcard": {}}
    elif path[-1] == "*":
        body["TableWildcard"] = {}
    return {form: body}


def require_columns(path: tuple[str, ...], names: Iterable[str]) -> None:
    """Check that a table has columns.

    Raises:
        ServiceError: One is missing.
    """
    keys = {key["Name"] for key in lake().tables[path].get("PartitionKeys") or ()}
    if missing := sorted({*names} - lake().columns(path) - keys):
        raise invalid(f"Table {path[2]} has no column {', '.join(missing)}.")
