"""Resources as Lake Formation's requests and answers have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_emulator.core import Json, ServiceError
from aws_emulator.lakeformation.decision import Resource
from aws_emulator.lakeformation.store import lake

if TYPE_CHECKING:
    from collections.abc import Iterable

_EVERY: Final = "ALL_TABLES"
"""How answers call the tables of a database together."""


def invalid(message: str) -> ServiceError:
    """Return how Lake Formation refuses a request that makes no sense."""
    return ServiceError("InvalidInputException", message)


def lower(names: Iterable[str]) -> tuple[str, ...]:
    """Return names as catalogs keep them, each once."""
    return tuple(sorted({name.lower() for name in names}))


def expression(given: Iterable[Json]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the keys and values of an expression of LF-tags, which are in lower case."""
    return tuple(sorted((tag["TagKey"].lower(), lower(tag["TagValues"])) for tag in given))


def resource_of(given: Json, catalog: str) -> Resource:  # noqa: PLR0911 - one for each form
    """Return what a request names.

    Args:
        given: The structure ``Resource``.
        catalog: Account whose catalog is meant where it names none.

    Raises:
        ServiceError: It names nothing, more than one thing, or one that is not emulated.
    """
    if len(given) != 1:
        raise invalid("Resource must have exactly one of its members.")
    ((form, body),) = given.items()
    account = body.get("CatalogId") or body.get("TableCatalogId") or body.get("Id") or catalog
    name = "*" if "TableWildcard" in body else str(body.get("Name", body.get("TableName", ""))).lower()
    database = (account, str(body.get("DatabaseName", name)).lower())
    match form:
        case "Catalog":
            return Resource("CATALOG", (account,))
        case "Database":
            return Resource("DATABASE", database)
        case "Table" if name:
            return Resource("TABLE", (*database, "*" if name == _EVERY.lower() else name))
        case "TableWithColumns" if ("ColumnNames" in body) != ("ColumnWildcard" in body):
            excluded = lower(body.get("ColumnWildcard", {}).get("ExcludedColumnNames") or ())
            if "ColumnWildcard" in body and not excluded:
                return Resource("TABLE", (*database, "*" if name == _EVERY.lower() else name))
            included = lower(body["ColumnNames"]) if "ColumnNames" in body else None
            return Resource("COLUMNS", (*database, name), (included, excluded))
        case "DataCellsFilter":
            return Resource("FILTER", (*database, body["TableName"].lower()), (body["Name"],))
        case "DataLocation":
            return Resource("LOCATION", (account, body["ResourceArn"]))
        case "LFTag":
            return Resource("TAG", (account, body["TagKey"].lower()), lower(body["TagValues"]))
        case "LFTagPolicy" if "Expression" in body:
            return Resource("TAGS", (account,), (body["ResourceType"], expression(body["Expression"])))
    raise invalid(f"{form} with {sorted(body)} is not emulated as a resource.")


def structure_of(resource: Resource, permission: str = "") -> Json:  # noqa: PLR0911 - one for each form
    """Return the structure ``Resource``; SELECT on a table is shown as on all of its columns."""
    kind, (account, *names), detail = resource
    catalog = {"CatalogId": account}
    table = {**catalog, **dict(zip(("DatabaseName", "Name"), names, strict=False))}
    if names[1:] == ["*"]:
        table |= {"Name": _EVERY}
    match kind:
        case "CATALOG":
            return {"Catalog": {}}
        case "DATABASE":
            return {"Database": {**catalog, "Name": names[0]}}
        case "TABLE" if permission == "SELECT":
            return {"TableWithColumns": {**table, "ColumnWildcard": {}}}
        case "TABLE":
            wildcard: Json = {"TableWildcard": {}} if names[1] == "*" else {}
            return {"Table": table | wildcard}
        case "COLUMNS":
            excluded: Json = {"ColumnWildcard": {"ExcludedColumnNames": list(detail[1])}}
            included: Json = {"ColumnNames": list(detail[0] or ())}
            return {"TableWithColumns": table | (excluded if detail[0] is None else included)}
        case "FILTER":
            place = {"TableCatalogId": account, "DatabaseName": names[0], "TableName": names[1]}
            return {"DataCellsFilter": {**place, "Name": detail[0]}}
        case "LOCATION":
            return {"DataLocation": {**catalog, "ResourceArn": names[0]}}
        case "TAG":
            return {"LFTag": {**catalog, "TagKey": names[0], "TagValues": list(detail)}}
    tags = [{"TagKey": key, "TagValues": list(values)} for key, values in detail[1]]
    return {"LFTagPolicy": {**catalog, "ResourceType": detail[0], "Expression": tags}}


def require_columns(path: tuple[str, ...], names: Iterable[str]) -> None:
    """Check that a table has columns.

    Raises:
        ServiceError: One is missing.
    """
    keys = {key["Name"] for key in lake().tables[path].get("PartitionKeys") or ()}
    missing = sorted({*names} - lake().columns(path) - keys)
    if missing:
        raise invalid(f"Table {path[2]} has no column {', '.join(missing)}.")
