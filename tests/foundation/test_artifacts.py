"""The artifact bucket: who may read it, how it is protected, and that it stays."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hub import (
    ACCOUNT,
    DEPLOYMENT_OU,
    ORGANIZATION,
    OU_PATH,
    REGION,
    hub_assembly,
)
from tests.policy import Launch, allows

DEPLOYMENT_PATH = f"{ORGANIZATION}/r-te01/ou-te01-parent01/{DEPLOYMENT_OU}/"
BUCKET = f"ml-platform-artifacts-{ACCOUNT}-{REGION}"
TEMPLATE = f"arn:aws:s3:::{BUCKET}/releases/train-s3/1.0.0/template.json"
ARCHIVE = f"arn:aws:s3:::{BUCKET}/assets/{'0' * 64}.zip"


@pytest.fixture(scope="module")
def launch() -> Launch:
    return Launch(hub_assembly().templates["ml-platform-artifacts"], {}, account=ACCOUNT, region=REGION)


def bucket_statements(launch: Launch) -> list[dict[str, Any]]:
    (policy,) = [p for p in launch.resources("AWS::S3::BucketPolicy").values() if p["Bucket"] == BUCKET]
    return list(policy["PolicyDocument"]["Statement"])


def key_statements(launch: Launch) -> list[dict[str, Any]]:
    (key,) = launch.resources("AWS::KMS::Key").values()
    return list(key["KeyPolicy"]["Statement"])


def of_anyone(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the statements that apply to a principal of another account."""
    return [s for s in statements if s["Principal"] in ({"AWS": "*"}, "*")]


def reader(path: str, organization: str = ORGANIZATION) -> dict[str, str | list[str]]:
    return {
        "aws:PrincipalOrgID": organization,
        "aws:PrincipalOrgPaths": [path],
        "aws:SecureTransport": "true",
        "kms:ViaService": f"s3.{REGION}.amazonaws.com",
    }


@pytest.mark.parametrize("path", [OU_PATH, f"{OU_PATH}ou-te01-teamteam/"], ids=["the unit", "a unit below it"])
@pytest.mark.parametrize("key", [TEMPLATE, ARCHIVE], ids=["template", "archive"])
def test_accounts_below_the_workloads_unit_read_releases(launch: Launch, path: str, key: str) -> None:
    assert allows(of_anyone(bucket_statements(launch)), "s3:GetObject", key, **reader(path))
    assert allows(of_anyone(key_statements(launch)), "kms:Decrypt", "*", **reader(path))


@pytest.mark.parametrize("path", [DEPLOYMENT_PATH, f"{DEPLOYMENT_PATH}ou-te01-teamteam/"], ids=["the unit", "below"])
def test_accounts_below_the_deployment_unit_read_the_code_of_functions_and_no_release(
    launch: Launch, path: str
) -> None:
    assert allows(of_anyone(bucket_statements(launch)), "s3:GetObject", ARCHIVE, **reader(path))
    assert allows(of_anyone(key_statements(launch)), "kms:Decrypt", "*", **reader(path))
    assert not allows(of_anyone(bucket_statements(launch)), "s3:GetObject", TEMPLATE, **reader(path))
    directly = reader(path) | {"kms:ViaService": f"lambda.{REGION}.amazonaws.com"}
    assert not allows(of_anyone(key_statements(launch)), "kms:Decrypt", "*", **directly)


@pytest.mark.parametrize(
    ("path", "organization"),
    [
        (f"{ORGANIZATION}/r-te01/ou-te01-sandbox1/", ORGANIZATION),
        (f"{ORGANIZATION}/r-te01/", ORGANIZATION),
        (OU_PATH.replace("workload1", "workload10"), ORGANIZATION),
        (OU_PATH, "o-somebodyelse"),
    ],
    ids=["another unit", "the root", "a unit with a similar id", "another organisation"],
)
def test_nobody_else_reads_releases(launch: Launch, path: str, organization: str) -> None:
    assert not allows(of_anyone(bucket_statements(launch)), "s3:GetObject", TEMPLATE, **reader(path, organization))
    assert not allows(of_anyone(key_statements(launch)), "kms:Decrypt", "*", **reader(path, organization))


def test_a_principal_without_an_organisation_reads_nothing(launch: Launch) -> None:
    tls: dict[str, str | list[str]] = {"aws:SecureTransport": "true"}
    assert not allows(of_anyone(bucket_statements(launch)), "s3:GetObject", TEMPLATE, **tls)
    assert not allows(of_anyone(key_statements(launch)), "kms:Decrypt", "*", **tls)


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutBucketPolicy"])
def test_readers_change_nothing(launch: Launch, action: str) -> None:
    assert not allows(of_anyone(bucket_statements(launch)), action, TEMPLATE, **reader(OU_PATH))


def test_the_key_decrypts_for_readers_only_through_s3(launch: Launch) -> None:
    directly = reader(OU_PATH) | {"kms:ViaService": f"lambda.{REGION}.amazonaws.com"}
    assert not allows(of_anyone(key_statements(launch)), "kms:Decrypt", "*", **directly)


def test_requests_without_tls_are_denied(launch: Launch) -> None:
    plain = reader(OU_PATH) | {"aws:SecureTransport": "false"}
    assert not allows(of_anyone(bucket_statements(launch)), "s3:GetObject", TEMPLATE, **plain)


def test_the_bucket_is_versioned_encrypted_private_and_logged(launch: Launch) -> None:
    (bucket,) = [b for b in launch.resources("AWS::S3::Bucket").values() if b.get("BucketName") == BUCKET]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["LoggingConfiguration"]["DestinationBucketName"]


def test_nothing_in_it_expires_and_it_outlives_its_stack(launch: Launch) -> None:
    (logical_id,) = [k for k, b in launch.resources("AWS::S3::Bucket").items() if b.get("BucketName") == BUCKET]
    (rule,) = launch.resources("AWS::S3::Bucket")[logical_id]["LifecycleConfiguration"]["Rules"]
    assert set(rule) == {"AbortIncompleteMultipartUpload", "Status"}
    kept = {logical_id, *launch.resources("AWS::KMS::Key")}
    for resource in kept:
        definition = launch.template["Resources"][resource]
        assert (definition["DeletionPolicy"], definition["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
