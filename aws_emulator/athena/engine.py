"""DuckDB with the functions that translated queries call.

All of them are macros (``macros.sql``): DuckDB's functions in Python need NumPy, and cost a microsecond a row.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

MACROS = Path(__file__).with_name("macros.sql").read_text(encoding="utf-8")


def connect(database: str = ":memory:") -> duckdb.DuckDBPyConnection:
    """Return a database in UTC in which the SQL of :func:`translation.translate` runs."""
    connection = duckdb.connect(database)
    connection.execute("SET TimeZone = 'UTC'; SET default_null_order = 'nulls_last'")
    connection.execute(MACROS)
    return connection
