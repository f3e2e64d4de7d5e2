"""Export jobs of model cards: the file is written with the permissions of who starts the job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import HUB, REGION, AwsClient, eventually

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

BUCKET: Final = "card-exports"
CARD: Final = "churn-card"


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> AwsClient:
    """A client as root of the account, in which the bucket and two versions of a card exist."""
    client = cloud.client("s3", HUB)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    sagemaker = cloud.client("sagemaker", HUB)
    for number, text in enumerate(("first", "second (final)")):
        content = json.dumps({"model_overview": {"model_description": text, "notes": ["a", "b"]}})
        if number:
            sagemaker.update_model_card(ModelCardName=CARD, Content=content)
        else:
            sagemaker.create_model_card(ModelCardName=CARD, Content=content, ModelCardStatus="Draft")
    return client


def exporter(cloud: Cloud, name: str, prefix: str) -> AwsClient:
    """Return a client as a role that exports the card and writes below a prefix of the bucket."""
    card = f"arn:aws:sagemaker:{REGION}:{HUB}:model-card/{CARD}"
    actions = ["CreateModelCardExportJob", "DescribeModelCardExportJob", "ListModelCardExportJobs"]
    statements: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": [f"sagemaker:{a}" for a in actions], "Resource": [card, f"{card}/export-job/*"]},
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/{prefix}/*"},
    ]
    return cloud.client("sagemaker", HUB, cloud.assume(cloud.role(HUB, name, statements)))


def export(sagemaker: AwsClient, job: str, prefix: str) -> dict[str, Any]:
    """Run an export job of the newest version and return its description."""
    arn = sagemaker.create_model_card_export_job(
        ModelCardName=CARD,
        ModelCardExportJobName=job,
        OutputConfig={"S3OutputPath": f"s3://{BUCKET}/{prefix}"},
    )["ModelCardExportJobArn"]
    assert arn == f"arn:aws:sagemaker:{REGION}:{HUB}:model-card/{CARD}/export-job/{job}"

    def description() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_model_card_export_job(ModelCardExportJobArn=arn)
        return None if found["Status"] == "InProgress" else found

    return eventually(description)


def test_a_card_becomes_a_pdf_file(cloud: Cloud, s3: AwsClient) -> None:
    """The newest version is exported when none is named: API reference, CreateModelCardExportJob."""
    sagemaker = exporter(cloud, "card-exporter", "reports")

    done = export(sagemaker, "release-1", "reports")

    assert (done["Status"], done["ModelCardVersion"]) == ("Completed", 2)
    key = done["ExportArtifacts"]["S3ExportArtifacts"].removeprefix(f"s3://{BUCKET}/")
    content = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert content.startswith(b"%PDF-1.4\n")
    assert rb"model_description: second \(final\)" in content
    # The last number of the file is where its table of objects begins.
    assert content[int(content.split()[-2]) :].startswith(b"xref")
    with pytest.raises(ClientError, match="already exists"):
        export(sagemaker, "release-1", "reports")


def test_an_export_that_may_not_be_written_fails_with_the_reason(cloud: Cloud, s3: AwsClient) -> None:
    del s3
    done = export(exporter(cloud, "card-exporter-elsewhere", "elsewhere"), "refused", "reports")

    assert done["Status"] == "Failed"
    assert "AccessDenied" in done["FailureReason"]
