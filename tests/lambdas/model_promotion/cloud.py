"""Two AWS accounts in memory, as far as promotion uses them: every call checked, counted, and failing on demand.

Sizes of objects are numbers, nothing of that size exists; ranges, parts and checksums are computed as S3 does.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest import mock

import botocore.validate

from tests.lambdas.aws import client_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DEV, HUB, PROD = "111111111111", "999999999999", "333333333333"
REGION = "eu-west-1"
BUCKET, AUDIT, KEY = f"ml-platform-registry-{HUB}-{REGION}", "ml-platform-audit", f"arn:aws:kms:{REGION}:{HUB}:key/hub"
REPOSITORY = "ml-platform/models"
IMAGES = "mlp-p-1-scoring"
"""Repository of the project in the development account."""
QUEUE = "https://sqs/queue"

Json = dict[str, Any]


class Killed(BaseException):
    """The end of a process: nothing of the function's runs any more."""


@dataclass
class Object:
    """An object: what it contains as a text that stands for the bytes, or the bytes of a document."""

    content: str
    size: int
    modified: float
    body: bytes = b""
    algorithm: str = "CRC64NVME"
    kind: str = "FULL_OBJECT"
    parts: tuple[int, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    sse: str = ""

    @property
    def etag(self) -> str:
        return f'"{_digest(self.content, self.size, self.parts, self.metadata)[:32]}"'

    @property
    def checksum(self) -> str:
        if self.kind == "COMPOSITE":
            return f"{_digest(self.content, self.parts)[:8]}-{len(self.parts)}"
        return _digest(self.content)[:11]


@dataclass
class Upload:
    """A multipart upload."""

    bucket: str
    key: str
    request: Json
    initiated: float
    parts: dict[int, tuple[str, int, int]] = field(default_factory=dict)


class Cloud:
    """The accounts, a queue and a clock. Calls of every boto3 client come here while `running`."""

    def __init__(self) -> None:
        self.now = 1_763_600_000.0
        self.calls: list[tuple[str, Json]] = []
        self.objects: dict[tuple[str, str], Object] = {}
        self.uploads: dict[str, Upload] = {}
        self.packages: dict[str, Json] = {}
        self.groups: dict[str, Json] = {}
        self.tokens: dict[str, str] = {}
        self.cards: dict[str, list[str]] = {}
        self.card_status: dict[str, str] = {}
        self.images: dict[tuple[str, str, str], Json] = {}
        self.layers: dict[tuple[str, str], bytes] = {}
        self.layer_uploads: dict[str, bytes] = {}
        self.actions: list[Json] = []
        self.sent: list[Json] = []
        self.put_off: list[Json] = []
        self.remembers_tokens = True
        self.hides_encrypted_packages = True
        self.wait_s: dict[str, float] = {}
        self.fail: Callable[[str, Json], BaseException | None] = lambda _operation, _parameters: None
        self.fail_at: int | None = None
        self.fail_after = False
        self.failure: Callable[[str], BaseException] = lambda operation: client_error("InternalServerError", operation)
        self._lock = threading.RLock()

    # ---- preparing --------------------------------------------------------------------------------------------------

    def put(self, bucket: str, key: str, *, size: int = 1000, **properties: Any) -> Object:  # noqa: ANN401
        """Put an object there, as a job in the development account does."""
        entry = Object(content=f"{bucket}/{key}", size=size, modified=self.now - 100, **properties)
        self.objects[bucket, key] = entry
        return entry

    def register(self, package: Json, *, account: str = DEV) -> str:
        """Register a package in an account and return its ARN."""
        group = package["ModelPackageGroupName"]
        arn = f"arn:aws:sagemaker:{REGION}:{account}:model-package/{group}/{package['ModelPackageVersion']}"
        self.packages[arn] = {
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": []},
            "CreationTime": datetime.fromtimestamp(self.now, UTC),
            "ModelApprovalStatus": "PendingManualApproval",
            **package,
            "ModelPackageArn": arn,
        }
        return arn

    def decide(self, arn: str, status: str, reason: str = "", *, who: str = "lead") -> Json:
        """Decide on a package as a person does, and return the event."""
        self.now += 60
        package = self.packages[arn]
        package["LastModifiedTime"] = datetime.fromtimestamp(self.now, UTC)
        package["LastModifiedBy"] = {"UserProfileName": who}
        package["ModelApprovalStatus"] = status
        package["ApprovalDescription"] = reason
        return self.event(arn)

    def act(self, execution: str, stage: str, action: str, **fields: Any) -> str:  # noqa: ANN401
        """Let an action of a deployment pipeline have run, and return its id."""
        moment = datetime.fromtimestamp(self.now, UTC)
        self.actions.insert(  # CodePipeline lists the newest first
            0,
            {
                "pipelineExecutionId": execution,
                "actionExecutionId": f"a{len(self.actions)}",
                "stageName": stage,
                "actionName": action,
                "startTime": moment,
                "lastUpdateTime": moment,
                "status": "Succeeded",
                **fields,
            },
        )
        return str(self.actions[0]["actionExecutionId"])

    def answer(
        self, arn: str | None, status: str, reason: str = "", *, who: str | None = "officer", execution: str = ""
    ) -> Json:
        """Answer the approval of a deployment pipeline as the governance officer does, and return the event.

        Args:
            arn: What the step render says that it deploys; None if it has run already.
            status: ``Succeeded`` or ``Failed``.
            reason: Why.
            who: Whoever answers; None if the approval was given up.
            execution: Execution of the pipeline. Default: a new one.
        """
        self.now += 60
        moment = datetime.fromtimestamp(self.now, UTC)
        execution = execution or f"e{len(self.actions)}"
        result = {"executionResult": {"externalExecutionSummary": reason}}
        by = {"updatedBy": f"arn:aws:iam::{HUB}:user/{who}"} if who else {}
        if arn is not None:
            self.act(execution, "Render", "Render", output={"outputVariables": {"PACKAGE_ARN": arn}})
        answer = self.act(execution, "Approve", "GovernanceApproval", status=status, output=result, **by)
        return {
            "source": "aws.codepipeline",
            "detail-type": "CodePipeline Action Execution State Change",
            "account": HUB,
            "region": REGION,
            "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "detail": {
                "pipeline": "mlp-p-1-deploy",
                "execution-id": execution,
                "stage": "Approve",
                "action": "GovernanceApproval",
                "action-execution-id": answer,
                "state": status.upper(),
                "type": {"owner": "AWS", "category": "Approval", "provider": "Manual", "version": "1"},
            },
        }

    def event(self, arn: str) -> Json:
        """Return the event that EventBridge delivers for a package as it is now."""
        package = self.packages[arn]
        changed: datetime = package.get("LastModifiedTime") or package["CreationTime"]
        return {
            "source": "aws.sagemaker",
            "detail-type": "SageMaker Model Package State Change",
            "account": arn.split(":")[4],
            "region": REGION,
            "time": changed.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "detail": {
                "ModelPackageArn": arn,
                "ModelApprovalStatus": package["ModelApprovalStatus"],
                "Tags": {"cost-centre": "4711", "aws:internal": "x"},
            },
        }

    # ---- looking ----------------------------------------------------------------------------------------------------

    @property
    def copies(self) -> list[Json]:
        """Packages of the hub."""
        return [package for arn, package in self.packages.items() if f":{HUB}:" in arn]

    @property
    def verdicts(self) -> list[Json]:
        """What the audit bucket has."""
        return [json.loads(entry.body) for (bucket, _), entry in sorted(self.objects.items()) if bucket == AUDIT]

    def of(self, operation: str) -> list[Json]:
        """Return the parameters of every call of an operation."""
        return [parameters for name, parameters in self.calls if name == operation]

    def state(self) -> Json:
        """Return what remains in the hub, without what tells one run from another: times and claims."""
        records = [
            json.loads(entry.body) | {"started": 0}
            for (bucket, key), entry in sorted(self.objects.items())
            if bucket == BUCKET and key.startswith("promotions/")
        ]
        hidden = ("CreationTime", "LastModifiedTime")
        return {
            "packages": [{k: v for k, v in package.items() if k not in hidden} for package in self.copies],
            "groups": self.groups,
            "cards": self.cards,
            "card_status": self.card_status,
            "records": records,
            "promoted": {
                key: json.loads(entry.body)
                for (bucket, key), entry in sorted(self.objects.items())
                if bucket == BUCKET and key.startswith("promoted/")
            },
            "verdicts": self.verdicts,
            "objects": {
                key: (entry.content, entry.size, entry.sse)
                for (bucket, key), entry in sorted(self.objects.items())
                if bucket == BUCKET and key.startswith("packages/")
            },
            "uploads": len(self.uploads),
            "images": sorted(key for key in self.images if key[0] == HUB),
        }

    # ---- answering --------------------------------------------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let every boto3 client speak to this cloud."""
        cloud = self

        def call(client: Any, operation: str, parameters: Json) -> Any:  # noqa: ANN401
            service = client.meta.service_model.service_name
            shape = client.meta.service_model.operation_model(operation).input_shape
            as_sent = parameters | {"CopySource": "bucket/key"} if "CopySource" in parameters else parameters
            botocore.validate.validate_parameters(as_sent, shape)  # botocore takes a dict there, and sends a text
            _require_owners(shape.members, parameters)
            return cloud._answer(f"{service}:{operation}", parameters)

        with mock.patch("botocore.client.BaseClient._make_api_call", call):
            yield

    def _answer(self, operation: str, parameters: Json) -> Any:  # noqa: ANN401
        with self._lock:
            index = len(self.calls)
            self.calls.append((operation, parameters))
            self.now += self.wait_s.get(operation, 0)
        error = self.fail(operation, parameters)  # it may call the function once more, which starts threads
        if error is not None:
            raise error
        if index == self.fail_at and not self.fail_after:
            raise self.failure(operation)
        name = operation.split(":")[1]
        with self._lock:
            result = getattr(self, "".join(f"_{c.lower()}" if c.isupper() else c for c in name))(**parameters)
        if index == self.fail_at:
            raise self.failure(operation)
        return result

    # SageMaker

    def _describe_model_package(self, ModelPackageName: str) -> Json:  # noqa: N803
        if ModelPackageName not in self.packages:
            raise _refused(f"ModelPackage {ModelPackageName} does not exist.")
        key = self.packages[ModelPackageName].get("SecurityConfig", {}).get("KmsKeyId")
        if key and self.hides_encrypted_packages:
            message = f"User: promotion is not authorized to perform: kms:Decrypt on resource: {key}"
            raise client_error("AccessDeniedException", "DescribeModelPackage", message)
        return dict(self.packages[ModelPackageName])

    def _create_model_package_group(self, **request: Any) -> Json:  # noqa: ANN401
        name = request["ModelPackageGroupName"]
        arn = f"arn:aws:sagemaker:{REGION}:{HUB}:model-package-group/{name}"
        if name in self.groups:
            raise _refused(f"Model Package Group already exists: {arn}")
        self.groups[name] = {**request, "Tags": {tag["Key"]: tag["Value"] for tag in request["Tags"]}}
        return {"ModelPackageGroupArn": arn}

    def _put_model_package_group_policy(self, ModelPackageGroupName: str, ResourcePolicy: str) -> Json:  # noqa: N803
        self.groups[ModelPackageGroupName]["Policy"] = ResourcePolicy
        return {}

    def _add_tags(self, ResourceArn: str, Tags: list[Json]) -> Json:  # noqa: N803
        name = ResourceArn.rsplit("/", 1)[1]
        self.groups[name]["Tags"] |= {tag["Key"]: tag["Value"] for tag in Tags}
        return {}

    def _create_model_package(self, ClientToken: str, **request: Any) -> Json:  # noqa: N803, ANN401
        if self.remembers_tokens and ClientToken in self.tokens:
            return {"ModelPackageArn": self.tokens[ClientToken]}
        group = request["ModelPackageGroupName"]
        version = 1 + sum(package["ModelPackageGroupName"] == group for package in self.copies)
        self.tokens[ClientToken] = self.register({**request, "ModelPackageVersion": version}, account=HUB)
        return {"ModelPackageArn": self.tokens[ClientToken]}

    def _list_model_packages(self, ModelPackageGroupName: str, **filters: Any) -> Json:  # noqa: N803, ANN401
        if ModelPackageGroupName not in self.groups:
            raise _refused(f"ModelPackageGroup {ModelPackageGroupName} does not exist.")
        found = [
            {"ModelPackageArn": package["ModelPackageArn"]}
            for package in self.copies
            if package["ModelPackageGroupName"] == ModelPackageGroupName
            and package["CreationTime"] >= filters["CreationTimeAfter"]
        ]
        return {"ModelPackageSummaryList": found}

    def _update_model_package(self, ModelPackageArn: str, **changes: Any) -> Json:  # noqa: N803, ANN401
        package = self.packages[ModelPackageArn]
        changes["CustomerMetadataProperties"] = {
            **package.get("CustomerMetadataProperties", {}),
            **changes.get("CustomerMetadataProperties", {}),
        }
        package |= changes
        return {}

    def _describe_model_card(self, ModelCardName: str) -> Json:  # noqa: N803
        if ModelCardName not in self.cards:
            raise client_error("ResourceNotFound", "DescribeModelCard")
        return {"Content": self.cards[ModelCardName][-1], "ModelCardStatus": self.card_status[ModelCardName]}

    def _create_model_card(self, ModelCardName: str, Content: str, ModelCardStatus: str) -> Json:  # noqa: N803
        if ModelCardName in self.cards:
            raise client_error("ConflictException", "CreateModelCard")
        self.cards[ModelCardName] = [Content]
        self.card_status[ModelCardName] = ModelCardStatus
        return {}

    def _update_model_card(self, ModelCardName: str, **change: str) -> Json:  # noqa: N803
        if len(change) != 1:  # UpdateModelCard, API reference: not both in a single call
            raise client_error("ValidationException", "UpdateModelCard")
        if "Content" in change:
            self.cards[ModelCardName].append(change["Content"])
        else:
            self.card_status[ModelCardName] = change["ModelCardStatus"]
        return {}

    # CodePipeline

    def _list_action_executions(self, pipelineName: str, **request: Any) -> Json:  # noqa: N803, ANN401
        execution = request["filter"]["pipelineExecutionId"]
        assert pipelineName == "mlp-p-1-deploy"
        found = [a for a in self.actions if a["pipelineExecutionId"] == execution]
        start = int(request.get("nextToken", 0))
        more = {"nextToken": str(start + 100)} if len(found) > start + 100 else {}
        return {"actionExecutionDetails": found[start : start + 100], **more}

    # S3

    def _head_object(self, Bucket: str, Key: str, **_rest: Any) -> Json:  # noqa: N803, ANN401
        entry = self.objects.get((Bucket, Key))
        if entry is None:
            raise client_error("404", "HeadObject")
        checksum = {f"Checksum{entry.algorithm}": entry.checksum, "ChecksumType": entry.kind} if entry.algorithm else {}
        return {
            "ContentLength": entry.size,
            "ETag": entry.etag,
            "LastModified": datetime.fromtimestamp(entry.modified, UTC),
            "Metadata": entry.metadata,
            **checksum,
        }

    def _get_object(self, Bucket: str, Key: str, **_rest: Any) -> Json:  # noqa: N803, ANN401
        if (Bucket, Key) not in self.objects:
            raise client_error("NoSuchKey", "GetObject")
        entry = self.objects[Bucket, Key]
        return {"Body": io.BytesIO(entry.body), "ETag": entry.etag}

    def _put_object(self, Bucket: str, Key: str, Body: bytes, **request: Any) -> Json:  # noqa: N803, ANN401
        present = self.objects.get((Bucket, Key))
        if ("IfNoneMatch" in request and present) or (
            "IfMatch" in request and (present is None or present.etag != request["IfMatch"])
        ):
            raise client_error("PreconditionFailed", "PutObject")
        text = f"{Body!r} {self.now} {len(self.calls)}"
        self.objects[Bucket, Key] = Object(content=text, size=len(Body), modified=self.now, body=Body)
        return {"ETag": self.objects[Bucket, Key].etag}

    def _list_objects_v2(self, Bucket: str, Prefix: str, **_rest: Any) -> Json:  # noqa: N803, ANN401
        keys = sorted(key for bucket, key in self.objects if bucket == Bucket and key.startswith(Prefix))
        return {"Contents": [{"Key": key} for key in keys], "IsTruncated": False}

    def _source(self, request: Json) -> Object:
        entry = self.objects[request["CopySource"]["Bucket"], request["CopySource"]["Key"]]
        if entry.etag != request["CopySourceIfMatch"]:
            raise client_error("PreconditionFailed", "Copy")
        return entry

    def _copy_object(self, Bucket: str, Key: str, **request: Any) -> Json:  # noqa: N803, ANN401
        source = self._source(request)
        assert source.size <= 5 * 1024**3
        self.objects[Bucket, Key] = Object(
            content=source.content,
            size=source.size,
            modified=self.now,
            algorithm=request.get("ChecksumAlgorithm", "CRC64NVME"),
            metadata=request["Metadata"],
            sse=request["SSEKMSKeyId"],
        )
        return {}

    def _get_object_attributes(self, Bucket: str, Key: str, **request: Any) -> Json:  # noqa: N803, ANN401
        sizes = self.objects[Bucket, Key].parts
        start = request.get("PartNumberMarker", 0)
        page = sizes[start : start + request["MaxParts"]]
        truncated = start + len(page) < len(sizes)
        parts = [{"PartNumber": start + n, "Size": size} for n, size in enumerate(page, start=1)]
        return {
            "ObjectParts": {"Parts": parts, "IsTruncated": truncated, "NextPartNumberMarker": start + len(page)}
            if sizes
            else {}
        }

    def _create_multipart_upload(self, Bucket: str, Key: str, **request: Any) -> Json:  # noqa: N803, ANN401
        upload = f"upload-{len(self.calls)}"
        self.uploads[upload] = Upload(bucket=Bucket, key=Key, request=request, initiated=self.now)
        return {"UploadId": upload}

    def _upload_part_copy(self, UploadId: str, PartNumber: int, **request: Any) -> Json:  # noqa: N803, ANN401
        source = self._source(request)
        first, last = (int(text) for text in request["CopySourceRange"].removeprefix("bytes=").split("-"))
        assert 0 <= first <= last < source.size
        assert last - first < 5 * 1024**3
        assert 1 <= PartNumber <= 10_000
        self.uploads[UploadId].parts[PartNumber] = (source.content, first, last)
        return {"CopyPartResult": {"ETag": f'"{PartNumber}"', "ChecksumCRC64NVME": f"crc{PartNumber}"}}

    def _complete_multipart_upload(self, UploadId: str, MultipartUpload: Json, **_rest: Any) -> Json:  # noqa: N803, ANN401
        upload = self.uploads.pop(UploadId)
        ranges = [upload.parts[part["PartNumber"]] for part in MultipartUpload["Parts"]]
        sizes = tuple(last - first + 1 for _, first, last in ranges)
        assert min(sizes[:-1], default=5 * 1024**2) >= 5 * 1024**2
        follows = all(a[0] == b[0] and a[2] + 1 == b[1] for a, b in itertools.pairwise(ranges))
        content = ranges[0][0] if follows and ranges[0][1] == 0 else f"garbled {ranges}"
        self.objects[upload.bucket, upload.key] = Object(
            content=content,
            size=sum(sizes),
            modified=self.now,
            algorithm=upload.request.get("ChecksumAlgorithm", "CRC64NVME"),
            kind=upload.request.get("ChecksumType", "FULL_OBJECT"),
            parts=sizes,
            metadata=upload.request["Metadata"],
            sse=upload.request["SSEKMSKeyId"],
        )
        return {}

    def _abort_multipart_upload(self, UploadId: str, **_rest: Any) -> Json:  # noqa: N803, ANN401
        del self.uploads[UploadId]
        return {}

    def _list_multipart_uploads(self, Bucket: str, Prefix: str, **_rest: Any) -> Json:  # noqa: N803, ANN401
        found = [
            {"Key": entry.key, "UploadId": upload, "Initiated": datetime.fromtimestamp(entry.initiated, UTC)}
            for upload, entry in self.uploads.items()
            if entry.bucket == Bucket and entry.key.startswith(Prefix)
        ]
        return {"Uploads": found, "IsTruncated": False}

    def _list_parts(self, UploadId: str, **_rest: Any) -> Json:  # noqa: N803, ANN401
        parts = [
            {"PartNumber": number, "ETag": f'"{number}"', "Size": last - first + 1}
            for number, (_, first, last) in self.uploads[UploadId].parts.items()
        ]
        return {"Parts": parts, "IsTruncated": False}

    # ECR

    def _batch_get_image(self, registryId: str, repositoryName: str, imageIds: list[Json], **_rest: Any) -> Json:  # noqa: N803, ANN401
        (wanted,) = imageIds
        found = [
            image
            for (registry, repository, digest), image in self.images.items()
            if (registry, repository) == (registryId, repositoryName)
            and (digest == wanted.get("imageDigest") or image["imageId"].get("imageTag", "") == wanted.get("imageTag"))
        ]
        return {"images": found}

    def _batch_check_layer_availability(self, registryId: str, layerDigests: list[str], **_rest: Any) -> Json:  # noqa: N803, ANN401
        return {
            "layers": [
                {"layerDigest": digest, "layerAvailability": "AVAILABLE"}
                for digest in layerDigests
                if (registryId, digest) in self.layers
            ]
        }

    def _get_download_url_for_layer(self, registryId: str, layerDigest: str, **_rest: Any) -> Json:  # noqa: N803, ANN401
        return {"downloadUrl": f"https://layers/{registryId}/{layerDigest}"}

    @contextmanager
    def download(self, url: str) -> Iterator[io.BytesIO]:
        """Read a layer at the URL that ECR gave."""
        registry, digest = url.rsplit("/", 2)[1:]
        yield io.BytesIO(self.layers[registry, digest])

    def _initiate_layer_upload(self, **_rest: Any) -> Json:  # noqa: ANN401
        upload = f"00000000-0000-0000-0000-{len(self.calls):012d}"
        self.layer_uploads[upload] = b""
        return {"uploadId": upload, "partSize": 8}

    def _upload_layer_part(self, uploadId: str, partFirstByte: int, layerPartBlob: bytes, **_rest: Any) -> Json:  # noqa: N803, ANN401
        assert partFirstByte == len(self.layer_uploads[uploadId])
        self.layer_uploads[uploadId] += layerPartBlob
        return {}

    def _complete_layer_upload(self, registryId: str, uploadId: str, layerDigests: list[str], **_rest: Any) -> Json:  # noqa: N803, ANN401
        body = self.layer_uploads.pop(uploadId)
        assert layerDigests == [f"sha256:{hashlib.sha256(body).hexdigest()}"]
        if (registryId, layerDigests[0]) in self.layers:
            raise client_error("LayerAlreadyExistsException", "CompleteLayerUpload")
        self.layers[registryId, layerDigests[0]] = body
        return {}

    def _put_image(self, registryId: str, repositoryName: str, imageDigest: str, **request: Any) -> Json:  # noqa: N803, ANN401
        manifest = json.loads(request["imageManifest"])
        for layer in [*manifest.get("layers", ()), *([manifest["config"]] if "config" in manifest else [])]:
            assert (registryId, layer["digest"]) in self.layers
        if (registryId, repositoryName, imageDigest) in self.images:
            raise client_error("ImageAlreadyExistsException", "PutImage")
        self.images[registryId, repositoryName, imageDigest] = {
            "imageManifest": request["imageManifest"],
            "imageManifestMediaType": request["imageManifestMediaType"],
            "imageId": {"imageDigest": imageDigest, "imageTag": request["imageTag"]},
        }
        return {}

    def push(self, repository: str, tag: str, layers: list[bytes]) -> str:
        """Push an image into the development account's registry and return its digest."""
        entries = []
        for body in layers:
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            self.layers[DEV, digest] = body
            entries.append({"digest": digest, "size": len(body)})
        kind = "application/vnd.oci.image.manifest.v1+json"
        text = json.dumps({"mediaType": kind, "config": entries[0], "layers": entries[1:]})
        return self.put_manifest(repository, tag, kind, text)

    def put_manifest(self, repository: str, tag: str, kind: str, text: str) -> str:
        """Put a manifest into the development account's registry and return its digest."""
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        self.images[DEV, repository, digest] = {
            "imageManifest": text,
            "imageManifestMediaType": kind,
            "imageId": {"imageDigest": digest, "imageTag": tag},
        }
        return digest

    # SQS

    def _send_message(self, **request: Any) -> Json:  # noqa: ANN401
        self.sent.append(request)
        return {}

    def _change_message_visibility(self, **request: Any) -> Json:  # noqa: ANN401
        self.put_off.append(request)
        return {}


def _require_owners(accepts: Mapping[str, Any], parameters: Json) -> None:
    """Fail unless a request of S3 names the owner of every bucket where it may, and S3 would find it right."""
    source = parameters.get("CopySource", {}).get("Bucket", "")
    for name, bucket in (
        ("ExpectedBucketOwner", parameters.get("Bucket", "")),
        ("ExpectedSourceBucketOwner", source),
    ):
        if name in accepts:
            assert parameters[name] == (HUB if bucket in (BUCKET, AUDIT) else bucket.split("-")[-4]), (name, bucket)


def _digest(*values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()


def _refused(message: str) -> Exception:
    return client_error("ValidationException", "Operation", message)


def model(version: int = 1, **fields: Any) -> Mapping[str, Any]:  # noqa: ANN401
    """Return a package with everything that a package can have."""
    source = f"mlp-p-1-{DEV}-{REGION}"

    def uri(name: str) -> Json:
        return {"ContentType": "application/json", "S3Uri": f"s3://{source}/v{version}/{name}"}

    container = {
        "Image": f"{DEV}.dkr.ecr.{REGION}.amazonaws.com/{IMAGES}:latest",
        "ModelDataUrl": f"s3://{source}/v{version}/model.tar.gz",
        "Environment": {"SAGEMAKER_SUBMIT_DIRECTORY": f"s3://{source}/v{version}/code.tar.gz", "MODE": "fast"},
    }
    public = {
        "Image": f"141502667606.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:3.0-5",
        "ModelDataUrl": f"s3://{source}/v{version}/second.tar.gz",
    }
    return {
        "ModelPackageGroupName": "churn-p-1",
        "ModelPackageVersion": version,
        "ModelPackageDescription": "Predicts churn",
        "InferenceSpecification": {"Containers": [container, public], "SupportedContentTypes": ["text/csv"]},
        "AdditionalInferenceSpecifications": [
            {
                "Name": "small",
                "Containers": [
                    {"Image": public["Image"], "ModelDataUrl": f"s3://{source}/v{version}/small.tar.gz"},
                ],
            }
        ],
        "ModelMetrics": {
            "ModelQuality": {"Statistics": uri("evaluation.json")},
            "Bias": {"Report": uri("bias.json")},
            "Explainability": {"Report": uri("explain.json")},
        },
        "DriftCheckBaselines": {"ModelDataQuality": {"Statistics": uri("statistics.json")}},
        "SamplePayloadUrl": f"s3://{source}/v{version}/payload.tar.gz",
        "MetadataProperties": {"CommitId": "abc", "Repository": "team/churn", "GeneratedBy": "arn:aws:x"},
        "CustomerMetadataProperties": {
            "metric": "auc",
            "metric_value": "0.93",
            "problem_type": "binary",
            "data_uri": f"s3://{source}/lake/",
            "samples": f"s3://{source}/v{version}/samples",
        },
        "ModelCard": {
            "ModelCardStatus": "Draft",
            "ModelCardContent": json.dumps(
                {
                    "model_overview": {"model_creator": "churn"},
                    "intended_uses": {"purpose_of_model": "Keep customers."},
                }
            ),
        },
        "Domain": "MACHINE_LEARNING",
        "Task": "CLASSIFICATION",
        **fields,
    }


def put_artifacts(cloud: Cloud, version: int = 1) -> str:
    """Put everything that `model` names into the project's bucket, and push its image; return the image's digest."""
    source = f"mlp-p-1-{DEV}-{REGION}"
    names = ["model.tar.gz", "second.tar.gz", "small.tar.gz", "code.tar.gz", "evaluation.json", "bias.json"]
    names += ["explain.json", "statistics.json", "payload.tar.gz", "samples/records.csv", "samples/labels.csv"]
    for name in names:
        cloud.put(source, f"v{version}/{name}")
    cloud.put(source, "lake/training-data.csv")
    return cloud.push(IMAGES, "latest", [b"configuration", b"first layer of the image", b"second layer"])
