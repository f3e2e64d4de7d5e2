"""Files of the launching account's data platform that roles of a product may read: one prefix, and its key if any."""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk

from products.shared import template
from products.shared.form import s3_uri
from products.shared.roles import Grant, through_s3


def key_or_none(given: cdk.CfnCondition, key_arn: str) -> str:
    """Return the ARN of an optional key; without one, that of a key that cannot exist, as no KMS rights are needed."""
    none = template.sub(template.arn("kms", "key/none"))
    return cdk.Fn.condition_if(given.logical_id, key_arn, none).to_string()


@dataclass(frozen=True, kw_only=True)
class ReadableFolder:
    """What lets a role list and read the files below a prefix.

    Attributes:
        uri: ``s3://bucket/prefix/``.
        key_arn: Key of the files, as of `key_or_none`.
        noun: End of the ids of its statements, e.g. ``Files``.
        because: Why every object below the prefix may be read.
    """

    uri: str
    key_arn: str
    noun: str
    because: str

    def listing(self) -> Grant:
        """Return what lets a role list the files."""
        return Grant(
            sid=f"List{self.noun}",
            actions=["s3:ListBucket"],
            resources=[self._bucket()],
            conditions={"StringLike": {"s3:prefix": cdk.Fn.join("", [s3_uri.prefix(self.uri), "*"])}},
        )

    def locating(self) -> Grant:
        """Return what lets a role ask in which Region the bucket is."""
        return Grant(sid=f"Locate{self.noun}", actions=["s3:GetBucketLocation"], resources=[self._bucket()])

    def reading(self) -> Grant:
        """Return what lets a role read the files."""
        objects = ["arn:", cdk.Aws.PARTITION, ":s3:::", s3_uri.bucket_and_prefix(self.uri), "*"]
        return Grant(
            sid=f"Read{self.noun}",
            actions=["s3:GetObject"],
            resources=[cdk.Fn.join("", objects)],
            because=self.because,
        )

    def decrypting(self) -> Grant:
        """Return what lets a role decrypt the files, through S3 only."""
        return Grant(
            sid=f"Decrypt{self.noun}",
            actions=["kms:Decrypt"],
            resources=[self.key_arn],
            conditions={"StringEquals": through_s3()},
        )

    def _bucket(self) -> str:
        return cdk.Fn.join("", ["arn:", cdk.Aws.PARTITION, ":s3:::", s3_uri.bucket(self.uri)])
