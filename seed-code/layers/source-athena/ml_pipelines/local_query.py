"""Selects columns and rows of files on this machine as Athena would, for `make local`.

A condition is read by sqlglot. What is on a short list, on which Athena and DuckDB agree or are made to agree, is
answered: comparisons of a column with a value, AND, OR, NOT, IN, BETWEEN, LIKE, IS NULL. Everything else is refused,
because an answer that differs from Athena's would be a model of other data.

How they differ, and what is done about it (Trino documentation, "Comparison functions and operators" and "Types"):

- NaN is greater than every number in DuckDB and equal to itself; in Athena every comparison with it is false.
- A text is never compared with a number, nor a date with a text: Athena refuses it, so it is refused here.
- An empty text of a CSV file is a text in Athena, and missing in DuckDB.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_pipelines.data_source import MANIFEST
from tabular.errors import ConfigError

try:
    import duckdb
    import sqlglot
    from sqlglot import expressions as sql
except ModuleNotFoundError as missing:  # development packages: the build and the jobs do without
    raise ConfigError(
        f"The package {missing.name} is not installed, without which no SQL is answered on this machine: use `make "
        f"local`, or `uv sync`."
    ) from missing

_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_COMPARISONS = {sql.EQ: "=", sql.NEQ: "<>", sql.LT: "<", sql.LTE: "<=", sql.GT: ">", sql.GTE: ">="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_TYPED = {"DATE": "date", "TIMESTAMP": "timestamp", "DECIMAL": "number"}
_TEXT_OF = {"date": r"\d{4}-\d\d-\d\d", "timestamp": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})?"}
_RANGE = re.compile(r"([a-z_][a-z0-9_]*)=([A-Za-z0-9_:-]+)\.\.([A-Za-z0-9_:-]+)")


def select(path: Path, folder: Path, *, columns: Sequence[str], where: str, partitions: str) -> None:
    """Leave the selected rows and columns of local files, and a manifest of them, as the step Query does on AWS.

    Without anything to select, the files themselves stand for the table, as they are.

    Args:
        path: A CSV or Parquet file, or a folder with such files; folders ``key=value`` are partitions.
        folder: Where to leave them; it does not exist yet.
        columns: Columns to keep. Empty: all.
        where: Condition of the rows. Empty: all.
        partitions: ``key=first..last``. Empty: all.

    Raises:
        ConfigError: There is no file, a column is not there, or only Athena can answer the condition.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if _is_data(file.relative_to(path)))
    files = [file for file in files if file.is_file()]
    if not files:
        raise ConfigError(f"There is no data at {path}: give a CSV or Parquet file, or a folder with such files.")
    base = path.parent if path.is_file() else path
    names = [file.relative_to(base).as_posix() for file in files]
    if columns or where or partitions:
        names = _selected(files, names, folder, columns, where, partitions)
    else:
        for file, name in zip(files, names, strict=True):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file.resolve())  # the jobs get copies; the store need not
    (folder / MANIFEST).write_text(json.dumps([{"prefix": "s3://local/data/"}, *names]), encoding="utf-8")


def condition(text: str, types: Mapping[str, str]) -> str:
    """Return a condition in DuckDB's SQL that is met by the rows for which Athena's is.

    Args:
        text: The condition, in Athena's SQL.
        types: DuckDB's type of each column.

    Raises:
        ConfigError: Only Athena can answer it.
    """
    try:
        tree = sqlglot.parse_one(f"SELECT 1 WHERE ({text})", read="athena").args["where"].this
    except sqlglot.errors.ParseError as err:
        first = str(err).splitlines()[0]
        raise ConfigError(f"where cannot be read as a condition: {first} It is {text!r}.") from err
    return _Condition(types).of(tree)


def _is_data(path: Path) -> bool:
    return not any(part.startswith(("_", ".")) for part in path.parts)


def _selected(
    files: Sequence[Path], names: Sequence[str], folder: Path, columns: Sequence[str], where: str, partitions: str
) -> list[str]:
    """Write what is selected of each file, and return the names of those in which there is something."""
    written = []
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for file, name in zip(files, names, strict=True):
            found = _of_file(connection, file, name, folder, columns, where, partitions)
            if found:
                written.append(found)
    if not written:
        raise ConfigError("No row of the local data meets where and partitions of data.yaml: nothing to train on.")
    return written


def _of_file(
    connection: Any, file: Path, name: str, folder: Path, columns: Sequence[str], where: str, partitions: str
) -> str | None:
    is_parquet = file.open("rb").read(4) == b"PAR1"
    csv = "" if is_parquet else _csv_options(connection, file)
    source = f"read_parquet({_text(str(file))})" if is_parquet else f"read_csv({_text(str(file))}, {csv})"
    types = _types(connection, f"SELECT * FROM {source}")
    in_folders = _partition(name)
    of_folders = {key: "BIGINT" if re.fullmatch(r"-?\d+", value) else "VARCHAR" for key, value in in_folders.items()}
    lacking = [column for column in columns if column not in {**types, **of_folders}]
    if lacking:
        raise ConfigError(
            f"{name} has no column {', '.join(lacking)}, which data.yaml lists; it has: {', '.join(types)}. Give local "
            f"data with the columns of the table (DATA=...), or correct columns in data.yaml."
        )
    virtual = "".join(
        f", CAST({_text(value)} AS {of_folders[key]}) AS {_name(key)}" for key, value in in_folders.items()
    )
    conditions = [condition(where, {**types, **of_folders})] if where else []
    if partitions:
        conditions.append(_range(partitions, of_folders))
    # Values leave as they came: the typed ones of a CSV file only decide which rows do.
    typed = _name_of_typed(types)
    if is_parquet:
        rows = f"SELECT *{virtual} FROM {source}"
    else:
        texts = f"read_csv({_text(str(file))}, {csv}, all_varchar = true, force_not_null = {_list(types)})"
        casts = ", ".join(
            f"{_name(column)} AS {_name(typed[column])}"
            if kind == "VARCHAR"
            else f"TRY_CAST(nullif(trim({_name(column)}), '') AS {kind}) AS {_name(typed[column])}"
            for column, kind in types.items()
        )
        rows = f"SELECT *, {casts}{virtual} FROM {texts}"
        conditions = [_renamed(text, typed) for text in conditions]
    listed = ", ".join(_name(column) for column in columns or types if column not in in_folders) or "NULL AS nothing"
    met = f" WHERE {' AND '.join(f'({text})' for text in conditions)}" if conditions else ""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    options_text = "FORMAT PARQUET" if is_parquet else f"FORMAT CSV, {csv.replace(' =', '')}"
    (count,) = connection.execute(
        f"COPY (SELECT {listed} FROM ({rows}){met}) TO {_text(str(target))} ({options_text})"
    ).fetchone()
    if not count:
        target.unlink()
        return None
    return name


def _csv_options(connection: Any, file: Path) -> str:
    """Return how a CSV file is read, and written again: quoted as in RFC 4180, with the separator that it has."""
    quoting = "quote = '\"', escape = '\"'"
    try:
        (separator,) = connection.execute(f"SELECT Delimiter FROM sniff_csv({_text(str(file))}, {quoting})").fetchone()
    except duckdb.Error as err:
        raise ConfigError(f"{file} cannot be read: {str(err).splitlines()[0]}") from err
    return f"header = true, delim = {_text(separator)}, {quoting}"


class _Condition:
    """Turns a condition into DuckDB's SQL, node by node; what is not here is refused."""

    def __init__(self, types: Mapping[str, str]) -> None:
        self._types = types

    def of(self, node: Any) -> str:
        if isinstance(node, sql.Paren):
            return f"({self.of(node.this)})"
        if isinstance(node, sql.And | sql.Or):
            word = "AND" if isinstance(node, sql.And) else "OR"
            return f"({self.of(node.this)} {word} {self.of(node.expression)})"
        if isinstance(node, sql.Not):
            return f"(NOT {self.of(node.this)})"
        if isinstance(node, sql.Boolean):
            return "true" if node.this else "false"
        if isinstance(node, sql.Column):
            name, kind = self._column(node)
            if kind != "boolean":
                raise _only_athena(node, f"{name} is not true or false by itself")
            return _name(name)
        if isinstance(node, sql.Is) and isinstance(node.expression, sql.Null):
            return f"({_name(self._column(node.this)[0])} IS NULL)"
        if type(node) in _COMPARISONS:
            return self._comparison(node)
        if isinstance(node, sql.Between) and not node.args.get("symmetric"):
            name, kind = self._column(node.this)
            low, high = (self._value(node.args[side], name, kind) for side in ("low", "high"))
            return self._without_nan(name, kind, f"{_name(name)} BETWEEN {low} AND {high}")
        if isinstance(node, sql.In) and node.expressions:
            name, kind = self._column(node.this)
            values = ", ".join(self._value(value, name, kind) for value in node.expressions)
            return self._without_nan(name, kind, f"{_name(name)} IN ({values})")
        if isinstance(node, sql.Like):
            name, kind = self._column(node.this)
            if kind != "text":
                raise _only_athena(node, f"LIKE needs a text, and {name} is none")
            return f"({_name(name)} LIKE {self._value(node.expression, name, kind)} ESCAPE '')"
        raise _only_athena(node, "it is more than a comparison of a column with a value")

    def _comparison(self, node: Any) -> str:
        operator, left, right = _COMPARISONS[type(node)], node.this, node.expression
        if not isinstance(left, sql.Column):
            left, right, operator = right, left, _MIRRORED.get(operator, operator)
        if not isinstance(left, sql.Column):
            raise _only_athena(node, "no column is compared in it")
        name, kind = self._column(left)
        value = self._value(right, name, kind)
        different = operator == "<>"
        return self._without_nan(name, kind, f"{_name(name)} {operator} {value}", when="true" if different else "false")

    def _without_nan(self, name: str, kind: str, text: str, *, when: str = "false") -> str:
        return f"(CASE WHEN isnan({_name(name)}) THEN {when} ELSE {text} END)" if kind == "double" else f"({text})"

    def _column(self, node: Any) -> tuple[str, str]:
        """Return the name of a column and the kind of its values."""
        if not isinstance(node, sql.Column) or node.table:
            raise _only_athena(node, "it is more than a comparison of a column with a value")
        name = node.name if node.this.args.get("quoted") else node.name.lower()
        if name not in self._types:
            raise ConfigError(f"where names the column {name}, which local data have not: {', '.join(self._types)}.")
        kind = self._types[name]
        if kind in _WHOLE or kind.startswith("DECIMAL"):
            return name, "number"
        kinds = {"DOUBLE": "double", "VARCHAR": "text", "BOOLEAN": "boolean", "DATE": "date", "TIMESTAMP": "timestamp"}
        if kind not in kinds:
            raise _only_athena(node, f"{name} is of the type {kind}")
        return name, kinds[kind]

    def _value(self, node: Any, name: str, kind: str) -> str:
        """Return a value as DuckDB writes it, if it is of the kind of the column that it is compared with."""
        sign, inner = ("-", node.this) if isinstance(node, sql.Neg) else ("", node)
        if isinstance(inner, sql.Literal) and not inner.is_string:
            found, text = "number", f"{sign}{inner.this}"
            if not re.fullmatch(r"-?(\d+(\.\d+)?|\d+(\.\d+)?[eE][+-]?\d+)", text):
                raise _only_athena(node, f"{text} is not a number that is surely read alike")
        elif isinstance(inner, sql.Literal):
            found, text = "text", _text(inner.this)
        elif isinstance(inner, sql.Boolean):
            found, text = "boolean", "true" if inner.this else "false"
        elif isinstance(inner, sql.Cast) and isinstance(inner.this, sql.Literal) and inner.this.is_string:
            word = inner.to.this.name
            found = _TYPED.get(word, word)
            if found in _TEXT_OF and re.fullmatch(_TEXT_OF[found], inner.this.this):
                text = f"{word} {_text(inner.this.this)}"
            elif found == "number" and re.fullmatch(r"-?\d+(\.\d+)?", inner.this.this):
                text = inner.this.this
            else:
                raise _only_athena(node, "its type or its form is not on the list")
        else:
            raise _only_athena(node, "a column is compared with more than a value")
        if found != ("number" if kind == "double" else kind):
            raise ConfigError(
                f"where compares {name}, which holds a {kind} here, with {node.sql(dialect='athena')}: Athena refuses "
                f"to compare these. Write the value as the column has it, e.g. DATE '2026-01-31' for a date."
            )
        return text


def _only_athena(node: Any, reason: str) -> ConfigError:
    return ConfigError(
        f"Only Athena answers {node.sql(dialect='athena')!r} of where in data.yaml: {reason}. On this machine "
        f"conditions compare columns with values (= <> < <= > >= BETWEEN IN LIKE IS NULL), with AND, OR and NOT. "
        f"Filter the local data yourself and leave where out, or try it on AWS."
    )


def _range(text: str, of_folders: Mapping[str, str]) -> str:
    found = _RANGE.fullmatch(text)
    if not found or found[1] not in of_folders:
        keys = ", ".join(of_folders) or "none"
        raise ConfigError(
            f"partitions is {text!r}, and the folders of local data have the keys: {keys}. Give key=first..last, and a "
            f"folder of files such as day=2026-01-31/part-0.parquet."
        )
    key, first, last = found.groups()
    values = (first, last) if of_folders[key] == "BIGINT" else (_text(first), _text(last))
    return f"{_name(key)} BETWEEN {values[0]} AND {values[1]}"


def _types(connection: Any, query: str) -> dict[str, str]:
    try:
        return {row[0]: row[1] for row in connection.execute(f"DESCRIBE {query}").fetchall()}
    except duckdb.Error as err:
        raise ConfigError(f"The local data cannot be read: {str(err).splitlines()[0]}") from err


def _partition(name: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in name.split("/")[:-1] if "=" in part)


def _name_of_typed(types: Mapping[str, str]) -> dict[str, str]:
    return {column: f"{column}\x1ftyped" for column in types}


def _renamed(text: str, typed: Mapping[str, str]) -> str:
    """Return a condition in which columns of a CSV file are the typed ones."""
    return re.sub(
        r"'(?:[^']|'')*'|\"((?:[^\"]|\"\")*)\"",
        lambda found: (
            _name(typed[found[1].replace('""', '"')])
            if found[1] is not None and found[1].replace('""', '"') in typed
            else found[0]
        ),
        text,
    )


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _list(items: Mapping[str, str]) -> str:
    return "[" + ", ".join(_text(item) for item in items) + "]"
