"""Which roles are associated with the portfolio of project products, and what is to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambdas.shared.custom_resource import CustomResourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambdas.shared.custom_resource import Request


@dataclass(frozen=True, kw_only=True)
class RoleChanges:
    """Persona roles to associate with and to disassociate from the portfolio."""

    associate: tuple[str, ...]
    disassociate: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Portfolio:
    """A portfolio that the organisation shares with this account."""

    id: str
    name: str


def plan_roles(request: Request) -> RoleChanges:
    """Return what the request changes; associating a role again is harmless and restores what was removed by hand.

    Raises:
        CustomResourceError: ``PersonaRoleArns`` is not a list of texts.
    """
    wanted = request.texts("PersonaRoleArns")
    if request.kind == "Delete":
        return RoleChanges(associate=(), disassociate=tuple(wanted))
    former = request.old_properties.get("PersonaRoleArns", [])
    gone = [str(arn) for arn in former if arn not in wanted] if isinstance(former, list) else []
    return RoleChanges(associate=tuple(dict.fromkeys(wanted)), disassociate=tuple(gone))


def choose_portfolio(portfolios: Sequence[Portfolio], name: str) -> Portfolio | None:
    """Return the shared portfolio of that name, or None when it is not shared with this account.

    Raises:
        CustomResourceError: Several shared portfolios have that name.
    """
    found = [portfolio for portfolio in portfolios if portfolio.name == name]
    if len(found) > 1:
        raise CustomResourceError(
            f"{len(found)} portfolios named {name!r} are shared with this account "
            f"({', '.join(portfolio.id for portfolio in found)}), so it is not clear which one the projects come from. "
            f"Ask the platform team to rename or unshare the others, then launch again."
        )
    return found[0] if found else None


def require_portfolio(portfolio: Portfolio | None, name: str) -> Portfolio:
    """Return the portfolio.

    Raises:
        CustomResourceError: It is not shared with this account.
    """
    if portfolio is None:
        raise CustomResourceError(
            f"The portfolio {name!r} is not shared with this account, so nobody could create projects in the domain. "
            f"Ask the platform team whether this account is in the workloads organisational unit and the portfolio's "
            f"share is complete, then launch again."
        )
    return portfolio
