"""What a caller may read of a table: IAM's answer, Lake Formation's answer, and the SQL that shows just that.

Every engine goes through `read`; an engine must not look at the catalog itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_emulator.core import ServiceError, as_account
from aws_emulator.glue.catalog import ask, shown_table
from aws_emulator.iam.permissions import refusal
from aws_emulator.lakeformation.store import lake

if TYPE_CHECKING:
    from aws_emulator.core import Json
    from aws_emulator.iam.callers import Caller
    from aws_emulator.lakeformation.decision import Part


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a caller may read of a table.

    Attributes:
        catalog: Account that owns the table.
        database: Its database there; links are followed.
        table: Its name there.
        glue: Its record in the catalog with all columns, for the engine.
        columns: Names that the caller may see, in the table's order, partition keys at the end.
        through_iam: Whether S3 and KMS are asked with the caller's own permissions, file by file.
        role: ARN of the role of the registered location, which reads S3 and KMS otherwise.
        parts: Cells that the caller may see.
    """

    catalog: str
    database: str
    table: str
    glue: Json
    columns: tuple[str, ...]
    through_iam: bool
    role: str | None
    parts: tuple[Part, ...]

    def select(self, relation: str) -> str:
        """Return a SELECT that shows exactly the cells that may be seen of a relation.

        A cell of a visible row that no part shows is NULL. Whoever sees a row sees its partition keys.
        """
        keys = {key["Name"] for key in self.glue.get("PartitionKeys") or ()}
        tests = [" AND ".join(f"({row})" for row in sorted(part.rows)) or "true" for part in self.parts]
        shown = []
        for name in self.columns:
            column = '"' + name.replace('"', '""') + '"'
            own = {test for test, part in zip(tests, self.parts, strict=True) if name in part.columns or name in keys}
            condition = " OR ".join(f"({test})" for test in sorted(own))
            always = "true" in own or own == set(tests)
            shown.append(column if always else f"CASE WHEN {condition} THEN {column} END AS {column}")
        where = "" if "true" in tests else " WHERE " + " OR ".join(f"({test})" for test in sorted(set(tests)))
        return f"SELECT {', '.join(shown)} FROM {relation}{where}"  # noqa: S608 - names are quoted, predicates are checked


def read(caller: Caller, account: str, database: str, table: str) -> Access:
    """Return what a caller may read of a table.

    Args:
        caller: Who asks: `aws_emulator.iam.callers.caller()` at the time of the request; it can be kept.
        account: Account whose catalog the name belongs to.
        database: A database, or a link to one.
        table: A table, or a link to one.

    Raises:
        ServiceError: ``AccessDeniedException`` when IAM refuses, ``EntityNotFoundException`` when there is no such
            table or Lake Formation shows nothing of it: these two look the same.
    """
    found = lake()
    reference = (account, database.lower(), table.lower())
    ask(caller, "GetTable", reference)
    link, target = found.target(reference)
    if link:
        ask(caller, "GetTable", target)
    decision = found.decide(caller.arn, reference)
    if decision is None:
        raise ServiceError("EntityNotFoundException", f"Table {table} not found in {database}")
    record, location = found.tables[target], found.location_of(target)
    role = None if decision.through_iam or location is None else str(location["RoleArn"])
    if role:
        with as_account(caller.account, caller.region):
            refused = refusal(caller.access_key, "lakeformation:GetDataAccess", "*")
        if refused:
            raise ServiceError("AccessDeniedException", refused)
    return Access(
        catalog=target[0],
        database=target[1],
        table=target[2],
        glue=record,
        columns=shown_table(record, decision.parts)[1],
        through_iam=decision.through_iam,
        role=role,
        parts=decision.parts,
    )
