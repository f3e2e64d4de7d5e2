"""What a check is, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from foundation.settings import HubSettings
    from pipeline.paging import AwsClient
    from portfolios.catalog import PortfolioSpec

Kind = Literal["hub", "workload", "deployment"]
State = Literal["ok", "missing", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that is missing or wrong.

    Attributes:
        what: One sentence with the offending value.
        remedy: The command, or the place in the console, that corrects it.
    """

    what: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Outcome of one check in one place.

    Attributes:
        place: ``organisation`` or a region.
        title: What was checked, as a statement that should be true.
        state: ``ok``, ``missing``, or ``unknown`` when the caller may not look.
        problems: What is wrong, or why nothing is known; empty when all is right.
    """

    place: str
    title: str
    state: State
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Account:
    """The account that is checked.

    Attributes:
        kind: What the account is for.
        id: Its 12 digits.
        settings: Settings of the hub.
        portfolios: Portfolios of the catalog.
        client: Returns a boto3 client for a service and a region.
    """

    kind: Kind
    id: str
    settings: HubSettings
    portfolios: Sequence[PortfolioSpec]
    client: Callable[[str, str], AwsClient]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check.

    Attributes:
        title: A statement that should be true.
        kinds: Kinds of accounts that it concerns.
        run: Looks, given the account and a region.
        per_region: Whether it is done in every region of the hub, or once, in the home region.
    """

    title: str
    kinds: frozenset[Kind]
    run: Callable[[Account, str], Iterator[Problem]]
    per_region: bool = True


def check(
    checks: list[Check], title: str, *kinds: Kind, per_region: bool = True
) -> Callable[[Callable[[Account, str], Iterator[Problem]]], Callable[[Account, str], Iterator[Problem]]]:
    """Return a decorator that adds a function to `checks`, as `Check` describes it."""

    def add(run: Callable[[Account, str], Iterator[Problem]]) -> Callable[[Account, str], Iterator[Problem]]:
        checks.append(Check(title=title, kinds=frozenset(kinds), run=run, per_region=per_region))
        return run

    return add


def parameter_value(account: Account, region: str, name: str) -> str | None:
    """Return the value of a parameter; None when it does not exist."""
    # GetParameters names what is missing, where GetParameter fails.
    found = account.client("ssm", region).get_parameters(Names=[name])["Parameters"]
    return found[0]["Value"] if found else None
