"""A project, a model package, and AWS as the tests want it to answer."""

from __future__ import annotations

import copy
import datetime
import functools
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.validate import validate_parameters

from deployment import local
from deployment.context import Context
from deployment.settings import Build, read_build
from deployment.targets import Target

NOW = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
Answer = Callable[[dict[str, Any]], dict[str, Any]]


@functools.cache
def _session() -> boto3.Session:
    """Return one session for all tests: it reads the model of a service once."""
    return boto3.Session("test", "test")


class RefusedError(Exception):
    """What AWS answers instead of carrying out a request."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Aws:
    """Session with clients of botocore, but for the network: requests and answers must fit the services' models.

    Attributes:
        answers: What answers, by service and operation, e.g. ``("s3", "HeadObject")``.
        calls: Service, operation and parameters of every request so far.
        regions: Region of every client that was made, by service.
    """

    def __init__(self, answers: dict[tuple[str, str], Answer] | None = None) -> None:
        self.answers = answers or {}
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.regions: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def client(self, service: str, region_name: str = "eu-west-1", config: Any = None) -> Any:
        self.regions.setdefault(service, []).append(region_name)
        client = _session().client(service, region_name=region_name, config=config)

        def remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
            context["given"] = copy.deepcopy(params)

        def answer(model: Any, context: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
            with self._lock:
                return self._answer(service, model, context["given"])

        client.meta.events.register("before-parameter-build", remember)
        client.meta.events.register("before-call", answer)
        return client

    def _answer(self, service: str, model: Any, given: dict[str, Any]) -> tuple[AWSResponse, dict[str, Any]]:
        self.calls.append((service, model.name, given))
        try:
            found = self.answers[service, model.name](given)
        except RefusedError as err:
            error = {"Code": err.code, "Message": str(err)}
            return AWSResponse("", err.status, {}, None), {"Error": error, "ResponseMetadata": {}}
        if model.output_shape is not None:
            validate_parameters({k: v for k, v in found.items() if k != "ResponseMetadata"}, model.output_shape)
        return AWSResponse("", 200, {}, None), {"ResponseMetadata": {"HTTPStatusCode": 200}, **found}

    def called(self, operation: str) -> list[dict[str, Any]]:
        """Return the parameters of every request of an operation."""
        return [given for _, name, given in self.calls if name == operation]


class Bucket:
    """Objects of S3 with sizes instead of contents; a request that names an object which is not there gets a 404."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.records: dict[tuple[str, str], bytes] = {}
        self._uploads: dict[str, dict[str, Any]] = {}

    def add(self, uri: str, size: int = 10, etag: str = '"1"') -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self.objects[bucket, key] = {"ContentLength": size, "ETag": etag, "Metadata": {}}

    def promote(self, package: dict[str, Any]) -> None:
        """Write down what a package was promoted as, with the files that are there, as promotion does."""
        bucket, _, _ = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"][5:].partition("/")
        record = {
            "package": package["ModelPackageArn"],
            "digest": "sha256:" + "0" * 64,
            "content": {name: package[name] for name in package if not name.endswith("Time")},
            "objects": {
                key: [entry["ContentLength"], entry["ETag"].strip('"')]
                for (where, key), entry in self.objects.items()
                if where == bucket
            },
        }
        group, version = package["ModelPackageArn"].split("/")[1:]
        self.records[bucket, f"promoted/{group}/{version}.json"] = json.dumps(record).encode()

    @property
    def answers(self) -> dict[tuple[str, str], Answer]:
        names = (
            "GetObject",
            "HeadObject",
            "ListObjectsV2",
            "PutObject",
            "CopyObject",
            "CreateMultipartUpload",
            "UploadPartCopy",
            "CompleteMultipartUpload",
        )
        return {("s3", name): getattr(self, name) for name in names}

    def GetObject(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        assert given["ExpectedBucketOwner"] == given["Bucket"].split("-")[3]
        try:
            return {"Body": io.BytesIO(self.records[given["Bucket"], given["Key"]])}
        except KeyError:
            raise RefusedError("NoSuchKey", "The specified key does not exist.", 404) from None

    def HeadObject(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        try:
            return dict(self.objects[given["Bucket"], given["Key"]])
        except KeyError:
            raise RefusedError("404", "Not Found", 404) from None

    def ListObjectsV2(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        contents = [
            {"Key": key, "Size": entry["ContentLength"], "ETag": entry["ETag"]}
            for (bucket, key), entry in sorted(self.objects.items())
            if bucket == given["Bucket"] and key.startswith(given["Prefix"])
        ]
        return {"Contents": contents, "IsTruncated": False}

    def PutObject(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        body = given["Body"]
        self._write(given, len(body if isinstance(body, bytes) else body.getvalue()))
        return {"ETag": '"2"'}

    def CopyObject(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        bucket, _, key = unquote(given["CopySource"]).partition("/")
        size = self.objects[bucket, key]["ContentLength"]
        assert size <= 5 * 2**30, "CopyObject takes 5 GB at most"
        self._write(given, size)
        return {"CopyObjectResult": {"ETag": '"2"'}}

    def CreateMultipartUpload(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._uploads[given["Key"]] = {**given, "parts": {}}
        return {"UploadId": "upload"}

    def UploadPartCopy(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        first, last = map(int, given["CopySourceRange"].removeprefix("bytes=").split("-"))
        assert last - first < 5 * 2**30
        self._uploads[given["Key"]]["parts"][given["PartNumber"]] = last - first + 1
        return {"CopyPartResult": {"ETag": '"part"'}}

    def CompleteMultipartUpload(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        upload = self._uploads.pop(given["Key"])
        assert len(upload["parts"]) == len(given["MultipartUpload"]["Parts"]) <= 10_000
        self._write(upload, sum(upload["parts"].values()))
        return {}

    def _write(self, given: dict[str, Any], size: int) -> None:
        self.objects[given["Bucket"], given["Key"]] = {
            "ContentLength": size,
            "ETag": '"2"',
            "Metadata": given.get("Metadata", {}),
            "SSEKMSKeyId": given["SSEKMSKeyId"],
        }


VARIABLES = {**local.VARIABLES, "STAGE": "test", "PACKAGE_ARN": local.PACKAGE["ModelPackageArn"]}


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of this machine out: nothing reaches AWS from a test."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION", *VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def build() -> Build:
    """The build of a stage, with the longest names."""
    return read_build(VARIABLES)


@pytest.fixture
def aws() -> Aws:
    """AWS without any answers."""
    return Aws()


@pytest.fixture
def target(aws: Aws) -> Target:
    """The test stage."""
    return Target("test", VARIABLES["TEST_ACCOUNT_ID"], VARIABLES["TEST_REGION"], aws)


@pytest.fixture
def context(build: Build, aws: Aws, target: Target, tmp_path: Path) -> Context:
    """A step of the test stage, in a repository of its own."""
    return Context(build, {"test": {}, "prod": {}}, root=tmp_path, session=aws, assume=lambda *_, **__: target)


@pytest.fixture
def package() -> dict[str, Any]:
    """An answer of DescribeModelPackage."""
    status = {
        "ModelPackageName": "churn",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "ModelPackageStatus": "Completed",
    }
    return copy.deepcopy({**local.PACKAGE, **status, "CreationTime": NOW, "LastModifiedTime": NOW})
