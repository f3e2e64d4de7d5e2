"""Lake Formation's decisions: who sees which columns of which rows, through links, accounts, LF-tags and filters.

It works on records and grants and imports nothing of MiniStack. The pages, all below
https://docs.aws.amazon.com/lake-formation/latest/dg/: hybrid-access-workflow (the order of decisions),
resource-links-glue-apis and granting-link-permissions (links), data-filtering-notes (columns and rows),
TBAC-assigning-tags and lf-tag-considerations (tags), cross-account-notes and regranting-shared-resources (accounts),
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
_ALL: Final = frozenset({"SELECT", "INSERT", "DELETE", "DESCRIBE", "ALTER", "DROP", "CREATE_TABLE"})


class Resource(NamedTuple):
    """What a grant is about: `kind` is CATALOG, DATABASE, TABLE (``*`` for all), COLUMNS, FILTER, LOCATION or TAGS.

    `detail` has included and excluded columns, the name of a filter, or type and expression of an LF-tag policy.
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
    """How a table, to which links may have led, can be read: its parts show their cells together.

    With `through_iam` the caller's own permissions for S3 decide, else the role of the registered location reads.
    """

    table: Path
    parts: tuple[Part, ...]
    through_iam: bool


@dataclass
class Lake:
    """Catalogs and grants of all accounts in a region.

    Attributes:
        names: Returns under which names an account is granted something: its id, its units and its organisation.
        databases: Records of databases and of links to them; `tables` likewise.
        grants: Permissions, and whether they can be passed on, by granting account, principal and resource.
        filters: Records of data cells filters, with their predicate as SQL.
        tag_values: Values of LF-tags by account and key; `tags` has those of databases, tables and columns.
        locations: Registered locations by account and ARN.
        opted_in: Who is opted in to Lake Formation for which database or table.
        administrators: Data lake administrators by account.
        accepted: Shares that are in force: granting account, and the principal to whom it granted.
    """

    names: Callable[[str], frozenset[str]] = lambda account: frozenset({account})
    databases: Mapping[Path, Json] = field(default_factory=dict)
    tables: Mapping[Path, Json] = field(default_factory=dict)
    grants: dict[tuple[str, str, Resource], dict[str, bool]] = field(default_factory=dict)
    filters: dict[Path, tuple[Json, str]] = field(default_factory=dict)
    tag_values: dict[Path, list[str]] = field(default_factory=dict)
    tags: dict[Path, dict[str, str]] = field(default_factory=dict)
    locations: dict[Path, Json] = field(default_factory=dict)
    opted_in: dict[tuple[str, Path], Json] = field(default_factory=dict)
    administrators: dict[str, set[str]] = field(default_factory=dict)
    accepted: set[tuple[str, str]] = field(default_factory=set)

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
        owner, account, me = table[0], account_of(principal), frozenset({principal})
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
            elif resource.kind == "TAGS" and resource.detail[0] == "TABLE":
                yield Part(frozenset(column for column in every if self._matches(resource, (*table, column))))

    def granted(self, by: str, to: frozenset[str]) -> Iterator[tuple[Resource, dict[str, bool]]]:
        """Yield what an account granted to names, as far as shares are in force."""
        for (granting, grantee, resource), permissions in self.grants.items():
            if granting == by and grantee in to and (not is_outside(by, grantee) or (by, grantee) in self.accepted):
                yield resource, permissions

    def permits(self, principal: str, permission: str, path: Path) -> bool:
        """Whether a principal has a permission on a catalog, database or table; any permission includes DESCRIBE.

        Who is outside the owner's account needs what the owner granted to the account and what the account passed on,
        or a grant of the owner to the principal itself.
        """
        owner, account, me = path[0], account_of(principal), frozenset({principal})
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

    def gives(self, resource: Resource, held: set[str], path: Path) -> set[str]:
        """Return which permissions on a path a grant amounts to."""
        every = held | {"DESCRIBE"} | (_ALL if "ALL" in held else set())
        reads, kind = every & {"SELECT", "DESCRIBE"}, resource.kind
        if kind == "TAGS" and len(path) > 1 and resource.detail[0] == ("DATABASE", "TABLE")[len(path) - 2]:
            inner: list[Path] = [(*path, column) for column in self.columns(path)]
            matching = [self._matches(resource, each) for each in inner or [path]]
            # If only some columns match, what changes the table becomes DESCRIBE (lf-tag-considerations).
            return every if all(matching) else reads if any(matching) else set()
        if kind == "TABLE" and resource.path == (*path, "*"):  # granting-table-permissions
            return {"DESCRIBE"}
        if kind in {"CATALOG", "DATABASE", "TABLE"} and (resource.path == path or _covers(resource.path, path)):
            return every
        return reads if kind in {"COLUMNS", "FILTER"} and resource.path == path else set()

    def covers(self, held: Resource, asked: Resource) -> bool:
        """Whether a grant on one resource is about all that another one is."""
        if held.kind == asked.kind == "TAGS" and held.detail[0] == asked.detail[0]:
            wider, narrower = dict(held.detail[1]), dict(asked.detail[1])
            fits = all(key in narrower and {*narrower[key]} <= {*values} for key, values in wider.items())
        elif held.kind == asked.kind == "COLUMNS" and held.detail[0] and asked.detail[0]:
            fits = held.path == asked.path and {*asked.detail[0]} <= {*held.detail[0]}
        else:
            fits = held.kind == "TABLE" and _covers(held.path, asked.path)
        return held == asked or (held.path[0] == asked.path[0] and fits)

    def _matches(self, policy: Resource, path: Path) -> bool:
        """Whether the LF-tags of a path match an expression of its account: all of its keys, any of their values.

        A column's tag counts over the table's, and that over the database's.
        """
        tags: dict[str, str] = {}
        for length in range(2, len(path) + 1):
            tags |= self.tags.get(path[:length], {})
        return policy.path[0] == path[0] and all(tags.get(key) in values for key, values in policy.detail[1])

    def target(self, reference: Path) -> tuple[Path | None, Path]:
        """Return the link of a reference, None if it is none, and the table that it stands for."""
        if to := self.databases.get(reference[:2], {}).get("TargetDatabase"):
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
        place = str(self.tables[table].get("StorageDescriptor", {}).get("Location") or "")
        return self.registered(table[0], place_of(place))

    def registered(self, account: str, place: str) -> Json | None:
        """Return the registered location with a bucket and prefix, the innermost; None if there is none."""
        own = {place_of(arn): record for (owner, arn), record in self.locations.items() if owner == account}
        found = [prefix for prefix in own if f"{place}/".startswith(f"{prefix}/")]
        return own[max(found, key=len)] if found else None

    def may_use(self, principal: str, account: str, place: str) -> bool:
        """Whether a principal may put tables at a place, as administrator or with DATA_LOCATION_ACCESS."""
        granted = (r for r, _ in self.granted(account, frozenset({principal})) if r.kind == "LOCATION")
        allowed = any(f"{place}/".startswith(f"{place_of(resource.path[-1])}/") for resource in granted)
        return allowed or self.is_administrator(principal, account)

    def is_administrator(self, principal: str, account: str) -> bool:
        """Whether a principal is a data lake administrator of an account."""
        return principal in self.administrators.get(account, ())

    def is_open(self, principal: str, path: Path) -> bool:
        """Whether IAMAllowedPrincipals has a grant, and a principal is not opted in to Lake Formation nevertheless."""
        granted = self.granted(path[0], frozenset({IAM_GROUP}))
        for_everybody = any(self.gives(resource, set(held), path) for resource, held in granted)
        is_in = any((principal, path[:length]) in self.opted_in for length in range(1, len(path) + 1))
        return for_everybody and not is_in


def account_of(principal: str) -> str:
    """Return the account of an ARN; a principal without one is an account."""
    return principal.split(":")[4] if principal.startswith("arn:") else principal


def is_outside(account: str, principal: str) -> bool:
    """Whether a principal does not belong to an account: another account, one of its roles, an organisation or unit."""
    return principal != IAM_GROUP and (":organizations:" in principal or account_of(principal) != account)


def place_of(address: str) -> str:
    """Return bucket and prefix of an address or ARN of S3."""
    return address.replace("arn:aws:s3:::", "").split("://", 1)[-1].rstrip("/")


def _covers(granted: Path, table: Path) -> bool:
    return len(table) == 3 and granted in {table, (*table[:2], "*")}
