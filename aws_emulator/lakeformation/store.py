"""The lake of each region, and what is new in the catalog of an account."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ministack.core.responses import get_region

from aws_emulator import inside
from aws_emulator.core import Json, organization
from aws_emulator.lakeformation.decision import IAM_GROUP, Lake, Path, Resource

_lakes: Final[dict[str, Lake]] = {}
_settings: Final[dict[tuple[str, str], Json]] = {}
_ONLY_IAM: Final = [{"Principal": {"DataLakePrincipalIdentifier": IAM_GROUP}, "Permissions": ["ALL"]}]


def _names(account: str) -> frozenset[str]:
    """Return the names under which an account is granted something."""
    company = organization()
    units = [f"ou/{company.organization_id}/{ou}" for ou, unit in company.ous.items() if account in unit.accounts]
    found = [f"organization/{company.organization_id}", *units] if account in company.accounts else []
    return frozenset({account, *(f"arn:aws:organizations::{company.management_account}:{name}" for name in found)})


@dataclass(frozen=True)
class _Catalogs(Mapping[Path, Json]):
    """What MiniStack keeps of the catalogs of all accounts in a region, by path."""

    store: Any
    region: str

    def __getitem__(self, path: Path) -> Json:
        found: Json | None = self.store.get_scoped(path[0], self.region, "/".join(path[1:]))
        if found is None:
            raise KeyError(path)
        return found

    def __iter__(self) -> Iterator[Path]:
        for account in organization().accounts:
            yield from ((account, *name.split("/")) for name, _ in self.store.items_scoped(account, self.region))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def lake() -> Lake:
    """Return the lake of the current region."""
    region = get_region()
    if region not in _lakes:
        databases, tables = _Catalogs(inside.glue.databases, region), _Catalogs(inside.glue.tables, region)
        _lakes[region] = Lake(_names, databases, tables)
    return _lakes[region]


def settings(account: str) -> Json:
    """Return the data lake settings of an account, to look at and to change.

    Until somebody sets them, only IAM decides about new databases and tables, and whoever IAM allows to can create
    databases. Source: https://docs.aws.amazon.com/lake-formation/latest/dg/change-settings.html
    """
    key = (get_region(), account)
    if key not in _settings:
        defaults = dict.fromkeys(("CreateDatabaseDefaultPermissions", "CreateTableDefaultPermissions"), _ONLY_IAM)
        _settings[key] = {"DataLakeAdmins": [], **defaults, "Parameters": {"CROSS_ACCOUNT_VERSION": "1"}}
        lake().grants.setdefault((account, IAM_GROUP, Resource("CATALOG", (account,))), {"CREATE_DATABASE": False})
    return _settings[key]


def give_defaults(creator: str, resource: Resource, defaults: list[Json]) -> None:
    """Give a new database or table its first grants: everything to its creator, and what the settings say.

    Source: https://docs.aws.amazon.com/lake-formation/latest/dg/implicit-permissions.html
    """
    account = resource.path[0]
    lake().grants[account, creator, resource] = {"ALL": True}
    for default in defaults:
        permissions = dict.fromkeys(default["Permissions"], False)
        lake().grants[account, default["Principal"]["DataLakePrincipalIdentifier"], resource] = permissions


def forget(path: Path) -> None:
    """Forget grants, filters, tags and opt-ins of what was deleted."""
    found, length = lake(), len(path)
    found.filters = {key: value for key, value in found.filters.items() if key[:length] != path}
    found.tags = {key: value for key, value in found.tags.items() if key[:length] != path}
    found.opted_in = {key: value for key, value in found.opted_in.items() if key[1][:length] != path}
    forget_grants(lambda resource: resource.path[:length] == path)


def forget_grants(is_gone: Callable[[Resource], bool]) -> None:
    """Forget the grants on resources that are gone."""
    lake().grants = {grant: held for grant, held in lake().grants.items() if not is_gone(grant[2])}
