"""A session of boto3 without AWS: what is uploaded through it lands in a folder, such as the code of a pipeline.

Only the HTTP layer is replaced: S3 is a folder, STS says who we are, and every other request is refused. So nothing
that a library does with the session, in this version or the next, can reach the network unnoticed.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.awsrequest import AWSRequest, AWSResponse

ACCOUNT = "000000000000"


class OfflineError(RuntimeError):
    """Something wanted to talk to AWS where there is no AWS."""


def offline_session(store: Path, *, region: str) -> boto3.Session:
    """Return a session whose S3 is a folder.

    Args:
        store: The folder; ``s3://bucket/key`` becomes ``<store>/bucket/key``.
        region: Region of the session, e.g. ``eu-west-1``; nothing is sent there.
    """
    os.environ.update(
        AWS_EC2_METADATA_DISABLED="true",
        AWS_REQUEST_CHECKSUM_CALCULATION="when_required",  # so that uploads come as they are, not in signed chunks
        AWS_RESPONSE_CHECKSUM_VALIDATION="when_required",
    )
    session = boto3.Session(aws_access_key_id="offline", aws_secret_access_key="offline", region_name=region)
    session.events.register("before-send.*", _Http(store))
    return session


class _Body(io.BytesIO):
    """What botocore reads a response from."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.read()


class _Http:
    """Answers requests in place of AWS; botocore sends nothing when this returns a response."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def __call__(self, request: AWSRequest, event_name: str, **_: Any) -> AWSResponse:
        service = event_name.split(".")[1]
        if service == "s3":
            return self._s3(request)
        if service == "sts":
            return _answer(request, 200, _IDENTITY.encode(), {"content-type": "text/xml"})
        raise OfflineError(f"there is no AWS here to answer {event_name}: {request.method} {request.url}")

    def _s3(self, request: AWSRequest) -> AWSResponse:
        url = urlsplit(str(request.url))
        host = url.hostname or ""
        bucket = "" if host.startswith("s3.") else host.split(".s3.")[0]
        path = self._store / bucket / unquote(url.path).removeprefix("/")
        if request.method == "PUT":
            body = request.body.read() if hasattr(request.body, "read") else request.body or b""
            content = body.encode() if isinstance(body, str) else bytes(body)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return _answer(request, 200, headers={"etag": f'"{hashlib.sha256(content).hexdigest()}"'})
        if request.method in ("HEAD", "GET") and path.is_file():
            content = path.read_bytes()
            return _answer(request, 200, content if request.method == "GET" else b"")
        return _answer(request, 404)


_IDENTITY = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:sts::{ACCOUNT}:assumed-role/offline/offline</Arn><UserId>offline</UserId><Account>{ACCOUNT}</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


def _answer(
    request: AWSRequest, status: int, content: bytes = b"", headers: dict[str, str] | None = None
) -> AWSResponse:
    every: Any = {"content-length": str(len(content)), **(headers or {})}
    return AWSResponse(str(request.url), status, every, _Body(content))
