"""What the Glue Data Catalog says about a table to the role that asks: its columns, its owner, and its state."""

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lake.errors import LakeError

# Glue says either, so that nobody learns of a table by asking (Lake Formation developer guide, "Access denied").
HIDDEN = ("AccessDeniedException", "EntityNotFoundException")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table or view, as far as the role that asks may see it.

    Attributes:
        database: Name of the database here: a resource link, or a database of this account.
        name: Name of the table.
        owner: Account whose catalog has it.
        target: Name of the database there.
        columns: Type of each visible column in the catalog's words, partition keys last.
        partition_keys: Those columns whose values are in the names of folders.
        version: Number of its definition in the catalog.
        snapshot_file: File that describes the newest snapshot of an Iceberg table; empty for others.
        tells_changes: Whether the catalog knows when data change: by snapshots, or by partitions registered in it.
    """

    database: str
    name: str
    owner: str
    target: str
    columns: Mapping[str, str]
    partition_keys: tuple[str, ...] = ()
    version: str = ""
    snapshot_file: str = ""
    tells_changes: bool = False

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.target}.{self.name} of account {self.owner}"


def find(glue: Any, database: str, name: str) -> Table:
    """Return a table as the role of this client sees it.

    Args:
        glue: Client of Glue.
        database: Database in this account; a resource link is followed.
        name: Table or view.

    Raises:
        LakeError: There is no such database or table, the link leads nowhere, or the role may not see it.
    """
    try:
        found = glue.get_database(Name=database)["Database"]
    except Exception as err:
        raise _refused(
            err,
            f"There is no database {database} in this account that the project may see. Correct database in data.yaml; "
            f"a link to governed data is made by whoever launches access to them for a team.",
        ) from err
    link = found.get("TargetDatabase") or {}
    owner = link.get("CatalogId") or found.get("CatalogId") or ""
    target = link.get("DatabaseName") or database
    at_home = {"CatalogId": owner} if link else {}
    try:
        table = glue.get_table(**at_home, DatabaseName=target, Name=name)["Table"]
    except Exception as err:
        way = f"{database} is a link to database {target} of account {owner}. " if link else ""
        raise _refused(
            err,
            f"The project may not see table {name} of database {database}, or there is none. {way}Check the name in "
            f"data.yaml. If it is right, the grant is missing or was revoked, or the link's target is gone: ask "
            f"whoever opens data to your team, as a rule the lead data scientist, to name this project.",
        ) from err
    parameters = {key.lower(): value for key, value in (table.get("Parameters") or {}).items()}
    keys = table.get("PartitionKeys") or []
    listed = [*((table.get("StorageDescriptor") or {}).get("Columns") or []), *keys]
    is_iceberg = parameters.get("table_type", "").upper() == "ICEBERG"
    projected = parameters.get("projection.enabled", "").lower() == "true"
    return Table(
        database=database,
        name=name,
        owner=owner or table.get("CatalogId", ""),
        target=target,
        columns={column["Name"].lower(): column.get("Type", "").lower() for column in listed},
        partition_keys=tuple(column["Name"].lower() for column in keys),
        version=str(table.get("VersionId") or ""),
        snapshot_file=parameters.get("metadata_location", "") if is_iceberg else "",
        tells_changes=is_iceberg or bool(keys and not projected),
    )


def state(glue: Any, table: Table, *, snapshot: str = "", now: datetime.datetime | None = None) -> str:
    """Return what changes whenever the data of a table change, as 16 letters and digits or as a time.

    An Iceberg table changes with its snapshot, a partitioned one with its definition and its partitions. Of other
    tables, and of views, the catalog does not know when files change, so the answer is the time: nothing is then taken
    from an earlier run.

    Args:
        glue: Client of Glue.
        table: The table.
        snapshot: Snapshot or time as of which it is read, which never changes.
        now: The time. Default: the clock's.
    """
    if not snapshot and not table.tells_changes:
        moment = now or datetime.datetime.now(datetime.UTC)
        return moment.strftime("%Y-%m-%dT%H-%M-%SZ")
    known = [table.owner, table.target, table.name, *(f"{name} {kind}" for name, kind in table.columns.items())]
    if snapshot:
        known.append(snapshot)
    elif table.snapshot_file:
        known.append(table.snapshot_file)
    else:
        known += [table.version, *_partitions(glue, table)]
    return hashlib.sha256("\0".join(known).encode()).hexdigest()[:16]


def _partitions(glue: Any, table: Table) -> list[str]:
    """Return a text for each partition that changes when the partition is registered anew."""
    pages = glue.get_paginator("get_partitions").paginate(
        CatalogId=table.owner, DatabaseName=table.target, TableName=table.name, ExcludeColumnSchema=True
    )
    found = []
    try:
        for page in pages:
            for partition in page.get("Partitions", []):
                place = (partition.get("StorageDescriptor") or {}).get("Location", "")
                made = partition.get("CreationTime", "")
                more = sorted((partition.get("Parameters") or {}).items())
                found.append(f"{partition.get('Values')} {place} {made} {more}")
    except Exception as err:
        raise _refused(err, f"The partitions of {table.place} may not be listed by this project.") from err
    return sorted(found)


def _refused(err: Exception, message: str) -> Exception:
    """Return what to raise for an answer of Glue: words for what is hidden or missing, else the error itself."""
    answer = getattr(err, "response", {}).get("Error", {})
    return LakeError(f"{message} (Glue: {answer.get('Message')})") if answer.get("Code") in HIDDEN else err
