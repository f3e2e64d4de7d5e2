"""Formulas that are plain truth values as long as nothing is unknown: most questions end before the solver is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import z3

if TYPE_CHECKING:
    from collections.abc import Iterable

Formula = Any
"""``True``, ``False``, or a Boolean expression of Z3, which has no published types."""


def all_of(parts: Iterable[Formula]) -> Formula:
    """Return the conjunction; parts after one that is false are not looked at."""
    open_: list[Formula] = []
    for part in parts:
        if part is False:
            return False
        if part is not True:
            open_.append(part)
    if len(open_) < 2:
        return open_[0] if open_ else True
    return z3.And(*open_)


def any_of(parts: Iterable[Formula]) -> Formula:
    """Return the disjunction; parts after one that is true are not looked at."""
    open_: list[Formula] = []
    for part in parts:
        if part is True:
            return True
        if part is not False:
            open_.append(part)
    if len(open_) < 2:
        return open_[0] if open_ else False
    return z3.Or(*open_)


def negated(part: Formula) -> Formula:
    """Return the negation."""
    return not part if isinstance(part, bool) else z3.Not(part)


def implied(premise: Formula, conclusion: Formula) -> Formula:
    """Return that the conclusion holds if the premise does."""
    return any_of((negated(premise), conclusion))


def unknown(name: str) -> Formula:
    """Return a truth value that is open."""
    return z3.Bool(name)
