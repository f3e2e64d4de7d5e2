"""SageMaker's batch transform: objects of S3 are sent through a model's container, and the answers put beside.

How splits, payloads and bad records are handled:
https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html and
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock, random_id
from aws_emulator.core import Json, ServiceError
from aws_emulator.sagemaker.jobs import job_table
from aws_emulator.sagemaker.models import MODELS, refusal
from aws_emulator.sagemaker.servers import S3_ERRORS, ContainerError, Server, s3_as, split_s3, start, write_log
from aws_emulator.sagemaker.store import SERVICE, authorize_tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aws_emulator.core import AwsClient

_MEBIBYTE: Final = 1024 * 1024
_DEFAULT_PAYLOAD: Final = 6
_MOST_PAYLOAD: Final = 100
_LOG_GROUP: Final = "/aws/sagemaker/TransformJobs"


class _BadFileError(Exception):
    """An input file that cannot be transformed: which side is to blame, and why."""

    def __init__(self, side: str, reason: str) -> None:
        super().__init__(reason)
        self.side = side


_JOBS: Final = job_table("Transform").answers("Describe")
"""Transform jobs; under ``log`` are the lines of their logs."""


def _say(job: Json, text: str) -> None:
    """Write a line into a job's log."""
    job["log"].append(f"{clock.shown(form='%Y-%m-%dT%H:%M:%S')}:[sagemaker logs]: {text}")


@overlay(SERVICE, "CreateTransformJob")
def create_transform_job(request: Json) -> Json:
    """Start a transform job of a model."""
    _JOBS.require_free(request)
    authorize_tags("CreateTransformJob", _JOBS.arn(request["TransformJobName"]), request.get("Tags"))
    model = MODELS.find(request)
    source = request["TransformInput"]
    payload = request.get("MaxPayloadInMB", _DEFAULT_PAYLOAD) * (request.get("MaxConcurrentTransforms") or 1)
    if payload > _MOST_PAYLOAD:
        raise refusal(
            f"MaxPayloadInMB times MaxConcurrentTransforms must not exceed {_MOST_PAYLOAD} MB, got {payload}."
        )
    if "BatchStrategy" in request and source.get("SplitType", "None") == "None":
        raise refusal("To enable BatchStrategy, SplitType has to be Line, RecordIO or TFRecord.")
    if source.get("SplitType", "None") not in {"None", "Line"}:
        raise refusal(f"SplitType {source['SplitType']} is not emulated here: use Line or None.")
    if source["DataSource"]["S3DataSource"]["S3DataType"] != "S3Prefix":
        raise refusal("Manifest files are not emulated here: use S3DataType S3Prefix.")
    processing = request.get("DataProcessing", {})
    if processing.get("JoinSource", "None") != "None" or {"InputFilter", "OutputFilter"} & processing.keys():
        raise refusal("DataProcessing is not emulated here.")
    split_s3(request["TransformOutput"]["S3OutputPath"])
    job = _JOBS.add(request, TransformJobStatus="InProgress", TransformStartTime=clock.now(), log=[])
    clock.start(_run, job, model)
    return job


def _run(job: Json, model: Json) -> None:
    """Do the job, and let it end in one of its states whatever happens."""
    try:
        side = _transform(job, model)
        reason = f"{side}: See job logs for more information" if side else None
    except ContainerError as error:
        reason = f"ClientError: {error}"
    except (*S3_ERRORS, ServiceError) as error:
        reason = f"ClientError: {error}"
    except Exception as error:  # of any kind: the job must not stay in progress
        reason = f"InternalServerError: {error!r}"
    write_log(_LOG_GROUP, job["TransformJobName"], job["log"])
    job["TransformEndTime"] = job["LastModifiedTime"] = clock.now()
    job["FailureReason"] = reason and reason[:1024]
    job["TransformJobStatus"] = "Failed" if reason else "Completed"


def _transform(job: Json, model: Json) -> str | None:
    """Transform every input file, and return which side is to blame for the first bad one, if there is one."""
    s3 = s3_as(model["ExecutionRoleArn"])
    bucket, prefix = split_s3(job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [item["Key"] for found in pages for item in found.get("Contents", []) if not item["Key"].endswith("/")]
    if not keys:
        raise ContainerError(f"No S3 objects found under S3 URL s3://{bucket}/{prefix}.")
    folder = core.organization().work_dir / "transform" / f"{job['TransformJobName']}-{random_id(8)}"
    server = start(model, folder, more=job.get("Environment"))
    fault: str | None = None
    try:
        for key in keys:
            try:
                content = _transformed(server, job, s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            except _BadFileError as error:
                # The other files are still transformed; this one gets no output.
                fault = fault or error.side
                _say(job, f"{bucket}/{key}: {error.side}: {error}")
                continue
            _put(s3, job["TransformOutput"], key.removeprefix(prefix.rpartition("/")[0]).lstrip("/"), content)
    finally:
        job["log"].extend(server.log().splitlines())
        server.stop()
    return fault


def _put(s3: AwsClient, output: Json, name: str, content: bytes) -> None:
    bucket, prefix = split_s3(output["S3OutputPath"].rstrip("/") + "/")
    key_id = output.get("KmsKeyId")
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id} if key_id else {}
    s3.put_object(Bucket=bucket, Key=f"{prefix}{name}.out", Body=content, **encryption)


def _transformed(server: Server, job: Json, content: bytes) -> bytes:
    """Return the answers to the mini-batches of a file, assembled.

    Raises:
        _BadFileError: A batch is too long, or the container refuses it.
    """
    source, output = job["TransformInput"], job["TransformOutput"]
    if source.get("CompressionType") == "Gzip":
        content = gzip.decompress(content)
    headers = {"Content-Type": source.get("ContentType", ""), "Accept": output.get("Accept", "*/*")}
    answers = []
    for batch in _batches(job, content):
        try:
            status, _, answer = server.invoke(batch, headers)
        except OSError as error:
            raise _BadFileError("AlgorithmError", f"Unable to get response from algorithm: {error}") from error
        if status >= 400:
            side = "ClientError" if status < 500 else "AlgorithmError"
            raise _BadFileError(side, f"{status}. Message: {answer.decode(errors='replace')}")
        # "To add a newline character at the end of every transformed record, specify Line." (API_TransformOutput)
        answers.append(answer.rstrip(b"\n") + b"\n" if output.get("AssembleWith") == "Line" else answer)
    return b"".join(answers)


def _batches(request: Json, content: bytes) -> Iterator[bytes]:
    """Split a file as the request says; MaxPayloadInMB limits what one request to the container has."""
    most = request.get("MaxPayloadInMB", _DEFAULT_PAYLOAD) * _MEBIBYTE
    split = request["TransformInput"].get("SplitType", "None") == "Line"
    single = not split or request.get("BatchStrategy") == "SingleRecord"
    records = content.splitlines(keepends=True) if split else [content]
    batch: list[bytes] = []
    size = 0
    for record in records:
        if most and len(record) > most:
            raise _BadFileError(
                "ClientError", f"Too much data for max payload size: {len(record)} bytes, MaxPayloadInMB allows {most}."
            )
        if batch and (single or (most and size + len(record) > most)):
            yield b"".join(batch)
            batch, size = [], 0
        batch.append(record)
        size += len(record)
    if batch:
        yield b"".join(batch)
