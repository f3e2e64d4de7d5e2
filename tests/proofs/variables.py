"""Texts that somebody chooses, seen through the patterns that policies hold against them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import z3

from tests.proofs.logic import Formula, any_of, unknown
from tests.proofs.words import ANYTHING, Pattern, example, tokens, words

if TYPE_CHECKING:
    from collections.abc import Iterator


class Variable:
    """A text that may be anything of a shape.

    Args:
        name: Name, unique in one request.
        shape: What the text looks like. Default: anything.
    """

    def __init__(self, name: str, shape: Pattern = ANYTHING) -> None:
        self.name, self.shape = name, shape
        self._matches: dict[Pattern, Formula] = {}
        self._choices: list[tuple[Formula, str]] = []

    def like(self, glob: str, excluded: str = "") -> Formula:
        """Return the truth value of "the text matches the glob"."""
        pattern = tokens(glob, excluded)
        if pattern not in self._matches:
            reached = {bool(word.matched) for word in words(self.shape, (pattern,))}
            if len(reached) == 1:  # never, or always
                return reached.pop()
            self._matches[pattern] = unknown(f"{self.name}~{glob}{'!' if excluded else ''}")
        return self._matches[pattern]

    def constraints(self) -> Iterator[Formula]:
        """Yield that the text is one of the words that its patterns tell apart; every truth value follows from it."""
        if not self._matches:
            return
        found = words(self.shape, tuple(self._matches))
        self._choices = [(unknown(f"{self.name}@{i}"), word.text) for i, word in enumerate(found)]
        yield z3.PbEq([(choice, 1) for choice, _ in self._choices], 1)
        for i, truth in enumerate(self._matches.values()):
            chosen = (choice for (choice, _), word in zip(self._choices, found, strict=True) if i in word.matched)
            yield truth == any_of(chosen)

    def choices(self) -> list[Formula]:
        """Return the truth values "the text is this word", after `constraints` was asked for."""
        return [choice for choice, _ in self._choices]

    def text(self, model: z3.ModelRef) -> str:
        """Return the word that a solution chooses."""
        if not self._choices:
            return example(self.shape)
        return next(text for choice, text in self._choices if z3.is_true(model.eval(choice, model_completion=True)))


Text = str | Variable


def like(text: Text, glob: str, excluded: str = "") -> Formula:
    """Return whether a text, known or not, matches a glob whose wildcards do not stand for the excluded characters."""
    return text.like(glob, excluded) if isinstance(text, Variable) else bool(_regex(glob, excluded).fullmatch(text))


@lru_cache(None)
def _regex(glob: str, excluded: str) -> re.Pattern[str]:
    one = f"[^{re.escape(excluded)}]" if excluded else "."
    return re.compile("".join({"*": f"{one}*", "?": one}.get(c, re.escape(c)) for c in glob), re.DOTALL)
