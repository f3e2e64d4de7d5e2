"""Check the data and find its schema: the first step of the pipeline.

Reads ``input/data`` and writes ``output/schema/schema.json``. Ends with a message that names file, row and column when
the data cannot be used.
"""

from tabular.config import Config
from tabular.jobs import Folders, processing_arguments, run
from tabular.profile import profile_folder
from tabular.schema import Schema
from tabular.verdict import resolve


def main() -> None:
    """Validate the data that the job was given."""
    folders = Folders(processing_arguments(__doc__).parse_args().base)
    config = Config.load()
    schema = resolve(*profile_folder(folders.input("data"), config), config)
    schema.save(folders.output("schema"))
    print(describe(schema))


def describe(schema: Schema) -> str:
    """Return a summary of a schema for the log."""
    lines = [
        f"{schema.rows} rows in {len(schema.files)} file(s); {schema.problem_type} problem, label {schema.label!r}"
    ]
    if schema.unlabelled_rows:
        lines.append(f"{schema.unlabelled_rows} rows without label are left out")
    for name, rows in zip(schema.classes, schema.class_rows, strict=True):
        positive = " (positive class)" if schema.problem_type == "binary" and name == schema.classes[-1] else ""
        lines.append(f"  class {name!r}: {rows} rows{positive}")
    for column in schema.columns:
        more = "" if column.distinct_is_exact else "more than "
        lines.append(
            f"  {column.name}: {column.kind} ({column.role}), {more}{column.distinct} values, {column.missing} missing"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
