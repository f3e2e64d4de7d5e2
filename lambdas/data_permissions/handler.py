"""Custom::DataAccess and Custom::ProjectDataAccess: grant data of a lake to people and projects, and take them back.

The role of this function is the data lake administrator of the account, which Lake Formation lets grant everything to
everybody; that only roles of people and projects of this account get anything is what `core` sees to.
"""

from __future__ import annotations

from dataclasses import replace
from time import sleep
from typing import TYPE_CHECKING, Any, Final

from lambdas.data_permissions import core
from lambdas.data_permissions.environment import DataPermissionsEnvironment
from lambdas.data_permissions.lake import Lake
from lambdas.data_permissions.ledger import Ledger, Record, owner_of
from lambdas.data_permissions.look import Look
from lambdas.data_permissions.projects import Projects
from lambdas.data_permissions.steps import steps
from lambdas.shared.custom_resource import CustomResourceError, LambdaContext, Request, Success, respond

if TYPE_CHECKING:
    from collections.abc import Mapping

FAILED: Final = "failed"
"""Physical id of what could not be made: a part of it may have been granted, so its deletion must arrive here."""


def lambda_handler(event: Mapping[str, object], context: LambdaContext) -> dict[str, object] | None:
    """Answer a request of CloudFormation, or return what Custom::Preflight asks to look at (key ``Look``)."""
    wanted = event.get("Look")
    if isinstance(wanted, dict):
        return _look(wanted)
    respond(event, context, lambda request: carry_out(request, context), failed_id=FAILED)
    return None


def _look(wanted: Mapping[str, Any]) -> dict[str, object]:
    environment = DataPermissionsEnvironment.read()
    look = Look(environment.account_id, wanted)
    if "CatalogId" in wanted:
        return look.at_shared()
    return look.at_linked(_accesses(Ledger(environment.ledger_table, sleep=sleep).records()), Projects())


def carry_out(request: Request, context: LambdaContext) -> Success:
    """Carry out one request, while no other one is carried out.

    Raises:
        CustomResourceError: It is not allowed, or Lake Formation refuses it.
    """
    if request.resource_type not in (core.ACCESS_TYPE, core.PROJECT_TYPE):
        raise CustomResourceError(
            f"This function knows {core.ACCESS_TYPE} and {core.PROJECT_TYPE}, not {request.resource_type}."
        )
    physical_id = f"{request.resource_type.removeprefix('Custom::')}-{request.address.logical_resource_id}"
    environment = DataPermissionsEnvironment.read()
    ledger = Ledger(environment.ledger_table, sleep=sleep)
    with ledger.alone(context):
        if ledger.is_stale(request):  # an event that came twice, the second time too late; its answer is ignored
            return Success(physical_id=physical_id)
        change = Change(request, environment.account_id, ledger)
        data = change.make()
    return Success(physical_id=physical_id, data=data)


class Change:
    """One change of who may read what.

    Args:
        request: What CloudFormation asks for.
        account_id: This account.
        ledger: Who asked for what.
    """

    def __init__(self, request: Request, account_id: str, ledger: Ledger) -> None:
        self._request = request
        self._account_id = account_id
        self._ledger = ledger
        self._owner = owner_of(request)
        self._lake = Lake(sleep=sleep)
        self._projects = Projects()
        self._before = ledger.records()
        self._former = self._before.get(self._owner, Record())
        self._left = (*self._former.leaving, *filter(None, [self._former.access]))

    def make(self) -> dict[str, str]:
        """Make it and return the attributes of the resource.

        Raises:
            CustomResourceError: It is not allowed, or Lake Formation refuses it.
        """
        after = {owner: record for owner, record in self._before.items() if owner != self._owner}
        if self._request.kind == "Delete":
            self._settle(self._evaluated(after))
            return {}
        if self._request.resource_type == core.ACCESS_TYPE:
            return self._open(after)
        return self._admit(after)

    def _open(self, after: dict[str, Record]) -> dict[str, str]:
        access = core.Access.parse(self._request, self._account_id)
        after[self._owner] = Record(access=access, wants=core.wants_of_people(access, self._account_id))
        self._settle(self._evaluated(after))
        return {"Database": access.link}

    def _admit(self, after: dict[str, Record]) -> dict[str, str]:
        ask = core.Ask.parse(self._request, self._account_id)
        if not ask.location:
            self._projects.require(ask, self._request)
        try:
            wants = self._wants(ask, after)
        except core.NotEntitledError:
            # CloudFormation goes back after an update that failed: refusing that would leave the stack stuck. What was
            # asked for before stays, and gets what is given today.
            if self._request.kind == "Create" or ask not in (self._former.ask, self._former.former):
                raise
            wants = ()
        former = self._former.former if ask == self._former.ask else self._former.ask
        after[self._owner] = Record(ask=ask, former=former, wants=wants)
        self._settle(after)
        access = next((a for a in _accesses(after) if a.link == ask.link and not ask.location), None)
        if access is None:
            return {"CatalogId": self._account_id, "TargetDatabase": ask.link, "TargetTable": ask.table}
        return {"CatalogId": access.catalog_id, "TargetDatabase": access.target, "TargetTable": ask.table}

    def _wants(self, ask: core.Ask, records: Mapping[str, Record]) -> tuple[core.Want, ...]:
        accesses = [access for access in _accesses(records) if access.link == ask.link]
        tags = self._projects.tags(ask.project_id) if any(access.project_tag for access in accesses) else frozenset()
        return core.wants_of_project(ask, accesses, tags, self._account_id)

    def _evaluated(self, after: dict[str, Record]) -> dict[str, Record]:
        """Return the records after what a product opens has changed: projects get what is given now."""
        mine = after.get(self._owner, Record()).access
        links = {access.link for access in (*self._left, mine) if access}
        evaluated = dict(after)
        for owner, record in after.items():
            if record.ask and record.ask.link in links:
                try:
                    wants = self._wants(record.ask, after)
                except core.NotEntitledError:
                    wants = ()
                evaluated[owner] = Record(ask=record.ask, former=record.former, wants=wants)
        return evaluated

    def _settle(self, after: Mapping[str, Record]) -> None:
        """Bring Lake Formation to what the records say, in an order that may be broken off anywhere and repeated."""
        before = self._before
        changed = [owner for owner in {**before, **after} if before.get(owner) != after.get(owner)]
        mine = after.get(self._owner, Record())
        # What is about to be granted is noted first, so that it is taken back whatever happens.
        for owner in changed:
            new, old = after.get(owner, Record()), before.get(owner, Record())
            wants = tuple(dict.fromkeys((*old.wants, *new.wants)))
            left = self._left if owner == self._owner else ()
            self._ledger.write(owner, replace(new, leaving=left, wants=wants, settled=False))
        if mine.access:
            self._lake.make_link(mine.access)
        had, has = _wants_of(before), _wants_of(after)
        if not self._lake.has_default_database():
            default = core.database_resource(self._account_id, core.DEFAULT_DATABASE)
            had, has = ([want for want in wants if want.resource != default] for wants in (had, has))
        touched = {want.subject for o in {*changed, self._owner} for r in (before, after) for want in _of(r, o).wants}
        for step in steps(had, has, touched):
            self._lake.carry_out(step)
        used = {access.link for access in _accesses(after)}
        for access in self._left:
            if access.link not in used:
                self._lake.drop_link(access)
        for owner in changed:
            self._ledger.write(owner, after.get(owner))


def _of(records: Mapping[str, Record], owner: str) -> Record:
    return records.get(owner, Record())


def _accesses(records: Mapping[str, Record]) -> list[core.Access]:
    return [record.access for record in records.values() if record.access]


def _wants_of(records: Mapping[str, Record]) -> list[core.Want]:
    return [want for record in records.values() for want in record.wants]
