"""A governed lake of three accounts, and what may happen to it at random.

The owner of the data, a consumer in its organisation, and an account outside of it, which has to accept invitations.
Everything goes through the operations, as principals who may and who may not.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aws_emulator import core, inside
from aws_emulator.bridge import call
from aws_emulator.core import ServiceError
from aws_emulator.lakeformation.decision import IAM_GROUP

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

Json: TypeAlias = dict[str, Any]
Cell: TypeAlias = tuple[int, str]

OWNER, USER, OTHER = "111111111111", "222222222222", "999999999999"
UNIT = f"arn:aws:organizations::{OWNER}:ou/o-1/ou-1"
REGION = "eu-west-1"
COLUMNS: Final = ("a", "b", "c")
ROWS: Final[list[Json]] = [{"a": i % 3, "b": "xyz"[i % 3], "c": i, "p": i % 2} for i in range(6)]
TABLES: Final = [(OWNER, "d1", "t1"), (OWNER, "d1", "t2"), (OWNER, "d2", "t1")]
LINKS: Final = {USER: "l1", OTHER: "l1"}
"""Database that links to the owner's d1; USER has a table own.t besides, which links to d2.t1."""
PREDICATES: Final[dict[str, Callable[[Json], bool]]] = {
    "a = 1": lambda row: row["a"] == 1,
    "c >= 3": lambda row: row["c"] >= 3,
    "b <> 'x'": lambda row: row["b"] != "x",
    "p = 0": lambda row: row["p"] == 0,
    "c >= 3 AND b IN ('y', 'z')": lambda row: row["c"] >= 3 and row["b"] in "yz",
    "(a = 1) OR (c BETWEEN 4 AND 5)": lambda row: row["a"] == 1 or 4 <= row["c"] <= 5,
    "": lambda row: True,
}
ROLES: Final = {
    name: f"arn:aws:iam::{account}:role/lake/{name}"
    for account, names in ((OWNER, ("oa", "o1", "o2")), (USER, ("ca", "c1", "c2")), (OTHER, ("xa", "x1")))
    for name in names
}
NAMES: Final = {**{ROLES[name]: name for name in ("o1", "c1", "c2", "x1")}, USER: "c1", UNIT: "c2", OTHER: "x1"}
"""Who notices first what is taken away from a name."""
READERS: Final = ("o1", "c1", "c2", "x1", "c1", "c2", "x1", "ca")
REFERENCES: Final = [*TABLES, (USER, "l1", "t1"), (USER, "l1", "t2"), (USER, "own", "t"), (OTHER, "l1", "t1")]


ACCOUNTS: Final = {name: arn.split(":")[4] for name, arn in ROLES.items()}


NAMES_OF: Final = {USER: [USER, UNIT], OTHER: [OTHER]}
"""Names under which an account is granted something by the owner."""


# ---- what happens ---------------------------------------------------------------------------------------------------


class Event:
    """Something that somebody tries: an operation with its request."""

    def __init__(self, by: str, operation: str, request: Json) -> None:
        self.by, self.operation, self.request = by, operation, request
        self.account = ACCOUNTS[by]
        self.to: str | None = request.get("Principal", {}).get("DataLakePrincipalIdentifier")

    def happens(self) -> str:
        """Perform it, and return the code of its error or nothing."""
        with acting(self.by):
            try:
                call("lakeformation" if self.operation != "Accept" else "ram", *self._what())
            except ServiceError as error:
                return error.code
        return ""

    def _what(self) -> tuple[str, Json]:
        if self.operation != "Accept":
            return self.operation, self.request
        found = call("ram", "GetResourceShareInvitations", {})["resourceShareInvitations"]
        arn = found[0]["resourceShareInvitationArn"] if found else "none"
        return "AcceptResourceShareInvitation", {"resourceShareInvitationArn": arn}


_sessions: Final[dict[str, core.Credentials]] = {}


@contextlib.contextmanager
def acting(name: str) -> Iterator[None]:
    """Do what follows as a role."""
    session = _sessions.setdefault(name, core.role_session(ROLES[name], "history"))
    with core.as_account(ACCOUNTS[name], REGION):
        inside.iam_evaluator.verified_key.set(session.access_key)
        inside.iam_evaluator.request_caller_arn.set(f"arn:aws:sts::{ACCOUNTS[name]}:assumed-role/{name}/history")
        yield


def table_structure(path: tuple[str, ...]) -> Json:
    return {"CatalogId": path[0], "DatabaseName": path[1], "Name": path[2]}


def some_resource(rng: random.Random, table: tuple[str, ...]) -> tuple[Json, list[str]]:
    """Return a resource that shows something of a table, and permissions on it."""
    named = table_structure(table)
    some = sorted(rng.sample(COLUMNS, rng.randint(1, 2)))
    kind = rng.choice(["table"] * 3 + ["all"] + ["columns"] * 3 + ["except", "filter", "filter", "tags", "tags"])
    if kind == "all":
        wildcard: Json = {"CatalogId": OWNER, "DatabaseName": table[1], "TableWildcard": {}}
        return {"Table": wildcard}, rng.choice([["SELECT"], ["SELECT", "DESCRIBE"]])
    if kind == "columns":
        return {"TableWithColumns": {**named, "ColumnNames": some}}, ["SELECT"]
    if kind == "except":
        return {"TableWithColumns": {**named, "ColumnWildcard": {"ExcludedColumnNames": some}}}, ["SELECT"]
    if kind == "filter":
        place = {"TableCatalogId": OWNER, "DatabaseName": table[1], "TableName": table[2], "Name": rng.choice("fg")}
        return {"DataCellsFilter": place}, ["SELECT"]
    if kind == "tags":
        expression: list[Json] = [{"TagKey": "k", "TagValues": sorted(rng.sample("uvw", rng.randint(1, 2)))}]
        expression += [{"TagKey": "m", "TagValues": ["u"]}] if rng.random() < 0.5 else []
        policy = {"CatalogId": OWNER, "ResourceType": "TABLE", "Expression": expression}
        return {"LFTagPolicy": policy}, ["SELECT", "DESCRIBE"]
    return {"Table": named}, rng.choice([["SELECT"], ["SELECT", "DESCRIBE"], ["DESCRIBE"]])


def some_filter(rng: random.Random, table: tuple[str, ...]) -> Event:
    text = rng.choice(list(PREDICATES))
    rows: Json = {"FilterExpression": text} if text else {"AllRowsWildcard": {}}
    some = sorted(rng.sample(COLUMNS, rng.randint(1, 3)))
    columns = rng.choice([{"ColumnNames": some}] * 3 + [{"ColumnWildcard": {"ExcludedColumnNames": some[:2]}}])
    place = {"TableCatalogId": OWNER, "DatabaseName": table[1], "TableName": table[2], "Name": rng.choice("fg")}
    return Event("oa", "CreateDataCellsFilter", {"TableData": {**place, "RowFilter": rows, **columns}})


def some_tag(rng: random.Random, table: tuple[str, ...], operation: str) -> Event:
    column = {"TableWithColumns": {**table_structure(table), "ColumnNames": [rng.choice(COLUMNS)]}}
    database = {"Database": {"CatalogId": OWNER, "Name": table[1]}}
    on = rng.choice([database, {"Table": table_structure(table)}, column])
    tag = {"TagKey": rng.choice("kkm"), "TagValues": [rng.choice("uvw")]}
    return Event("oa", operation, {"Resource": on, "LFTags": [tag]})


def some_grant(rng: random.Random, table: tuple[str, ...], past: list[Event], by: str = "") -> Event:
    """Return a grant, or the revocation of one: of the owner, of an account that it shares with, or of a role."""
    grants = [event for event in past if event.operation == "GrantPermissions"]
    if grants and not by and rng.random() < 0.4:
        revoked = rng.choice(grants)
        return Event(revoked.by, "RevokePermissions", revoked.request)
    by = by or rng.choice(["oa"] * 8 + ["ca"] * 6 + ["xa"] * 4 + ["o1", "c1"])
    resource, permissions = some_resource(rng, table)
    to_us = [event.request for event in grants if event.to in NAMES_OF.get(ACCOUNTS[by], [])]
    shared = [request for request in to_us if request["PermissionsWithGrantOption"]]
    if ACCOUNTS[by] != OWNER and shared and rng.random() < 0.7:
        resource, permissions = (rng.choice(shared)[key] for key in ("Resource", "Permissions"))
    if ACCOUNTS[by] == OWNER:
        to = rng.choice([ROLES["o1"], ROLES["o1"], ROLES["c1"], *[USER, UNIT, OTHER, OTHER] * 3, IAM_GROUP])
        if to in {USER, UNIT, OTHER} and rng.random() < 0.4:
            resource, permissions = {"Table": table_structure(table)}, ["SELECT", "DESCRIBE"]
    else:
        to = ROLES[rng.choice(["c1", "c2"] if ACCOUNTS[by] == USER else ["x1"])]
    if rng.random() < 0.15 and ACCOUNTS[by] != OWNER:
        resource, permissions = LINKED[rng.choice(["l1", "own"] if ACCOUNTS[by] == USER else ["l1"])], ["DESCRIBE"]
    if to == IAM_GROUP:
        resource, permissions = {"Table": table_structure(table)}, ["ALL"]
    option = permissions if rng.random() < 0.8 and to != IAM_GROUP else []
    principal = {"DataLakePrincipalIdentifier": to}
    request = {"Principal": principal, "Resource": resource, "Permissions": permissions}
    return Event(by, "GrantPermissions", request | {"PermissionsWithGrantOption": option})


OPENED: Final = (("ca", "c1", "l1"), ("ca", "c2", "l1"), ("ca", "c1", "own"), ("xa", "x1", "l1"))
"""Links that are opened to somebody at the beginning of most histories."""
BEGINNING: Final = (
    "filter",
    "filter",
    "tag",
    "tag",
    "tag",
    "tag",
    "oa",
    "oa",
    "oa",
    "oa",
    "yes",
    "ca",
    "xa",
    "ca",
    "xa",
    "ca",
)
"""Who grants what at the beginning of a history, so that there is something to take away."""
LINKED: Final = {"l1": {"Database": {"Name": "l1"}}, "own": {"Table": {"DatabaseName": "own", "Name": "t"}}}


def open_link(by: str, to: str, link: str) -> Event:
    principal = {"DataLakePrincipalIdentifier": ROLES[to]}
    request = {"Principal": principal, "Resource": LINKED[link], "Permissions": ["DESCRIBE"]}
    return Event(by, "GrantPermissions", request | {"PermissionsWithGrantOption": []})


def some_event(rng: random.Random, past: list[Event]) -> Event:
    table = rng.choice(TABLES[:1] * 8 + TABLES)
    named, data = {"Table": table_structure(table)}, {"DatabaseName": table[1], "TableName": table[2]}
    what = rng.choice(
        ["grant"] * 24
        + ["filter", "tag", "yes", "yes"]
        + ["tag", "tag", "untag", "filter", "filter", "unfilter", "place", "in", "out", "yes"]
    )
    if what in {"tag", "untag"}:
        return some_tag(rng, table, "AddLFTagsToResource" if what == "tag" else "RemoveLFTagsFromResource")
    if what == "unfilter":
        return Event("oa", "DeleteDataCellsFilter", {"TableCatalogId": OWNER, **data, "Name": rng.choice("fg")})
    if what == "filter":
        return some_filter(rng, table)
    if what == "place":
        place = {"ResourceArn": f"arn:aws:s3:::lake/{table[1]}/{rng.choice(['', table[2]])}".rstrip("/")}
        role = {"RoleArn": ROLES["oa"], "HybridAccessEnabled": rng.random() < 0.5}
        return rng.choice([Event("oa", "RegisterResource", place | role), Event("oa", "DeregisterResource", place)])
    if what in {"in", "out"}:
        by, to = rng.choice([("ca", "c1"), ("ca", "c2"), ("oa", "o1"), ("xa", "x1"), ("c1", "c1")])
        on = rng.choice([named, {"Database": {"CatalogId": OWNER, "Name": table[1]}}])
        request = {"Principal": {"DataLakePrincipalIdentifier": ROLES[to]}, "Resource": on}
        return Event(by, f"{'Create' if what == 'in' else 'Delete'}LakeFormationOptIn", request)
    return Event("xa", "Accept", {}) if what == "yes" else some_grant(rng, table, past)
