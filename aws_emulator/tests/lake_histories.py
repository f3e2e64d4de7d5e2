"""Random histories of a governed lake: the emulator against an evaluator that knows only what happened.

``python -m aws_emulator.tests.lake_histories HISTORIES [--mutants]`` prints one line of JSON; in the environment of the
emulator. With ``--mutants`` it puts faults into the decision and says which of them no history found.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aws_emulator import core, inside, ram
from aws_emulator.bridge import call
from aws_emulator.clock import clock
from aws_emulator.iam.callers import caller
from aws_emulator.lakeformation import access, decision, filters, store
from aws_emulator.tests.lake_naive import Naive
from aws_emulator.tests.lake_world import (
    ACCOUNTS,
    BEGINNING,
    COLUMNS,
    LINKS,
    NAMES,
    OPENED,
    OTHER,
    OWNER,
    PREDICATES,
    READERS,
    REFERENCES,
    REGION,
    ROLES,
    ROWS,
    TABLES,
    USER,
    Cell,
    Event,
    Json,
    acting,
    open_link,
    some_event,
    some_filter,
    some_grant,
    some_tag,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

for name in ("grants", "administration"):
    importlib.import_module(f"aws_emulator.lakeformation.{name}")


# ---- comparing ------------------------------------------------------------------------------------------------------


def world() -> None:
    """Begin anew: catalogs with tables and links, tags, administrators, and nothing granted."""
    store._lakes.clear()
    store._settings.clear()
    ram._shares.clear()
    for kept in (inside.glue.databases, inside.glue.tables):
        kept.clear()
    columns = [{"Name": name, "Type": "string" if name == "b" else "int"} for name in COLUMNS]
    for account, database, table in TABLES:
        record = {"StorageDescriptor": {"Columns": columns, "Location": f"s3://lake/{database}/{table}/"}}
        keys = {"PartitionKeys": [{"Name": "p", "Type": "int"}]}
        inside.glue.databases.set_scoped(account, REGION, database, {"Name": database})
        inside.glue.tables.set_scoped(account, REGION, f"{database}/{table}", {"Name": table, **record, **keys})
    for account, link in LINKS.items():
        target = {"CatalogId": OWNER, "DatabaseName": "d1"}
        inside.glue.databases.set_scoped(account, REGION, link, {"Name": link, "TargetDatabase": target})
    linked = {"CatalogId": OWNER, "DatabaseName": "d2", "Name": "t1"}
    inside.glue.databases.set_scoped(USER, REGION, "own", {"Name": "own"})
    inside.glue.tables.set_scoped(USER, REGION, "own/t", {"Name": "t", "TargetTable": linked})
    for name, version in (("oa", "4"), ("ca", "4"), ("xa", "4")):
        settings = {"DataLakeAdmins": [{"DataLakePrincipalIdentifier": ROLES[name]}]}
        with acting(name):
            parameters = {"Parameters": {"CROSS_ACCOUNT_VERSION": version}}
            call("lakeformation", "PutDataLakeSettings", {"DataLakeSettings": settings | parameters})
    with acting("oa"):
        for key in "km":
            call("lakeformation", "CreateLFTag", {"TagKey": key, "TagValues": ["u", "v", "w"]})


def prepare(folder: Path) -> None:
    """Configure the organisation and create the roles, once."""
    unit = core.OrganizationalUnit(path="o-1/r-1/ou-1/", accounts=(USER,))
    core.configure(
        core.Organization(
            port=1, work_dir=folder, organization_id="o-1", root_id="r-1", management_account=OWNER,
            delegated_administrators=(), accounts={OWNER: "owner", USER: "user"}, ous={"ou-1": unit},
            region=REGION, git_root=folder, python=sys.executable,
        )
    )  # fmt: skip
    services = {"Service": "lakeformation.amazonaws.com"}
    trust = {"Statement": [{"Effect": "Allow", "Principal": services, "Action": "sts:AssumeRole"}]}
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    for name, arn in ROLES.items():
        with core.as_account(ACCOUNTS[name], REGION):
            inside.iam.roles[name] = {
                "RoleName": name, "Arn": arn, "Path": "/lake/", "AssumeRolePolicyDocument": json.dumps(trust),
                "AttachedPolicies": [], "InlinePolicies": {"All": json.dumps(everything)}, "Tags": [],
            }  # fmt: skip
    clock.sleep = lambda seconds: None  # type: ignore[method-assign]


_texts: Final[dict[str, str]] = {}


def cells_of(found: decision.Decision | None) -> set[Cell]:
    """Return the cells that a decision shows; its predicates are known texts in the SQL of DuckDB."""
    seen: set[Cell] = set()
    for part in found.parts if found else ():
        for i, row in enumerate(ROWS):
            if all(PREDICATES[_texts[text]](row) for text in part.rows):
                seen |= {(i, column) for column in (*part.columns, "p")}
    return seen


def learn_texts() -> None:
    """Remember the SQL that each predicate becomes."""
    table = inside.glue.tables.get_scoped(OWNER, REGION, "d1/t1")
    _texts.update({filters.predicate(text, table): text for text in PREDICATES if text})


def histories(count: int, *, first: int = 0, connection: Any = None, stop: bool = False) -> Json:  # noqa: ANN401
    """Compare decisions after every event of random histories."""
    totals = dict.fromkeys(("decisions", "shown", "revocations", "queries", "authorities", "disagreements"), 0)
    examples: list[str] = []
    for seed in range(first, first + count):
        rng = random.Random(seed)  # noqa: S311 - repeatable
        past: list[Event] = []
        world()
        opened = [open_link(by, to, link) for by, to, link in OPENED if rng.random() < 0.8]
        for step in range(len(opened) + len(BEGINNING) + rng.randint(6, 16)):
            begun = BEGINNING[step - len(opened)] if 0 <= step - len(opened) < len(BEGINNING) else ""
            event = opened[step] if step < len(opened) else some_event(rng, past)
            if begun == "filter":
                event = some_filter(rng, TABLES[0])
            elif begun == "tag":
                event = some_tag(rng, TABLES[0], "AddLFTagsToResource")
            elif begun:
                event = Event("xa", "Accept", {}) if begun == "yes" else some_grant(rng, TABLES[0], past, begun)
            expected = Naive(past).may_grant(event) if event.operation.endswith("Permissions") else None
            code = event.happens()
            if expected is not None:
                totals["authorities"] += 1
                if expected != (code != "AccessDeniedException"):
                    examples.append(f"{seed}/{step}: {event.by} {event.operation} {event.request}: {code or 'done'}")
            if not code:
                past.append(event)
            who = rng.choice(READERS)
            if event.operation == "RevokePermissions" and not code:  # the very next query of whom it concerns
                concerned = NAMES.get(event.to or "", who)
                who, totals["revocations"] = concerned, totals["revocations"] + 1
            usual = {OWNER: TABLES[0], USER: (USER, "l1", "t1"), OTHER: (OTHER, "l1", "t1")}[ACCOUNTS[who]]
            reference = rng.choice([*REFERENCES, *[usual] * 9])
            cells, through_iam = Naive(past).sees(who, reference)
            known = Naive(past).knows(who, reference)
            with acting(who):
                found = store.lake().decide(ROLES[who], reference)
                same = cells_of(found) == cells and (not cells or found is None or found.through_iam == through_iam)
                catalog = store.lake().decide(ROLES[who], reference, None)
                columns = {column for part in catalog.parts for column in part.columns} if catalog else set()
                same = same and columns == known
                if same and found and connection and step % 3 == 0:
                    totals["queries"] += 1
                    same = queried(connection, reference) == cells
            totals["decisions"] += 1
            totals["shown"] += bool(cells)
            if not same:
                shown = f"{sorted(cells_of(found) ^ cells)} or {sorted(columns ^ known)}"
                examples.append(f"{seed}/{step}: {who} {reference} differs in {shown} after {event.operation}")
            if stop and examples:
                return {
                    **totals,
                    "disagreements": len(examples),
                    "examples": examples[:5],
                    "histories": seed + 1 - first,
                }
    return {**totals, "disagreements": len(examples), "examples": examples[:5], "histories": count}


def queried(connection: Any, reference: tuple[str, ...]) -> set[Cell]:  # noqa: ANN401 - DuckDB has no types here
    """Return the cells that the SQL of an engine shows: no value of the table is NULL itself."""
    allowed = access.read(caller(), *reference)
    inner = allowed.select("rows").replace("SELECT ", "SELECT i, ", 1)
    return {
        (row[0], column)
        for row in connection.execute(inner).fetchall()
        for column, value in zip(allowed.columns, row[1:], strict=True)
        if value is not None
    }


# ---- faults put into the decision -----------------------------------------------------------------------------------

MUTANTS: Final = {
    "links are not asked about": ('if (link and not self.permits(principal, "DESCRIBE", link)) or', "if"),
    "opting in changes nothing": ("return for_everybody and not is_in", "return for_everybody"),
    "everybody everywhere is allowed by IAM": ("if account == owner else None\n        parts", "\n        parts"),
    "hybrid locations read by their role": ("is_hybrid = location is None or", "is_hybrid = location is None or not"),
    "shared and passed on add up": ("yield from (shared.within(part) for part in passed_on)", "yield shared"),
    "what is passed on loses its predicates": ("self.rows | other.rows", "other.rows"),
    "what is passed on widens its columns": ("self.columns & other.columns", "self.columns | other.columns"),
    "grants of the owner to a role elsewhere are lost": (
        "yield from self._parts(owner, me, table, wanted)",
        "yield from ()",
    ),
    "excluded columns are shown": ("& every - frozenset(excluded)", "& every"),
    "filters show all columns": ("or ()) or every\n", "or ()) and every\n"),
    "filters show all rows": ('frozenset({predicate} - {""})', "frozenset()"),
    "all tables of a database are all of the account": ('(*table[:2], "*")}', '(*granted[:2], "*")}'),
    "any key of an expression is enough": ("policy.path[0] == path[0] and all(", "any("),
    "tags of columns are overruled": ("range(2, len(path) + 1)", "range(len(path), 1, -1)"),
    "tags are not inherited": ("range(2, len(path) + 1)", "range(len(path), len(path) + 1)"),
    "invitations need no answer": ("(not is_outside(by, grantee) or (by, grantee) in self.accepted)", "True"),
    "DESCRIBE is enough to read": ("if wanted is not None and not wanted & permissions.keys():", "if False:"),
    "administrators see nothing of what is shared": (
        "if wanted is None and self.is_administrator(principal, account):",
        "if False:",
    ),
    "administrators read everything": (
        "if wanted is None and self.is_administrator(principal, owner):",
        "if self.is_administrator(principal, account):",
    ),
}
"""Faults by what they make wrong: a text of decision.py and what takes its place."""


@contextlib.contextmanager
def broken(old: str, new: str) -> Iterator[None]:
    """Decide with a fault."""
    source = inspect.getsource(decision)
    if source.count(old) != 1:
        raise ValueError(f"{old!r} is {source.count(old)} times in decision.py: adapt MUTANTS")
    changed = source.replace(old, new)
    ast.parse(changed)
    faulty: Json = {"__name__": decision.__name__}
    exec(compile(changed, "decision.py", "exec"), faulty)  # noqa: S102 - our own source with a fault
    names = [name for name, value in vars(decision.Lake).items() if inspect.isfunction(value) and "__" not in name]
    before = {name: getattr(decision.Lake, name) for name in names}
    for name in names:
        setattr(decision.Lake, name, getattr(faulty["Lake"], name))
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(decision.Lake, name, function)


def adapted() -> bool:
    """Whether every text that a fault replaces is in decision.py exactly once."""
    source = inspect.getsource(decision)
    return all(source.count(old) == 1 for old, _ in MUTANTS.values())


def survivors(limit: int) -> list[str]:
    """Return the faults that no history finds."""
    found = []
    for name, (old, new) in MUTANTS.items():
        with broken(old, new):
            if not histories(limit, stop=True)["disagreements"]:
                found.append(name)
    return found


def main() -> None:
    """Print what was compared."""
    folder = Path(sys.argv[0]).parent
    prepare(folder)
    world()
    learn_texts()
    started = time.monotonic()
    if "--mutants" in sys.argv:
        print(json.dumps({"mutants": len(MUTANTS), "survivors": survivors(int(sys.argv[1]))}))
        return
    connection = importlib.import_module("duckdb").connect()
    values = ", ".join(f"({i}, {row['a']}, '{row['b']}', {row['c']}, {row['p']})" for i, row in enumerate(ROWS))
    connection.execute(f"CREATE TABLE rows AS SELECT * FROM (VALUES {values}) v(i, a, b, c, p)")  # noqa: S608
    result = histories(int(sys.argv[1]), connection=connection)
    print(json.dumps({**result, "adapted": adapted(), "seconds": round(time.monotonic() - started, 1)}))


if __name__ == "__main__":
    main()
