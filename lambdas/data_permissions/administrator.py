"""Custom::DataLakeAdministrator: makes one role a data lake administrator, and takes exactly that back.

Lake Formation keeps one list of administrators, which an account may have filled before. `PutDataLakeSettings` replaces
all settings (https://docs.aws.amazon.com/lake-formation/latest/APIReference/API_PutDataLakeSettings.html), and so may
the type AWS::LakeFormation::DataLakeSettings, so that neither a template nor anybody else but this function does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import ClientError

from lambdas.shared.clients import CONFIG
from lambdas.shared.custom_resource import CustomResourceError, LambdaContext, Request, Success, respond

if TYPE_CHECKING:
    from collections.abc import Mapping

ADMINISTRATORS_MAX: Final = 30
"""Most administrators that Lake Formation takes (botocore's model, DataLakePrincipalList)."""


def lambda_handler(event: Mapping[str, object], context: LambdaContext) -> None:
    """Answer a request of CloudFormation."""
    respond(event, context, carry_out)


def carry_out(request: Request) -> Success:
    """Carry out one request. Another role is another resource: CloudFormation then asks to delete the former one.

    Raises:
        CustomResourceError: The role cannot be added or removed.
    """
    role = request.text("RoleArn")
    _set(role, wanted=request.kind != "Delete")
    return Success(physical_id=role)


def _set(role: str, *, wanted: bool) -> None:
    lake = boto3.client("lakeformation", config=CONFIG)
    settings: dict[str, Any] = lake.get_data_lake_settings()["DataLakeSettings"]
    administrators = settings.get("DataLakeAdmins", [])
    others = [admin for admin in administrators if admin["DataLakePrincipalIdentifier"] != role]
    if (len(others) < len(administrators)) is wanted:
        return
    if wanted and len(others) >= ADMINISTRATORS_MAX:
        raise CustomResourceError(
            f"Lake Formation of this account has {len(others)} data lake administrators and takes no more, so "
            f"{role} cannot grant data to projects: remove one (Lake Formation > Administrative roles and tasks)."
        )
    admins = [*others, {"DataLakePrincipalIdentifier": role}] if wanted else others
    try:
        lake.put_data_lake_settings(DataLakeSettings={**settings, "DataLakeAdmins": admins})
    except ClientError as err:
        if err.response["Error"]["Code"] != "InvalidInputException":
            raise
        raise CustomResourceError(
            f"Lake Formation refuses its own list of data lake administrators: {err}. Remove those that no longer "
            f"exist (Lake Formation > Administrative roles and tasks), then roll out the baseline again."
        ) from err
