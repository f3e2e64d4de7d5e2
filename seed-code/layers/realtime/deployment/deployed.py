"""What runs in prod: written when a deployment is done, read by the next one's test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from botocore.exceptions import ClientError

from deployment.context import Context

KEY = "reports/in-prod.json"
"""In the project's bucket; for people's information only, nothing is decided by it."""


@dataclass(frozen=True)
class Deployed:
    """A package that was deployed to prod.

    Attributes:
        arn: The package.
        version: Its version in the group.
        metadata: Its customer metadata.
        at: When, as ISO 8601.
    """

    arn: str
    version: int
    metadata: Mapping[str, str]
    at: str


def write(context: Context) -> None:
    """Note that the rendered package runs in prod now."""
    package = context.package
    now = datetime.now(UTC).isoformat(timespec="seconds")
    content = asdict(Deployed(package.arn, package.version, dict(package.metadata), now))
    context.hub("s3").put_object(
        Bucket=context.build.artifact_bucket,
        Key=KEY,
        Body=json.dumps(content, indent=2).encode(),
        ContentType="application/json",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=context.build.kms_key_arn,
    )


def read(context: Context) -> Deployed | None:
    """Return what runs in prod, or None if nothing has been deployed there."""
    try:
        answer = context.hub("s3").get_object(Bucket=context.build.artifact_bucket, Key=KEY)
        return Deployed(**json.loads(answer["Body"].read()))
    except ClientError as err:
        if err.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise
    except (ValueError, TypeError):
        return None  # written by an older repository in another form
