"""What a launch role is allowed, derived: the actions that the released templates take, where the tables say.

`foundation.caller_permissions` says which actions those are, `foundation.launch_scopes` on which resources and under
which conditions. An action that the tables do not cover stops the synthesis with the name of the table to extend.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from foundation.caller_permissions import needed_actions
from foundation.handler_permissions import resource_kinds
from foundation.launch_scopes import ACTION_SCOPES, ANYTHING, CONDITIONS, WORKLOADS, extras
from portfolios.catalog import products_of_the_hub

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from foundation.caller_permissions import Template
    from foundation.launch_scopes import AccountKind, Scope

PRODUCTS: Final = Path(__file__).resolve().parent.parent / "products"


class LaunchRoleError(Exception):
    """The launch role cannot be derived from the resource types of the products."""


def released_templates(products: Path = PRODUCTS) -> list[Path]:
    """Return the template of every release in the repository."""
    return sorted(products.glob("*/releases/*/template.json"))


def launched_templates(products: Path = PRODUCTS, *, in_hub: bool) -> list[dict[str, Any]]:
    """Return the templates of all releases that are launched in the hub, or of those that are launched elsewhere.

    Args:
        products: Folder of the products. Default: that of this repository.
        in_hub: Whether those products are meant whose portfolios are not shared.
    """
    return [
        json.loads(path.read_text(encoding="utf-8"))
        for path in released_templates(products)
        if (path.parents[2].name.replace("_", "-") in products_of_the_hub()) is in_hub
    ]


def statements(
    templates: Iterable[Template], hub_account_id: str, kind: AccountKind = WORKLOADS
) -> list[dict[str, Any]]:
    """Return the allow statements of the role; ARNs are text for ``Fn::Sub``.

    Args:
        templates: Templates that are launched.
        hub_account_id: Account of the artifact bucket, 12 digits.
        kind: Kind of account. Default: `WORKLOADS`.

    Raises:
        LaunchRoleError: An action has no entry in `SCOPES`.
        SchemaError: A type has no usable schema.
    """
    grouped: dict[tuple[tuple[str, ...], str], set[str]] = {}
    for action, scopes, conditions in grants(templates, hub_account_id, kind):
        arns = tuple(sorted({arn for scope in scopes for arn in scope.arns}))
        grouped.setdefault((arns, json.dumps(conditions, sort_keys=True)), set()).add(action)
    return [
        {
            "Effect": "Allow",
            "Action": sorted(actions),
            "Resource": list(resources),
            **({"Condition": json.loads(conditions)} if conditions != "{}" else {}),
        }
        for (resources, conditions), actions in sorted(grouped.items(), key=lambda item: (sorted(item[1]), item[0]))
    ]


def grants(
    templates: Iterable[Template], hub_account_id: str, kind: AccountKind
) -> Iterator[tuple[str, tuple[Scope, ...], Mapping[str, Any]]]:
    """Yield every action that the role is allowed, on what, and under which conditions."""
    for action, users in needed_actions(templates).items():
        yield action, scopes_of(action, sorted(users), kind), CONDITIONS.get(action, {})
    for extra in extras(hub_account_id):
        for action in extra.actions:
            scopes = (extra.scope,) if extra.scope else scopes_of(action, ["Service Catalog"], kind)
            yield action, scopes, extra.conditions


def scopes_of(action: str, users: Sequence[str], kind: AccountKind = WORKLOADS) -> tuple[Scope, ...]:
    """Return on what the role may use an action; `ANYTHING` only for actions without resource level.

    Args:
        action: E.g. ``iam:CreateRole``.
        users: Who needs it; named in the error.
        kind: Kind of account. Default: `WORKLOADS`.

    Raises:
        LaunchRoleError: IAM knows no such action, or no kind of its resources is in `SCOPES`.
    """
    if action in ACTION_SCOPES:
        return (ACTION_SCOPES[action],)
    if action == "lambda:InvokeFunction":
        return (kind.custom_resources,)
    service = action.partition(":")[0]
    kinds = resource_kinds(action)
    if kinds is None:
        raise LaunchRoleError(
            f"{action} is needed for {', '.join(users)}, but IAM knows no such action: add it to SPELT (other "
            f"spelling) or EXCEPTIONS (with the reason) in foundation/caller_exceptions.py."
        )
    if not kinds:
        return (ANYTHING,)
    scopes = tuple(kind.scopes[f"{service}:{on}"] for on in sorted(kinds) if f"{service}:{on}" in kind.scopes)
    if not scopes:
        raise LaunchRoleError(
            f"{action} is needed for {', '.join(users)} and works on {', '.join(sorted(kinds))} of {service}: say in "
            f"SCOPES of foundation/launch_scopes.py on which, or in EXCEPTIONS of foundation/caller_exceptions.py why "
            f"nobody asks for it."
        )
    return scopes
