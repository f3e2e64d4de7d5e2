"""What is known of the data before training: the columns and their kinds, the label and the problem to solve."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from tabular import notations
from tabular.values import canonical, convert

FILE_NAME = "schema.json"

FEATURE, LABEL, KEY, DROPPED = "feature", "label", "key", "dropped"


@dataclass(frozen=True)
class Column:
    """One column of the data.

    Attributes:
        name: As in the header.
        kind: ``number``, ``category``, ``boolean`` or ``date``, see `tabular.values`.
        role: ``feature``, ``label``, ``key`` (part of the record key) or ``dropped``.
        whole: The numbers of the column are whole and kept exactly.
        formats: How its numbers or dates are written, besides 1234.56 and ISO 8601.
        missing: Rows without value.
        distinct: Different values seen.
        distinct_is_exact: False where there were more than are counted.
    """

    name: str
    kind: str
    role: str = FEATURE
    whole: bool = False
    formats: tuple[str, ...] = ()
    missing: int = 0
    distinct: int = 0
    distinct_is_exact: bool = True

    def convert(self, values: pa.Array | Sequence[str | None]) -> pa.Array:
        """Return a raw column (`tabular.values.clean`), or texts, as values of this column.

        Raises:
            BadValueError: A value does not fit the kind of the column.
        """
        return convert(values, self.kind, whole=self.whole, formats=self.formats)

    def written(self, values: pa.Array) -> list[str | None]:
        """Return values of this column as texts that `convert` reads back, as a client sends them."""
        texts = canonical(values)
        if self.kind != "number" or not self.formats:
            return texts
        return [text and notations.written(text, self.formats[0]) for text in texts]


@dataclass(frozen=True)
class DataFile:
    """One file that was read."""

    name: str
    rows: int


@dataclass(frozen=True)
class Schema:
    """The data as `validate.py` found it.

    Attributes:
        label: Column to predict.
        problem_type: ``binary``, ``multiclass`` or ``regression``.
        classes: Label values as text, ``(negative, positive)`` for a binary problem; empty for regression.
        class_rows: Rows of each class, in the order of ``classes``.
        columns: All columns, sorted as in the first file.
        rows: Rows in all files, with those that have no label.
        unlabelled_rows: Rows without label; they are left out of every split.
        files: The files, by name.
    """

    label: str
    problem_type: str
    classes: tuple[str, ...]
    class_rows: tuple[int, ...]
    columns: tuple[Column, ...]
    rows: int
    unlabelled_rows: int
    files: tuple[DataFile, ...]

    @property
    def features(self) -> list[Column]:
        """Columns to learn from."""
        return [column for column in self.columns if column.role == FEATURE]

    def column(self, name: str) -> Column:
        """Return one column by name."""
        return next(column for column in self.columns if column.name == name)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the schema that `to_dict` wrote."""
        columns = tuple(Column(**column | {"formats": tuple(column["formats"])}) for column in values["columns"])
        files = tuple(DataFile(**file) for file in values["files"])
        tuples = {"classes": tuple(values["classes"]), "class_rows": tuple(values["class_rows"])}
        return cls(**values | tuples | {"columns": columns, "files": files})

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as JSON values."""
        return asdict(self)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``schema.json`` from a folder."""
        return cls.from_dict(json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))

    def save(self, folder: Path) -> None:
        """Write ``schema.json`` into a folder."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")
