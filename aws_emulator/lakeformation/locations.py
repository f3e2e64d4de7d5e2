"""Data lake settings, registered locations, and principals that are opted in to Lake Formation.

Pages below https://docs.aws.amazon.com/lake-formation/latest/dg/: change-settings, optimize-ram (no way back from
version 5), registration-role, hybrid-access-mode.
"""

from __future__ import annotations

import json
import re
from typing import Final

from ministack.core.responses import get_account_id

from aws_emulator import inside
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.core import Json, ServiceError, client
from aws_emulator.iam.callers import authorize_pass_role, caller
from aws_emulator.lakeformation.grants import require_principal
from aws_emulator.lakeformation.store import lake, settings
from aws_emulator.lakeformation.structures import invalid, resource_of

_SERVICE: Final = "lakeformation.amazonaws.com"
_LINKED: Final = "AWSServiceRoleForLakeFormationDataAccess"
_VERSION: Final = "CROSS_ACCOUNT_VERSION"


def _account(request: Json) -> str:
    """Return the account that a request names, which is the caller's."""
    if request.get("CatalogId", get_account_id()) != get_account_id():
        raise ServiceError("AccessDeniedException", "Settings of other accounts cannot be read or changed.")
    return str(get_account_id())


@overlay("lakeformation", "GetDataLakeSettings")
def get_settings(request: Json) -> Json:
    """Return the settings of the account."""
    return {"DataLakeSettings": settings(_account(request))}


@overlay("lakeformation", "PutDataLakeSettings")
def put_settings(request: Json) -> Json:
    """Set all settings of the account; what a request leaves out is empty afterwards."""
    account, given = _account(request), request["DataLakeSettings"]
    before, parameters = settings(account), given.get("Parameters") or {}
    version = parameters.get(_VERSION, before["Parameters"][_VERSION])
    if version not in {"1", "2", "3", "4", "5"} or (before["Parameters"][_VERSION] == "5" != version):
        raise invalid(f"{_VERSION} is 1 to 5, and 5 cannot be changed: {version}")
    administrators = [p["DataLakePrincipalIdentifier"] for p in given.get("DataLakeAdmins") or ()]
    for principal in administrators:
        require_principal(principal)
    empty: Json = {"DataLakeAdmins": [], "CreateDatabaseDefaultPermissions": [], "CreateTableDefaultPermissions": []}
    before.clear()
    before.update(empty | given | {"Parameters": {**parameters, _VERSION: version}})
    lake().administrators[account] = set(administrators)
    return {}


# ---- locations ------------------------------------------------------------------------------------------------------


def _registered(request: Json) -> Json:
    found = lake().locations.get((get_account_id(), request["ResourceArn"].rstrip("/")))
    if found is None:
        raise ServiceError("EntityNotFoundException", "Entity not found")
    return found


def _role(request: Json) -> str:
    """Return the role that reads a location: one that the caller passes, or the service's own."""
    if request.get("RoleArn"):
        authorize_pass_role(request["RoleArn"], _SERVICE)
        return str(request["RoleArn"])
    account, iam = get_account_id(), client("iam")
    if inside.iam.roles.get_scoped(account, None, _LINKED) is None:
        made = iam.create_service_linked_role(AWSServiceName=_SERVICE)["Role"]
        record = inside.iam.roles.pop(made["RoleName"])  # which MiniStack calls otherwise
        arn = made["Arn"].replace(made["RoleName"], _LINKED)
        inside.iam.roles[_LINKED] = {**record, "RoleName": _LINKED, "Arn": arn}
    place = request["ResourceArn"].rstrip("/")
    actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": [place, f"{place}/*", place.split("/")[0]]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    name = "Location-" + re.sub(r"[^\w+=,.@-]", "-", place.split(":::")[1])
    iam.put_role_policy(RoleName=_LINKED, PolicyName=name, PolicyDocument=policy)
    return str(inside.iam.roles.get_scoped(account, None, _LINKED)["Arn"])


@overlay("lakeformation", "RegisterResource")
def register(request: Json) -> Json:
    """Register a location in S3."""
    arn = request["ResourceArn"].rstrip("/")
    key = (get_account_id(), arn)
    if not arn.startswith("arn:aws:s3:::") or bool(request.get("RoleArn")) == bool(request.get("UseServiceLinkedRole")):
        raise invalid("A location is a bucket or prefix, with RoleArn or UseServiceLinkedRole.")
    if key in lake().locations:
        raise ServiceError("AlreadyExistsException", "Resource is already registered")
    hybrid = bool(request.get("HybridAccessEnabled"))
    record = {"ResourceArn": arn, "RoleArn": _role(request), "HybridAccessEnabled": hybrid}
    lake().locations[key] = {**record, "LastModified": clock.now(), "VerificationStatus": "NOT_VERIFIED"}
    return {}


@overlay("lakeformation", "UpdateResource")
def _update(request: Json) -> Json:
    record = _registered(request)
    if record["RoleArn"].endswith(f"/{_LINKED}"):  # hybrid-access-mode, notes
        raise invalid("A location that is registered with the service-linked role cannot be changed.")
    hybrid = request.get("HybridAccessEnabled", record["HybridAccessEnabled"])
    record |= {"RoleArn": _role(request), "HybridAccessEnabled": hybrid, "LastModified": clock.now()}
    return {}


@overlay("lakeformation", "DeregisterResource")
def deregister(request: Json) -> Json:
    """Forget a location: from then on S3 is asked with the caller's own permissions."""
    del lake().locations[get_account_id(), _registered(request)["ResourceArn"]]
    return {}


@overlay("lakeformation", "DescribeResource")
def _describe(request: Json) -> Json:
    return {"ResourceInfo": _registered(request)}


@overlay("lakeformation", "ListResources")
def _list(request: Json) -> Json:
    if request.get("FilterConditionList"):
        raise invalid("FilterConditionList is not emulated.")
    return {"ResourceInfoList": [r for (account, _), r in lake().locations.items() if account == get_account_id()]}


# ---- opting in ------------------------------------------------------------------------------------------------------


def _opt_in(request: Json) -> tuple[str, tuple[str, ...]]:
    who, resource = caller(), resource_of(request["Resource"], get_account_id())
    principal = request["Principal"]["DataLakePrincipalIdentifier"]
    if not lake().is_administrator(who.arn, who.account):
        raise ServiceError("AccessDeniedException", "Only data lake administrators opt principals in.")
    if resource.kind not in {"DATABASE", "TABLE", "COLUMNS"} or not lake().permits(who.arn, "DESCRIBE", resource.path):
        raise ServiceError("EntityNotFoundException", "Resource does not exist or is not shared with this account.")
    return principal, resource.path[:2] if resource.path[-1] == "*" else resource.path


@overlay("lakeformation", "CreateLakeFormationOptIn")
def _create_opt_in(request: Json) -> Json:
    opt_in = _opt_in(request)
    require_principal(opt_in[0])
    if opt_in in lake().opted_in:
        raise ServiceError("AlreadyExistsException", "The principal is opted in already.")
    lake().opted_in[opt_in] = {**request, "LastModified": clock.now(), "LastUpdatedBy": caller().arn}
    return {}


@overlay("lakeformation", "DeleteLakeFormationOptIn")
def _delete_opt_in(request: Json) -> Json:
    if lake().opted_in.pop(_opt_in(request), None) is None:
        raise ServiceError("EntityNotFoundException", "The principal is not opted in.")
    return {}


@overlay("lakeformation", "ListLakeFormationOptIns")
def _list_opt_ins(request: Json) -> Json:
    account, found = get_account_id(), lake().opted_in
    path = resource_of(request["Resource"], account).path if "Resource" in request else None
    principal = request.get("Principal", {}).get("DataLakePrincipalIdentifier")
    mine = {key: record for key, record in found.items() if account in key[0] or key[1][0] == account}
    shown = [r for (p, q), r in mine.items() if (principal or p) == p and (path is None or q == path[: len(q)] == q)]
    return {"LakeFormationOptInsInfoList": shown}
