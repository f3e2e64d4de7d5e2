"""The model registry: the newest approved package of the group, and what it consists of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deployment.errors import DeploymentError

APPROVED = "Approved"

_COMPARED = (
    "arn",
    "containers",
    "content_types",
    "response_types",
    "transform_instance_types",
    "metrics",
    "baselines",
    "samples",
    "payload",
    "metadata",
)
"""What a deployment uses of a package, all of which has to be as it was promoted."""

_OF_PROMOTION = "source_"
"""Customer metadata that promotion writes, also later: no deployment uses it."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of a model.

    Attributes:
        image: Image URI as registered.
        model_data: URI of the archive (``s3://…``), or of a prefix with the files; None if the image holds the model.
        compressed: Whether `model_data` is one archive; otherwise everything below a prefix.
        environment: Environment variables.
        hostname: Name of the container in an inference pipeline; None where there is none.
    """

    image: str
    model_data: str | None
    compressed: bool
    environment: Mapping[str, str]
    hostname: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelPackage:
    """A version in a model package group.

    Attributes:
        arn: Its ARN.
        group: The group's name; the model card has the same.
        version: Its number.
        description: What it says about itself.
        approved_by: Who approved it, as far as the registry knows.
        containers: What is served, in order.
        content_types: What it understands, e.g. ``text/csv``.
        response_types: What it answers.
        transform_instance_types: Instance types it is meant for in batch jobs; empty: any.
        metadata: Customer metadata, e.g. ``problem_type``, ``metric``, ``metric_value``.
        metrics: URIs of its metrics, by ``<group>/<kind>``, e.g. ``ModelQuality/Statistics``.
        baselines: URIs of its drift baselines, by ``<group>/<kind>``, e.g. ``ModelDataQuality/Constraints``.
        samples: Prefix with held-out records and expected answers; None if it brings none.
        payload: Archive with a sample payload; None if it brings none.
        digest: SHA-256 over images and artifacts, ``sha256:…``.
        objects: Size and ETag of every file of it, by URI, as promotion wrote them; empty until `as_promoted`.
    """

    arn: str
    group: str
    version: int
    description: str
    approved_by: str
    containers: tuple[Container, ...]
    content_types: tuple[str, ...]
    response_types: tuple[str, ...]
    transform_instance_types: tuple[str, ...]
    metadata: Mapping[str, str]
    metrics: Mapping[str, str]
    baselines: Mapping[str, str]
    samples: str | None
    payload: str | None
    digest: str
    objects: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def card(self) -> str:
        """Name of the model card, which is that of the group."""
        return self.group

    @property
    def key(self) -> str:
        """12 hex digits that stand for this package in keys and names."""
        text = json.dumps([self.arn, self.digest, [container.model_data for container in self.containers]])
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def newest_approved(client: Any, group: str) -> ModelPackage | None:
    """Return the newest approved package of a group, or None if nothing is approved.

    Args:
        client: SageMaker client of the hub.
        group: Name of the group.

    Raises:
        DeploymentError: There is no such group.
    """
    # Explicit order, and pages until one has something: a page may be empty and not the last.
    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group,
        ModelApprovalStatus=APPROVED,
        SortBy="CreationTime",
        SortOrder="Descending",
        PaginationConfig={"PageSize": 100},
    )
    try:
        for page in pages:
            for summary in page["ModelPackageSummaryList"]:
                return describe(client, summary["ModelPackageArn"])
    except client.exceptions.ClientError as err:
        if "does not exist" not in str(err):
            raise
        raise DeploymentError(
            f"There is no model package group {group!r} in this account and region, so there is nothing to deploy. "
            f"It comes into being when the first model of a project is approved in development."
        ) from err
    return None


def describe(client: Any, arn: str) -> ModelPackage:
    """Return a package.

    Raises:
        DeploymentError: It has been deleted, or names nothing that could be served.
    """
    return parse(_described(client, arn))


def as_promoted(s3: Any, package: ModelPackage, *, bucket: str, account: str) -> ModelPackage:
    """Return a package with the digest and the files of its promotion, if it still is what was promoted.

    Whoever approves a package may change it in the same call. The record is written by promotion and by nobody else.

    Args:
        s3: S3 client of the hub.
        package: The package as the registry describes it.
        bucket: The registry's bucket.
        account: Account that has to own it.

    Raises:
        DeploymentError: There is no record of its promotion, or it has been changed since.
    """
    key = f"promoted/{package.group.lower()}/{package.version}.json"
    try:
        answer = s3.get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=account)
    except s3.exceptions.ClientError as err:
        raise DeploymentError(
            f"Nobody knows what {package.arn} was when it was promoted, because s3://{bucket}/{key} cannot be read "
            f"({err}). It is not deployed. Have its lead approve the original in development once more, then approve "
            f"the package here again."
        ) from err
    record = json.loads(answer["Body"].read())
    promoted = parse({**record["content"], "ModelPackageArn": record["package"]})
    changed = [name for name in _COMPARED if _used(package, name) != _used(promoted, name)]
    if changed:
        raise DeploymentError(
            f"{package.arn} is no longer what was promoted: {', '.join(changed)} differ from s3://{bucket}/{key}. "
            f"Somebody has changed it since, maybe while approving it, so it is not deployed; what is deployed stays "
            f"as it is. Reject it, and have the model registered and approved anew in development."
        )
    objects = {f"s3://{bucket}/{name}": (int(size), str(etag)) for name, (size, etag) in record["objects"].items()}
    return replace(package, digest=str(record["digest"]), objects=objects)


def _used(package: ModelPackage, name: str) -> Any:
    value = getattr(package, name)
    if name != "metadata":
        return value
    return {key: text for key, text in value.items() if not key.startswith(_OF_PROMOTION)}


def require_member(arn: str, group_arn: str) -> None:
    """Check that a package is one of a group.

    Args:
        arn: ARN of the package.
        group_arn: ARN of the group, e.g. ``arn:aws:sagemaker:eu-west-1:111122223333:model-package-group/churn``.

    Raises:
        DeploymentError: It is another group's; nothing may be deployed.
    """
    prefix = group_arn.replace(":model-package-group/", ":model-package/")
    # SageMaker writes names in lower case into ARNs.
    if not re.fullmatch(rf"{re.escape(prefix.lower())}/\d+", arn.lower()):
        raise DeploymentError(
            f"PACKAGE_ARN is {arn}, which is not a version in {group_arn}, this project's group. It is not deployed; "
            f"what is deployed stays as it is. Start the pipeline again: its step render chooses the package."
        )


def parse(answer: Mapping[str, Any]) -> ModelPackage:
    """Return the package in an answer of DescribeModelPackage.

    Raises:
        DeploymentError: It names nothing that could be served.
    """
    arn = str(answer["ModelPackageArn"])
    specification = answer.get("InferenceSpecification") or {}
    containers = tuple(_container(entry, arn) for entry in specification.get("Containers", []))
    if not containers:
        raise DeploymentError(
            f"{arn} has no inference specification, so nobody knows how to serve it. Register the model with one."
        )
    metadata = dict(answer.get("CustomerMetadataProperties") or {})
    baselines = _uris(answer.get("DriftCheckBaselines") or {})
    metrics = _uris(answer.get("ModelMetrics") or {})
    approver = answer.get("LastModifiedBy") or {}
    identity = _name((approver.get("IamIdentity") or {}).get("Arn", ""))
    return ModelPackage(
        arn=arn,
        group=str(answer.get("ModelPackageGroupName") or arn.split("/")[-2]),
        version=int(answer.get("ModelPackageVersion") or arn.rsplit("/", 1)[-1]),
        description=str(answer.get("ModelPackageDescription") or ""),
        approved_by=str(approver.get("UserProfileName") or identity or "unknown"),
        containers=containers,
        content_types=tuple(specification.get("SupportedContentTypes") or ()),
        response_types=tuple(specification.get("SupportedResponseMIMETypes") or ()),
        transform_instance_types=tuple(specification.get("SupportedTransformInstanceTypes") or ()),
        metadata=metadata,
        metrics=metrics,
        baselines=baselines,
        samples=metadata.get("samples"),
        payload=answer.get("SamplePayloadUrl"),
        digest=_digest([answer.get("InferenceSpecification"), baselines]),
    )


def require_approved(client: Any, package: ModelPackage) -> None:
    """Check that a package is still approved.

    Raises:
        DeploymentError: It was withdrawn, rejected or deleted since it was rendered; nothing may be deployed.
    """
    answer = _described(client, package.arn)
    status = answer.get("ModelApprovalStatus")
    if status != APPROVED:
        who = parse(answer).approved_by
        why = answer.get("ApprovalDescription") or "no reason was given"
        raise DeploymentError(
            f"{package.arn} is no longer approved: it is {status} since {answer.get('LastModifiedTime')} by {who} "
            f"({why}). It is not deployed; what is deployed stays as it is. Approve it again, or start the pipeline "
            f"again to deploy the newest package that is approved."
        )


def _described(client: Any, arn: str) -> Mapping[str, Any]:
    try:
        return dict(client.describe_model_package(ModelPackageName=arn))
    except client.exceptions.ClientError as err:
        if "does not exist" not in str(err):
            raise
        raise DeploymentError(
            f"{arn} has been deleted since this execution began, so it is not deployed. Start the pipeline "
            f"again to deploy the newest package that is approved."
        ) from err


def _container(entry: Mapping[str, Any], arn: str) -> Container:
    source = (entry.get("ModelDataSource") or {}).get("S3DataSource") or {}
    image = entry.get("Image")
    if not image:
        raise DeploymentError(f"{arn} has a container without an image, which cannot be served. Register it with one.")
    data = source.get("S3Uri") or entry.get("ModelDataUrl")
    return Container(
        image=str(image),
        model_data=_s3(data) if data else None,
        compressed=source.get("CompressionType", "Gzip") == "Gzip",
        environment=dict(entry.get("Environment") or {}),
        hostname=entry.get("ContainerHostname"),
    )


def _s3(url: str) -> str:
    """Return an S3 URI; registered archives may also be named by https."""
    found = re.fullmatch(r"https://([a-z0-9.-]+?)\.s3[.-][a-z0-9-]+\.amazonaws\.com(?:\.cn)?/(.+)", url)
    return f"s3://{found[1]}/{found[2]}" if found else url


def _uris(groups: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of metrics or baselines, e.g. ``{"Bias/Report": "s3://…"}``."""
    return {
        f"{group}/{kind}": str(entry["S3Uri"])
        for group, kinds in groups.items()
        for kind, entry in kinds.items()
        if "S3Uri" in entry
    }


def _name(arn: str) -> str:
    """Return whom an ARN is about, e.g. ``ada (MLEngineer)`` for a session of a role."""
    kind, *names = arn.rsplit(":", 1)[-1].split("/")
    return f"{names[-1]} ({names[-2]})" if kind == "assumed-role" and len(names) > 1 else (names or [kind])[-1]


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
