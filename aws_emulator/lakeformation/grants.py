"""Who is granted what: granting, revoking and listing permissions, and who may do that.

Pages below https://docs.aws.amazon.com/lake-formation/latest/dg/: lf-permissions-reference (which permission is for
what), granting-catalog-permissions, regranting-shared-resources and required-permissions-for-grant (who may grant),
cross-account-notes, optimize-ram and hybrid-cross-account (versions of sharing).
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

from aws_emulator import inside, ram
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.core import Json, ServiceError
from aws_emulator.glue.catalog import ask
from aws_emulator.iam.callers import Caller, authorize, caller
from aws_emulator.lakeformation.decision import IAM_GROUP, Resource, account_of, is_outside
from aws_emulator.lakeformation.store import lake, settings
from aws_emulator.lakeformation.structures import invalid, require_columns, resource_of, structure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TABLE: Final = frozenset({"ALL", "ALTER", "DELETE", "DESCRIBE", "DROP", "INSERT", "SELECT"})
_DATABASE: Final = frozenset({"ALL", "ALTER", "CREATE_TABLE", "DESCRIBE", "DROP"})
_VALID: Final = {
    "CATALOG": frozenset({"CREATE_DATABASE"}),
    "DATABASE": _DATABASE,
    "TABLE": _TABLE,
    "COLUMNS": frozenset({"SELECT"}),
    "FILTER": frozenset({"DESCRIBE", "DROP", "SELECT"}),
    "LOCATION": frozenset({"DATA_LOCATION_ACCESS"}),
}
_TYPES: Final = {"COLUMNS": "TABLE", "FILTER": "TABLE", "LOCATION": "DATA_LOCATION"}
_UNKNOWN: Final = "Resource does not exist or requester is not authorized to access requested permissions."
_NONE: Final = "No permissions revoked. Grantee has no permissions and no grantable permissions on resource."
_busy: Final[set[tuple[str, ...]]] = set()


@contextlib.contextmanager
def _alone(resource: Resource) -> Iterator[None]:
    """Refuse what happens to a database and its tables at the same time.

    Source: https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/2432
    """
    place = resource.path[:2]
    if place in _busy:
        raise ServiceError("ConcurrentModificationException", "Another request is modifying the resource.")
    _busy.add(place)
    try:
        clock.sleep(0.01)
        yield
    finally:
        _busy.discard(place)


def require_principal(principal: str) -> None:
    """Check that a principal is of a kind that is emulated, and a role exists, with its path.

    Raises:
        ServiceError: It is not, or does not.
    """
    if not re.fullmatch(rf"\d{{12}}|{IAM_GROUP}|arn:aws:(iam|organizations)::.*", principal):
        raise invalid(f"Principals of this kind are not emulated: {principal}")
    role = inside.iam.roles.get_scoped(account_of(principal), None, principal.rsplit("/", 1)[-1])
    if ":role/" in principal and (role is None or role["Arn"] != principal):
        raise invalid(f"Invalid principal: {principal}")


def require_administrator() -> Caller:
    """Return the caller, which has to be a data lake administrator of its account.

    Raises:
        ServiceError: It is not.
    """
    who = caller()
    if not lake().is_administrator(who.arn, who.account):
        raise ServiceError("AccessDeniedException", "Only data lake administrators do that.")
    return who


def _check(resource: Resource, permissions: set[str], grantable: set[str]) -> None:
    """Check that the permissions of a grant are for its resource, and that this exists."""
    found, path = lake(), resource.path
    valid = _VALID.get(resource.kind) or (_TABLE if resource.detail[0] == "TABLE" else _DATABASE)
    if path[:2] in found.databases and found.target((*path, "*", "*")[:3])[0]:
        valid = frozenset({"DESCRIBE", "DROP"})  # granting-link-permissions
    excludes = resource.kind == "COLUMNS" and resource.detail[0] is None
    if not permissions or permissions - valid or grantable - permissions or (excludes and grantable):
        raise invalid("Permissions modification is invalid.")
    if resource.kind in {"DATABASE", "TABLE", "COLUMNS", "FILTER"} and path[:2] not in found.databases:
        raise ServiceError("EntityNotFoundException", f"Database not found: {path[1]}")
    if len(path) == 3 and path[2] != "*" and path not in found.tables:
        raise ServiceError("EntityNotFoundException", f"Table not found: {path[2]}")
    if resource.kind == "COLUMNS":
        require_columns(path, {*(resource.detail[0] or ()), *resource.detail[1]})
    if resource.kind == "FILTER" and (*path, *resource.detail) not in found.filters:
        raise ServiceError("EntityNotFoundException", f"Data cells filter not found: {resource.detail[0]}")
    for key, values in resource.detail[1] if resource.kind == "TAGS" else ():
        if set(values) - set(found.tag_values.get((path[0], key), ())):
            raise ServiceError("EntityNotFoundException", f"Tag key or value does not exist: {key} {values}")


def _check_across(who: Caller, principal: str, resource: Resource, permissions: set[str]) -> None:
    """Check what is granted to somebody outside the account."""
    version = int(settings(who.account)["Parameters"]["CROSS_ACCOUNT_VERSION"])
    needed = 3 if principal.startswith("arn:") or resource.kind == "TAGS" else 1
    needed = 4 if lake().is_open(principal, resource.path) else needed
    if resource.path[0] != who.account:
        raise invalid("What another account shares can be granted to principals of the own account only.")
    if version < needed:
        raise invalid(f"This takes version {needed} of the cross-account settings; this account has {version}.")
    is_of_database = resource.kind == "DATABASE" or "DATABASE" in resource.detail
    if resource.kind in {"CATALOG", "LOCATION"} or (is_of_database and permissions & {"ALL", "DROP"}):
        raise invalid(f"{sorted(permissions)} on {resource.kind} cannot be granted to other accounts.")
    if resource.kind == "COLUMNS" and resource.detail[0] is None:
        raise invalid("Columns can be excluded within an account only; name those to include.")
    authorize("ram:CreateResourceShare", "*")  # AWSLakeFormationCrossAccountManager


def may_pass_on(who: Caller, resource: Resource, permissions: set[str]) -> bool:
    """Whether somebody may grant and revoke permissions on a resource.

    In the owner's account: an administrator, or who has them with grant option on at least as much. Elsewhere: what
    was shared with the account with grant option, by its administrator or whom that one gave the grant option.
    """
    found, owner = lake(), resource.path[0]

    def held(by: str, to: frozenset[str], fits: Callable[[Resource], bool]) -> bool:
        options = [{p for p, passes in has.items() if passes} for own, has in found.granted(by, to) if fits(own)]
        return all(any({permission, "ALL"} & option for option in options) for permission in permissions)

    def is_shared(share: Resource) -> bool:
        if resource.kind in {"TABLE", "COLUMNS"} and resource.path[2] != "*":
            return bool(found.gives(share, {"SELECT"}, resource.path))  # it shows no more than was shared
        return share == resource if resource.kind == "FILTER" else found.covers(share, resource)

    if owner != who.account and not held(owner, found.names(who.account), is_shared):
        return False
    administers = found.is_administrator(who.arn, who.account)
    return administers or held(who.account, frozenset({who.arn}), lambda own: found.covers(own, resource))


def _request(request: Json, *, revokes: bool = False) -> tuple[Caller, str, Resource, set[str], set[str]]:
    """Return who asks, for whom, on what, and which permissions, when that may be granted or revoked.

    An administrator revokes what its account passed on even when that is not shared with the account any more.
    """
    who = caller()
    resource, principal = resource_of(request["Resource"], who.account), request["Principal"]
    permissions, grantable = set(request["Permissions"]), set(request.get("PermissionsWithGrantOption") or ())
    if resource.kind in {"DATABASE", "TABLE", "COLUMNS", "FILTER"}:
        is_table = len(resource.path) == 3 and resource.path[2] != "*"
        ask(who, "GetTable" if is_table else "GetDatabase", resource.path if is_table else resource.path[:2])
    is_own = revokes and lake().is_administrator(who.arn, who.account)
    allowed = is_own or may_pass_on(who, resource, permissions | grantable)
    if not allowed or request.get("CatalogId", who.account) != who.account:
        raise ServiceError("AccessDeniedException", _UNKNOWN)
    return who, principal["DataLakePrincipalIdentifier"], resource, permissions, grantable


@overlay("lakeformation", "GrantPermissions")
def grant(request: Json) -> Json:
    """Grant permissions."""
    who, principal, resource, permissions, grantable = _request(request)
    with _alone(resource):
        _check(resource, permissions, grantable)
        require_principal(principal)
        if principal == IAM_GROUP and (grantable or resource.path[0] != who.account):
            raise invalid("IAMAllowedPrincipals takes no grant option, and nothing of other accounts.")
        if is_outside(who.account, principal):
            _check_across(who, principal, resource, permissions)
        mine, grants = (who.account, principal), lake().grants
        columns = [r for b, p, r in grants if (b, p, r.kind, r.path) == (*mine, "COLUMNS", resource.path)]
        if resource.kind == "TABLE" and permissions == {"DESCRIBE"} and columns:
            raise invalid("Permissions modification is invalid.")  # SELECT on columns shows them already
        entry = grants.pop((*mine, resource), {})
        for other in columns if resource.kind == "COLUMNS" and resource.detail[0] else ():
            if other.detail[0] and grants.get((*mine, other)) == {"SELECT": bool(grantable)}:
                del grants[*mine, other]  # included columns of one principal are one grant
                names = tuple(sorted({*resource.detail[0], *other.detail[0]}))
                resource = resource._replace(detail=(names, ()))
        grants[*mine, resource] = entry | {p: p in grantable or entry.get(p, False) for p in permissions}
        ram.share(who.account, principal)
    return {}


@overlay("lakeformation", "RevokePermissions")
def revoke(request: Json) -> Json:
    """Revoke permissions with their grant options, or grant options alone; of included columns each by itself."""
    who, principal, resource, permissions, grantable = _request(request, revokes=True)
    with _alone(resource):
        mine, grants = (who.account, principal), lake().grants
        included = set(resource.detail[0] or ()) if resource.kind == "COLUMNS" else set()
        found = [resource] if not included else [
            r for b, p, r in grants
            if (b, p, r.kind, r.path) == (*mine, "COLUMNS", resource.path) and included & set(r.detail[0] or ())
        ]  # fmt: skip
        if not any((*mine, each) in grants for each in found):
            raise invalid(_NONE)
        for each in found:
            entry = grants[*mine, each]
            if "ALL" in entry and "ALL" not in permissions:
                entry = dict.fromkeys(_VALID[each.kind] - {"ALL"}, entry["ALL"])
            if (permissions | grantable) - entry.keys():
                raise invalid(f"No permissions revoked. Grantee does not have: {sorted(permissions - entry.keys())}")
            del grants[*mine, each]
            if rest := tuple(name for name in each.detail[0] if name not in included) if included else ():
                grants[*mine, each._replace(detail=(rest, ()))] = entry
            if left := {p: passes and p not in grantable for p, passes in entry.items() if p not in permissions}:
                grants[*mine, resource if rest else each] = left
        ram.share(who.account, principal)
    return {}


@overlay("lakeformation", "ListPermissions")
def list_permissions(request: Json) -> Json:
    """List what the account granted and what was granted to it; who is no administrator sees what is his own."""
    who, found, shown = caller(), lake(), []
    wanted = resource_of(request["Resource"], who.account) if "Resource" in request else None
    asked, type_ = request.get("Principal", {}).get("DataLakePrincipalIdentifier"), request.get("ResourceType")
    administers = found.is_administrator(who.arn, who.account)
    mine = [own for own, held in found.granted(who.account, frozenset({who.arn})) if True in held.values()]
    for (by, grantee, resource), held in sorted(found.grants.items(), key=str):
        kind = f"LF_TAG_POLICY_{resource.detail[0]}" if resource.kind == "TAGS" else resource.kind
        is_part = wanted is not None and wanted.path == resource.path and wanted.kind in {"TABLE", "COLUMNS"}
        is_wanted = wanted in {None, resource} or (is_part and resource.kind == "COLUMNS")
        is_seen = administers or grantee == who.arn or any(found.covers(own, resource) for own in mine)
        is_ours = by == who.account or grantee in found.names(who.account) | {who.arn}
        is_of_type = _TYPES.get(kind, kind).startswith(type_ or "") and (asked or grantee) == grantee
        if not (is_wanted and is_seen and is_ours and is_of_type):
            continue
        select = {"SELECT"} & held.keys() if resource.kind == "TABLE" else set()
        for permissions in filter(None, (held.keys() - select, select)):
            entry: Json = {
                "Principal": {"DataLakePrincipalIdentifier": grantee},
                "Resource": structure_of(resource, as_columns=permissions == select),
                "Permissions": sorted(permissions),
                "PermissionsWithGrantOption": sorted(p for p in permissions if held[p]),
            }
            if is_outside(by, grantee):
                entry["AdditionalDetails"] = {"ResourceShare": [ram.share_arn(by, grantee)]}
            shown.append(entry)
    return {"PrincipalResourcePermissions": shown}
