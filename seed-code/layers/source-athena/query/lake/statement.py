"""The one statement that a training needs of Athena: columns, rows, types, and the split where the key allows it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lake.catalog import Table
from lake.errors import LakeError

MOST_CHARACTERS = 262_144  # Athena API reference, StartQueryExecution: QueryString
SPLIT = "ml_split"
"""Column and folder by which Prepare knows the split that the engine found (``src/tabular/files.py``)."""

WHOLE = ("tinyint", "smallint", "int", "integer", "bigint")
AS_IT_IS = (*WHOLE, "float", "real", "double", "boolean", "string", "varchar", "date", "timestamp", "decimal")
# Athena user guide, UNLOAD and "Data types in Amazon Athena": what Parquet does not keep is cast.
_ZONED = re.compile(r"timestamp(\(\d+\))? with (local )?time zone|timestamptz|timestamp_?ltz")
_RANGE = re.compile(r"([a-z_][a-z0-9_]*)=([A-Za-z0-9_:-]+)\.\.([A-Za-z0-9_:-]+)")
_SNAPSHOT = re.compile(r"\d{1,19}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is wanted of a table.

    Attributes:
        database: Database in this account.
        table: Table or view.
        label: Column to predict.
        columns: Columns to learn from. Empty: all that may be seen.
        drop: Columns that are not used in any case.
        where: Condition that rows must meet. Empty: all rows.
        snapshot: Id of a snapshot, or a time like ``2026-11-01T00:00:00Z``. Empty: as the table is.
        partitions: ``key=first..last``. Empty: all.
        record_key: Columns that say which records belong together.
        seed: Seed of the split.
        shares: Shares of the training and validation records.
    """

    database: str
    table: str
    label: str
    columns: Sequence[str] = ()
    drop: Sequence[str] = ()
    where: str = ""
    snapshot: str = ""
    partitions: str = ""
    record_key: Sequence[str] = ()
    seed: int = 0
    shares: Sequence[float] = (0.7, 0.15)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Wanted":
        """Return what settings say, which may hold more than this."""
        return cls(**{item.name: values[item.name] for item in fields(cls) if item.name in values})


def condition_problem(condition: str) -> str | None:
    """Return what keeps a text from being one condition, in words; None when nothing does.

    Whether the columns exist and the types fit, Athena says.
    """
    # A text or a quoted name, in which a quote is written twice, says nothing about the structure.
    bare = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", " ", condition)
    if "'" in bare or '"' in bare:
        return "a quote is not closed"
    for mark, what in ((";", "a second statement"), ("--", "a comment"), ("/*", "a comment"), ("*/", "a comment")):
        if mark in bare:
            return f"{mark} begins {what}"
    depth = 0
    for character in bare:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return "a parenthesis is closed that was not opened"
    return "a parenthesis is not closed" if depth else None


def select(wanted: Wanted, table: Table) -> tuple[str, bool]:
    """Return the SELECT of a training and whether it says the split of each record, as `SPLIT`.

    Args:
        wanted: What is wanted.
        table: The table as the project's role sees it.

    Raises:
        LakeError: A column is not there or was not granted, or has a type that cannot be trained on.
    """
    names = _columns(wanted, table)
    listed = [_cast(name, table.columns[name]) for name in names]
    share = _share(wanted, table)
    source = f"{quoted(table.database)}.{quoted(table.name)}{_as_of(wanted)}"
    conditions = [f"({text})" for text in (wanted.where, _range(wanted, table)) if text]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    if share is None:
        text = f"SELECT {', '.join(listed)} FROM {source}{where}"
    else:
        train, validation = map(_double, wanted.shares)
        split = (
            f"CASE WHEN ml_share IS NULL THEN NULL WHEN ml_share < {train} THEN 'train' "
            f"WHEN ml_share < {train} + {validation} THEN 'validation' ELSE 'test' END AS {quoted(SPLIT)}"
        )
        inner = f"SELECT {', '.join(listed)}, {share} AS ml_share FROM {source}{where}"
        text = f"SELECT {', '.join(map(quoted, names))}, {split} FROM ({inner})"
    if len(text) > MOST_CHARACTERS - 2_000:
        raise LakeError(
            f"The statement for {len(names)} columns has {len(text)} characters; Athena takes {MOST_CHARACTERS}. "
            f"Name fewer columns in data.yaml."
        )
    return text, share is not None


def unload(query: str, location: str, *, divided: bool) -> str:
    """Return the statement that writes the rows of a query as Parquet below an empty prefix.

    Args:
        query: What `select` returned.
        location: ``s3://bucket/prefix/``.
        divided: Whether the query says the split.
    """
    parts = f", partitioned_by = ARRAY['{SPLIT}']" if divided else ""
    return f"UNLOAD ({query}) TO '{location}' WITH (format = 'PARQUET', compression = 'SNAPPY'{parts})"


def quoted(name: str) -> str:
    """Return a name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def _columns(wanted: Wanted, table: Table) -> list[str]:
    """Return the columns to read: those that are wanted, in the order of the table."""
    must = [wanted.label, *wanted.record_key]
    asked = [*wanted.columns, *must] if wanted.columns else must
    lacking = [name for name in dict.fromkeys(asked) if name not in table.columns]
    spelt = [f"{name} is spelt {name.lower()} in the catalog" for name in lacking if name.lower() in table.columns]
    if spelt:
        raise LakeError(f"Names of columns are in lower case: {'; '.join(spelt)}. Correct config.yaml or data.yaml.")
    if lacking:
        seen = ", ".join(table.columns) or "none at all"
        raise LakeError(
            f"{table.place} has no column {', '.join(lacking)} that this project may see. Either the name is "
            f"misspelt, or the column was not granted to the project: the account that owns the data, and whoever "
            f"opens them to your team, decide on that. The project sees: {seen}."
        )
    chosen = asked if wanted.columns else list(table.columns)
    names = [name for name in table.columns if name in chosen and (name not in wanted.drop or name in must)]
    wrong = [f"{name} ({table.columns[name]})" for name in names if not _is_readable(table.columns[name])]
    if wrong:
        raise LakeError(
            f"Athena cannot unload columns of these types for a training, or nothing could be learned from them: "
            f"{', '.join(wrong)}. List them under drop in config.yaml, name the columns to use in data.yaml, or have "
            f"a view made that turns them into numbers, texts or dates."
        )
    if SPLIT in names:
        raise LakeError(f"A column of {table.place} is called {SPLIT}, which is kept for the split: drop it.")
    return names


def _is_readable(kind: str) -> bool:
    return bool(_ZONED.fullmatch(kind)) or re.sub(r"\(.*\)$", "", kind) in (*AS_IT_IS, "char")


def _cast(name: str, kind: str) -> str:
    """Return a column as an expression of a type that Parquet keeps."""
    if _ZONED.fullmatch(kind):
        return f"CAST({quoted(name)} AT TIME ZONE 'UTC' AS timestamp) AS {quoted(name)}"
    if kind.startswith("char"):
        return f"CAST({quoted(name)} AS varchar) AS {quoted(name)}"
    return quoted(name)


def _as_of(wanted: Wanted) -> str:
    text = wanted.snapshot
    if not text:
        return ""
    if not _SNAPSHOT.fullmatch(text):
        raise LakeError(f"snapshot is {text!r}; give the id of a snapshot, or a time like 2026-11-01T00:00:00Z.")
    if text.isdigit():
        return f" FOR VERSION AS OF {text}"
    return f" FOR TIMESTAMP AS OF TIMESTAMP '{text[:10]} {text[11:19]} UTC'"


def _range(wanted: Wanted, table: Table) -> str:
    """Return the condition for a range of partitions, with values of the key's own type."""
    if not wanted.partitions:
        return ""
    found = _RANGE.fullmatch(wanted.partitions)
    if not found:
        raise LakeError(f"partitions is {wanted.partitions!r}; give key=first..last, e.g. day=2026-01-01..2026-06-30.")
    key, first, last = found.groups()
    if key not in table.partition_keys:
        keys = ", ".join(table.partition_keys) or "none"
        raise LakeError(f"{key} is not a partition key of {table.place}; its keys: {keys}. Use where for columns.")
    kind = table.columns[key]
    if kind in WHOLE:
        if not (first.lstrip("-").isdigit() and last.lstrip("-").isdigit()):
            raise LakeError(f"partitions is {wanted.partitions!r}, but {key} holds whole numbers.")
        return f"{quoted(key)} BETWEEN {first} AND {last}"
    word = {"date": "DATE ", "timestamp": "TIMESTAMP "}.get(kind, "")
    return f"{quoted(key)} BETWEEN {word}'{first}' AND {word}'{last}'"


def _share(wanted: Wanted, table: Table) -> str | None:
    """Return where a record stands between 0 and 1 by its key, as docs/split.md says.

    None where SQL might read the key otherwise than Prepare does: only whole numbers are the same in both.
    """
    key = sorted(wanted.record_key)
    if not key or any(table.columns[name] not in WHOLE for name in key):
        return None
    texts = [f"CAST({quoted(name)} AS varchar)" for name in key]
    if len(texts) > 1:
        joined = " || chr(31) || ".join(f"coalesce({text}, chr(0))" for text in texts)
        missing = " AND ".join(f"{quoted(name)} IS NULL" for name in key)
        joined = f"CASE WHEN {missing} THEN NULL ELSE {joined} END"
    else:
        joined = texts[0]
    hashed = f"from_big_endian_64(xxhash64(to_utf8('{wanted.seed}:' || {joined})))"
    return f"bitwise_right_shift({hashed}, 11) / 9007199254740992e0"


def _double(number: float) -> str:
    text = repr(float(number))
    return text if "e" in text else f"{text}e0"
