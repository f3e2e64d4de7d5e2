"""Export jobs of SageMaker's model cards: a version of a card becomes a PDF file in S3.

The job has no role of its own: it writes with the permissions of who starts it.
Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelCardExportJob.html
"""

from __future__ import annotations

import json
from typing import Final

import yaml

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam.callers import caller, forwarded_credentials
from aws_emulator.sagemaker import pdf
from aws_emulator.sagemaker.registry import describe_model_card
from aws_emulator.sagemaker.servers import S3_ERRORS, split_s3
from aws_emulator.sagemaker.store import SERVICE, table

_JOBS: Final = table(
    noun="ModelCardExportJob",
    kind="model-card",
    key=("ModelCardName", "export-job", "ModelCardExportJobName"),
    code="ResourceNotFound",
    missing="Model card export job {arn} does not exist.",
    taken_code="ConflictException",
    taken="Model card export job {arn} already exists.",
).answers("Describe")


@overlay(SERVICE, "CreateModelCardExportJob")
def create_model_card_export_job(request: Json) -> Json:
    """Start to export a version of a card, the newest unless the request names one."""
    request = {**request, "ModelCardName": request["ModelCardName"].rsplit("/", 1)[-1]}
    card = describe_model_card(request)
    split_s3(request["OutputConfig"]["S3OutputPath"])
    moment, version = clock.now(), card["ModelCardVersion"]
    more = {"export-job": "export-job", "CreatedAt": moment, "LastModifiedAt": moment, "ModelCardVersion": version}
    job = _JOBS.add(request, Status="InProgress", **more)
    clock.start(_export, job, card)
    return job


def _export(job: Json, card: Json) -> None:
    """Write the file, and let the job end."""
    bucket, prefix = split_s3(job["OutputConfig"]["S3OutputPath"].rstrip("/") + "/")
    key = f"{prefix}{job['ModelCardName']}-v{job['ModelCardVersion']}-{job['ModelCardExportJobName']}.pdf"
    title = f"Model card {job['ModelCardName']}, version {job['ModelCardVersion']}"
    try:
        fields = yaml.safe_dump(json.loads(card["Content"]), sort_keys=False, allow_unicode=True).splitlines()
        content = pdf.document(title, [title, "", f"Status: {card['ModelCardStatus']}", "", *fields])
        s3 = core.client("s3", credentials=forwarded_credentials(caller()))
        s3.put_object(Bucket=bucket, Key=key, Body=content, ContentType="application/pdf")
    except (*S3_ERRORS, ServiceError) as error:
        job |= {"FailureReason": str(error)[:1024], "LastModifiedAt": clock.now(), "Status": "Failed"}
        return
    artifacts = {"S3ExportArtifacts": f"s3://{bucket}/{key}"}
    job |= {"ExportArtifacts": artifacts, "LastModifiedAt": clock.now(), "Status": "Completed"}
