"""Semantic versions (https://semver.org, 2.0.0) as far as releases need them: no build metadata."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import total_ordering
from typing import Self

_NUMBER = r"0|[1-9]\d*"
_PRE_RELEASE_PART = rf"(?:{_NUMBER}|\d*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PRE_RELEASE_PART}(?:\.{_PRE_RELEASE_PART})*))?")


class VersionError(ValueError):
    """The text is not a semantic version; the message shows what one looks like."""


class Step(IntEnum):
    """How far a version is from the one before it; a larger value allows more to change."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3

    def __str__(self) -> str:
        return self.name.lower()


@total_ordering
@dataclass(frozen=True)
class Version:
    """A semantic version; ordered as the standard orders them, so ``1.0.0-rc.2 < 1.0.0-rc.10 < 1.0.0``.

    Attributes:
        major: First number.
        minor: Second number.
        patch: Third number.
        pre_release: Dot-separated parts after the hyphen, e.g. ``("rc", "1")``. Empty for a full version.
    """

    major: int
    minor: int
    patch: int
    pre_release: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the version that `text` spells.

        Raises:
            VersionError: `text` is not a semantic version, or carries build metadata (``+…``).
        """
        match = _VERSION.fullmatch(text)
        if not match:
            raise VersionError(
                f"{text!r} is not a semantic version. Write three numbers, e.g. 1.4.0, or a pre-release such as "
                f"1.4.0-rc.1; a leading v, leading zeros and build metadata (+…) are not allowed."
            )
        major, minor, patch, pre_release = match.groups()
        return cls(int(major), int(minor), int(patch), tuple(pre_release.split(".")) if pre_release else ())

    def __str__(self) -> str:
        core = f"{self.major}.{self.minor}.{self.patch}"
        return f"{core}-{'.'.join(self.pre_release)}" if self.pre_release else core

    def __lt__(self, other: Version) -> bool:
        return self._precedence() < other._precedence()

    def _precedence(self) -> tuple[tuple[int, int, int], bool, tuple[tuple[bool, int, str], ...]]:
        # A full version follows its pre-releases; numeric parts sort as numbers and before words (rule 11).
        parts = tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in self.pre_release)
        return (self.core, not self.pre_release, parts)

    @property
    def core(self) -> tuple[int, int, int]:
        """The three numbers."""
        return (self.major, self.minor, self.patch)

    def step_to(self, later: Version) -> Step:
        """Return the step between the numbers of two versions; a pre-release counts as the version it leads to."""
        if later.major != self.major:
            return Step.MAJOR
        if later.minor != self.minor:
            return Step.MINOR
        return Step.PATCH if later.patch != self.patch else Step.NONE

    def after(self, step: Step) -> Version:
        """Return the next full version at that step, e.g. ``1.2.3`` and `Step.MINOR` give ``1.3.0``."""
        if step is Step.MAJOR:
            return Version(self.major + 1, 0, 0)
        if step is Step.MINOR:
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + (step is Step.PATCH))
