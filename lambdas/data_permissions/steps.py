"""What Lake Formation is told when wants come and go: a permission stays as long as anybody wants it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lambdas.data_permissions.core import Want

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Subject = tuple[str, str, bool]

Action = Literal["grant", "revoke", "opt-in", "opt-out"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One request to Lake Formation.

    Attributes:
        action: What to do.
        principal: ARN of the role.
        resource: Resource as the API takes it.
        permissions: Permissions; none for opt-ins.
    """

    action: Action
    principal: str
    resource: dict[str, Any]
    permissions: tuple[str, ...] = ()


def steps(before: Sequence[Want], after: Sequence[Want], subjects: Iterable[Subject]) -> list[Step]:
    """Return the requests that lead from what was wanted to what is wanted now; repeating them does no harm.

    What everybody wants of one table is merged: columns are granted together, and the whole table takes their place.
    What is taken away comes last, except where the whole table gives way to columns or columns to the whole table:
    Lake Formation's documentation does not say what is left when one is revoked while the other is granted.

    Args:
        before: Wants of everybody before the change.
        after: Wants of everybody after it.
        subjects: What the change is about.
    """
    first: list[Step] = []
    last: list[Step] = []
    for subject in sorted(set(subjects)):
        had, has = _merged(before, subject), _merged(after, subject)
        replaced = had and has and (had.columns is None) is not (has.columns is None)
        for step in _revokes(had, has):
            (first if replaced else last).append(step)
        if has:
            first.append(_step("opt-in" if subject[2] else "grant", has))
    return [*first, *last]


def _revokes(had: Want | None, has: Want | None) -> Iterator[Step]:
    if had is None:
        return
    if has is None or (had.columns is None) is not (has.columns is None):
        yield _step("revoke" if had.permissions else "opt-out", had)
    elif had.columns and has.columns and (gone := tuple(c for c in had.columns if c not in has.columns)):
        yield _step(
            "revoke",
            Want(principal=had.principal, resource=had.resource, permissions=had.permissions, columns=gone),
        )


def _merged(wants: Sequence[Want], subject: Subject) -> Want | None:
    """Return everybody's wants about a subject as one."""
    about = [want for want in wants if want.subject == subject]
    whole = [want for want in about if want.columns is None]
    if not about or whole:
        return whole[0] if whole else None
    columns = dict.fromkeys(column for want in about for column in want.columns or ())
    return Want(
        principal=subject[0], resource=subject[1], permissions=about[0].permissions, columns=tuple(sorted(columns))
    )


def _step(action: Action, want: Want) -> Step:
    resource: dict[str, Any] = json.loads(want.resource)
    if want.columns:
        resource = {"TableWithColumns": {**resource["Table"], "ColumnNames": list(want.columns)}}
    return Step(action=action, principal=want.principal, resource=resource, permissions=want.permissions)
