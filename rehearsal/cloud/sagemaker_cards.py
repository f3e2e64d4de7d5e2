"""Export jobs of SageMaker's model cards: a version of a card becomes a PDF file in S3.

The job has no role of its own: it writes with the permissions of who starts it.
Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelCardExportJob.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from rehearsal.cloud import core, pdf
from rehearsal.cloud.callers import caller, forwarded_credentials
from rehearsal.cloud.clock import clock
from rehearsal.cloud.core import Json, Records, ServiceError, overlay
from rehearsal.cloud.sagemaker_registry import describe_model_card
from rehearsal.cloud.sagemaker_servers import S3_ERRORS, split_s3
from rehearsal.cloud.sagemaker_store import SERVICE, page, sort

if TYPE_CHECKING:
    from collections.abc import Iterator

_jobs: Final = Records()


def _not_found(arn: str) -> ServiceError:
    return ServiceError("ResourceNotFound", f"Model card export job {arn} does not exist.")


@overlay(SERVICE, "CreateModelCardExportJob")
def create_model_card_export_job(request: Json) -> Json:
    """Start to export a version of a card, the newest unless the request names one."""
    name = request["ModelCardName"].rsplit("/", 1)[-1]
    version = {"ModelCardVersion": request["ModelCardVersion"]} if "ModelCardVersion" in request else {}
    card = describe_model_card({"ModelCardName": name, **version})
    arn = core.arn(SERVICE, f"model-card/{name}/export-job/{request['ModelCardExportJobName']}")
    if arn in _jobs:
        raise ServiceError("ConflictException", f"Model card export job {arn} already exists.")
    split_s3(request["OutputConfig"]["S3OutputPath"])
    moment = clock.now()
    job: Json = {
        "ModelCardExportJobName": request["ModelCardExportJobName"],
        "ModelCardExportJobArn": arn,
        "Status": "InProgress",
        "ModelCardName": name,
        "ModelCardVersion": card["ModelCardVersion"],
        "OutputConfig": request["OutputConfig"],
        "CreatedAt": moment,
        "LastModifiedAt": moment,
    }
    _jobs[arn] = job
    clock.start(_export, job, card)
    return {"ModelCardExportJobArn": arn}


def _export(job: Json, card: Json) -> None:
    """Write the file, and let the job end."""
    bucket, prefix = split_s3(job["OutputConfig"]["S3OutputPath"].rstrip("/") + "/")
    key = f"{prefix}{job['ModelCardName']}-v{job['ModelCardVersion']}-{job['ModelCardExportJobName']}.pdf"
    title = f"Model card {job['ModelCardName']}, version {job['ModelCardVersion']}"
    try:
        content = pdf.document(
            title, [title, "", f"Status: {card['ModelCardStatus']}", "", *_lines(json.loads(card["Content"]), 0)]
        )
        s3 = core.client("s3", credentials=forwarded_credentials(caller()))
        s3.put_object(Bucket=bucket, Key=key, Body=content, ContentType="application/pdf")
    except (*S3_ERRORS, ServiceError) as error:
        job |= {"FailureReason": str(error)[:1024], "LastModifiedAt": clock.now(), "Status": "Failed"}
        return
    artifacts = {"S3ExportArtifacts": f"s3://{bucket}/{key}"}
    job |= {"ExportArtifacts": artifacts, "LastModifiedAt": clock.now(), "Status": "Completed"}


def _lines(value: object, depth: int) -> Iterator[str]:
    """Return the lines of a card: its fields and values, indented as they are nested."""
    indent = "  " * depth
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict | list):
                yield f"{indent}{key}:"
                yield from _lines(item, depth + 1)
            else:
                yield f"{indent}{key}: {item}"
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list):
                yield f"{indent}-"
                yield from _lines(item, depth + 1)
            else:
                yield f"{indent}- {item}"


@overlay(SERVICE, "DescribeModelCardExportJob")
def describe_model_card_export_job(request: Json) -> Json:
    """Describe an export job."""
    found: Json | None = _jobs.get(request["ModelCardExportJobArn"])
    if found is None:
        raise _not_found(request["ModelCardExportJobArn"])
    return dict(found)


@overlay(SERVICE, "ListModelCardExportJobs")
def list_model_card_export_jobs(request: Json) -> Json:
    """List the export jobs of a card."""
    name = request["ModelCardName"].rsplit("/", 1)[-1]
    found: list[Json] = [
        {key: value for key, value in job.items() if key not in {"OutputConfig", "ExportArtifacts", "FailureReason"}}
        for job in _jobs.values()
        if job["ModelCardName"] == name
        and request.get("ModelCardVersion") in {None, job["ModelCardVersion"]}
        and request.get("StatusEquals") in {None, job["Status"]}
        and request.get("ModelCardExportJobNameContains", "") in job["ModelCardExportJobName"]
    ]
    fields = {"CreationTime": "CreatedAt", "Name": "ModelCardExportJobName", "Status": "Status"}
    return page(request, "ModelCardExportJobSummaries", sort(request, found, fields))


def install() -> None:
    """Nothing to patch: the operations above are registered when this module is imported."""
