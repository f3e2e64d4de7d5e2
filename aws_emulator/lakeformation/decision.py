"""Lake Formation's decisions: who sees which columns of which rows, through links, accounts, LF-tags and filters.

It works on the records of the Data Catalog and on grants, and imports nothing of MiniStack. The pages, all below
https://docs.aws.amazon.com/lake-formation/latest/dg/: hybrid-access-workflow (the order of decisions),
resource-links-glue-apis, granting-link-permissions (links), data-filtering-notes (columns and rows),
TBAC-assigning-tags, lf-tag-considerations (tags), cross-account-notes, regranting-shared-resources (accounts),
implicit-permissions, lf-permissions-reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Json: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str, ...]
"""Names from the outside in: account, database, table, column."""

IAM_GROUP: Final = "IAM_ALLOWED_PRINCIPALS"
READ: Final = frozenset({"SELECT", "ALL"})


class Resource(NamedTuple):
    """What a grant is about.

    `kind` is CATALOG, DATABASE, TABLE (all tables of a database: ``*``), COLUMNS, FILTER, LOCATION, TAG or TAGS;
    `detail` has the columns that are included and excluded, the name of a filter, the values of a tag, or the type and
    the expression of a policy.
    """

    kind: str
    path: Path
    detail: tuple[Any, ...] = ()


class Part(NamedTuple):
    """Cells that one way of being allowed shows: these columns of the rows that satisfy all predicates."""

    columns: frozenset[str]
    rows: frozenset[str] = frozenset()

    def within(self, other: Part) -> Part:
        """Return the cells that both show."""
        return Part(self.columns & other.columns, self.rows | other.rows)


class Decision(NamedTuple):
    """How a table can be read.

    `table` is the target, whatever links led there; `parts` show its cells together. With `through_iam` the caller's
    own permissions for S3 decide, else the role of the registered location reads.
    """

    table: Path
    parts: tuple[Part, ...]
    through_iam: bool


@dataclass
class Lake:
    """Catalogs and grants of all accounts in a region.

    Attributes:
        names: Returns under which names an account is granted something: its id, its units and its organisation.
        databases: Records of databases and of links to them.
        tables: Records of tables and of links to them.
        partitions: Records of partitions by table.
        grants: Permissions, and whether they can be passed on, by granting account, principal and resource.
        filters: Columns and rows of data cells filters, by their path; the rest of their records is `Part` free.
        tag_values: Values of the LF-tags of an account, by account and key.
        tags: LF-tags of databases, tables and columns.
        locations: Registered locations by account and ARN.
        opted_in: Who is opted in to Lake Formation for which database or table.
        administrators: Data lake administrators by account.
        accepted: Shares that are in force: granting account and the principal to whom it granted.
    """

    names: Callable[[str], frozenset[str]] = lambda account: frozenset({account})
    databases: Mapping[Path, Json] = field(default_factory=dict)
    tables: Mapping[Path, Json] = field(default_factory=dict)
    partitions: Mapping[Path, list[Json]] = field(default_factory=dict)
    grants: dict[tuple[str, str, Resource], dict[str, bool]] = field(default_factory=dict)
    filters: dict[Path, tuple[Json, str]] = field(default_factory=dict)
    tag_values: dict[Path, list[str]] = field(default_factory=dict)
    tags: dict[Path, dict[str, str]] = field(default_factory=dict)
    locations: dict[Path, Json] = field(default_factory=dict)
    opted_in: dict[tuple[str, Path], Json] = field(default_factory=dict)
    administrators: dict[str, set[str]] = field(default_factory=dict)
    accepted: set[tuple[str, str]] = field(default_factory=set)

    # ---- the decision -----------------------------------------------------------------------------------------------

    def decide(self, principal: str, reference: Path, wanted: frozenset[str] | None = READ) -> Decision | None:
        """Decide what a principal sees of a table or link.

        Args:
            principal: ARN of a role or user.
            reference: Account, database and table as the principal names them.
            wanted: Permissions of which one is needed. None: any at all, to see the table's definition.

        Returns:
            None when nothing may be seen; whether there is a table then, nobody learns.
        """
        link, table = self.target(reference)
        if (link and not self.permits(principal, "DESCRIBE", link)) or table not in self.tables:
            return None
        owner, account = table[0], account_of(principal)
        location, administers = self.location_of(table), wanted is None and self.is_administrator(principal, account)
        if self.is_open(principal, table) and not administers:
            # Everybody of the owner's account has Super then. Others would need a policy of the owner's Glue catalog.
            is_hybrid = location is None or bool(location.get("HybridAccessEnabled"))
            return Decision(table, (Part(self.columns(table)),), is_hybrid) if account == owner else None
        parts = tuple(part for part in self._parts_of(principal, table, wanted) if part.columns)
        return Decision(table, parts, location is None) if parts else None

    def _parts_of(self, principal: str, table: Path, wanted: frozenset[str] | None) -> Iterator[Part]:
        owner, account, me = table[0], account_of(principal), self.me(principal)
        if wanted is None and self.is_administrator(principal, owner):
            yield Part(self.columns(table))
        yield from self._parts(owner, me, table, wanted)
        if account != owner:
            passed_on = list(self._parts(account, me, table, wanted))
            if wanted is None and self.is_administrator(principal, account):
                passed_on.append(Part(self.columns(table)))
            for shared in self._parts(owner, self.names(account), table, wanted):
                yield from (shared.within(part) for part in passed_on)

    def _parts(self, by: str, to: frozenset[str], table: Path, wanted: frozenset[str] | None) -> Iterator[Part]:
        """Return what grants of one account to some names show of a table."""
        every = self.columns(table)
        for resource, permissions in self.granted(by, to):
            if wanted is not None and not wanted & permissions.keys():
                continue
            if resource.kind == "TABLE" and _covers(resource.path, table):
                yield Part(every)
            elif resource.kind == "COLUMNS" and resource.path == table:
                included, excluded = resource.detail
                yield Part((every if included is None else frozenset(included)) & every - frozenset(excluded))
            elif resource.kind == "FILTER" and resource.path == table:
                record, predicate = self.filters[*table, *resource.detail]
                chosen = frozenset(record.get("ColumnNames") or ()) or every
                hidden = record.get("ColumnWildcard", {}).get("ExcludedColumnNames", ())
                yield Part(chosen & every - frozenset(hidden), frozenset({predicate} - {""}))
            elif resource.kind == "TAGS" and resource.path[0] == table[0] and resource.detail[0] == "TABLE":
                yield Part(frozenset(c for c in every if self._matches(resource, (*table, c))))

    def granted(self, by: str, to: frozenset[str]) -> Iterator[tuple[Resource, dict[str, bool]]]:
        """Yield what an account granted to names, as far as shares are in force."""
        for (granting, grantee, resource), permissions in self.grants.items():
            if granting == by and grantee in to and (not is_outside(by, grantee) or (by, grantee) in self.accepted):
                yield resource, permissions

    # ---- permissions on databases and tables ------------------------------------------------------------------------

    def permits(self, principal: str, permission: str, path: Path) -> bool:
        """Whether a principal has a permission on a catalog, database or table; any permission includes DESCRIBE.

        Who is outside the owner's account needs what the owner granted to the account and what the account passed on,
        or a grant of the owner to the principal itself.
        """
        owner, account, me = path[0], account_of(principal), self.me(principal)
        administers = self.is_administrator(principal, account)
        if administers and account == owner and permission in {"DESCRIBE", "CREATE_DATABASE"}:
            return True
        if self.is_open(principal, path):
            if account == owner and self._has(owner, frozenset({IAM_GROUP}), permission, path):
                return True
            if account != owner and not administers:
                return False
        if self._has(owner, me, permission, path):
            return True
        shared = account != owner and self._has(owner, self.names(account), permission, path)
        return shared and ((administers and permission == "DESCRIBE") or self._has(account, me, permission, path))

    def _has(self, by: str, to: frozenset[str], permission: str, path: Path) -> bool:
        granted = self.granted(by, to)
        return any(permission in self.gives(resource, set(held), path) for resource, held in granted)

    def covers(self, held: Resource, asked: Resource) -> bool:
        """Whether a grant on one resource is about all that another one is."""
        kinds, is_near = (held.kind, asked.kind), held.path[0] == asked.path[0]
        if kinds == ("TAGS", "TAGS"):
            wider, narrower = dict(held.detail[1]), dict(asked.detail[1])
            fits = all(key in narrower and {*narrower[key]} <= {*values} for key, values in wider.items())
        elif kinds == ("TAG", "TAG"):
            fits = held.path == asked.path and {*asked.detail} <= {*held.detail}
        elif kinds == ("COLUMNS", "COLUMNS"):
            named = held.path == asked.path and None not in {held.detail[0], asked.detail[0]}
            fits = named and {*asked.detail[0]} <= {*held.detail[0]}
        elif held.kind == "TAGS" and asked.kind in {"DATABASE", "TABLE", "COLUMNS"}:
            path = asked.path[:2] if asked.path[-1] == "*" else asked.path
            names = (asked.kind == "COLUMNS" and asked.detail[0]) or self.columns(path)
            inner: list[Path] = [(*path, name) for name in names]
            is_of_type = held.detail[0] == ("DATABASE" if asked.kind == "DATABASE" else "TABLE")
            fits = is_of_type and all(self._matches(held, each) for each in inner or [path])
        else:
            cells = held.kind == "TABLE" and asked.kind in {"TABLE", "COLUMNS", "FILTER"}
            fits = cells and _covers(held.path, asked.path)
        return held == asked or (is_near and fits and (kinds != ("TAGS", "TAGS") or held.detail[0] == asked.detail[0]))

    def gives(self, resource: Resource, held: set[str], path: Path) -> set[str]:
        """Return which permissions on a path a grant amounts to."""
        every = held | {"DESCRIBE"} | (set(_ALL) if "ALL" in held else set())
        reads, kind = every & {"SELECT", "DESCRIBE"}, resource.kind
        if (
            kind == "TAGS"
            and resource.path[0] == path[0]
            and resource.detail[0] == ("DATABASE", "TABLE")[len(path) - 2]
        ):
            inner: list[Path] = [(*path, column) for column in self.columns(path)]
            matching = [self._matches(resource, each) for each in inner or [path]]
            # If only some columns match, what changes the table becomes DESCRIBE (lf-tag-considerations).
            return every if all(matching) else reads if any(matching) else set()
        if kind == "TABLE" and resource.path == (*path, "*"):  # granting-table-permissions
            return {"DESCRIBE"}
        if kind in {"CATALOG", "DATABASE", "TABLE"} and (resource.path == path or _covers(resource.path, path)):
            return every
        return reads if kind in {"COLUMNS", "FILTER"} and resource.path == path else set()

    def _matches(self, policy: Resource, path: Path) -> bool:
        """Whether the LF-tags of a path match an expression: all of its keys, any of their values."""
        tags = self.tags_of(path)
        return all(tags.get(key) in values for key, values in policy.detail[1])

    def tags_of(self, path: Path) -> dict[str, str]:
        """Return the LF-tags of a database, table or column: its own over the table's over the database's."""
        found: dict[str, str] = {}
        for length in range(2, len(path) + 1):
            found |= self.tags.get(path[:length], {})
        return found

    # ---- what is where ----------------------------------------------------------------------------------------------

    def target(self, reference: Path) -> tuple[Path | None, Path]:
        """Return the link of a reference, None if it is none, and the table that it stands for."""
        database = self.databases.get(reference[:2], {})
        if to := database.get("TargetDatabase"):
            return reference[:2], (to["CatalogId"], to["DatabaseName"], *reference[2:])
        if to := self.tables.get(reference, {}).get("TargetTable"):
            return reference, (to["CatalogId"], to["DatabaseName"], to["Name"])
        return None, reference

    def columns(self, table: Path) -> frozenset[str]:
        """Return the columns of a table that grants can choose from: all but its partition keys."""
        found = self.tables.get(table, {}).get("StorageDescriptor", {}).get("Columns") or ()
        return frozenset(column["Name"] for column in found)

    def location_of(self, table: Path) -> Json | None:
        """Return the registered location in which a table lies, None if there is none."""
        storage = self.tables[table].get("StorageDescriptor", {})
        place = str(storage.get("Location") or "").split("://", 1)[-1].rstrip("/")
        return self.registered(table[0], place)

    def registered(self, account: str, place: str) -> Json | None:
        """Return the registered location with a bucket and prefix, the innermost; None if there is none."""
        within = {
            arn.split(":::", 1)[-1].rstrip("/"): record
            for (owner, arn), record in self.locations.items()
            if owner == account
        }
        found = [prefix for prefix in within if f"{place}/".startswith(f"{prefix}/")]
        return within[max(found, key=len)] if found else None

    def may_use(self, principal: str, account: str, place: str) -> bool:
        """Whether a principal may put tables at a place, as administrator or with DATA_LOCATION_ACCESS."""
        prefixes = (
            r.path[-1].split(":::", 1)[-1].rstrip("/")
            for r, _ in self.granted(account, self.me(principal))
            if r.kind == "LOCATION"
        )
        return self.is_administrator(principal, account) or any(f"{place}/".startswith(f"{p}/") for p in prefixes)

    def is_opted_in(self, principal: str, path: Path) -> bool:
        """Whether Lake Formation decides for a principal although IAMAllowedPrincipals has a grant."""
        names = self.me(principal)
        return any((name, path[:length]) in self.opted_in for name in names for length in range(1, len(path) + 1))

    def is_administrator(self, principal: str, account: str) -> bool:
        """Whether a principal is a data lake administrator of an account."""
        return principal in self.administrators.get(account, ())

    def me(self, principal: str) -> frozenset[str]:
        """Return the names under which a principal itself is granted something."""
        return frozenset({principal, f"{account_of(principal)}:IAMPrincipals"})

    def is_open(self, principal: str, path: Path) -> bool:
        """Whether IAMAllowedPrincipals has a grant, and a principal is not opted in to Lake Formation nevertheless."""
        granted = self.granted(path[0], frozenset({IAM_GROUP}))
        for_everybody = any(self.gives(resource, set(held), path) for resource, held in granted)
        return for_everybody and not self.is_opted_in(principal, path)


_ALL: Final = ("SELECT", "INSERT", "DELETE", "DESCRIBE", "ALTER", "DROP", "CREATE_TABLE")


def account_of(principal: str) -> str:
    """Return the account of an ARN; a principal without one, such as an account, names it at its beginning."""
    return principal.split(":")[4] if principal.startswith("arn:") else principal[:12]


def is_outside(account: str, principal: str) -> bool:
    """Whether a principal does not belong to an account: another account, one of its roles, an organisation or unit."""
    return principal != IAM_GROUP and (":organizations:" in principal or account_of(principal) != account)


def _covers(granted: Path, table: Path) -> bool:
    return len(table) == 3 and granted in {table, (*table[:2], "*")}
