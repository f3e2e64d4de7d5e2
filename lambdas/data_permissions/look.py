"""What would keep a product from data of a lake, seen as the data lake administrator sees it; it only reads.

Custom::Preflight asks for it before a launch, by invoking this function: no other role of the account sees what is
shared with it. What the owner's account keeps to itself, e.g. the policy of a key, shows in the first query only.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import ClientError

from lambdas.data_permissions.core import EVERY_TABLE, Ask, NotEntitledError, wants_of_project
from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lambdas.data_permissions.core import Access
    from lambdas.data_permissions.projects import Projects

logger = logging.getLogger(__name__)

EVERYBODY: Final = "IAM_ALLOWED_PRINCIPALS"
_UNSEEN: Final = ("EntityNotFoundException", "AccessDeniedException")


class Look:
    """One look at the data that a product is about.

    Args:
        account_id: This account.
        wanted: Properties of the check: `CatalogId`, `TargetDatabase` and `Tables` for a database of another account;
            or `Database` and `Table` as in this account, `ProjectId` and `Location`. Both with `Columns`.
    """

    def __init__(self, account_id: str, wanted: Mapping[str, Any]) -> None:
        self._account_id = account_id
        self._wanted = wanted
        self._glue = boto3.client("glue", config=CONFIG)
        self._lake = boto3.client("lakeformation", config=CONFIG)
        self._columns = list(dict.fromkeys(filter(None, wanted.get("Columns", []))))
        self._location = str(wanted.get("Location", ""))
        self._hybrid = wanted.get("Hybrid") == "true"

    def at_shared(self) -> dict[str, Any]:
        """Look at tables of another account that a data-access product is to open."""
        catalog_id, database = str(self._wanted["CatalogId"]), str(self._wanted["TargetDatabase"])
        tables = [table for table in self._wanted.get("Tables", []) if table and table != EVERY_TABLE]
        problems = [problem for table in tables for problem in self._table_problems(catalog_id, database, table)]
        if not tables and self._get("database", CatalogId=catalog_id, Name=database) is None:
            problems.append(self._not_shared(catalog_id, database, None))
        return {"CatalogId": catalog_id, "TargetDatabase": database, "Problems": problems}

    def at_linked(self, accesses: Sequence[Access], projects: Projects) -> dict[str, Any]:
        """Look at a table that a project wants to read, through a link or in this account.

        Args:
            accesses: All data-access products.
            projects: SageMaker projects of this account.
        """
        name, table = str(self._wanted["Database"]), str(self._wanted["Table"])
        database = self._get("database", Name=name)
        target = (database or {}).get("TargetDatabase", {})
        catalog_id = str(target.get("CatalogId", self._account_id))
        target_name = str(target.get("DatabaseName", name))
        if database is None:
            where = f"Database {name!r} does not exist in account {self._account_id}"
            remedy = "enter the output DatabaseName of a data-access product, or have a lead launch one (ML Admin)"
            problems = [f"{where}: {remedy}."]
        elif self._location:
            problems = self._files_problems(catalog_id, target_name, table)
        elif not target:
            local = f"Database {name!r} of account {self._account_id} is not a link to a shared database"
            remedy = "enter the output DatabaseName of a data-access product"
            problems = [f"{local}: {remedy}, or say where the files are if Lake Formation does not govern them."]
        else:
            problems = self._entitlement_problems(accesses, projects)
            problems += self._table_problems(catalog_id, target_name, table)
        return {"CatalogId": catalog_id, "TargetDatabase": target_name, "Problems": problems}

    def _entitlement_problems(self, accesses: Sequence[Access], projects: Projects) -> list[str]:
        project_id, link = str(self._wanted["ProjectId"]), str(self._wanted["Database"])
        ask = Ask(
            project_id=project_id,
            link=link,
            table=str(self._wanted["Table"]),
            columns=tuple(self._columns),
            roles=(),
            location="",
        )
        tagged = any(access.project_tag for access in accesses if access.link == link)
        self._hybrid = any(access.hybrid for access in accesses if access.link == link)
        try:
            wants_of_project(ask, accesses, projects.tags(project_id) if tagged else frozenset(), self._account_id)
        except NotEntitledError as err:
            return [str(err)]
        return []

    def _table_problems(self, catalog_id: str, database: str, name: str) -> list[str]:
        table = self._get("table", CatalogId=catalog_id, DatabaseName=database, Name=name)
        if table is None:
            return [self._not_shared(catalog_id, database, name)]
        problems = self._column_problems(table, f"{database}.{name} of account {catalog_id}")
        if table.get("TableType") == "VIRTUAL_VIEW":
            return problems
        if table.get("IsRegisteredWithLakeFormation") is False:
            place = table.get("StorageDescriptor", {}).get("Location", "the location")
            problems.append(
                f"{place} of table {database}.{name} is not registered with Lake Formation: in account {catalog_id} "
                f"run aws lakeformation register-resource --resource-arn ... --role-arn ... (docs/governed-data.md)."
            )
        if not self._hybrid and self._is_open(catalog_id, database, name):
            problems.append(
                f"{EVERYBODY} still has table {database}.{name}, so Lake Formation does not decide about it: in "
                f"account {catalog_id} run aws lakeformation revoke-permissions (docs/governed-data.md), or launch "
                f"data-access with hybrid access."
            )
        return problems

    def _files_problems(self, catalog_id: str, database: str, name: str) -> list[str]:
        table = self._get("table", CatalogId=catalog_id, DatabaseName=database, Name=name)
        if table is None:
            return [f"Table {database}.{name} does not exist in account {catalog_id}, or this account may not see it."]
        place = str(table.get("StorageDescriptor", {}).get("Location", "")).rstrip("/") + "/"
        problems = self._column_problems(table, f"{database}.{name} of account {catalog_id}")
        if not place.startswith(self._location):
            problems.append(
                f"The files of table {database}.{name} are at {place}, not below {self._location}: enter where they "
                f"are."
            )
        return problems

    def _column_problems(self, table: Mapping[str, Any], called: str) -> list[str]:
        columns = [*table.get("StorageDescriptor", {}).get("Columns", []), *table.get("PartitionKeys", [])]
        visible = [column["Name"] for column in columns]
        missing = [column for column in self._columns if column not in visible]
        if not missing:
            return []
        shown = f"Table {called} shows this account no columns {', '.join(missing)}; it shows {', '.join(visible)}"
        return [f"{shown}: correct the names (as in the catalog), or ask the data steward to share the columns."]

    def _not_shared(self, catalog_id: str, database: str, table: str | None) -> str:
        called = f"Table {database}.{table}" if table else f"Database {database}"
        pending = [
            invitation["resourceShareInvitationArn"]
            for invitation in self._invitations()
            if (invitation["senderAccountId"], invitation["status"]) == (catalog_id, "PENDING")
        ]
        if pending:
            return (
                f"{called} of account {catalog_id} cannot be seen, because an invitation of that account is not "
                f"accepted: in account {self._account_id} run aws ram accept-resource-share-invitation "
                f"--resource-share-invitation-arn {pending[0]}."
            )
        return (
            f"{called} does not exist in account {catalog_id}, or is not shared with account {self._account_id}: in "
            f"account {catalog_id} the data steward runs aws lakeformation grant-permissions with "
            f"--permissions-with-grant-option for this account or its organisational unit (docs/governed-data.md)."
        )

    def _get(self, what: str, **named: str) -> dict[str, Any] | None:
        operation = self._glue.get_table if what == "table" else self._glue.get_database
        try:
            found: dict[str, Any] = operation(**named)[what.capitalize()]
        except ClientError as err:
            if err.response["Error"]["Code"] not in _UNSEEN:
                raise
            logger.info("%s %s is not seen: %s", what, named, err)
            return None
        return found

    def _invitations(self) -> list[dict[str, Any]]:
        answer = boto3.client("ram", config=CONFIG).get_resource_share_invitations(maxResults=500)
        invitations: list[dict[str, Any]] = answer["resourceShareInvitations"]
        return invitations

    def _is_open(self, catalog_id: str, database: str, name: str) -> bool:
        table = {"CatalogId": catalog_id, "DatabaseName": database, "Name": name}
        try:
            found = self._lake.list_permissions(Resource={"Table": table})["PrincipalResourcePermissions"]
        except ClientError as err:  # the owner's permissions are the owner's to see
            logger.info("the permissions on %s are not seen: %s", table, err)
            return False
        return any(entry["Principal"]["DataLakePrincipalIdentifier"] == EVERYBODY for entry in found)
