"""What a package consists of: its artifacts and images, whose they are, and the request that makes the copy.

Limits and shapes are those of botocore's model of SageMaker (CreateModelPackage, DescribeModelPackage,
UpdateModelPackage).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote, urlsplit

from lambdas.model_promotion.errors import PromotionError
from lambdas.model_promotion.names import FOLDER_KEY, LINEAGE_PREFIX, PACKAGES_PREFIX
from lambdas.shared.product_names import PRODUCT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lambdas.model_promotion.packages import PackageArn

_URI_MAX: Final = 256
"""Longest URI of a copy: values of customer metadata, where URIs occur too, have at most 256 characters."""
_METADATA_MAX: Final = 50

_NOT_CARRIED: Final = frozenset(
    {
        "ModelPackageName",  # of unversioned packages only; a request has either a name or a group
        "ModelPackageGroupName",  # the hub has a group of its own
        "ModelApprovalStatus",  # the hub decides anew
        "CertifyForMarketplace",  # does not apply to versioned packages
        "ValidationSpecification",  # names a role of the other account, which nobody may pass here
        "SecurityConfig",  # packages with a key of their own are refused
        "ClientToken",
        "Tags",  # refused for versions, which have the tags of their group
    }
)
_ETAGS: Final = frozenset({"ETag", "ManifestEtag", "ModelDataETag"})
"""ETags of artifacts: those of the copies differ, and SageMaker finds them out by itself."""
_URI_OF_ETAG: Final = {"ETag": "S3Uri", "ManifestEtag": "ManifestS3Uri", "ModelDataETag": "ModelDataUrl"}
_TEXT_FIELDS: Final = frozenset({"MetadataProperties", "ModelCard", "ModelPackageDescription", "Domain", "Task"})
"""Fields that describe. A URI in them says where something came from and is not part of the model."""
_LOOSE_FIELDS: Final = frozenset({"CustomerMetadataProperties", "Environment"})
"""Maps of free texts: a URI in them is an artifact only where the model's other artifacts are."""
_READ_KEYS: Final = frozenset({"samples"})
"""Customer metadata that names what deployments read."""


@dataclass(frozen=True, kw_only=True, order=True)
class Location:
    """A place in S3: one object, or everything below a prefix."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        """The place as ``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read ``s3://bucket/key`` or an https URL of S3 in either style; None for anything else."""
        found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(\S(?:.*\S)?)", text)
        if found:
            return cls(bucket=found[1], key=found[2])
        if not text.startswith("https://"):
            return None
        url = urlsplit(text)
        host = re.fullmatch(r"(?:(.+)\.)?s3[.-](?:[a-z0-9-]+\.)?amazonaws\.com(?:\.cn)?", url.netloc)
        path = unquote(url.path.lstrip("/"))
        bucket, key = (host[1], path) if host and host[1] else path.split("/", 1) if "/" in path else ("", "")
        return cls(bucket=bucket, key=key) if host and bucket and key else None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An artifact that a request names.

    Attributes:
        location: Where it is.
        required: Whether the package is of no use without it.
        etag: ETag at registration, if SageMaker noted it.
    """

    location: Location
    required: bool
    etag: str = ""


def own_key_refused(arn: str) -> PromotionError:
    """Return the error for a package that is encrypted with a KMS key of its own.

    SageMaker decrypts it with the rights of whoever describes it: ML engineers, builds and deploy roles would all need
    the key of another account.
    """
    return PromotionError(
        f"{arn} is encrypted with a KMS key of its own (SecurityConfig), so nobody outside its account can read "
        f"it: it is not promoted. Register the model without SecurityConfig, its files stay under the project's key, "
        f"and approve that version."
    )


def carried(package: Mapping[str, Any], accepts: Any) -> dict[str, Any]:  # noqa: ANN401 (a shape of botocore)
    """Return the fields of a described package that CreateModelPackage takes, at every depth.

    Args:
        package: Answer of DescribeModelPackage.
        accepts: Input shape of CreateModelPackage in botocore's model, so that fields which the service gets later
            are carried as soon as botocore knows them in both operations.
    """
    fields = {name: value for name, value in package.items() if name not in _NOT_CARRIED}
    request: dict[str, Any] = _pruned(fields, accepts)
    if "SourceUri" in request and Location.parse(request["SourceUri"]) is None:
        del request["SourceUri"]  # ARN of a model or package to clone, in an account that this one cannot clone from
    return request


def require_own(request: Mapping[str, Any], package: PackageArn, hub_account: str) -> None:
    """Check that everything which a request names to be copied or read belongs to the package's own project.

    The function may read the buckets and images of all projects, and whoever registers a package writes its URIs. So
    they are held against what the event says, which AWS guarantees, and against nothing that the package says. Images
    of AWS and of third accounts are not copied: whoever serves the model pulls them with rights of their own. Those in
    the hub are copies that belong to other projects.

    Args:
        request: What `carried` returned.
        package: The package.
        hub_account: 12 digits.

    Raises:
        PromotionError: Something is elsewhere; nothing may be copied. The text names all of it.
    """
    bucket, images = package.bucket, f"{PRODUCT_PREFIX}{package.project}"
    foreign = []
    for path, text in _texts(request):
        name = path[-1]
        if path[0] in _TEXT_FIELDS or (path[0] == "CustomerMetadataProperties" and name not in _READ_KEYS):
            continue
        place = Location.parse(text)
        if name == "Image":
            image = re.match(r"(\d{12})\.dkr[.-]ecr[.-][^/]+/([^:@]+)", text)
            registry, repository = image.groups() if image else ("", "")
            is_project_repository = re.fullmatch(rf"{images}([-/].*)?", repository) is not None
            own = registry != hub_account and (registry != package.account or is_project_repository)
        elif name.endswith(("Uri", "Url")) or name in _READ_KEYS:
            own = place is not None and place.bucket == bucket
        else:
            own = place is None or place.bucket == bucket
        if not own:
            foreign.append(f"{'.'.join(path)} {text}")
    if foreign:
        raise PromotionError(
            f"{package.text} names what does not belong to its project {package.project}: {', '.join(foreign)}. "
            f"Files may be in the bucket {bucket} only, images of the account in repositories {images}, {images}-… and "
            f"{images}/… only. Nothing is copied. Copy it there, register the model again and approve that version."
        )


def references(request: Mapping[str, Any], package: Mapping[str, Any], bucket: str) -> list[Reference]:
    """Return every artifact that a request names, each once, in a stable order.

    Args:
        request: What `carried` returned, and `require_own` found no fault with.
        package: Answer of DescribeModelPackage, for the ETags that the request no longer has.
        bucket: Bucket of the project.
    """
    etags = dict(_etags(package))
    strict: dict[Location, bool] = {}
    loose: dict[Location, bool] = {}
    for path, text in _texts(request):
        location = Location.parse(text)
        if location is None or path[0] in _TEXT_FIELDS or path[-1].startswith(LINEAGE_PREFIX):
            continue
        (loose if _LOOSE_FIELDS & set(path) else strict)[location] = True
    found = [Reference(location=place, required=True, etag=etags.get(place, "")) for place in strict]
    found += [
        Reference(location=place, required=False) for place in loose if place.bucket == bucket and place not in strict
    ]
    return sorted(found, key=lambda reference: reference.location)


def with_copies(request: Mapping[str, Any], targets: Mapping[Location, Location]) -> dict[str, Any]:
    """Return a request whose URIs name the copies."""

    def moved(path: Sequence[str], text: str) -> str:
        location = None if path[0] in _TEXT_FIELDS or path[-1].startswith(LINEAGE_PREFIX) else Location.parse(text)
        return targets[location].uri if location is not None and location in targets else text

    result: dict[str, Any] = _mapped(request, moved)
    return result


def with_images(request: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
    """Return a request whose containers name the copies of images."""
    result: dict[str, Any] = _mapped(
        request, lambda path, text: images.get(text, text) if path[-1] == "Image" else text
    )
    return result


def images(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the images of all containers with the digest that SageMaker noted, or an empty text."""
    found: dict[str, str] = {}
    for container in _containers(request):
        image = container.get("Image")
        if isinstance(image, str):
            found[image] = container.get("ImageDigest", "") or found.get(image, "")
    return dict(sorted(found.items()))


def target_of(location: Location, *, bucket: str, folder: str) -> Location:
    """Return where an object of a project's bucket is copied to: no two to the same place, no URI over 256 characters.

    ``packages/<hub's group>/<version>-<time>/<key>``; when that is too long, the key becomes a hash, followed by the
    end of its last part.
    """
    target = Location(bucket=bucket, key=f"{PACKAGES_PREFIX}{folder}/{location.key}")
    if len(target.uri) <= _URI_MAX:
        return target
    digest = hashlib.sha256(location.key.encode()).hexdigest()[:32]
    slash = "/" if location.key.endswith("/") else ""
    stem = f"{PACKAGES_PREFIX}{folder}/{digest}/"
    room = _URI_MAX - len(Location(bucket=bucket, key=stem).uri) - len(slash)
    last = location.key.rstrip("/").rsplit("/", 1)[-1]
    return Location(bucket=bucket, key=f"{stem}{last[-room:] if room > 0 else ''}{slash}")


def is_copy_of(package: Mapping[str, Any], folder: str) -> bool:
    """Return whether a package of the hub is the copy whose artifacts are in a folder (see `packages.folder`).

    Its metadata says so, or, where 50 entries of its own left no room, the place of its artifacts.
    """
    if package.get("CustomerMetadataProperties", {}).get(FOLDER_KEY) == folder:
        return True
    free = {"CustomerMetadataProperties", *_TEXT_FIELDS}  # where anything may have been written in development
    text = json.dumps({name: value for name, value in package.items() if name not in free}, default=str)
    return f"/{PACKAGES_PREFIX}{folder}/" in text


def customer_metadata(present: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Return customer metadata with our entries, as far as the limit of 50 leaves room for them.

    What development wrote under the name of one of our entries is left out: nobody else says what promotion says.
    """
    theirs = {key: value for key, value in present.items() if key not in added}
    return theirs | dict(list(added.items())[: _METADATA_MAX - len(theirs)])


def canonical_digest(value: object) -> str:
    """Return the SHA-256 of a value, the same for equal values."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _pruned(value: Any, shape: Any) -> Any:  # noqa: ANN401 (JSON; a shape of botocore)
    """Return a value without the structure members that a shape does not have, and without ETags."""
    if shape.type_name == "structure":
        return {
            name: _pruned(member, shape.members[name])
            for name, member in value.items()
            if name in shape.members and name not in _ETAGS
        }
    if shape.type_name == "list":
        return [_pruned(member, shape.member) for member in value]
    return value


def _texts(value: Any, path: tuple[str, ...] = ("",)) -> Iterator[tuple[tuple[str, ...], str]]:  # noqa: ANN401 (JSON)
    """Yield every text with the names that lead to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _texts(member, (*(path if path != ("",) else ()), name))
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member, path)


def _mapped(value: Any, change: Callable[[Sequence[str], str], str], path: tuple[str, ...] = ("",)) -> Any:  # noqa: ANN401
    """Return a value with every text replaced by what `change` makes of it."""
    if isinstance(value, str):
        return change(path, value)
    if isinstance(value, dict):
        return {
            name: _mapped(member, change, (*(path if path != ("",) else ()), name)) for name, member in value.items()
        }
    if isinstance(value, list):
        return [_mapped(member, change, path) for member in value]
    return value


def _containers(value: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 (JSON)
    """Yield every structure that names an image."""
    if isinstance(value, dict):
        if "Image" in value:
            yield value
        for member in value.values():
            yield from _containers(member)
    elif isinstance(value, list):
        for member in value:
            yield from _containers(member)


def _etags(value: Any) -> Iterator[tuple[Location, str]]:  # noqa: ANN401 (JSON)
    """Yield the ETags that SageMaker noted at registration, with the artifact that each belongs to."""
    if isinstance(value, dict):
        for name, member in value.items():
            location = Location.parse(str(value.get(_URI_OF_ETAG.get(name, ""), "")))
            if location is not None and isinstance(member, str) and member:
                yield location, member.strip('"')
            yield from _etags(member)
    elif isinstance(value, list):
        for member in value:
            yield from _etags(member)
