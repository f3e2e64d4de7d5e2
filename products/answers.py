"""Example answers to the forms of the products: one file per product, from which all kinds of tests launch it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILE: Final = "answers.toml"
"""Name of the file in the folder of a product."""

PRODUCTS: Final = Path(__file__).resolve().parent

_KEYS: Final = {"launched_by", "tags", "ordinary", "longest", "organization"}


class AnswersError(Exception):
    """A file with example answers is missing or malformed; the message says which and how to correct it."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Example answers to the form of one product.

    Attributes:
        launched_by: Persona, or permission set of the hub, of the people who launch it.
        tags: Questions whose answers become tags of everything that is launched.
        ordinary: Ordinary answers by question; questions that are not here keep their default.
        longest: The longest answers that the form accepts.
        organization: Questions whose answer only the organisation knows in which the product is launched, and what
            that is, e.g. ``data-uri``; empty for the form's own default.
    """

    launched_by: str
    tags: tuple[str, ...]
    ordinary: Mapping[str, str]
    longest: Mapping[str, str]
    organization: Mapping[str, str]

    def given(self, known: Callable[[str], str]) -> dict[str, str]:
        """Return the ordinary answers for a real or emulated organisation.

        Args:
            known: Returns what the organisation knows, e.g. for ``data-uri``.
        """
        theirs = {question: known(what) for question, what in self.organization.items() if what}
        return {q: a for q, a in self.ordinary.items() if q not in self.organization} | theirs


@cache
def read_answers(folder: Path) -> Answers:
    """Return the example answers of the product in a folder.

    Raises:
        AnswersError: The file is missing or malformed.
    """
    path = folder / FILE
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise AnswersError(f"{path} is missing, so no test can launch the product: write example answers.") from err
    except tomllib.TOMLDecodeError as err:
        raise AnswersError(f"{path} is not valid TOML: {err}.") from err
    if set(found) != _KEYS:
        raise AnswersError(f"{path} has the keys {sorted(found)}; it must have {sorted(_KEYS)}.")
    for table in ("ordinary", "longest", "organization"):
        wrong = sorted(q for q, answer in found[table].items() if not isinstance(answer, str))
        if wrong:
            raise AnswersError(f"{path}: {table}.{wrong[0]} must be text in quotes, as the form sends it.")
    return Answers(
        launched_by=found["launched_by"],
        tags=tuple(found["tags"]),
        ordinary=found["ordinary"],
        longest=found["ordinary"] | found["longest"],
        organization=found["organization"],
    )


def all_answers(products: Path = PRODUCTS) -> dict[str, Answers]:
    """Return the example answers of all products by id, sorted.

    Args:
        products: Folder of the products. Default: that of this repository.

    Raises:
        AnswersError: A file is missing or malformed.
    """
    folders = sorted(path.parent for path in products.glob("*/product.py"))
    return {folder.name.replace("_", "-"): read_answers(folder) for folder in folders}
