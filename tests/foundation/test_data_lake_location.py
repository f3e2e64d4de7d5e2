"""The template of a location of the data lake: one role reads one prefix for Lake Formation, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cfnlint.api import lint
from cfnlint.config import ManualArgs

from tests.policy import Launch, allows

TEMPLATE = Path(__file__).resolve().parents[2] / "foundation/organization/data-lake-location.json"
KEY = "arn:aws:kms:eu-west-1:555555555555:key/1"
ANSWERS = {"Name": "credit-risk", "BucketName": "lake", "Prefix": "credit_risk", "KeyArn": KEY}


def launched(**answers: str) -> Launch:
    template: dict[str, Any] = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    return Launch(template, {**ANSWERS, **answers}, account="555555555555", region="eu-west-1")


def test_cfn_lint_finds_nothing() -> None:
    assert lint(TEMPLATE.read_text(encoding="utf-8"), config=ManualArgs(regions=["eu-west-1"])) == []


def test_the_role_reads_its_location_and_nothing_else() -> None:
    (allowed,) = launched().roles().values()
    assert allows(allowed, "s3:GetObject", "arn:aws:s3:::lake/credit_risk/loans/part-0.parquet")
    assert allows(allowed, "kms:Decrypt", KEY)
    assert not allows(allowed, "s3:GetObject", "arn:aws:s3:::lake/credit_risk_secret/part-0.parquet")
    assert not allows(allowed, "s3:PutObject", "arn:aws:s3:::lake/credit_risk/loans/part-0.parquet")
    assert not allows(allowed, "s3:ListBucket", "arn:aws:s3:::lake", **{"s3:prefix": "other/"})
    (without_key,) = launched(KeyArn="").roles().values()
    assert not allows(without_key, "kms:Decrypt", KEY)


def test_the_location_is_registered_with_that_role() -> None:
    stack = launched()
    (location,) = stack.resources("AWS::LakeFormation::Resource").values()
    (role,) = stack.resources("AWS::IAM::Role").values()
    assert location["ResourceArn"] == "arn:aws:s3:::lake/credit_risk"
    assert role["RoleName"] == "data-lake-credit-risk"
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "lakeformation.amazonaws.com"}
