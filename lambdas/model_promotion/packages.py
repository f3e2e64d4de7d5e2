"""Model packages of both registries: what identifies them, and what the hub calls and keeps of each.

Limits are those of botocore's model of SageMaker.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from lambdas.model_promotion.errors import PromotionError
from lambdas.model_promotion.names import PROMOTED_PREFIX
from lambdas.shared.product_names import PRODUCT_PREFIX, PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAME: Final = r"[a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62}"
_PROJECT_GROUP: Final = re.compile(rf"[a-z0-9](?:-*[a-z0-9]){{0,31}}-({PROJECT_ID})")
"""Groups of projects, ``<project name>-<project id>``: at most 49 characters, and the id is what follows the last
``-p-`` but letters and digits, so that no project's group can be read as another's."""


@dataclass(frozen=True, kw_only=True)
class PackageArn:
    """ARN of a version in a model package group.

    Attributes:
        text: The ARN.
        region: E.g. ``eu-west-1``.
        account: 12 digits.
        group: Name of the group.
        version: Number of the version.
    """

    text: str
    region: str
    account: str
    group: str
    version: int

    def group_in(self, account: str, name: str) -> str:
        """Return the ARN of a group of another account in the same region."""
        return f"{self.text.split(':model-package/')[0].rsplit(':', 1)[0]}:{account}:model-package-group/{name}"

    @property
    def project(self) -> str | None:
        """Id of the project whose group it is, e.g. ``p-abc123``; None if the group is not a project's."""
        found = _PROJECT_GROUP.fullmatch(self.group.lower())
        return found[1] if found else None

    @property
    def bucket(self) -> str:
        """Bucket of the project, the only place from which anything of the package is copied.

        Raises:
            PromotionError: The group is not a project's.
        """
        if self.project is None:
            raise PromotionError(
                f"{self.text} is in the group {self.group!r}, which is not the group of a project (<project name>-"
                f"<project id>), so nobody knows from which bucket its files may be copied: it is not promoted. "
                f"Register the model in the group of a project."
            )
        return f"{PRODUCT_PREFIX}{self.project}-{self.account}-{self.region}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an ARN; None for a package without a group, which has no version."""
        found = re.fullmatch(
            rf"arn:[a-z-]+:sagemaker:([a-z0-9-]+):(\d{{12}}):model-package/({_NAME})/(\d{{1,9}})", text
        )
        if not found:
            return None
        region, account, group, version = found.groups()
        return cls(text=text, region=region, account=account, group=group, version=int(version))


@dataclass(frozen=True, kw_only=True)
class Copied:
    """One artifact and its verified copy.

    Attributes:
        source: URI of the original.
        target: URI of the copy.
        size: Bytes.
        checksum: ``<algorithm>:<base64>`` of both; empty if the original has none.
        etag: ETag of the original that was copied.
        target_etag: ETag of the copy, by which deployments recognise it.
    """

    source: str
    target: str
    size: int
    checksum: str
    etag: str
    target_etag: str = ""


def hub_group(group: str, account: str) -> str:
    """Return the name of the hub's group for a group of another account: ``<group>-<account>``.

    Groups of projects have at most 49 characters, so it has at most 62 of the 63 that SageMaker allows. It is in lower
    case, as SageMaker writes names into ARNs, so that the ARN of the group follows from its name.
    """
    return f"{group.lower()}-{account}"


def folder(package: PackageArn, created: datetime) -> str:
    """Return what a package's copies and record have in common, e.g. ``churn-p-1-1111…/7-20261120T101500Z``.

    The hub's group comes first, so that policies can open the copies of one group. The time is part of it because a
    deleted group can be created again and its versions start at 1.
    """
    group = hub_group(package.group, package.account)
    return f"{group}/{package.version}-{created.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def promoted_key(package: PackageArn) -> str:
    """Return the key of the record about a package of the hub, e.g. ``promoted/churn-p-1-1111…/3.json``."""
    return f"{PROMOTED_PREFIX}{package.group.lower()}/{package.version}.json"


def promoted_text(package: str, request: Mapping[str, Any], copied: Sequence[Copied], digest: str) -> str:
    """Return the record with which deployments compare a package of the hub before they use it.

    SageMaker lets whoever approves a package change it in the same call, so the package itself cannot say what was
    promoted. Written by promotion only, and read by the builds of the group
    (seed-code/layers/deployment/deployment/packages.py).

    Args:
        package: ARN in the hub.
        request: The request that made it: every URI in it names a copy.
        copied: The copies.
        digest: SHA-256 over images and artifacts.
    """
    objects = {entry.target.split("/", 3)[3]: [entry.size, entry.target_etag] for entry in copied}
    content = {name: value for name, value in request.items() if name not in ("ClientToken", "ModelApprovalStatus")}
    record = {"package": package, "digest": digest, "content": content, "objects": objects}
    return json.dumps(record, sort_keys=True, default=str)


def client_token(package: PackageArn, created: datetime) -> str:
    """Return the token that makes CreateModelPackage for this package idempotent (36 characters allowed)."""
    return hashlib.sha256(f"{package.text} {created.timestamp()}".encode()).hexdigest()[:36]


def group_policy(arn: str, readers: Sequence[str]) -> str:
    """Return the policy with which deployment accounts read a group, and create models from its packages.

    Nothing in it changes a package: approving needs UpdateModelPackage.

    Args:
        arn: ARN of the group.
        readers: Account ids.
    """
    partition = arn.split(":")[1]
    packages = arn.replace(":model-package-group/", ":model-package/") + "/*"
    statement = {
        "Sid": "DeploymentAccountsRead",
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:{partition}:iam::{account}:root" for account in sorted(readers)]},
        "Action": [
            "sagemaker:CreateModel",
            "sagemaker:DescribeModelPackage",
            "sagemaker:DescribeModelPackageGroup",
            "sagemaker:ListModelPackages",
        ],
        "Resource": [arn, packages],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
