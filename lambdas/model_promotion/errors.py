"""What ends the work on a message before it is done."""

from __future__ import annotations


class PromotionError(Exception):
    """A package that cannot be promoted as it is; the text says why and what to do."""


class BusyError(Exception):
    """Another invocation works on the same package."""


class OutOfTimeError(Exception):
    """The invocation ends soon; the next one goes on where this one stopped."""
