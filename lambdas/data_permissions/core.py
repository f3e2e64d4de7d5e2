"""What data-access products and projects ask for, as permissions of Lake Formation; whom they may name.

Facts on which the choices rest, from the Lake Formation developer guide: a link takes DESCRIBE only and gives nothing
of its target ("Granting resource link permissions"); a grant on columns carries SELECT only, and a table's partition
keys come with it ("Data filtering and cell-level security", notes); tags are granted as the owner shared them ("Lake
Formation tag-based access control considerations"). Athena wants DESCRIBE on the database ``default`` (Athena user
guide, "Considerations and limitations for querying data registered with Lake Formation").
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from lambdas.shared.custom_resource import CustomResourceError
from lambdas.shared.product_names import PERSONA_ROLE_PATH, PROJECT_ID, PROJECT_ROLE_PATH, link_database

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from lambdas.shared.custom_resource import Request

ACCESS_TYPE: Final = "Custom::DataAccess"
PROJECT_TYPE: Final = "Custom::ProjectDataAccess"

EVERY_TABLE: Final = "*"
DEFAULT_DATABASE: Final = "default"

_ACCOUNT_ID: Final = re.compile(r"\d{12}")
_PROJECT_ID: Final = re.compile(PROJECT_ID)
_NAME: Final = re.compile(r"[a-z0-9_]{1,128}")
_TAG: Final = re.compile(r"[^=]{1,128}=.{0,256}")
_EXPRESSION: Final = re.compile(r"(?P<key>[^=|]{1,128})=(?P<values>[^=|]{1,256}(?:\|[^=|]{1,256})*)")


class NotEntitledError(CustomResourceError):
    """A project asks for data that no data-access product gives it."""


@dataclass(frozen=True, kw_only=True)
class Want:
    """One permission that somebody wants a role to have.

    Attributes:
        principal: ARN of the role.
        resource: Resource of Lake Formation as sorted JSON. For columns it is the table, so that all that concerns one
            table is weighed together.
        permissions: Permissions on it; none means that the role is opted in to Lake Formation's decision (hybrid mode).
        columns: Columns of a table to which SELECT is limited; None for everything.
    """

    principal: str
    resource: str
    permissions: tuple[str, ...]
    columns: tuple[str, ...] | None = None

    @property
    def subject(self) -> tuple[str, str, bool]:
        """What must be decided at once: the role, the resource, and whether it is about the opt-in."""
        return self.principal, self.resource, not self.permissions


@dataclass(frozen=True, kw_only=True)
class Access:
    """What one data-access product opens, and for whom.

    Attributes:
        catalog_id: Account that owns the database.
        region: Region of the database, that of the product: permissions on a table are made in its Region.
        target: Name of the database there.
        tables: Tables, or `EVERY_TABLE`; none when `expression` chooses them.
        columns: Columns of these tables; none for all.
        cells_filter: Data cells filter of these tables in the owner's account, or "".
        expression: LF-tags as ``key=value|value``, all of which must match.
        personas: ARNs of the roles of people.
        projects: Ids of projects that may ask for a part.
        project_tag: Tag ``key=value`` of SageMaker projects that may ask for a part, or "".
        hybrid: Whether roles are opted in to Lake Formation's decision.
    """

    catalog_id: str
    region: str
    target: str
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    cells_filter: str
    expression: tuple[str, ...]
    personas: tuple[str, ...]
    projects: tuple[str, ...]
    project_tag: str
    hybrid: bool

    @property
    def link(self) -> str:
        """Name of the resource link in this account."""
        return link_database(self.catalog_id, self.region, self.target)

    @classmethod
    def parse(cls, request: Request, account_id: str) -> Self:
        """Read and check the properties of a request.

        Raises:
            CustomResourceError: They do not fit together, or name somebody who gets no data.
        """
        access = cls(
            catalog_id=request.text("CatalogId"),
            region=request.address.stack_id.split(":")[3],
            target=request.text("TargetDatabase"),
            tables=_given(request.texts("Tables")),
            columns=_given(request.texts("Columns")),
            cells_filter=str(request.properties.get("DataCellsFilter", "")),
            expression=_given(request.texts("TagExpression")),
            personas=_given(request.texts("Personas")),
            projects=_given(request.texts("Projects")),
            project_tag=str(request.properties.get("ProjectTag", "")),
            hybrid=request.properties.get("Hybrid") == "true",
        )
        problems = access._problems(account_id)
        if problems:
            raise CustomResourceError(f"Nothing was granted. {' '.join(problems)}")
        return access

    def names(self, project_id: str, tags: Collection[str]) -> bool:
        """Return whether a project may ask for a part.

        Args:
            project_id: Its id.
            tags: Its tags, ``key=value``.
        """
        return project_id in self.projects or (bool(self.project_tag) and self.project_tag in tags)

    def covers(self, table: str) -> bool:
        """Return whether a table belongs to it; what tags choose is known to the owner's account only."""
        return bool(self.expression) or table in self.tables or EVERY_TABLE in self.tables

    def _problems(self, account_id: str) -> list[str]:
        problems = [
            f"{what} {value!r} is not {wanted}."
            for what, values, pattern, wanted in (
                ("CatalogId", [self.catalog_id], _ACCOUNT_ID, "an account id of 12 digits"),
                ("TargetDatabase", [self.target], _NAME, "a database: lower-case letters, digits and underscores"),
                (
                    "Table",
                    set(self.tables) - {EVERY_TABLE},
                    _NAME,
                    "a table: lower-case letters, digits and underscores",
                ),
                ("Project", self.projects, _PROJECT_ID, "the id of a project, e.g. p-abc123"),
                ("ProjectTag", filter(None, [self.project_tag]), _TAG, "a tag key=value"),
                ("TagExpression", self.expression, _EXPRESSION, "LF-tags key=value|value"),
            )
            for value in values
            if not pattern.fullmatch(value)
        ]
        if bool(self.tables) is bool(self.expression):
            problems.append("Give either tables (names, or * for all) or LF-tags, not both and not neither.")
        if (self.columns or self.cells_filter) and (self.expression or EVERY_TABLE in self.tables):
            problems.append("Columns and data cells filters belong to named tables: name them instead of * or LF-tags.")
        if self.columns and self.cells_filter:
            problems.append("A data cells filter has its own columns: leave the columns blank.")
        if not (self.personas or self.projects or self.project_tag):
            problems.append("Nobody is named: give a persona's role, a project id or a project tag.")
        return problems + foreign_roles(self.personas, PERSONA_ROLE_PATH, account_id)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What one project asks for.

    Attributes:
        project_id: Its id.
        link: Resource link in this account.
        table: Table behind it.
        columns: Columns; none for all that it is entitled to.
        roles: ARNs of its roles.
        location: Where the files are of a table that Lake Formation does not govern: the roles read them by IAM, and
            nothing is granted. "" for a table that it governs.
    """

    project_id: str
    link: str
    table: str
    columns: tuple[str, ...]
    roles: tuple[str, ...]
    location: str

    @classmethod
    def parse(cls, request: Request, account_id: str) -> Self:
        """Read and check the properties of a request.

        Raises:
            CustomResourceError: They name somebody who gets no data.
        """
        ask = cls(
            project_id=request.text("ProjectId"),
            link=request.text("Database"),
            table=request.text("Table"),
            columns=_given(request.texts("Columns")),
            roles=tuple(request.texts("Roles")),
            location=str(request.properties.get("Location", "")),
        )
        problems = foreign_roles(ask.roles, PROJECT_ROLE_PATH, account_id)
        if not _PROJECT_ID.fullmatch(ask.project_id):
            problems.append(f"ProjectId {ask.project_id!r} is not the id of a project, e.g. p-abc123.")
        if problems:
            raise CustomResourceError(f"Nothing was granted. {' '.join(problems)}")
        return ask


def _given(texts: Iterable[str]) -> tuple[str, ...]:
    """Return what a form gave, each once; a blank answer splits into one blank text."""
    return tuple(dict.fromkeys(filter(None, texts)))


def foreign_roles(arns: Iterable[str], path: str, account_id: str) -> list[str]:
    """Return a problem for each ARN that is not of a role of this account below a path."""
    own = re.compile(rf"arn:[a-z0-9-]+:iam::{account_id}:role{path}(?:[\w+=,.@-]+/)?[\w+=,.@-]+", re.ASCII)
    return [
        f"{arn!r} is not a role of account {account_id} below {path}, and data are granted to no others."
        for arn in arns
        if not own.fullmatch(arn)
    ]


def wants_of_people(access: Access, account_id: str) -> tuple[Want, ...]:
    """Return what the personas of a data-access product get."""
    return tuple(
        want
        for role in access.personas
        for want in (*_doors(role, access.link, account_id), *_data(role, access, access.tables))
    )


def wants_of_project(ask: Ask, accesses: Sequence[Access], tags: Collection[str], account_id: str) -> tuple[Want, ...]:
    """Return what the roles of a project get: what it asks for, as far as data-access products give it.

    A data cells filter and LF-tags are granted whole, because this account cannot narrow what the owner shares by them.

    Args:
        ask: What it asks for.
        accesses: All data-access products of this account and Region.
        tags: Tags of the SageMaker project, ``key=value``.
        account_id: This account.

    Raises:
        NotEntitledError: No product gives it.
    """
    if ask.location:
        return ()
    given = [access for access in accesses if access.link == ask.link and access.names(ask.project_id, tags)]
    if not given:
        raise NotEntitledError(
            f"Project {ask.project_id} may not read {ask.table!r} of database {ask.link!r}: no data-access product of "
            f"this account and Region names the project for this database. Ask a lead data scientist to add "
            f"{ask.project_id} to the projects of the product (update it), or to launch one; then try again."
        )
    covering = [access for access in given if access.covers(ask.table)]
    if not covering:
        tables = sorted({table for access in given for table in access.tables})
        raise NotEntitledError(
            f"Project {ask.project_id} may not read {ask.table!r} of database {ask.link!r}: data-access gives it "
            f"{', '.join(tables)}. Choose one of these tables, or ask a lead data scientist to add {ask.table!r}."
        )
    whole = [a for a in covering if not (a.columns or a.cells_filter or a.expression)]
    limited = [access for access in covering if access.columns]
    as_shared = [access for access in covering if access.cells_filter or access.expression]
    columns = tuple(dict.fromkeys(column for access in limited for column in access.columns))
    missing = [column for column in ask.columns if column not in columns]
    if whole:
        chosen, granted = whole, ask.columns or None
    elif limited and not missing:
        chosen, granted = limited, ask.columns or columns
    elif as_shared:
        chosen, granted = as_shared, None
    else:
        raise NotEntitledError(
            f"Project {ask.project_id} may not read the columns {', '.join(missing)} of {ask.table!r} in database "
            f"{ask.link!r}: data-access gives it {', '.join(columns)}. Leave them out, or ask a lead data scientist to "
            f"add them."
        )
    return tuple(
        dict.fromkeys(
            want
            for role in ask.roles
            for access in chosen
            for want in (
                *_doors(role, ask.link, account_id),
                *_data(role, access, (ask.table,), None if access in as_shared else granted),
            )
        )
    )


def _doors(role: str, link: str, account_id: str) -> list[Want]:
    """Return what a role needs on the databases of its own account."""
    return [
        Want(principal=role, resource=database_resource(account_id, name), permissions=("DESCRIBE",))
        for name in (link, DEFAULT_DATABASE)
    ]


def _data(role: str, access: Access, tables: Sequence[str], columns: tuple[str, ...] | None = None) -> list[Want]:
    columns = columns or access.columns or None
    wants = []
    if access.expression:
        for kind, permissions in (("TABLE", ("SELECT", "DESCRIBE")), ("DATABASE", ("DESCRIBE",))):
            tagged = _dump({"LFTagPolicy": _policy(access, kind)})
            wants.append(Want(principal=role, resource=tagged, permissions=permissions))
        chosen = [wants[0].resource]
    else:
        chosen = [_dump({"Table": _table(access, name)}) for name in tables]
        for name, table in zip(tables, chosen, strict=True):
            if access.cells_filter:
                wants.append(Want(principal=role, resource=_filter(access, name), permissions=("SELECT",)))
            elif columns:
                # DESCRIBE beside SELECT on columns is refused ("Permissions modification is invalid").
                wants.append(Want(principal=role, resource=table, permissions=("SELECT",), columns=columns))
            else:
                wants.append(Want(principal=role, resource=table, permissions=("SELECT", "DESCRIBE")))
    if access.hybrid:
        wants += [Want(principal=role, resource=resource, permissions=()) for resource in chosen]
    return wants


def database_resource(catalog_id: str, name: str) -> str:
    """Return a database as the resource of a `Want`."""
    return _dump({"Database": {"CatalogId": catalog_id, "Name": name}})


def _table(access: Access, name: str) -> dict[str, object]:
    which: dict[str, object] = {"TableWildcard": {}} if name == EVERY_TABLE else {"Name": name}
    return {"CatalogId": access.catalog_id, "DatabaseName": access.target, **which}


def _filter(access: Access, table: str) -> str:
    place = {"TableCatalogId": access.catalog_id, "DatabaseName": access.target, "TableName": table}
    return _dump({"DataCellsFilter": {**place, "Name": access.cells_filter}})


def _policy(access: Access, kind: str) -> dict[str, object]:
    parts = [match for match in map(_EXPRESSION.fullmatch, access.expression) if match]
    expression = [{"TagKey": part["key"], "TagValues": part["values"].split("|")} for part in parts]
    return {"CatalogId": access.catalog_id, "ResourceType": kind, "Expression": expression}


def _dump(resource: Mapping[str, object]) -> str:
    return json.dumps(resource, sort_keys=True)
