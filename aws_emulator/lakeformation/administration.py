"""What administrators set: settings, registered locations, LF-tags, principals that are opted in to Lake Formation.

Pages below https://docs.aws.amazon.com/lake-formation/latest/dg/: change-settings, optimize-ram (no way back from
version 5), registration-role, hybrid-access-mode, TBAC-creating-tags, TBAC-assigning-tags, lf-tag-considerations.
"""

from __future__ import annotations

from typing import Final

from ministack.core.responses import get_account_id

from aws_emulator.bridge import call, overlay
from aws_emulator.clock import clock
from aws_emulator.cloudformation.resources import resource_type
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam.callers import authorize_pass_role
from aws_emulator.lakeformation.grants import require_administrator, require_principal
from aws_emulator.lakeformation.store import lake, settings
from aws_emulator.lakeformation.structures import invalid, require_columns, resource_of
from aws_emulator.shapes import request_of

_VERSION: Final = "CROSS_ACCOUNT_VERSION"
_LONGEST: Final = 50
"""Characters of a key or value of an LF-tag."""


def _account(request: Json) -> str:
    """Return the account that a request names, which has to be the caller's."""
    account: str = get_account_id()
    if request.get("CatalogId", account) != account:
        raise ServiceError("AccessDeniedException", "The catalog of another account is not administered from here.")
    return account


@overlay("lakeformation", "GetDataLakeSettings")
def _get_settings(request: Json) -> Json:
    return {"DataLakeSettings": settings(_account(request))}


@overlay("lakeformation", "PutDataLakeSettings")
def _put_settings(request: Json) -> Json:
    """Set all settings of the account; what a request leaves out is empty afterwards."""
    account, given = _account(request), request["DataLakeSettings"]
    before, parameters = settings(account), given.get("Parameters") or {}
    version = parameters.get(_VERSION, before["Parameters"][_VERSION])
    if version not in {"1", "2", "3", "4", "5"} or (before["Parameters"][_VERSION] == "5" != version):
        raise invalid(f"{_VERSION} is 1 to 5, and 5 cannot be changed: {version}")
    administrators = [principal["DataLakePrincipalIdentifier"] for principal in given.get("DataLakeAdmins") or ()]
    for principal in administrators:
        require_principal(principal)
    empty: Json = {"DataLakeAdmins": [], "CreateDatabaseDefaultPermissions": [], "CreateTableDefaultPermissions": []}
    before |= empty | given | {"Parameters": {**parameters, _VERSION: version}}
    lake().administrators[account] = set(administrators)
    return {}


def _registered(request: Json) -> Json:
    found = lake().locations.get((get_account_id(), request["ResourceArn"].rstrip("/")))
    if found is None:
        raise ServiceError("EntityNotFoundException", "Entity not found")
    return found


@overlay("lakeformation", "RegisterResource")
def _register(request: Json) -> Json:
    """Register a location with a role that the caller passes; the service-linked role is not emulated."""
    arn = request["ResourceArn"].rstrip("/")
    if not arn.startswith("arn:aws:s3:::") or not request.get("RoleArn"):
        raise invalid("A location is a bucket or prefix, with RoleArn: UseServiceLinkedRole is not emulated.")
    if (get_account_id(), arn) in lake().locations:
        raise ServiceError("AlreadyExistsException", "Resource is already registered")
    authorize_pass_role(request["RoleArn"], "lakeformation.amazonaws.com")
    record = {**request, "ResourceArn": arn, "LastModified": clock.now(), "VerificationStatus": "NOT_VERIFIED"}
    lake().locations[get_account_id(), arn] = record
    return {}


@overlay("lakeformation", "UpdateResource")
def _update(request: Json) -> Json:
    authorize_pass_role(request["RoleArn"], "lakeformation.amazonaws.com")
    record = _registered(request)
    record |= {**request, "ResourceArn": record["ResourceArn"], "LastModified": clock.now()}
    return {}


@overlay("lakeformation", "DeregisterResource")
def _deregister(request: Json) -> Json:
    del lake().locations[get_account_id(), _registered(request)["ResourceArn"]]
    return {}


@overlay("lakeformation", "DescribeResource")
def _describe(request: Json) -> Json:
    return {"ResourceInfo": _registered(request)}


def _made(operation: str, properties: Json) -> Json:
    call("lakeformation", operation, request_of("lakeformation", operation, properties))
    return {"Id": properties["ResourceArn"]}


resource_type(
    "AWS::LakeFormation::Resource",
    create=lambda properties, _logical_id, _stack: _made("RegisterResource", properties),
    update=lambda _ref, _old, new: _made("UpdateResource", new),
    delete=lambda _ref, properties: _made("DeregisterResource", properties),
)


@overlay("lakeformation", "CreateLFTag")
def _create_tag(request: Json) -> Json:
    require_administrator()
    key = (_account(request), request["TagKey"].lower())
    values = list(dict.fromkeys(value.lower() for value in request["TagValues"]))
    if key in lake().tag_values:
        raise ServiceError("AlreadyExistsException", f"Tag key already exists: {key[1]}")
    if max(map(len, (key[1], *values))) > _LONGEST:
        raise invalid(f"Keys and values of LF-Tags have at most {_LONGEST} characters.")
    lake().tag_values[key] = values
    return {}


def _assign(operation: str, *, adds: bool) -> None:
    """Give a database, table or columns tags, or take them away: one value of a key takes the place of another."""

    @overlay("lakeformation", operation)
    def answer(request: Json) -> Json:
        who, found, failures = require_administrator(), lake(), []
        resource = resource_of(request["Resource"], who.account)
        path, columns = resource.path, (resource.detail[0] or ()) if resource.kind == "COLUMNS" else ()
        if path not in (found.databases if len(path) == 2 else found.tables) or path[0] != who.account:
            raise ServiceError("EntityNotFoundException", f"Not found in this account: {path[-1]}")
        if columns:
            require_columns(path, columns)
        for pair in request["LFTags"]:
            key, value = pair["TagKey"].lower(), pair["TagValues"][0].lower()
            if value not in found.tag_values.get((who.account, key), ()):
                detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": f"No such tag: {key} {value}"}
                failures.append({"LFTag": pair, "Error": detail})
                continue
            for place in [(*path, column) for column in columns] or [path]:
                tags = {name: own for name, own in found.tags.get(place, {}).items() if name != key}
                found.tags[place] = tags | ({key: value} if adds else {})
        return {"Failures": failures}


_assign("AddLFTagsToResource", adds=True)
_assign("RemoveLFTagsFromResource", adds=False)


def _opt_in(request: Json) -> tuple[str, tuple[str, ...]]:
    who = require_administrator()
    resource = resource_of(request["Resource"], who.account)
    if resource.kind not in {"DATABASE", "TABLE", "COLUMNS"} or not lake().permits(who.arn, "DESCRIBE", resource.path):
        raise ServiceError("EntityNotFoundException", "Resource does not exist or is not shared with this account.")
    path = resource.path[:2] if resource.path[-1] == "*" else resource.path
    return request["Principal"]["DataLakePrincipalIdentifier"], path


@overlay("lakeformation", "CreateLakeFormationOptIn")
def _create_opt_in(request: Json) -> Json:
    opt_in = _opt_in(request)
    require_principal(opt_in[0])
    if opt_in in lake().opted_in:
        raise ServiceError("AlreadyExistsException", "The principal is opted in already.")
    lake().opted_in[opt_in] = {**request, "LastModified": clock.now()}
    return {}


@overlay("lakeformation", "DeleteLakeFormationOptIn")
def _delete_opt_in(request: Json) -> Json:
    if lake().opted_in.pop(_opt_in(request), None) is None:
        raise ServiceError("EntityNotFoundException", "The principal is not opted in.")
    return {}


@overlay("lakeformation", "ListLakeFormationOptIns")
def _list_opt_ins(request: Json) -> Json:
    account = get_account_id()
    path = resource_of(request["Resource"], account).path if "Resource" in request else ()
    asked = request.get("Principal", {}).get("DataLakePrincipalIdentifier", "")
    mine = {key: record for key, record in lake().opted_in.items() if account in key[0] or key[1][0] == account}
    shown = [r for (who, on), r in mine.items() if (asked or who) == who and on == (path[: len(on)] or on)]
    return {"LakeFormationOptInsInfoList": shown}
