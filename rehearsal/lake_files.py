"""The files of the governance account's lake, and the comparison of what was trained with to what was granted.

Run with the seed code's Python, which has Arrow and the reader of the training projects: as ``write`` or ``compare``,
with the arguments of these functions as one JSON object; prints what they return, or the ``problem``.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rehearsal import demo_lake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

pa: Final[Any] = importlib.import_module("pyarrow")
pc: Final[Any] = importlib.import_module("pyarrow.compute")
pq: Final[Any] = importlib.import_module("pyarrow.parquet")
_files: Final[Any] = importlib.import_module("tabular.files")

_GLUE: Final = {
    "bool": "boolean",
    "int32": "int",
    "int64": "bigint",
    "double": "double",
    "string": "string",
    "date32[day]": "date",
    "timestamp[us]": "timestamp",
}
"""Types of columns in the Glue Data Catalog by those of Arrow; decimals are called alike in both."""

BATCH: Final = "batch"
LOADED_BY: Final = "loaded_by"
"""What the lake adds to a table of one's own: the batch of a row, of which the second is withheld, and a column."""


def write(folder: str, rows: int, data: str | None, label: str | None) -> dict[str, Any]:
    """Write the tables of the lake as Parquet files in Hive partitions.

    Args:
        folder: Where each table gets a folder.
        rows: Rows of generated tables.
        data: File or folder with a table of one's own; None generates tables.
        label: Column of it to predict.

    Returns:
        ``tables``: columns and partition keys with their Glue types by name; ``table``, ``label``, ``key``: what to
        train with; ``columns``: the granted columns; ``filter``: the granted rows; ``withheld``: a column, a value of
        the partition key, and a table that are not granted.
    """
    if data is None:
        tables = {name: pa.Table.from_pylist(records) for name, records in demo_lake.tables(rows).items()}
        table, key, by, column, value = "loans", demo_lake.RECORD_KEY, demo_lake.REGION, demo_lake.PERSONAL, "islands"
        loans = tables[table]
        for name in ("term_months", "late_payments", demo_lake.LABEL):
            at = loans.schema.get_field_index(name)
            loans = loans.set_column(at, name, loans[name].cast(pa.int32()))
        tables[table], other, condition = loans, "applicants", f"{by} <> '{value}'"
        label = demo_lake.LABEL
    else:
        own = _own_table(Path(data))
        table, key, by, column, value = _plain(Path(data).resolve().stem), "", BATCH, LOADED_BY, "2"
        other, label, condition = f"{table}_loads", _plain(label or ""), f"{by} = 1"
        withheld = own.slice(0, max(1, len(own) // 20))
        both = pa.concat_tables([own, withheld])
        batches = pa.array([1] * len(own) + [2] * len(withheld), pa.int32())
        both = both.append_column(column, pa.array(["nightly feed"] * len(both))).append_column(by, batches)
        tables = {table: both, other: pa.table({"loaded_at": pa.array(["2026-11-29"])})}
    described: dict[str, dict[str, Any]] = {}
    for name, content in tables.items():
        keys = [by] if by in content.column_names else []
        pq.write_to_dataset(content, str(Path(folder, name)), partition_cols=keys, basename_template="part-{i}.parquet")
        types = {field.name: _glue_type(field) for field in content.schema}
        described[name] = {
            "columns": {column: kind for column, kind in types.items() if column not in keys},
            "keys": {column: types[column] for column in keys},
            "rows": len(content),
        }
    granted = [name for name in (*described[table]["columns"], by) if name not in {column, BATCH}]
    return {
        "tables": described,
        "table": table,
        "label": label,
        "key": key,
        "columns": granted,
        "filter": condition,
        "withheld": {"column": column, "key": by, "value": value, "table": other},
    }


def _plain(name: str) -> str:
    """Return a name as Athena has names: lower case, letters, digits and underscores."""
    return re.sub(r"\W+", "_", name.lower(), flags=re.ASCII).strip("_") or "data"


def _own_table(data: Path) -> Any:  # noqa: ANN401 - a table of Arrow
    """Read a table of one's own with the reader of the training projects; texts that are all numbers become numbers."""
    base = data if data.is_dir() else data.parent
    paths = _files.data_files(data) if data.is_dir() else [data]
    named = [(path, path.relative_to(base).as_posix()) for path in paths]
    parts = [pa.table(chunk.arrays) for path, name in named for chunk in _files.read_chunks(path, name)]
    whole = pa.concat_tables(parts, promote_options="permissive").combine_chunks()
    names = [_plain(name) for name in whole.column_names]
    repeated = [name for name, number in Counter([*names, BATCH, LOADED_BY]).items() if number > 1]
    if repeated:
        raise ValueError(f"Athena knows names in lower case only: these columns would be one: {', '.join(repeated)}")
    return pa.table([_typed(whole.column(name)) for name in whole.column_names], names)


def _typed(column: Any) -> Any:  # noqa: ANN401 - a column of Arrow
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us"))
    # A code with leading zeros is a text: as a number it would not come back.
    if column.type == pa.string() and not pc.any(pc.match_substring_regex(column, r"^0\d")).as_py():
        for kind in (pa.int64(), pa.float64()):
            try:
                return column.cast(kind)
            except pa.ArrowInvalid:
                continue
    return column


def _glue_type(field: Any) -> str:  # noqa: ANN401 - a field of Arrow
    if pa.types.is_decimal(field.type):
        return f"decimal({field.type.precision},{field.type.scale})"
    return _GLUE[str(field.type)]


def compare(trained: Sequence[str], lake: str, granted: Sequence[str], withheld: Mapping[str, str]) -> dict[str, Any]:
    """Compare the files of a training set with the lake: what is in it that was not granted?

    Args:
        trained: Files of the training set.
        lake: Folder of the table.
        granted: The granted columns.
        withheld: As returned by `write`.

    Returns:
        ``rows`` and ``columns`` of the training set; ``foreign_rows``: how many of them are no granted row;
        ``foreign_columns``: columns of the lake that were not granted.
    """
    sets = [_rows(Path(path), Path(path).name, granted) for path in trained]
    columns = sorted({name for names, _ in sets for name in names})
    common = [name for name in columns if name in granted]
    permitted: Counter[tuple[str, ...]] = Counter()
    for path in sorted(Path(lake).rglob("*.parquet")):
        name = path.relative_to(lake).as_posix()
        if f"{withheld['key']}={withheld['value']}" not in name:
            permitted += _rows(path, name, common)[1]
    found: Counter[tuple[str, ...]] = sum((rows for _, rows in sets), Counter())
    return {
        "rows": found.total(),
        "columns": common,
        "foreign_rows": (found - permitted).total(),
        "foreign_columns": [name for name in columns if name == withheld["column"]],
    }


def _rows(path: Path, name: str, wanted: Sequence[str]) -> tuple[list[str], Counter[tuple[str, ...]]]:
    """Return the columns of a file, and how often each combination of the wanted ones is in it, as texts."""
    columns: list[str] = []
    rows: Counter[tuple[str, ...]] = Counter()
    for chunk in _files.read_chunks(path, name):
        columns = list(chunk.arrays)
        values = chunk.columns
        rows.update(zip(*(map(str, values[name]) for name in sorted(wanted) if name in values), strict=True))
    return columns, rows


if __name__ == "__main__":
    try:
        functions: dict[str, Callable[..., dict[str, Any]]] = {"write": write, "compare": compare}
        print(json.dumps(functions[sys.argv[1]](**json.loads(sys.argv[2]))))
    except (ValueError, KeyError) as err:
        print(json.dumps({"problem": str(err)}))
