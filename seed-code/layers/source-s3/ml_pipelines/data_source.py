"""Where the data comes from: files below one S3 prefix. Another kind of source changes this module and nothing else."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from sagemaker.core.shapes import ProcessingInput, ProcessingS3Input
from sagemaker.core.workflow import ParameterString

from ml_pipelines.config import ConfigError, ProjectConfig
from ml_pipelines.stores import split_uri

INPUT_PATH = "/opt/ml/processing/input/data"


def parameters(config: ProjectConfig) -> list[ParameterString]:
    """Return the parameters of the pipeline that say which data to use.

    ``DataVersion`` has no default on purpose: SageMaker compares the URI of an input, not its files, so without it an
    execution after new data arrived would take yesterday's result from the step cache.
    """
    return [ParameterString("DataUri", default_value=config.data_uri), ParameterString("DataVersion")]


def data_input(data_uri: ParameterString, *, shard: bool) -> ProcessingInput:
    """Return the input ``data`` of a processing job.

    Args:
        data_uri: The parameter ``DataUri``.
        shard: Give each instance of the job a part of the files; otherwise each gets all of them.
    """
    return ProcessingInput(
        input_name="data",
        s3_input=ProcessingS3Input(
            s3_uri=data_uri,
            local_path=INPUT_PATH,
            s3_data_type="S3Prefix",
            s3_input_mode="File",
            s3_data_distribution_type="ShardedByS3Key" if shard else "FullyReplicated",
        ),
    )


def version(data_uri: str, s3: Any) -> str:
    """Return a fingerprint of the files below a prefix: it changes when one is added, removed or written anew.

    Whoever may not list the prefix gets the time instead, with which no step is taken from the cache.

    Args:
        data_uri: ``s3://bucket/prefix``.
        s3: boto3 client.

    Raises:
        ConfigError: There is no file, or no such bucket.
    """
    bucket, prefix = split_uri(data_uri)
    found = hashlib.sha256()
    count = 0
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                if item["Size"]:  # the console marks folders with empty objects
                    found.update(f"{item['Key']}\0{item['Size']}\0{item['ETag']}\n".encode())
                    count += 1
    except ClientError as err:
        if err.response["Error"]["Code"] in ("AccessDenied", "403"):
            print(f"{data_uri} may not be listed from here, so all steps run, whether the data changed or not")
            return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        raise ConfigError(f"The data at {data_uri} cannot be listed: {err}. Correct data_uri in config.yaml.") from err
    if not count:
        raise ConfigError(
            f"There are no files at {data_uri}, so there is nothing to train on. Put CSV or Parquet files there, or "
            f"correct data_uri in config.yaml; then run the build again."
        )
    return found.hexdigest()[:16]


def copy_local(path: Path, folder: Path) -> None:
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
