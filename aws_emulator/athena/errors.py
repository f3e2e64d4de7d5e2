"""How a query fails: under Trino's name of the error, or because the emulator does not know Athena's answer."""

from __future__ import annotations

import re


class QueryError(Exception):
    """The query ends in state FAILED, as on Athena.

    Args:
        name: Trino's name of the error, e.g. ``TYPE_MISMATCH`` (``StandardErrorCode`` in Trino's source).
        message: What is wrong, in words.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message


class NotEmulated(QueryError):  # noqa: N818 - a state of the emulator, not of the query
    """Athena may answer this; the emulator refuses, because it is not known to give the same answer."""

    def __init__(self, what: str) -> None:
        super().__init__("NOT_EMULATED", f"{what}. Athena may answer this; the emulator is not known to answer alike")


RAISED = re.compile(r"TRINO (\w+): (.*?)(?:\||\n|$)", re.S)
"""What the macros of the engine raise: Trino's name and message inside DuckDB's message."""

ARGUMENT = r"ould not parse string|Invalid UTF8 Codepoint|must be of equal length|Map keys must be unique"
MEANT = (
    (r"(date|timestamp) field value out of range", "INVALID_CAST_ARGUMENT"),
    (ARGUMENT, "INVALID_FUNCTION_ARGUMENT"),
    (r"[Dd]ivision by zero", "DIVISION_BY_ZERO"),
    (r"^Out of Range Error|[Oo]verflow|out of range|ould not cast value .* to DECIMAL", "NUMERIC_VALUE_OUT_OF_RANGE"),
    (r"^Conversion Error", "INVALID_CAST_ARGUMENT"),
    (r"must appear in the GROUP BY clause|must be part of the GROUP BY", "EXPRESSION_NOT_AGGREGATE"),
    (r"cannot contain aggregate|aggregate function calls cannot", "EXPRESSION_NOT_SCALAR"),
    (r"cannot contain window", "EXPRESSION_NOT_SCALAR"),
    (r"More than one row returned by a subquery", "SUBQUERY_MULTIPLE_ROWS"),
)  # fmt: skip
"""What DuckDB says, and the name that Trino gives the same error."""


def from_duckdb(error: Exception) -> QueryError:
    """Return the error with which the query ends on Athena for one that DuckDB raised."""
    text = str(error)
    if raised := RAISED.search(text):
        return QueryError(raised[1], raised[2].replace("\\'", "'"))
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    for pattern, name in MEANT:
        if re.search(pattern, text):
            return QueryError(name, first)
    return NotEmulated(f"the engine failed with {first!r}")
