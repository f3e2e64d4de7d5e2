"""One JSON object per decision in the audit bucket, which nobody can change: its object lock sees to that."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.exceptions import ClientError

from lambdas.model_promotion.names import AUDIT_PREFIX
from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambdas.model_promotion.decisions import Decision
    from lambdas.model_promotion.packages import Copied


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A decision and what it is about; the names of the fields are the columns of the table in Athena.

    Attributes:
        place: ``development``, ``hub`` or ``production``: what was decided: that the model leaves the project, that it
            may be deployed, that it goes to production.
        decision: What was decided, who did it, when and why.
        account: Account in which it was made.
        package: Package that was decided on.
        hub_package: Its copy in the hub, if there is one.
        digest: SHA-256 over images and artifacts, the same for all decisions on one model.
        artifacts: What was copied because of it.
        deployment: Pipeline and execution that wait for the decision, e.g. ``mlp-p-1-deploy/12ab``; empty for others.
    """

    place: Literal["development", "hub", "production"]
    decision: Decision
    account: str
    package: str
    hub_package: str
    digest: str
    artifacts: Sequence[Copied] = ()
    deployment: str = ""

    @property
    def key(self) -> str:
        """Where it is written: the same for the same decision, so that it is there once."""
        identity = f"{self.package} {self.decision.status} {self.decision.when} {self.decision.reason}{self.deployment}"
        name = hashlib.sha256(identity.encode()).hexdigest()
        day = datetime.fromtimestamp(self.decision.when, UTC)
        return f"{AUDIT_PREFIX}year={day:%Y}/month={day:%m}/day={day:%d}/{name}.json"

    @property
    def line(self) -> str:
        """The decision as one line of JSON."""
        fields = {
            "what": self.decision.status,
            "who": self.decision.who,
            "at": self.decision.moment,
            "reason": self.decision.reason,
            "place": self.place,
            "account": self.account,
            "package": self.package,
            "hub_package": self.hub_package,
            "digest": self.digest,
            "deployment": self.deployment,
            "artifacts": [asdict(artifact) for artifact in self.artifacts],
        }
        return json.dumps(fields, sort_keys=True) + "\n"


class Audit:
    """The audit bucket.

    Args:
        bucket: Its name.
        account: Account that has to own it.
    """

    def __init__(self, bucket: str, account: str) -> None:
        self._place = {"Bucket": bucket, "ExpectedBucketOwner": account}
        self._client: Any = boto3.client("s3", config=CONFIG)

    def note(self, verdict: Verdict) -> None:
        """Write a decision down, unless it is written down already."""
        try:
            self._client.put_object(
                **self._place,
                Key=verdict.key,
                Body=verdict.line.encode(),
                ContentType="application/json",
                ChecksumAlgorithm="CRC32",  # a bucket with object lock takes nothing without a checksum
                IfNoneMatch="*",
            )
        except ClientError as err:
            if err.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
