"""Lake Formation and Glue: permissions, opt-ins and resource links of this account and Region."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import ClientError

from lambdas.data_permissions.core import DEFAULT_DATABASE
from lambdas.shared.clients import CONFIG
from lambdas.shared.custom_resource import CustomResourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lambdas.data_permissions.core import Access
    from lambdas.data_permissions.steps import Step

logger = logging.getLogger(__name__)

_ATTEMPTS: Final = 8
_BUSY: Final = ("ConcurrentModificationException", "OperationTimeoutException")
_ABSENT: Final = ("EntityNotFoundException", "InvalidInputException")
"""How Lake Formation says that there is nothing to revoke: the resource is gone, or "No permissions revoked"."""


class Lake:
    """Lake Formation and Glue of this account and Region.

    Args:
        sleep: Waits for some seconds.
    """

    def __init__(self, *, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep
        self._lake = boto3.client("lakeformation", config=CONFIG)
        self._glue = boto3.client("glue", config=CONFIG)

    def has_default_database(self) -> bool:
        """Return whether the database exists on which Athena wants DESCRIBE."""
        return self._database(DEFAULT_DATABASE) is not None

    def make_link(self, access: Access) -> None:
        """Make the resource link of a data-access product, unless it is there.

        Raises:
            CustomResourceError: There is a database of that name which is not the link.
        """
        target = {"CatalogId": access.catalog_id, "DatabaseName": access.target, "Region": access.region}
        try:
            self._glue.create_database(DatabaseInput={"Name": access.link, "TargetDatabase": target})
        except ClientError as err:
            if err.response["Error"]["Code"] != "AlreadyExistsException":
                raise
            found = (self._database(access.link) or {}).get("TargetDatabase", {})
            if (found.get("CatalogId"), found.get("DatabaseName")) != (access.catalog_id, access.target):
                raise CustomResourceError(
                    f"The database {access.link!r} of this account is not a link to {access.target!r} of account "
                    f"{access.catalog_id}, so it cannot be used as one: rename or delete it, then launch again."
                ) from err

    def drop_link(self, access: Access) -> None:
        """Delete the resource link; no change when there is none, and a database that is not the link stays."""
        if "TargetDatabase" not in (self._database(access.link) or {}):
            return
        try:
            self._glue.delete_database(Name=access.link)
        except ClientError as err:
            if err.response["Error"]["Code"] != "EntityNotFoundException":
                raise

    def carry_out(self, step: Step) -> None:
        """Carry out one step; carrying it out again changes nothing.

        Raises:
            CustomResourceError: Lake Formation refused a grant or an opt-in; the message says what the owner must do.
        """
        principal = {"DataLakePrincipalIdentifier": step.principal}
        permissions = {"Permissions": list(step.permissions)} if step.permissions else {}
        operation = {
            "grant": self._lake.grant_permissions,
            "revoke": self._lake.revoke_permissions,
            "opt-in": self._lake.create_lake_formation_opt_in,
            "opt-out": self._lake.delete_lake_formation_opt_in,
        }[step.action]
        if step.action in ("opt-in", "opt-out") and self._is_opted_in(step) is (step.action == "opt-in"):
            return
        try:
            self._patiently(operation, Principal=principal, Resource=step.resource, **permissions)
        except ClientError as err:
            code = err.response["Error"]["Code"]
            if step.action in ("grant", "opt-in") and code not in _BUSY:
                raise CustomResourceError(_refusal(step, err)) from err
            if code not in _ABSENT:
                raise
            left = self._left(step)
            if left == set(step.permissions) and step.action == "revoke":
                raise
            logger.info("%s of %s on %s are left: %s", sorted(left), step.principal, step.resource, err)
            if left:
                self._patiently(operation, Principal=principal, Resource=step.resource, Permissions=sorted(left))

    def _left(self, step: Step) -> set[str]:
        """Return which permissions exist of those that could not be revoked together."""
        table = step.resource.get("TableWithColumns")
        # Permissions on columns are listed with their table.
        keys = ("CatalogId", "DatabaseName", "Name")
        resource = {"Table": {key: table[key] for key in keys}} if table else step.resource
        principal = {"DataLakePrincipalIdentifier": step.principal}
        try:
            found = self._lake.list_permissions(Principal=principal, Resource=resource)["PrincipalResourcePermissions"]
        except ClientError as err:
            if err.response["Error"]["Code"] not in _ABSENT:
                raise
            return set()  # the role, the database or the table is gone
        if table:
            listed = [(entry["Resource"].get("TableWithColumns", {}), entry) for entry in found]
            found = [e for columns, e in listed if set(columns.get("ColumnNames", ())) & set(table["ColumnNames"])]
        return {permission for entry in found for permission in entry["Permissions"]} & set(step.permissions)

    def _is_opted_in(self, step: Step) -> bool:
        principal = {"DataLakePrincipalIdentifier": step.principal}
        found = self._lake.list_lake_formation_opt_ins(Principal=principal, Resource=step.resource)
        return bool(found["LakeFormationOptInsInfoList"])

    def _patiently(self, operation: Callable[..., object], **parameters: object) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                operation(**parameters)
            except ClientError as err:
                if err.response["Error"]["Code"] not in _BUSY or attempt == _ATTEMPTS - 1:
                    raise
                self._sleep(min(0.2 * 2**attempt, 5))
            else:
                return

    def _database(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._glue.get_database(Name=name)["Database"]
        except ClientError as err:
            if err.response["Error"]["Code"] != "EntityNotFoundException":
                raise
            return None
        return found


def _refusal(step: Step, err: ClientError) -> str:
    ((kind, resource),) = step.resource.items()
    owner = resource.get("CatalogId") or resource.get("TableCatalogId")
    what = " and ".join(step.permissions) or "the decision of Lake Formation (opt-in)"
    return (
        f"Lake Formation refused to grant {what} on {kind} {json.dumps(resource, sort_keys=True)} to {step.principal}: "
        f"{err} So that this account may pass it on, the data steward shares it "
        f"from account {owner} with grant option (aws lakeformation grant-permissions "
        f"--permissions-with-grant-option ..., docs/governed-data.md); then launch again."
    )
