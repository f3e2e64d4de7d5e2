"""ECR: copies of images from a development account's registry into the hub's, layer by layer, by digest.

ECR copies nothing between accounts on the server side except by replication, which works per registry and not per
approved image. So layers pass through this function, in parts of at most 20 MiB (UploadLayerPart's limit in botocore's
model of ECR). A layer that is there already is not copied again, so an interrupted copy goes on with the next layer.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

from lambdas.model_promotion.errors import OutOfTimeError, PromotionError
from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_PART_MAX: Final = 20 * 1024**2
_RESERVED_S: Final = 60
_LAYERS_AT_A_TIME: Final = 4
_TAG_DIGITS: Final = 32
_CHECKED_AT_A_TIME: Final = 100  # BatchCheckLayerAvailability


class Readable(Protocol):
    """What is read in pieces."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image in an ECR registry.

    Attributes:
        registry: Account id.
        host: E.g. ``111111111111.dkr.ecr.eu-west-1.amazonaws.com``.
        repository: Name of the repository.
        tag: Tag, or empty.
        digest: ``sha256:…``, or empty.
    """

    registry: str
    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read the URI of an image; None if it is in no ECR registry."""
        pattern = (
            r"((\d{12})\.dkr[.-]ecr\.[a-z0-9-]+\.[a-z0-9.]+)/([a-z0-9][a-z0-9._/-]*)(?::([\w.-]+))?"
            r"(?:@(sha256:[0-9a-f]{64}))?"
        )
        found = re.fullmatch(pattern, text)
        if not found:
            return None
        host, registry, repository, tag, digest = found.groups()
        return cls(registry=registry, host=host, repository=repository, tag=tag or "", digest=digest or "")


@contextmanager
def download(url: str) -> Iterator[Readable]:
    """Open a layer at the signed URL that ECR gave.

    Raises:
        OSError: It cannot be reached, or refuses.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise OSError(f"ECR gave a URL for a layer that is not https: {parts.scheme}://{parts.netloc}")
    connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        if response.status != 200:
            raise OSError(f"{parts.netloc} answers {response.status} for a layer")
        yield response
    finally:
        connection.close()


class Images:
    """Copies images into one repository of the hub.

    Args:
        account: The hub.
        repository: Repository that takes all copies; layers that images share are stored once in it.
        remaining_s: Seconds left of this invocation.
        opener: Opens a signed URL. Default: `download`.
    """

    def __init__(
        self,
        account: str,
        repository: str,
        remaining_s: Callable[[], float],
        *,
        opener: Callable[[str], AbstractContextManager[Readable]] = download,
    ) -> None:
        self._hub = {"registryId": account, "repositoryName": repository}
        self._remaining_s = remaining_s
        self._open = opener
        self._client: Any = boto3.client("ecr", config=CONFIG)

    def copy(self, uri: str, digest: str, account: str) -> str:
        """Return the URI to use for an image: a copy's, if it is in the registry of `account`, else its own.

        Images of AWS and of public registries are there for everyone and stay where they are.

        Args:
            uri: Image as the package names it.
            digest: Digest that SageMaker noted at registration, or empty.
            account: Account of the package.
        """
        image = Image.parse(uri)
        if image is None or image.registry != account:
            return uri
        image = replace(image, digest=digest or image.digest)
        if not (image.digest and self._is_there(image.digest)):
            image = self._copy(image)
        host = image.host.replace(image.registry, self._hub["registryId"], 1)
        return f"{host}/{self._hub['repositoryName']}@{image.digest}"

    def _is_there(self, digest: str) -> bool:
        answer = self._client.batch_get_image(
            **self._hub, imageIds=[{"imageDigest": digest}], acceptedMediaTypes=[*_INDEXES, *_MANIFESTS]
        )
        return bool(answer.get("images"))

    def _copy(self, image: Image) -> Image:
        """Copy an image, everything it consists of first, and return it with its digest."""
        where = {"registryId": image.registry, "repositoryName": image.repository}
        wanted = {"imageDigest": image.digest} if image.digest else {"imageTag": image.tag or "latest"}
        found = self._client.batch_get_image(
            **where, imageIds=[wanted], acceptedMediaTypes=[*_INDEXES, *_MANIFESTS]
        ).get("images")
        if not found:
            raise PromotionError(
                f"the image {image.host}/{image.repository} with {wanted} does not exist or cannot be read: the "
                f"package cannot be used outside its account, so it is not promoted. Let the hub account read the "
                f"repository (ecr:BatchGetImage, ecr:GetDownloadUrlForLayer), or register the model with an image "
                f"that exists."
            )
        text, digest = str(found[0]["imageManifest"]), str(found[0]["imageId"]["imageDigest"])
        manifest = json.loads(text)
        kind = found[0].get("imageManifestMediaType") or manifest.get("mediaType")
        if kind in _INDEXES:
            for entry in manifest["manifests"]:
                self._copy(replace(image, tag="", digest=entry["digest"]))
        else:
            layers = [manifest["config"], *manifest["layers"]]
            self._copy_layers(where, {str(layer["digest"]): int(layer["size"]) for layer in layers})
        try:
            self._client.put_image(
                **self._hub,
                imageManifest=text,
                imageManifestMediaType=kind,
                imageDigest=digest,
                imageTag=f"{image.registry}-{digest.removeprefix('sha256:')[:_TAG_DIGITS]}",
            )
        except ClientError as err:
            if err.response["Error"]["Code"] not in ("ImageAlreadyExistsException", "ImageTagAlreadyExistsException"):
                raise
        return replace(image, digest=digest)

    def _copy_layers(self, where: Mapping[str, str], layers: Mapping[str, int]) -> None:
        present = self._present(list(layers))
        missing = [digest for digest in layers if digest not in present]
        with ThreadPoolExecutor(_LAYERS_AT_A_TIME) as pool:
            list(pool.map(lambda digest: self._copy_layer(where, digest, layers[digest]), missing))

    def _present(self, digests: Sequence[str]) -> set[str]:
        """Return which layers the hub's repository has."""
        present: set[str] = set()
        for start in range(0, len(digests), _CHECKED_AT_A_TIME):
            answer = self._client.batch_check_layer_availability(
                **self._hub, layerDigests=digests[start : start + _CHECKED_AT_A_TIME]
            )
            present |= {
                str(layer["layerDigest"])
                for layer in answer.get("layers", ())
                if layer.get("layerAvailability") == "AVAILABLE"
            }
        return present

    def _copy_layer(self, where: Mapping[str, str], digest: str, size: int) -> None:
        self._check_time()
        url = self._client.get_download_url_for_layer(**where, layerDigest=digest)["downloadUrl"]
        started = self._client.initiate_layer_upload(**self._hub)
        step = min(int(started.get("partSize", _PART_MAX)), _PART_MAX)
        first, checked = 0, hashlib.sha256()
        with self._open(url) as layer:
            while first < size:
                self._check_time()
                part = _read(layer, min(step, size - first))
                if not part:
                    break
                checked.update(part)
                self._client.upload_layer_part(
                    **self._hub,
                    uploadId=started["uploadId"],
                    partFirstByte=first,
                    partLastByte=first + len(part) - 1,
                    layerPartBlob=part,
                )
                first += len(part)
        if first != size or f"sha256:{checked.hexdigest()}" != digest:
            raise OSError(f"layer {digest} came with {first} of {size} bytes, or altered: it is fetched again later")
        try:
            self._client.complete_layer_upload(**self._hub, uploadId=started["uploadId"], layerDigests=[digest])
        except ClientError as err:
            if err.response["Error"]["Code"] != "LayerAlreadyExistsException":
                raise

    def _check_time(self) -> None:
        if self._remaining_s() < _RESERVED_S:
            raise OutOfTimeError("layers of an image are left to copy")


def _read(source: Readable, size: int) -> bytes:
    """Return exactly `size` bytes unless the source ends before: parts other than the last must have ECR's size."""
    pieces: list[bytes] = []
    while size > 0:
        piece = source.read(size)
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
