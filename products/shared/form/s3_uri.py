"""Taking an S3 address apart inside a template, where only Fn::Split, Fn::Select and Fn::Join exist."""

from __future__ import annotations

import aws_cdk as cdk

from products.shared.form.patterns import S3_DEPTH


def bucket(uri: str) -> str:
    """Return the bucket of ``s3://bucket/prefix/``."""
    return cdk.Fn.select(2, cdk.Fn.split("/", uri))


def bucket_and_prefix(uri: str) -> str:
    """Return ``bucket/prefix/`` of ``s3://bucket/prefix/``, the form in which ARNs name objects."""
    return cdk.Fn.select(1, cdk.Fn.split("s3://", uri))


def prefix(uri: str) -> str:
    """Return ``prefix/`` of ``s3://bucket/prefix/``.

    The number of folders is unknown and Fn::Select wants a fixed index, so the address is padded with slashes, the
    first `S3_DEPTH` folders are joined again, and the padding, now a run of slashes, is cut off.
    """
    parts = cdk.Fn.split("/", cdk.Fn.join("", [uri, "/" * (S3_DEPTH + 1)]))
    folders = cdk.Fn.join("/", [cdk.Fn.select(3 + n, parts) for n in range(S3_DEPTH)])
    return cdk.Fn.join("", [cdk.Fn.select(0, cdk.Fn.split("//", cdk.Fn.join("", [folders, "//"]))), "/"])
