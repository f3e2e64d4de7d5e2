"""Divide the data into training, validation and test records: the second step of the pipeline.

Reads ``input/data`` (each of several instances gets some of the files) and ``input/schema``; writes Parquet files to
``output/train``, ``output/validation`` and ``output/test``. Records stay raw: the same columns and values as in the
data, only with types. Encoding belongs to training, because encoders may see training records only.
"""

import hashlib
from collections import Counter
from pathlib import Path

import pyarrow as pa

from tabular.config import Config
from tabular.division import SPLITS, explain
from tabular.files import Chunk, data_files, read_chunks
from tabular.jobs import Folders, current_host, mapped, processing_arguments, run
from tabular.schema import Schema
from tabular.splits import SplitWriter, divided, labelled, typed_records


def main() -> None:
    """Divide the files that this instance was given."""
    folders = Folders(processing_arguments(__doc__).parse_args().base)
    config, schema = Config.load(), Schema.load(folders.input("schema"))
    outputs = {split: folders.output(split) for split in SPLITS}
    rows: Counter[str] = Counter()
    data = folders.input("data")
    paths = data_files(data) if data.is_dir() else []
    for path in paths:
        rows += divide_file(path, path.relative_to(data).as_posix(), schema, config, outputs)
    print(f"{len(paths)} file(s) on {current_host()}: " + ", ".join(f"{rows[split]} {split}" for split in SPLITS))
    print(explain(schema))


def divide_file(path: Path, name: str, schema: Schema, config: Config, outputs: dict[str, Path]) -> Counter[str]:
    """Write the records of one file to the three splits and return how many went where."""
    # No two instances get the same file, but folders may hold files of the same name: hence host and full name.
    part = f"part-{current_host()}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}.parquet"
    writer = SplitWriter(outputs, part, schema)

    def splits(chunk: Chunk) -> dict[str, pa.RecordBatch]:
        return divided(labelled(typed_records(chunk, schema), schema), schema, config)

    try:
        for records in mapped(splits, read_chunks(path, name)):
            writer.add(records)
    finally:
        writer.close()
    return Counter(writer.rows)


if __name__ == "__main__":
    run(main)
