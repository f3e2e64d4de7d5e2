"""Keeping out libraries that others import whenever they are installed, though nothing here needs them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(name: str) -> Iterator[None]:
    """Make imports of a library fail for the moment; one that is loaded already stays, and later imports work.

    Args:
        name: Of the library, e.g. ``pandas``.
    """

    class Refusal:
        @staticmethod
        def find_spec(wanted: str, path: object = None, target: object = None) -> None:
            if wanted == name:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Refusal)
    try:
        yield
    finally:
        sys.meta_path.remove(Refusal)
