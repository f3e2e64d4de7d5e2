"""Where the data comes from: CSV or Parquet files below one S3 prefix, which ``data.yaml`` names."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabular.errors import ConfigError

if TYPE_CHECKING:
    from sagemaker.core.shapes import ProcessingInput
    from sagemaker.core.workflow import ParameterString

    from ml_pipelines.config import ProjectConfig
    from ml_pipelines.source_job import SourceJob

VARIABLES = {"data_uri": "DATA_URI"}
"""Keys of data.yaml, and the variables of the build with what was decided when the project was created."""

COLUMN_VARIABLES: dict[str, str] = {}
"""Lists of columns in config.yaml, and the variables of the build that decide where such a list is empty."""

INPUT_PATH = "/opt/ml/processing/input/data"

# A key is up to 1,024 bytes of text; IAM gives a meaning to * ? and $, with which nobody could grant it.
_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([^\x00-\x1f\x7f*?$]*))?")
_LONGEST_KEY = 1024
# What the metadata of a model package allows (CreateModelPackage, CustomerMetadataValue).
_METADATA = re.compile(r"[\w .:/=+@-]{0,256}")


@dataclass(frozen=True)
class DataSource:
    """The files below one prefix.

    Attributes:
        uri: ``s3://bucket/prefix``. None: nobody has decided yet.
    """

    uri: str | None

    @classmethod
    def read(cls, values: Mapping[str, Any], problems: list[str]) -> DataSource:
        """Return the source that data.yaml describes; what is null there was looked up in `VARIABLES`.

        Args:
            values: The values by key.
            problems: Gets a sentence for every value that cannot be used.
        """
        uri = values["data_uri"]
        if uri is not None and not _usable(str(uri)):
            problems.append(
                f"data_uri must be an S3 prefix, e.g. s3://my-bucket/churn/, without * ? $, with a key of at most "
                f"{_LONGEST_KEY} bytes; found {uri!r}."
            )
        return cls(uri)

    def on_this_machine(self) -> DataSource:
        """Return the source of a pipeline that runs here: `copy_local` puts the files there."""
        return DataSource("s3://local/data")

    @property
    def undecided(self) -> str | None:
        """What has to be decided before anything can be trained on AWS; None when all is known."""
        if self.uri is None:
            return "data_uri is not set: enter it in data.yaml, e.g. s3://my-bucket/churn/, or set DATA_URI."
        return None

    def parameters(self) -> dict[str, ParameterString]:
        """Return the parameters of the pipeline that say which data to use, by name."""
        from sagemaker.core.workflow import ParameterString

        return {"DataUri": ParameterString("DataUri", default_value=self.uri)}

    def jobs(self, config: ProjectConfig, *, version: Any, instances: Any) -> list[SourceJob]:
        """Return what runs before Validate: files need nothing."""
        return []

    def instances(self, asked: Any) -> Any:
        """Return on how many instances the data are divided: on as many as are wanted."""
        return asked

    def inputs(self, parameters: Mapping[str, ParameterString], steps: list[Any], *, shard: bool) -> list[Any]:
        """Return the inputs of a processing job that hold the data below ``/opt/ml/processing/input``.

        Args:
            parameters: What `parameters` returned.
            steps: The steps of `jobs`.
            shard: Give each instance of the job a part of the files; otherwise each gets all of them.
        """
        from sagemaker.core.shapes import ProcessingInput, ProcessingS3Input

        data: ProcessingInput = ProcessingInput(
            input_name="data",
            s3_input=ProcessingS3Input(
                s3_uri=parameters["DataUri"],
                local_path=INPUT_PATH,
                s3_data_type="S3Prefix",
                s3_input_mode="File",
                s3_data_distribution_type="ShardedByS3Key" if shard else "FullyReplicated",
            ),
        )
        return [data]

    def lineage(self, parameters: Mapping[str, ParameterString]) -> dict[str, Any]:
        """Return what the registry keeps about the data, by keys that begin with ``data_``.

        A place with characters that the registry refuses, or too long for it, is kept in a form that it takes.
        """
        uri = self.uri or ""
        if _METADATA.fullmatch(uri):
            return {"data_uri": parameters["DataUri"]}
        return {"data_uri": re.sub(r"[^\w .:/=+@-]", "_", uri)[:256]}

    def version(self, session: Any, given: Mapping[str, str]) -> str:
        """Return a fingerprint of the files: it changes when one is added, removed or written anew.

        Whoever is not allowed to list the prefix gets the time instead, with which no step is taken from the cache.

        Args:
            session: boto3 session.
            given: Parameters of the execution that differ from their defaults.

        Raises:
            ConfigError: There is no file, or no such bucket.
        """
        uri = given.get("DataUri") or self.uri or ""
        place = _URI.fullmatch(uri)
        if place is None or not _usable(uri):
            raise ConfigError(f"DataUri={uri} is not an S3 prefix; give one like s3://my-bucket/churn/.")
        if "DataUri" in given and not _METADATA.fullmatch(uri):
            raise ConfigError(
                f"DataUri={uri} cannot be given for one execution: the registry would refuse the model, because it "
                f"takes up to 256 letters, digits and _ . / = : @ + - in it. Enter the place in data.yaml."
            )
        found = hashlib.sha256()
        count = 0
        pages = session.client("s3").get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=place[1], Prefix=place[2] or ""):
                for item in page.get("Contents", []):
                    if item["Size"]:  # the console marks folders with empty objects
                        found.update(f"{item['Key']}\0{item['Size']}\0{item['ETag']}\n".encode())
                        count += 1
        except Exception as err:
            code = getattr(err, "response", {}).get("Error", {}).get("Code")
            if code is None:
                raise
            if code in ("AccessDenied", "403"):
                print(f"{uri} cannot be listed from here, so all steps run, whether the data changed or not")
                return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
            raise ConfigError(f"The data at {uri} cannot be listed: {err}. Correct data_uri in data.yaml.") from err
        if not count:
            raise ConfigError(
                f"There are no files at {uri}, so there is nothing to train on. Put CSV or Parquet files there, or "
                f"correct data_uri in data.yaml; then run the build again."
            )
        return found.hexdigest()[:16]

    def copy_local(self, path: Path, folder: Path) -> None:
        """Put local data where a pipeline on this machine finds it.

        Args:
            path: A file, or a folder with files.
            folder: Stands for the data prefix; it does not exist yet.

        Raises:
            ConfigError: There is no file.
        """
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        if not files:
            raise ConfigError(f"There is no data at {path}: give a CSV or Parquet file, or a folder with such files.")
        base = path.parent if path.is_file() else path
        for file in files:
            target = folder / file.relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file.resolve())  # the jobs get copies; the store need not


def _usable(uri: str) -> bool:
    found = _URI.fullmatch(uri)
    return found is not None and len((found[2] or "").encode()) <= _LONGEST_KEY
