"""Divide the data into training, validation and test records: the second step of the pipeline.

Reads ``input/data`` (each of several instances gets some of the files) and ``input/schema``; writes Parquet files to
``output/train``, ``output/validation`` and ``output/test``, by buckets of a hash, each sorted (`tabular.splits`).
Records stay raw: the same columns and values as in the data, only with types. Encoding belongs to training, because
encoders may see training records only.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tabular.config import Config
from tabular.division import SPLITS, explain, is_known_to_sql, key_columns
from tabular.files import data_files, read_chunks, split_of
from tabular.jobs import Folders, current_host, hosts, mapped, processing_arguments, run
from tabular.schema import Schema
from tabular.splits import SplitWriter, divided, labelled, typed_records

LARGE_FILE_BYTES = 1_000_000_000


def main() -> None:
    """Divide the files that this instance was given."""
    base = processing_arguments(__doc__).parse_args().base
    folders = Folders(base)
    config, schema = Config.load(), Schema.load(folders.input("schema"))
    data = folders.input("data")
    paths = data_files(data) if data.is_dir() else []
    for path in paths:
        if path.stat().st_size > LARGE_FILE_BYTES and len(hosts()) > 1:
            print(
                f"{path.relative_to(data).as_posix()} has {path.stat().st_size / 1e9:.1f} GB and is read by one of "
                f"{len(hosts())} instances alone: they share files, not parts of a file. Write the data in parts of "
                f"some 100 MB, or as Parquet, which takes a fraction of the space and the time."
            )
    # Beside the outputs, on the volume whose size config.yaml sets.
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        writer = SplitWriter({split: folders.output(split) for split in SPLITS}, current_host(), schema, Path(scratch))
        for path in paths:
            for splits in divided_chunks(path, path.relative_to(data).as_posix(), schema, config):
                writer.add(splits)
        writer.close()
    rows = ", ".join(f"{writer.rows[split]} {split}" for split in SPLITS)
    print(f"{len(paths)} file(s) on {current_host()}: {rows}")
    print(explain(schema))


def divided_chunks(path: Path, name: str, schema: Schema, config: Config) -> Iterator[dict[str, list[pa.RecordBatch]]]:
    """Yield the records of one file, some at a time, by split and bucket."""
    given = split_of(name) if key_columns(schema) and is_known_to_sql(schema) else None
    return mapped(
        lambda chunk: divided(labelled(typed_records(chunk, schema), schema), schema, config, given=given),
        read_chunks(path, name),
    )


if __name__ == "__main__":
    run(main)
