"""Who sees which cell of a governed lake, from nothing but the list of what happened.

It is written from the pages that `aws_emulator.lakeformation.decision` names, shares no code with it, keeps no state
and asks the list again for every cell: slow and simple.
"""

from __future__ import annotations

import itertools
import json

from aws_emulator.lakeformation.decision import IAM_GROUP
from aws_emulator.tests.lake_world import (
    ACCOUNTS,
    COLUMNS,
    LINKED,
    NAMES_OF,
    OTHER,
    OWNER,
    PREDICATES,
    ROLES,
    ROWS,
    USER,
    Cell,
    Event,
    Json,
    table_structure,
)


def names(account: str) -> list[str]:
    return NAMES_OF.get(account, [])


class Naive:
    """Answers questions about single cells from the list of events that succeeded; keeps nothing else."""

    def __init__(self, past: list[Event]) -> None:
        self.past = past

    def sees(self, who: str, reference: tuple[str, ...]) -> tuple[set[Cell], bool]:
        """Return the cells of a table that a role sees, and whether its own permissions for S3 decide."""
        table = self.reached(who, reference)
        if table is None:
            return set(), False
        place = self.place(table)
        if self.is_open(table) and not self.is_in(who, table):
            everything = {(i, column) for i in range(len(ROWS)) for column in (*COLUMNS, "p")}
            return (everything if ACCOUNTS[who] == OWNER else set()), place in {None, "hybrid"}
        seen: set[Cell] = set()
        for (i, row), column in itertools.product(enumerate(ROWS), COLUMNS):
            if self.shows(who, table, column, row):
                seen |= {(i, column), (i, "p")}
        return seen, place is None

    def reached(self, who: str, reference: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the table of a reference; None when a link to it is closed."""
        if reference[0] == OWNER:
            return reference
        link = "own" if reference[1] == "own" else "l1"
        table = (OWNER, "d2", "t1") if link == "own" else (OWNER, "d1", reference[2])
        return table if self.opens_link(who, reference[0], link) else None

    def knows(self, who: str, reference: tuple[str, ...]) -> set[str]:
        """Return the columns of a table that a role sees in the catalog: with any permission, whatever the rows."""
        table, account, administers = self.reached(who, reference), ACCOUNTS[who], who in {"oa", "ca", "xa"}
        if table is None:
            return set()
        if self.is_open(table) and not self.is_in(who, table) and not administers:
            return set(COLUMNS) if account == OWNER else set()

        def held(by: str, to: str, column: str) -> bool:
            return any(self.holds(by, to, table, column, None, permission=p) for p in ("SELECT", "DESCRIBE"))

        found = set()
        for column in COLUMNS:
            shared = any(held(OWNER, name, column) for name in names(account))
            passed_on = administers or held(account, ROLES[who], column)
            if held(OWNER, ROLES[who], column) or (shared and passed_on) or (account == OWNER and administers):
                found.add(column)
        return found

    def shows(self, who: str, table: tuple[str, ...], column: str, row: Json) -> bool:
        """Whether a role sees a cell of a row, as Lake Formation decides."""
        me, account = ROLES[who], ACCOUNTS[who]
        if self.holds(OWNER, me, table, column, row):
            return True
        if account == OWNER:
            return False
        shared = any(self.holds(OWNER, name, table, column, row) for name in names(account))
        return shared and self.holds(account, me, table, column, row)

    def opens_link(self, who: str, account: str, link: str) -> bool:
        if ACCOUNTS[who] != account:
            return False  # a link is of use in its own account only
        admin = {USER: "ca", OTHER: "xa"}[account]
        wanted = LINKED[link]
        given = False
        for event in self.past:
            mine = event.account == account and event.request.get("Resource") == wanted
            if mine and event.to == ROLES[who]:
                given = event.operation == "GrantPermissions"
        return given or who == admin

    def is_open(self, table: tuple[str, ...]) -> bool:
        given = False
        for event in self.past:
            if event.to == IAM_GROUP and event.request["Resource"] == {"Table": table_structure(table)}:
                given = event.operation == "GrantPermissions"
        return given

    def is_in(self, who: str, table: tuple[str, ...]) -> bool:
        inside = {}
        for event in self.past:
            if event.operation.endswith("OptIn") and event.to == ROLES[who]:
                inside[json.dumps(event.request["Resource"])] = event.operation.startswith("Create")
        wanted = ({"Table": table_structure(table)}, {"Database": {"CatalogId": OWNER, "Name": table[1]}})
        return any(inside.get(json.dumps(resource)) for resource in wanted)

    def place(self, table: tuple[str, ...]) -> str | None:
        """Return how the innermost registered place of a table is registered."""
        for end in (f"{table[1]}/{table[2]}", table[1]):
            found = None
            for event in self.past:
                if event.request.get("ResourceArn") == f"arn:aws:s3:::lake/{end}":
                    kind = "hybrid" if event.request.get("HybridAccessEnabled") else "full"
                    found = kind if event.operation == "RegisterResource" else None
            if found:
                return found
        return None

    def holds(  # noqa: PLR0917 - a question about one cell
        self, by: str, to: str, table: tuple[str, ...], column: str, row: Json | None, permission: str = "SELECT"
    ) -> bool:
        """Whether an account granted a permission on a cell to a name and did not revoke it."""
        if by == OWNER and to in {OTHER, ROLES["x1"]} and not self.has_accepted(to):
            return False
        return any(self.stands(by, to, grant, column, permission) and self.opens(grant, table, column, row)
                   for grant in self.given(by, to))  # fmt: skip

    def given(self, by: str, to: str) -> list[Json]:
        """Return all resources that were ever granted."""
        found = []
        for event in self.past:
            if event.operation == "GrantPermissions" and event.account == by and event.to == to:
                found.append(event.request["Resource"])
        return found

    def stands(
        self, by: str, to: str, resource: Json, column: str, permission: str = "SELECT", *, option: bool = False
    ) -> bool:
        """Whether a grant of a permission on a resource, and there of a column, is the last word about it."""
        has, passes = False, False
        for event in self.past:
            if event.operation == "DeleteDataCellsFilter" and resource.get("DataCellsFilter") == event.request:
                has = passes = False
            if event.operation not in {"GrantPermissions", "RevokePermissions"}:
                continue
            if event.account != by or event.to != to or permission not in event.request["Permissions"]:
                continue
            if not self.concerns(event.request["Resource"], resource, column):
                continue
            has = event.operation == "GrantPermissions"
            passes = has and (passes or permission in event.request["PermissionsWithGrantOption"])
        return has and (passes or not option)

    @staticmethod
    def concerns(said: Json, resource: Json, column: str) -> bool:
        """Whether what is said about one resource is about a column of another: included columns each count alone."""
        one, other = said.get("TableWithColumns"), resource.get("TableWithColumns")
        if one and other and "ColumnNames" in one and "ColumnNames" in other:
            same = {**one, "ColumnNames": 0} == {**other, "ColumnNames": 0}
            return same and column in one["ColumnNames"] and column in other["ColumnNames"]
        return said == resource

    def opens(self, resource: Json, table: tuple[str, ...], column: str, row: Json | None) -> bool:
        ((form, body),) = resource.items()
        if form == "LFTagPolicy":
            return all(self.tag(table, column, tag["TagKey"]) in tag["TagValues"] for tag in body["Expression"])
        names = (body.get("DatabaseName"), body.get("Name"))
        if form == "Table":
            return names == table[1:] or ("TableWildcard" in body and names[0] == table[1])
        if form == "TableWithColumns":
            excluded = body.get("ColumnWildcard", {}).get("ExcludedColumnNames", ())
            return names == table[1:] and column in body.get("ColumnNames", COLUMNS) and column not in excluded
        if form != "DataCellsFilter" or (body["DatabaseName"], body["TableName"]) != table[1:]:
            return False
        record = None
        for event in self.past:
            made = event.request.get("TableData", {})
            if all(made.get(key) == value for key, value in body.items()):
                record = made
        if record is None or not self.exists(body):
            return False
        excluded = record.get("ColumnWildcard", {}).get("ExcludedColumnNames", ())
        text = record["RowFilter"].get("FilterExpression", "")
        is_shown = row is None or PREDICATES[text](row)
        return column in record.get("ColumnNames", COLUMNS) and column not in excluded and is_shown

    def exists(self, filter_: Json) -> bool:
        last = ""
        for event in self.past:
            made = event.request.get("TableData", event.request)
            if event.operation.endswith("DataCellsFilter") and all(made.get(k) == v for k, v in filter_.items()):
                last = event.operation
        return bool(last) and not last.startswith("Delete")

    def tag(self, table: tuple[str, ...], column: str, key: str) -> str | None:
        """Return the value of a tag on a column; the innermost resource that has the key decides."""
        named, value = table_structure(table), None
        places: list[Json] = [{"Database": {"CatalogId": OWNER, "Name": table[1]}}, {"Table": named}]
        for place in [*places, {"TableWithColumns": {**named, "ColumnNames": [column]}}]:
            own = None
            for event in self.past:
                if event.operation.endswith(("ToResource", "FromResource")) and event.request["Resource"] == place:
                    (tag,) = event.request["LFTags"]
                    if tag["TagKey"] == key:
                        own = tag["TagValues"][0] if event.operation.startswith("Add") else None
            value = own or value
        return value

    def has_accepted(self, to: str) -> bool:
        """Whether a share with the outside account is in force: accepted since it began to exist."""
        accepted = False
        for number, event in enumerate(self.past):
            if event.operation == "RevokePermissions" and not Naive(self.past[: number + 1]).shares(to):
                accepted = False
            if event.operation == "Accept":
                accepted = accepted or Naive(self.past[:number]).shares(to)
        return accepted

    def shares(self, to: str) -> bool:
        """Whether the owner has granted anything to a name that it did not revoke."""
        left: dict[str, set[str]] = {}
        for event in self.past:
            filter_ = {"DataCellsFilter": event.request}
            if event.operation == "DeleteDataCellsFilter":
                left.pop(json.dumps(filter_, sort_keys=True), None)
            if event.to != to or event.account != OWNER or "Permissions" not in event.request:
                continue
            for part in self.parts(event.request["Resource"]):
                held = left.setdefault(part, set())
                permissions = set(event.request["Permissions"])
                left[part] = held | permissions if event.operation == "GrantPermissions" else held - permissions
        return any(left.values())

    @staticmethod
    def parts(resource: Json) -> list[str]:
        body = resource.get("TableWithColumns", {})
        if "ColumnNames" in body:
            return [json.dumps({**body, "ColumnNames": name}, sort_keys=True) for name in body["ColumnNames"]]
        return [json.dumps(resource, sort_keys=True)]

    def may_grant(self, event: Event) -> bool | None:
        """Whether somebody may grant or revoke; None where the evaluator has no opinion."""
        resource, by = event.request["Resource"], event.account
        if "CatalogId" not in next(iter(resource.values())) and "DataCellsFilter" not in resource:
            return event.by in {"ca", "xa"} or None  # a link of its own account
        if event.operation == "RevokePermissions" and event.by in {"oa", "ca", "xa"}:
            return True  # what its account granted
        if by == OWNER:
            return True if event.by == "oa" else None
        if event.by not in {"ca", "xa"}:
            return None
        body = resource.get("Table") or resource.get("TableWithColumns")
        if not body or "TableWildcard" in body or "DESCRIBE" in event.request["Permissions"]:
            return None
        table = (OWNER, body["DatabaseName"], body["Name"])
        return any(
            self.covers_some(name, table, column)
            for name in names(by)
            for column in COLUMNS
        )  # fmt: skip

    def covers_some(self, name: str, table: tuple[str, ...], column: str) -> bool:
        if name == OTHER and not self.has_accepted(name):
            return False
        for resource in self.given(OWNER, name):
            body = resource.get("DataCellsFilter")
            if body:
                about = (body["DatabaseName"], body["TableName"]) == table[1:] and self.exists(body)
            else:
                about = self.opens(resource, table, column, {})
            if about and self.stands(OWNER, name, resource, column, option=True):
                return True
        return False
