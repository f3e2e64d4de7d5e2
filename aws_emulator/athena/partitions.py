"""Which partitions a table has, and where: registered in Glue, or projected from the table's properties.

Projection never lists a range: the folders that there are, are read as the template of locations has them, and count
where the projection allows their values (https://docs.aws.amazon.com/athena/latest/ug/partition-projection.html and
partition-projection-supported-types.html).
"""

from __future__ import annotations

import calendar
import datetime
import re
from typing import TYPE_CHECKING, Final, TypeAlias

from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.clock import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from aws_emulator.core import Json

Partition: TypeAlias = tuple[tuple[str | None, ...], str]
"""Values of the partition keys, and the location."""
_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
_JAVA: Final = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_MONTHS: Final = {"YEAR": 12, "MONTH": 1}
_SECONDS: Final = {"WEEK": 604_800, "DAY": 86_400, "HOUR": 3600, "MINUTE": 60, "SECOND": 1}


def is_projected(table: Json) -> bool:
    """Return whether the partitions of a table follow from its properties."""
    return str(table.get("Parameters", {}).get("projection.enabled", "")).lower() == "true"


def registered(records: Iterable[Json]) -> list[Partition]:
    """Return the partitions of their records in Glue."""
    return [
        (tuple(None if value == _NULL else value for value in entry["Values"]), entry["StorageDescriptor"]["Location"])
        for entry in records
    ]


def projected(
    table: Json, folders: Callable[[str], Iterable[str]], equal: Mapping[str, Collection[str]]
) -> list[Partition]:
    """Return the partitions that a table's properties allow and that hold something.

    Args:
        table: Record of the table in Glue.
        folders: Returns the folders below a location, as locations.
        equal: By partition key the texts that a query allows, where it says so by ``=`` or ``IN``.

    Raises:
        QueryError: A value is injected and the query does not say which (CONSTRAINT_VIOLATION), or properties are
            missing (INVALID_TABLE_PROPERTY).
    """
    keys = [key["Name"] for key in table["PartitionKeys"]]
    properties: Json = table["Parameters"]
    allowed = {key: _allowed(key, properties, equal) for key in keys}
    location = table["StorageDescriptor"]["Location"].rstrip("/")
    default = location + "".join(f"/{key}=${{{key}}}" for key in keys)
    template = properties.get("storage.location.template", default).rstrip("/")
    pieces = re.split(r"\$\{(\w+)\}", template)
    if unknown := set(keys) ^ set(pieces[1::2]):
        raise QueryError("INVALID_TABLE_PROPERTY", f"storage.location.template and keys differ in {sorted(unknown)}")
    pattern = "".join(_group(piece, pieces[1:i:2]) if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
    found: list[Partition] = []
    for folder in folders(pieces[0]):
        match = re.fullmatch(pattern, folder.rstrip("/"))
        if match and all(allowed[key](match[key]) for key in keys):
            found.append((tuple(match[key] for key in keys), folder))
    return found


def _group(key: str, before: list[str]) -> str:
    return f"(?P={key})" if key in before else f"(?P<{key}>[^/]+)"


def _allowed(key: str, properties: Json, equal: Mapping[str, Collection[str]]) -> Callable[[str], bool]:
    """Return whether a text is a value of a partition key, by the type of its projection."""

    def given(name: str, default: str | None = None) -> str:
        found = properties.get(f"projection.{key}.{name}", default)
        if found is None:
            raise QueryError("INVALID_TABLE_PROPERTY", f"Table is missing property projection.{key}.{name}")
        return str(found).strip()

    kind = given("type").lower()
    if kind == "enum":
        return {value.strip() for value in given("values").split(",")}.__contains__
    if kind == "injected":
        if key not in equal:
            raise QueryError(
                "CONSTRAINT_VIOLATION",
                f"For the injected projected partition column {key}, the WHERE clause must contain only static "
                "equality conditions, and at least one such condition must be present.",
            )
        return equal[key].__contains__
    if kind == "integer":
        low, high = (int(part) for part in given("range").split(","))
        step, digits = int(given("interval", "1")), int(given("digits", "0"))
        return lambda text: (
            re.fullmatch(r"-?\d+", text) is not None
            and low <= int(text) <= high
            and (int(text) - low) % step == 0
            and text == str(int(text)).zfill(digits)
        )
    if kind == "date":
        return _dates(given("format"), given("range"), given)
    raise QueryError("INVALID_TABLE_PROPERTY", f"projection.{key}.type is {kind!r}")


def _dates(form: str, limits: str, given: Callable[..., str]) -> Callable[[str], bool]:
    """Return whether a text is a date of a range, with ends that can be relative to ``NOW``."""
    picture = _picture(form)
    by_day, by_month = (picture.count("%") == parts and end in picture for parts, end in ((3, "%d"), (2, "%m")))
    usual = ("1", "DAYS") if by_day else ("1", "MONTHS") if by_month else (None, None)
    step, unit = int(given("interval", usual[0])), given("interval.unit", usual[1]).upper().removesuffix("S")
    now = clock.moment().replace(tzinfo=None)

    def read(text: str) -> datetime.datetime:
        relative = re.fullmatch(r"NOW\s*(?:([+-])\s*(\d+)\s*([A-Z]+?)S?)?", text.strip(), re.IGNORECASE)
        if relative is None:
            return datetime.datetime.strptime(text.strip(), picture)
        count = int(f"{relative[1]}{relative[2]}") if relative[1] else 0
        moment = _later(now, (relative[3] or "DAY").upper(), count)
        return datetime.datetime.strptime(moment.strftime(picture), picture)

    low, high = (read(end) for end in limits.split(","))

    def fits(text: str) -> bool:
        try:
            value = datetime.datetime.strptime(text, picture)
        except ValueError:
            return False
        if not low <= value <= high or value.strftime(picture) != text:
            return False
        if unit in _MONTHS:
            return ((value.year - low.year) * 12 + value.month - low.month) % (step * _MONTHS[unit]) == 0
        return (value - low).total_seconds() % (step * _SECONDS[unit]) == 0

    return fits


def _picture(form: str) -> str:
    """Return a date format of Java as one of `strptime`."""
    found = ""
    for position, part in enumerate(form.split("'")):
        if position % 2:
            found += part
        elif re.search(r"[A-Za-z]", re.sub("|".join(_JAVA), "", part)):
            raise NotEmulated(f"the date format {form!r} of a projection")
        else:
            found += re.sub("|".join(_JAVA), lambda match: _JAVA[match[0]], part)
    return found


def _later(moment: datetime.datetime, unit: str, count: int) -> datetime.datetime:
    if unit not in _MONTHS:
        return moment + datetime.timedelta(seconds=count * _SECONDS[unit])
    months = moment.year * 12 + moment.month - 1 + count * _MONTHS[unit]
    year, month = months // 12, months % 12 + 1
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))
