"""Answer the statements of the files given as arguments; runs where DuckDB is installed.

``python -m aws_emulator.tests.athena.answer FILE …`` prints one JSON value a case: the verdict and what came back.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import duckdb

from aws_emulator.athena import engine, errors, translation, values

Connection = Any


def answer(connection: Connection, sql: str) -> Any:  # noqa: ANN401 - a text, None, or rows of them
    """Return what Athena's API would write: the value of one row of one column, else rows.

    Raises:
        QueryError: The query fails, or is refused.
    """
    query = translation.translate(translation.parse(sql), {})
    try:
        rows = connection.execute(query.sql).fetchall()
    except duckdb.Error as err:
        raise errors.from_duckdb(err) from err
    written = [[values.text(v, t) for v, (_, t) in zip(row, query.columns, strict=True)] for row in rows]
    return written[0][0] if len(written) == 1 and len(written[0]) == 1 else written


def verdict(connection: Connection, case: dict[str, Any]) -> tuple[str, str]:
    """Return ``equal``, ``refused`` (by name), ``failed`` (under another name), or ``different``."""
    try:
        got = answer(connection, case["sql"])
    except errors.QueryError as err:
        return "equal" if "error" in case else "refused" if err.name == "NOT_EMULATED" else "failed", str(err)
    except Exception as err:
        return "failed", repr(err)
    want = case.get("answer", ["an error"])
    ordered = re.search(r"\bORDER\s+BY\b[^()]*(\([^()]*\)[^()]*)*$", case["sql"], re.I)
    if isinstance(got, list) and isinstance(want, list) and not ordered:
        got, want = sorted(got, key=str), sorted(want, key=str)
    return "equal" if got == want and "error" not in case else "different", json.dumps(got)


def main() -> None:
    """Answer all files in one process."""
    connection = engine.connect()
    for name in sys.argv[1:]:
        for line in Path(name).read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            print(json.dumps([Path(name).stem, case["sql"], *verdict(connection, case)]))


if __name__ == "__main__":
    main()
