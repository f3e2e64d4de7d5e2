"""How fast a table of a lake becomes records to learn from: UNLOAD by the emulated Athena, Validate and Prepare.

    .venv/bin/python seed-code/bench/lake.py [ROWS]        default: 10,000,000 rows of 17 columns, as in tables.py

The step Query runs as it does in a pipeline, in a process of its own, and what its manifest lists is copied to where
the jobs find it. Figures are wall seconds, imports included, and the most memory that a process held.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from aws_emulator.tests.athena_bench import peak_mib  # noqa: E402
from aws_emulator.tests.harness import DEV, running  # noqa: E402
from products.shared import seed_code  # noqa: E402

PYTHON = ROOT / ".venv-seed" / "bin" / "python"
SHARDS = 10
TYPES = {"int64": "bigint", "double": "double", "string": "string", "large_string": "string"}

_MAKE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import pyarrow as pa, pyarrow.csv as csv, pyarrow.parquet as pq
import tables
folder, rows, shards = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
tables.make_table(folder / "table.csv", rows)
parts, writer, written, number = rows // shards, None, 0, 0
for batch in csv.open_csv(folder / "table.csv", csv.ReadOptions(block_size=8 << 20)):
    if writer is None:
        writer = pq.ParquetWriter(folder / f"{number}.parquet", batch.schema, compression="snappy")
    writer.write_batch(batch)
    written += len(batch)
    if written >= parts * (number + 1):
        writer.close()
        writer, number = None, number + 1
if writer:
    writer.close()
(folder / "table.csv").unlink()
print(json.dumps([[field.name, str(field.type)] for field in batch.schema]))
"""
_QUERY = """
import json, sys
from pathlib import Path
import boto3
from ml_pipelines import data_source
import query
given = {"DATA_VERSION": "1", "INSTANCES": "1"}
query.main(query.Clients(boto3.Session()), json.loads(sys.argv[1]), given, "s3://bench/1", Path(sys.argv[2]))
"""
_JOB = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import tables
tables.job(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
"""
# Runs a command in a process of its own, and says how long it took and what it held.
_MEASURED = """
import json, os, sys, time
began = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(process, 0)
print(json.dumps([time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measured(name: str, *command: str, cwd: Path, environment: dict[str, str]) -> float:
    """Run the seed code's Python, print a line about it, and return its seconds."""
    run = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(PYTHON), *command],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        sys.exit(f"{name} failed: {run.stderr[-3000:]}")
    seconds, cpu, mib = json.loads(run.stdout)
    print(f"  {name:<9} {seconds:7.2f} s  {cpu:7.2f} s of CPU  {mib:6.0f} MiB", flush=True)
    return float(seconds)


def lend_table(cloud: Any, files: Path, columns: list[list[str]]) -> None:
    """Put the table into an emulated lake, and make the bucket and the work group of a project."""
    s3, glue = cloud.client("s3", DEV), cloud.client("glue", DEV)
    for bucket in ("bench-lake", "bench-project"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for shard in sorted(files.glob("*.parquet")):
        s3.upload_file(str(shard), "bench-lake", f"bank/{shard.name}")
        shard.unlink()
    glue.create_database(DatabaseInput={"Name": "bench"})
    serde = {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"}
    listed = [{"Name": name, "Type": TYPES[type_]} for name, type_ in columns]
    storage = {"Columns": listed, "Location": "s3://bench-lake/bank/", "SerdeInfo": serde}
    glue.create_table(DatabaseName="bench", TableInput={"Name": "bank", "StorageDescriptor": storage})
    results = {"OutputLocation": "s3://bench-project/athena/"}
    cloud.client("athena", DEV).create_work_group(
        Name="bench", Configuration={"ResultConfiguration": results, "EnforceWorkGroupConfiguration": True}
    )


def main() -> None:
    """Print a line for every process, with and without the split in Athena."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory(prefix="lake-bench-") as name:
        work = Path(name)
        for folder in ("files", "cloud", "repository"):
            (work / folder).mkdir()
        seed_code.write("train-athena", work / "repository")
        bench = str(Path(__file__).parent)
        made = [str(PYTHON), "-c", _MAKE, bench, str(work / "files"), str(rows), str(SHARDS)]
        columns = json.loads(subprocess.run(made, check=True, capture_output=True, text=True).stdout)
        with running(work / "cloud") as cloud:
            lend_table(cloud, work / "files", columns)
            environment = {
                "AWS_ENDPOINT_URL": cloud.endpoint,
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_ACCESS_KEY_ID": DEV,
                "AWS_SECRET_ACCESS_KEY": "test",
            }
            for key in ([], ["customer_id"]):
                print(f"{rows:,} rows, divided by {'Athena' if key else 'Prepare'}")
                out = work / f"out-{len(key)}"
                out.mkdir()
                settings = {
                    "database": "bench",
                    "table": "bank",
                    "label": "y",
                    "record_key": key,
                    "bucket": "bench-project",
                    "work_group": "bench",
                    "model_package_group": "bench",
                    "cache_days": 30,
                }
                arguments = ["-c", _QUERY, json.dumps(settings), str(out / "manifest")]
                total = measured("query", *arguments, cwd=work / "repository", environment=environment)
                print(f"  emulator  {peak_mib()}")
                prefix, *names = json.loads((out / "manifest" / "manifest.json").read_text(encoding="utf-8"))
                bucket, _, folder = prefix["prefix"].removeprefix("s3://").partition("/")
                for file in names:
                    target = out / "data" / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    cloud.client("s3", DEV).download_file(bucket, folder + file, str(target))
                for job in ("validate", "prepare"):
                    arguments = ["-c", _JOB, bench, job, str(out / "data" / "any"), str(out)]
                    total += measured(job, *arguments, cwd=work, environment={})
                print(f"  together  {total:7.2f} s, {len(names)} files")


if __name__ == "__main__":
    main()
