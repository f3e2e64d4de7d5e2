"""Proof that releases are what they were: digests match, nothing is missing or stray, no template knows an account."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from lambdas.shared.artifact_bucket import archive_key
from pipeline.git import blob_ids, files_at
from pipeline.permissions import text
from products.releases import (
    ARCHIVE,
    GUIDANCE,
    RECORD,
    STATUS,
    TEMPLATE,
    TEMPLATE_MAX_BYTES,
    Catalog,
    Release,
    archive_keys,
    releases_folder,
    template_key,
)
from products.shared.names import UNRELEASED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_NAME_END: Final = r"(?![0-9A-Za-z])"
_NAME_START: Final = r"(?<![0-9A-Za-z])"
# What only one account, region or organisation would have. Digests and logical ids run through letters and digits
# without a break, so a match has to stand free of both.
_FOREIGN: Final = (
    (
        "the account id",
        re.compile(rf"{_NAME_START}\d{{12}}{_NAME_END}"),
        "read it from an SSM parameter or AWS::AccountId",
    ),
    (
        "the region",
        re.compile(
            rf"{_NAME_START}[a-z]{{2}}(?:-(?:gov|iso[a-z]?))?-(?:north|south|east|west|central)(?:east|west)?-\d{_NAME_END}"
        ),
        "use AWS::Region",
    ),
    # Formats: Organizations API reference, data types Organization, OrganizationalUnit.
    (
        "the organisation id",
        re.compile(rf"(?<![0-9A-Za-z-])o-[a-z0-9]{{10,32}}{_NAME_END}"),
        "read it from an SSM parameter",
    ),
    (
        "the organisational unit",
        re.compile(rf"(?<![0-9A-Za-z-])ou-[a-z0-9]{{4,32}}-[a-z0-9]{{8,32}}{_NAME_END}"),
        "read it from an SSM parameter",
    ),
    ("the partition", re.compile(r"arn:aws[a-z-]*:"), "use AWS::Partition"),
    ("the placeholder version", re.compile(re.escape(UNRELEASED)), "release it with `portfolio release`"),
)
_BUCKET_IN_TEXT: Final = re.compile(r"(?::s3:::|s3://)([^/\"\s]+)")
_PROSE: Final = ("AllowedPattern", "ConstraintDescription", "Description")
_BUILT: Final = ("${", "{{resolve:", "*")


def problems_of_catalog(catalog: Catalog) -> Iterator[str]:
    """Yield a sentence for each release that is not as it was made."""
    for release in catalog.releases():
        yield from problems_of_release(release)
    for product_id, product in catalog.products.items():
        folder = releases_folder(catalog.root, product_id)
        expected = {STATUS, *(str(release.version) for release in product.versions)}
        for path in sorted(folder.iterdir()):
            if path.name not in expected:
                yield f"{path} is neither a release nor {STATUS}. Remove it."


def problems_of_release(release: Release) -> Iterator[str]:
    """Yield a sentence for each file of a release that is missing, stray or altered, and for each wrong record."""
    where = release.path
    released_in = f"$(git log -1 --format=%h --diff-filter=A -- {where})"  # nothing for a release not yet committed
    restore = f"A release never changes: restore it with `git checkout {released_in} -- {where}`."
    for path in sorted(where.rglob("*")):
        if path.is_dir() or path.relative_to(where).as_posix() not in {RECORD, *release.files}:
            yield f"{path} is not part of the release: {RECORD} does not list it. Remove it."
    for file in release.files.values():
        if not file.path.is_file():
            yield f"{file.path} is missing, so {release.product} {release.version} cannot be published. {restore}"
            continue
        content = file.path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if (len(content), digest) != (file.size, file.sha256):
            yield (
                f"{file.path} was altered: it has {len(content):,} bytes with SHA-256 {digest}; released were "
                f"{file.size:,} bytes with {file.sha256}. {restore}"
            )
    yield from _problems_of_record(release)
    template = where / TEMPLATE
    if template.is_file():
        yield from problems_of_template(template, archive=release.archive_key)


def _problems_of_record(release: Release) -> Iterator[str]:
    record = release.path / RECORD
    if TEMPLATE not in release.files:
        yield f"{record} lists no {TEMPLATE}, so there is nothing to publish. Restore the file from git."
    if release.guidance not in GUIDANCE:
        yield f"{record}: guidance is {release.guidance!r}; Service Catalog knows {' and '.join(sorted(GUIDANCE))}."
    if (release.seed_code is not None) != (ARCHIVE in release.files):
        yield f"{record}: seed_code is {release.seed_code!r}, which does not go with the files {sorted(release.files)}."
    for file in release.files.values():
        archived = file.name != TEMPLATE
        key = archive_key(file.sha256) if archived else template_key(release.product, release.version)
        if file.key != key:
            yield f"{record}: the key of {file.name} is {file.key!r}; it must be {key!r}. Restore the file from git."


def problems_of_template(path: Path, *, archive: str | None) -> Iterator[str]:
    """Yield a sentence for each thing that keeps a released template from working in every account.

    Args:
        path: The template.
        archive: Key of the only archive that the template may name, or None.
    """
    content = path.read_bytes()
    if len(content) > TEMPLATE_MAX_BYTES:
        yield f"{path} has {len(content):,} bytes; CloudFormation takes {TEMPLATE_MAX_BYTES:,}. It cannot be launched."
    try:
        template = json.loads(content)
    except ValueError as err:
        yield f"{path} is not JSON: {err}. It cannot be launched."
        return
    for found in foreign_literals(template):
        yield f"{path}: {found}"
    named, own = archive_keys(content.decode()), {archive} if archive else set()
    for key in sorted(named - own):
        yield f"{path} names {key}, an archive that this release does not hold: its launch fails. Release it again."
    for key in sorted(own - named):
        yield f"{path} does not name {key}: the seed code of this release is never used. Drop it, or pass its key on."


def foreign_literals(template: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each literal that ties a template to one account, region, partition or bucket."""
    for place, value in _texts(template, ()):
        spelt = ".".join(place)
        for what, pattern, remedy in _FOREIGN:
            for match in pattern.finditer(value):
                yield f"{spelt} holds {what} {match.group()!r}: it works in one place only. Instead, {remedy}."
        is_prose = place[-1] in _PROSE or place[0] == "Metadata"
        buckets = [] if is_prose else [match.group(1) for match in _BUCKET_IN_TEXT.finditer(value)]
        if "Properties" in place and place[-1].endswith(("Bucket", "BucketName")) and value != place[-1]:
            buckets.append(value)
        for bucket in buckets:
            if not any(part in bucket for part in _BUILT):
                yield (
                    f"{spelt} names the bucket {bucket!r}: bucket names are unique in the world, so it works in one "
                    f"account only. Instead, build the name from parameters, or read it from an SSM parameter."
                )


def _texts(value: object, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every text of a template with its place; one that is joined from parts comes as a whole."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        if len(value) == 1 and next(iter(value)) in ("Fn::Join", "Fn::Sub"):
            yield place, text(value)
            return
        for key, child in value.items():
            # Keys hold texts too, e.g. of mappings by region or of condition operators.
            yield (*place, key), key
            if key not in ("Ref", "Fn::GetAtt"):
                yield from _texts(child, (*place, key))
    elif isinstance(value, list):
        for child in value:
            yield from _texts(child, place)


def problems_since(catalog: Catalog, revision: str) -> Iterator[str]:
    """Yield a sentence for each file of a release that a revision has and that is now gone, different or new.

    A release that the revision does not have may be new; one that it has must hold exactly the files it had. `STATUS`
    may change.

    Raises:
        ReleaseError: There is no such revision.
    """
    released = {
        name: blob
        for name, blob in files_at(catalog.root, revision, "products").items()
        if re.fullmatch(r"products/[^/]+/releases/[^/]+/.+", name)
    }
    present = {name: catalog.root / name for name in released if (catalog.root / name).is_file()}
    now = dict(zip(present, blob_ids(catalog.root, present.values()), strict=True))
    for name, blob in released.items():
        restore = f"Accounts that launched it rely on it: restore it with `git checkout {revision} -- {name}`."
        if name not in now:
            yield f"{name} was released in {revision} and is gone. {restore}"
        elif now[name] != blob:
            yield f"{name} was released in {revision} and has changed since. {restore}"
    folders = {name.rsplit("/", 1)[0] for name in released}
    for folder in sorted(folders):
        for path in sorted((catalog.root / folder).glob("*")):
            if f"{folder}/{path.name}" not in released and path.is_file():
                yield f"{folder}/{path.name} was added to a release of {revision}. A release never changes: remove it."
