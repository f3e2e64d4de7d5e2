"""Time queries of the emulated Athena and plain DuckDB on the same files, and watch the emulator's memory.

``.venv/bin/python -m aws_emulator.tests.athena_bench [ROWS]`` (default: 10,000,000 rows of 17 columns).
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from aws_emulator.tests.harness import DEV, PYTHON, running

COLUMNS = {"id": "bigint", "region": "string", "term": "int", "closed": "boolean", "opened": "date", "label": "int"}
COLUMNS |= {f"x{number}": "double" for number in range(11)}
QUERIES = {
    "aggregate": "SELECT region, count(*) AS n, avg(x1) AS mean, sum(x2) AS total FROM {} GROUP BY region",
    "filter": "SELECT count(*) AS n, max(x3) AS most FROM {} WHERE region = 'r3' AND x1 > 0.5e0 AND term < 24",
    "unload": "SELECT * FROM {}",
    "unload split": "SELECT *, CASE WHEN id % 10 < 7 THEN 'train' ELSE 'test' END AS split FROM {}",
}
SHARDS = 10
RUNS = 7
_MAKE = """
import duckdb, sys
folder, rows, shards = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
con = duckdb.connect()
con.execute("SET enable_progress_bar = false; SET threads = 2; SET memory_limit = '1GB'")
xs = ", ".join(f"round(random(), 4) AS x{n}" for n in range(11))
for shard in range(shards):
    con.execute(f"COPY (SELECT i AS id, 'r' || i % 10 AS region, (i % 60)::INT AS term, i % 2 = 0 AS closed, "
                f"DATE '2020-01-01' + (i % 900)::INT AS opened, (i % 7 = 0)::INT AS label, {xs} "
                f"FROM range({shard * rows // shards}, {(shard + 1) * rows // shards}) t(i)) "
                f"TO '{folder}/{shard}.parquet' (FORMAT parquet, COMPRESSION snappy)")
"""
_PLAIN = """
import duckdb, sys, time
folder, name, sql = sys.argv[1:]
con = duckdb.connect()
con.execute("SET enable_progress_bar = false; SET threads = 2; SET memory_limit = '140MB'")
con.execute("SET preserve_insertion_order = false; SET partitioned_write_flush_threshold = 16384")
con.execute(f"SET temp_directory = '{folder}/tmp'")
sql = sql.format(f"read_parquet('{folder}/*.parquet')")
if name.startswith("unload"):
    parted = ", PARTITION_BY (split)" if "split" in name else ""
    sql = f"COPY ({sql}) TO '{folder}/{name}' (FORMAT parquet, COMPRESSION snappy, FILE_SIZE_BYTES '16MB'{parted})"
began = time.monotonic()
con.execute(sql).fetchall()
print(time.monotonic() - began)
"""


def peak_mib() -> str:
    """Return the most memory that the emulator, the only child of this process, has held; only Linux tells."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if not children.exists():
        return "unknown memory"
    status = Path(f"/proc/{children.read_text(encoding='utf-8').split()[0]}/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return f"{int(found[1]) // 1024 if found else 0} MiB at most"


def timed(athena: Any, sql: str) -> float:  # noqa: ANN401 - a client
    """Run a query, and return how long it took from start to end."""
    began = time.monotonic()
    results = {"OutputLocation": "s3://bench-lake/results/"}
    request = {"QueryString": sql, "ClientRequestToken": str(uuid.uuid4()), "ResultConfiguration": results}
    id_ = athena.start_query_execution(**request)["QueryExecutionId"]
    while (found := athena.get_query_execution(QueryExecutionId=id_)["QueryExecution"])["Status"]["State"] in (
        "QUEUED",
        "RUNNING",
    ):
        time.sleep(0.005)
    if found["Status"]["State"] != "SUCCEEDED":
        sys.exit(f"{sql}: {found['Status']}")
    return time.monotonic() - began


def main() -> None:
    """Print a line for every query."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory(prefix="athena-bench-") as name:
        files, folder = Path(name) / "files", Path(name) / "cloud"
        files.mkdir()
        folder.mkdir()
        subprocess.run([PYTHON, "-c", _MAKE, str(files), str(rows), str(SHARDS)], check=True)
        with running(folder) as cloud:
            s3, glue, athena = (cloud.client(service, DEV) for service in ("s3", "glue", "athena"))
            s3.create_bucket(Bucket="bench-lake", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
            for shard in sorted(files.glob("*.parquet")):
                s3.put_object(Bucket="bench-lake", Key=f"loans/{shard.name}", Body=shard.read_bytes())
            glue.create_database(DatabaseInput={"Name": "bench"})
            serde = {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"}
            columns = [{"Name": name, "Type": type_} for name, type_ in COLUMNS.items()]
            storage = {"Columns": columns, "Location": "s3://bench-lake/loans/", "SerdeInfo": serde}
            glue.create_table(DatabaseName="bench", TableInput={"Name": "loans", "StorageDescriptor": storage})
            timed(athena, "SELECT 1 AS one")  # imports
            print(f"{rows:,} rows, emulator before the queries: {peak_mib()}")
            for query, sql in QUERIES.items():
                asked = sql.format("bench.loans")
                took, plain = [], []
                for turn in range(1 if query.startswith("unload") else RUNS):  # in turns: others use the machine too
                    if query.startswith("unload"):
                        parted = ", partitioned_by = ARRAY['split']" if "split" in query else ""
                        options = f"format = 'PARQUET', compression = 'SNAPPY'{parted}"
                        asked = f"UNLOAD ({asked}) TO 's3://bench-lake/{query}-{turn}/' WITH ({options})"
                    command = [str(PYTHON), "-c", _PLAIN, str(files), query, sql]
                    plain.append(float(subprocess.run(command, check=True, capture_output=True).stdout))
                    took.append(timed(athena, asked))
                ratio = statistics.median(took) / statistics.median(plain)
                shown = f"{min(took):6.2f} s, DuckDB {min(plain):6.2f} s, ratio of medians {ratio:4.2f}"
                print(f"{query:12} {shown}, {peak_mib()}")


if __name__ == "__main__":
    main()
