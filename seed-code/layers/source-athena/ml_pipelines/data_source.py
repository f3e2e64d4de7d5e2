"""Where the data comes from: a table that Athena reads, as the role of the project may see it.

The step Query (``query/``) has Athena select, filter and cast; what it unloads is the input of the other steps.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_pipelines.source_job import SourceJob
from tabular.errors import ConfigError

# The package `lake` lives with the step Query, which gets a copy of query/; the build asks the catalog with it.
QUERY = Path(__file__).resolve().parents[1] / "query"
sys.path.insert(0, str(QUERY))

from lake import catalog, statement  # noqa: E402 (it has to be found first)
from lake.errors import LakeError  # noqa: E402

if TYPE_CHECKING:
    from sagemaker.core.workflow import ParameterString

    from ml_pipelines.config import ProjectConfig

VARIABLES = {
    "database": "DATA_DATABASE",
    "table": "DATA_TABLE",
    "columns": "DATA_COLUMNS",
    "where": "DATA_WHERE",
    "snapshot": "DATA_SNAPSHOT",
    "partitions": "DATA_PARTITIONS",
    "work_group": "DATA_WORK_GROUP",
}
"""Keys of data.yaml, and the variables of the build with what was decided when the project was created."""

COLUMN_VARIABLES = {"record_key": "RECORD_KEY"}
"""Lists of columns in config.yaml, and the variables of the build that decide where such a list is empty."""

INPUT_PATH = "/opt/ml/processing/input/data"
STEP = "Query"
INSTANCE_TYPE = "ml.t3.medium"
"""The smallest that runs processing jobs: the step waits for Athena, and no row passes through it."""

LOCAL_DATA = "s3://local/data"
MANIFEST = "manifest.json"

_NAME = re.compile(r"[a-z0-9_]{1,255}")
_COLUMN = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True)
class DataSource:
    """One table or view, and which part of it.

    Attributes:
        database: Database in this account. None: nobody has decided yet.
        table: Table or view. None: nobody has decided yet.
        columns: Columns to learn from. Empty: all that may be seen.
        where: Condition in Athena's SQL. Empty: all rows.
        snapshot: Id of a snapshot of an Iceberg table, or a time. Empty: as it is.
        partitions: ``key=first..last``. Empty: all.
        work_group: Work group of the project's queries. None: nobody has decided yet.
        is_local: Files on this machine stand for the table.
    """

    database: str | None = None
    table: str | None = None
    columns: tuple[str, ...] = ()
    where: str = ""
    snapshot: str = ""
    partitions: str = ""
    work_group: str | None = None
    is_local: bool = False

    @classmethod
    def read(cls, values: Mapping[str, Any], problems: list[str]) -> DataSource:
        """Return the source that data.yaml describes; what is null there was looked up in `VARIABLES`.

        Args:
            values: The values by key.
            problems: Gets a sentence for every value that cannot be used.
        """
        texts = {key: values[key] for key in VARIABLES if key != "columns"}
        for key, value in texts.items():
            if value is not None and not isinstance(value, str):
                problems.append(f"{key} must be text, in quotes where it looks like a number; found {value!r}.")
                texts[key] = None
        for key in ("database", "table"):
            if texts[key] is not None and not _NAME.fullmatch(texts[key]):
                problems.append(f"{key} must be a name of lower-case letters, digits and _; found {texts[key]!r}.")
        columns = values["columns"] or []
        listed = [name for name in columns.split(",") if name] if isinstance(columns, str) else columns
        if not isinstance(listed, list) or not all(isinstance(n, str) and _COLUMN.fullmatch(n) for n in listed):
            problems.append(f"columns must be a list of names in lower case, e.g. [income, region]; found {columns!r}.")
            listed = []
        if wrong := statement.condition_problem(texts["where"] or ""):
            problems.append(f"where must be one condition, but {wrong}: {texts['where']!r}.")
        return cls(
            database=texts["database"],
            table=texts["table"],
            columns=tuple(listed),
            where=texts["where"] or "",
            snapshot=texts["snapshot"] or "",
            partitions=texts["partitions"] or "",
            work_group=texts["work_group"],
        )

    def on_this_machine(self) -> DataSource:
        """Return the source of a pipeline that runs here: `copy_local` puts files there that stand for the table."""
        return replace(self, is_local=True)

    @property
    def undecided(self) -> str | None:
        """What has to be decided before anything can be trained on AWS; None when all is known."""
        missing = [key for key in ("database", "table", "work_group") if getattr(self, key) is None]
        if not missing:
            return None
        variables = ", ".join(VARIABLES[key] for key in missing)
        return f"{', '.join(missing)} not set: enter it in data.yaml, or set {variables} as the project's build does."

    def parameters(self) -> dict[str, ParameterString]:
        """Return the parameters of the pipeline that say which data to use: none, the step Query has its settings."""
        return {}

    def jobs(self, config: ProjectConfig, *, version: Any, instances: Any) -> list[SourceJob]:
        """Return what runs before Validate: the query, if there is an Athena to answer it.

        Args:
            config: The project.
            version: State of the data, which changes the step.
            instances: How many instances are to divide the data.
        """
        if self.is_local:
            return []
        from sagemaker.core.workflow import Join

        where = {
            "bucket": config.bucket,
            "work_group": self.work_group,
            "model_package_group": config.model_package_group,
            "cache_days": config.machines.cache_days,
        }
        return [
            SourceJob(
                name=STEP,
                description="Have Athena select the data",
                code=QUERY,
                settings={**vars(self._wanted(config)), **where},
                variables={
                    "DATA_VERSION": version,
                    "INSTANCES": Join(on="", values=[instances]),
                },
                outputs=["manifest"],
                results="query.json",
                instance_type=INSTANCE_TYPE,
            )
        ]

    def instances(self, asked: Any) -> Any:
        """Return on how many instances the data are divided: no more than there are files to share.

        Args:
            asked: How many are wanted.
        """
        return asked if self.is_local else _result("instances")

    def inputs(self, parameters: Mapping[str, ParameterString], steps: list[Any], *, shard: bool) -> list[Any]:
        """Return the inputs of a processing job that hold the data below ``/opt/ml/processing/input``.

        Args:
            parameters: What `parameters` returned.
            steps: The steps of `jobs`.
            shard: Give each instance of the job a part of the files; otherwise each gets all of them.
        """
        from sagemaker.core.shapes import ProcessingInput, ProcessingS3Input
        from sagemaker.core.workflow import Join

        folder = steps[0].properties.ProcessingOutputConfig.Outputs["manifest"].S3Output.S3Uri if steps else LOCAL_DATA
        data: ProcessingInput = ProcessingInput(
            input_name="data",
            s3_input=ProcessingS3Input(
                s3_uri=Join(on="/", values=[folder, MANIFEST]),
                local_path=INPUT_PATH,
                s3_data_type="ManifestFile",
                s3_input_mode="File",
                s3_data_distribution_type="ShardedByS3Key" if shard else "FullyReplicated",
            ),
        )
        return [data]

    def lineage(self, parameters: Mapping[str, ParameterString]) -> dict[str, Any]:
        """Return what the registry keeps about the data, by keys that begin with ``data_``."""
        if self.is_local:
            return {"data_manifest": f"{LOCAL_DATA}/{MANIFEST}"}
        kept = {
            "data_table": "table",
            "data_query_id": "query_id",
            "data_scanned_bytes": "scanned_bytes",
            "data_table_version": "table_version",
            "data_snapshot": "snapshot",
            "data_query_time": "time",
            "data_sql": "sql_digest",
            "data_manifest": "manifest",
        }
        return {key: _result(path) for key, path in kept.items()}

    def version(self, session: Any, given: Mapping[str, str]) -> str:
        """Return a fingerprint of the table's state: it changes when the catalog learns of other data.

        Args:
            session: boto3 session.
            given: Parameters of the execution that differ from their defaults.

        Raises:
            ConfigError: The project may not see the table, or there is none.
        """
        glue = session.client("glue")
        try:
            table = catalog.find(glue, str(self.database), str(self.table))
            if not self.snapshot and not table.tells_changes:
                print(
                    f"The catalog does not say when the files of {table.place} change, so every run queries anew. To "
                    f"use an earlier answer, start with its version: --set DataVersion=..."
                )
            return catalog.state(glue, table, snapshot=self.snapshot)
        except LakeError as err:
            raise ConfigError(str(err)) from err

    def copy_local(self, path: Path, folder: Path) -> None:
        """Put local data where a pipeline on this machine finds it, as Athena would select it.

        Args:
            path: A file, or a folder with files; folders ``key=value`` are partitions.
            folder: Stands for the unloaded data; it does not exist yet.

        Raises:
            ConfigError: There is no file, a column is not there, or only Athena can answer the condition.
        """
        from ml_pipelines import local_query

        if self.snapshot:
            print(f"snapshot {self.snapshot} is not looked at here: files on this machine have one state")
        local_query.select(path, folder, columns=self.columns, where=self.where, partitions=self.partitions)

    def _wanted(self, config: ProjectConfig) -> statement.Wanted:
        """Return what the query asks for; the split concerns it only with a record key."""
        job = config.job
        shares: Sequence[float] = (job.splits.train, job.splits.validation)
        split = {"record_key": list(job.record_key), "seed": job.seed, "shares": list(shares)} if job.record_key else {}
        return statement.Wanted(
            database=str(self.database),
            table=str(self.table),
            label=job.label,
            columns=list(self.columns),
            drop=list(job.drop),
            where=self.where,
            snapshot=self.snapshot,
            partitions=self.partitions,
            **split,
        )


def _result(path: str) -> Any:
    """Return a value that the step Query reports."""
    from sagemaker.core.workflow import JsonGet

    return JsonGet(step_name=STEP, property_file=STEP, json_path=path)
