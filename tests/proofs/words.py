"""Which combinations of glob patterns one text can match, each with a shortest example.

A text in a request is unbounded, but a policy sees of it only which of its patterns the text matches. All patterns run
side by side as one nondeterministic automaton, whose states are the bits of one integer. A breadth-first walk over the
sets of states meets every combination of patterns that any text reaches, so that a variable over all texts becomes a
choice among few words: what is refused for each of these words is refused for every text.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

STATES_MAX: Final = 400_000
"""Sets of states after which a walk gives up: 20 patterns of ordinary policies need a few thousand."""

_SPARE: Final = "xyzqwkjvu0123456789abcdefghilmnoprstXYZQWKJVUABCDEFGHILMNOPRST~^_"


class Token(NamedTuple):
    """One step of a pattern.

    Attributes:
        kind: ``*``, ``?``, or the character itself followed by ``=``.
        excluded: Characters for which a wildcard does not stand.
    """

    kind: str
    excluded: str = ""


Pattern = tuple[Token, ...]
ANYTHING: Final[Pattern] = (Token("*"),)


class TooManyStatesError(Exception):
    """A combination of patterns is too large to be walked: the question has to be asked in parts."""


class Word(NamedTuple):
    """A shortest text of those that match the same patterns.

    Attributes:
        text: The text.
        matched: Indices of the patterns that it matches.
    """

    text: str
    matched: frozenset[int]


@lru_cache(None)
def tokens(glob: str, excluded: str = "") -> Pattern:
    """Return the steps of a glob with ``*`` and ``?``.

    Args:
        glob: The glob.
        excluded: Characters for which its wildcards do not stand, e.g. ``:`` within one part of an ARN.
    """
    found: list[Token] = []
    for character in glob:
        if character == "*":
            if not found or found[-1].kind != "*":
                found.append(Token("*", excluded))
        else:
            found.append(Token("?", excluded) if character == "?" else Token(f"{character}="))
    return tuple(found)


def some(excluded: str = "") -> Pattern:
    """Return the pattern of a text of at least one character, none of them excluded."""
    return (Token("?", excluded), Token("*", excluded))


def example(pattern: Pattern) -> str:
    """Return a text that matches a pattern."""
    return "".join(token.kind[0] if token.kind.endswith("=") else "x" for token in pattern)


@lru_cache(50_000)
def words(shape: Pattern, patterns: tuple[Pattern, ...]) -> tuple[Word, ...]:
    """Return one word for every set of patterns that exactly the texts of some kind match.

    Args:
        shape: What every text looks like.
        patterns: The patterns.

    Raises:
        TooManyStatesError: More than `STATES_MAX` sets of states.
    """
    machine = _Machine((shape, *patterns))
    whole, *finals = machine.finals
    # The text must stay within the shape, whose bits are the lowest.
    within = (whole << 1) - 1
    start = machine.closed(machine.start)
    seen, queue, found = {start}, [(start, "")], dict[frozenset[int], str]()
    for state, text in queue:  # grows while it is read: first in, first out
        if state & whole:
            found.setdefault(frozenset(i for i, final in enumerate(finals) if state & final), text)
        for character in machine.alphabet:
            after = machine.step(state, character)
            if after & within and after not in seen:
                seen.add(after)
                if len(seen) > STATES_MAX:
                    raise TooManyStatesError(f"{len(patterns)} patterns reach more than {STATES_MAX:,} sets of states")
                queue.append((after, text + character))
    return tuple(Word(text, matched) for matched, text in found.items())


class _Machine:
    """Patterns as one automaton; bit i of a state says that some pattern stands before its step i."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self.alphabet = _alphabet(patterns)
        self.start = 0
        self.finals: list[int] = []
        self._stars = 0
        self._advances = dict.fromkeys(self.alphabet, 0)
        self._loops = dict.fromkeys(self.alphabet, 0)
        offset = 0
        for pattern in patterns:
            self.start |= 1 << offset
            for position, token in enumerate(pattern):
                self._add(1 << (offset + position), token)
            self.finals.append(1 << (offset + len(pattern)))
            offset += len(pattern) + 1

    def _add(self, bit: int, token: Token) -> None:
        if token.kind == "*":
            self._stars |= bit
        moves = self._loops if token.kind == "*" else self._advances
        for character in self.alphabet:
            literal = token.kind.endswith("=")
            if token.kind[0] == character if literal else character not in token.excluded:
                moves[character] |= bit

    def closed(self, state: int) -> int:
        """Return a state together with what is reached by letting stars stand for nothing."""
        while True:
            more = state | ((state & self._stars) << 1)
            if more == state:
                return state
            state = more

    def step(self, state: int, character: str) -> int:
        """Return the state after one more character."""
        return self.closed(((state & self._advances[character]) << 1) | (state & self._loops[character]))


def _alphabet(patterns: Sequence[Pattern]) -> list[str]:
    """Return the characters that patterns name or exclude, and one that stands for all others."""
    named = {t.kind[0] for p in patterns for t in p if t.kind.endswith("=")}
    excluded = {c for p in patterns for t in p for c in t.excluded}
    return [*sorted(named | excluded), next(c for c in _SPARE if c not in named | excluded)]
