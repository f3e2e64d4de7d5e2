"""The released versions of every product, read from the files of the repository: what gets published.

A release is a folder ``products/<folder>/releases/<version>/`` that never changes. What may change later (a version
gets deprecated or hidden) stands beside it in ``products/<folder>/releases/status.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from lambdas.shared.artifact_bucket import ARCHIVE_KEY, RELEASES_PREFIX
from products.semver import Version, VersionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Guidance = Literal["DEFAULT", "DEPRECATED"]
"""Guidance of a provisioning artifact. What was launched from a ``DEPRECATED`` version can still be updated to it, but
nothing new can be launched from it (API reference, UpdateProvisioningArtifact).

Consoles offer the latest version that is not deprecated, and know no pre-releases: so these are published as
deprecated (https://docs.aws.amazon.com/servicecatalog/latest/adminguide/managing-versions.html). Semantic versions say
that a pre-release "might not satisfy the intended compatibility requirements" (https://semver.org, 9)."""

TEMPLATE: Final = "template.json"
RECORD: Final = "release.json"
ARCHIVE: Final = "seed-code.zip"
STATUS: Final = "status.json"

TEMPLATE_MAX_BYTES: Final = 1_000_000
"""Largest template that CloudFormation takes from S3: "1 MB" in its quotas, read as the smaller of its two meanings."""

GUIDANCE: Final = frozenset({"DEFAULT", "DEPRECATED"})
PRE_RELEASE: Final = "a pre-release: update to it to try it, nothing new is launched from it"
"""Why a pre-release is deprecated from the start."""


class ReleaseError(Exception):
    """Releases are not as they must be, or a request about them is refused; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class ReleasedFile:
    """A file of a release.

    Attributes:
        name: Name in the release folder, e.g. ``template.json``.
        path: Where it is on this machine.
        sha256: Its recorded digest, 64 hexadecimal characters.
        size: Its recorded size in bytes.
        key: Its key in the hub's artifact bucket.
    """

    name: str
    path: Path
    sha256: str
    size: int
    key: str


@dataclass(frozen=True, kw_only=True)
class Release:
    """One released version of a product.

    Attributes:
        product: Product id, e.g. ``train-s3``.
        title: Product name in Service Catalog when this version was released.
        summary: Product description when this version was released.
        version: The version; its text is the name of the provisioning artifact.
        description: What is new in it, written by whoever released it.
        date: Committer date of the released commit, UTC, ISO 8601.
        guidance: Its guidance now; ``DEPRECATED`` allows no new launches.
        active: Whether users see it now; nothing can be launched from or updated to an inactive version.
        reason: Why it is deprecated or hidden; empty otherwise.
        contract: Version of the contract with the workload baseline that its template needs.
        baseline: Least version of the baseline with what it uses; None for any.
        seed_code: Seed-code template it was assembled from; None when it carries no seed code.
        tools: Versions of the tools that made the template, e.g. ``{"aws-cdk-lib": "2.275.0"}``.
        files: Its files by name, `RECORD` itself not among them.
        path: Its folder.
    """

    product: str
    title: str
    summary: str
    version: Version
    description: str
    date: str
    guidance: Guidance
    active: bool
    reason: str
    contract: int
    seed_code: str | None
    tools: Mapping[str, str]
    files: Mapping[str, ReleasedFile]
    path: Path
    baseline: str | None = None

    @property
    def template_key(self) -> str:
        """Key of the template in the hub's artifact bucket, ``releases/<product>/<version>/template.json``."""
        return template_key(self.product, self.version)

    @property
    def archive_key(self) -> str | None:
        """Key of the seed code in the hub's artifact bucket, ``assets/<sha256>.zip``; None without seed code."""
        archive = self.files.get(ARCHIVE)
        return archive.key if archive else None

    def template(self) -> dict[str, Any]:
        """Return the released template, parsed."""
        parsed: dict[str, Any] = json.loads((self.path / TEMPLATE).read_bytes())
        return parsed


@dataclass(frozen=True, kw_only=True)
class ReleasedProduct:
    """A product with at least one release; title and summary are those of the newest version.

    Attributes:
        id: Product id, e.g. ``train-s3``.
        title: Name in Service Catalog.
        summary: Description in Service Catalog.
        versions: Every release, oldest version first.
    """

    id: str
    title: str
    summary: str
    versions: tuple[Release, ...]

    @property
    def newest(self) -> Release:
        """The full release with the highest version; a pre-release only while there is no full one."""
        return _newest(self.versions)

    @property
    def supported(self) -> tuple[Release, ...]:
        """The releases that users can launch or at least update to, oldest first."""
        return tuple(release for release in self.versions if release.active)

    @property
    def launchable(self) -> tuple[Release, ...]:
        """The releases that can be launched, oldest first."""
        return tuple(release for release in self.supported if release.guidance == "DEFAULT")

    def release(self, version: str) -> Release:
        """Return one release.

        Raises:
            ReleaseError: There is no such version.
        """
        for release in self.versions:
            if str(release.version) == version:
                return release
        known = ", ".join(str(release.version) for release in self.versions)
        raise ReleaseError(f"{self.id} has no version {version}. Released are: {known}.")


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The products of a repository.

    Attributes:
        root: The repository.
        products: Products with releases, by id, sorted.
        unreleased: Ids of products that have code but no release yet, sorted.
    """

    root: Path
    products: Mapping[str, ReleasedProduct]
    unreleased: tuple[str, ...]

    def releases(self) -> tuple[Release, ...]:
        """Return every release, by product id, oldest version first."""
        return tuple(release for product in self.products.values() for release in product.versions)

    def check_known(self, product_id: str) -> None:
        """Raise ReleaseError, naming the products there are, when there is no product of that id."""
        known = sorted({*self.products, *self.unreleased})
        if product_id not in known:
            raise ReleaseError(
                f"there is no product {product_id!r} in {self.root / 'products'}. "
                f"Products are: {', '.join(known) or 'none'}."
            )


def template_key(product_id: str, version: Version) -> str:
    """Return the key of a released template in the hub's artifact bucket."""
    return f"{RELEASES_PREFIX}{product_id}/{version}/{TEMPLATE}"


def archive_keys(template: str) -> frozenset[str]:
    """Return the keys of all archives that the text of a template names."""
    return frozenset(match.group() for match in ARCHIVE_KEY.finditer(template))


def product_folder(root: Path, product_id: str) -> Path:
    """Return the folder of a product, e.g. ``products/train_s3`` for ``train-s3``."""
    return root / "products" / product_id.replace("-", "_")


def releases_folder(root: Path, product_id: str) -> Path:
    """Return the folder that holds the releases of a product."""
    return product_folder(root, product_id) / "releases"


def load_catalog(root: Path) -> Catalog:
    """Read every release of a repository, without importing any product.

    Only the small record of each release is read: `pipeline.verification` compares the files with it.

    Args:
        root: The repository, i.e. the folder that holds ``products/``.

    Raises:
        ReleaseError: A record cannot be read, or there is no ``products/`` folder.
    """
    products: dict[str, ReleasedProduct] = {}
    unreleased: list[str] = []
    folder = root / "products"
    if not folder.is_dir():
        raise ReleaseError(f"{root} has no products folder, so it is not a catalog. Run this inside the repository.")
    for path in sorted(folder.iterdir()):
        product_id = path.name.replace("_", "-")
        folders = release_folders(path / "releases")
        if folders:
            products[product_id] = _load_product(product_id, folders)
        elif (path / "product.py").is_file():
            unreleased.append(product_id)
    return Catalog(root=root, products=products, unreleased=tuple(unreleased))


def release_folders(folder: Path) -> tuple[Path, ...]:
    """Return the folders below ``releases/``, one per release, unsorted by version."""
    return tuple(sorted(path for path in folder.iterdir() if path.is_dir())) if folder.is_dir() else ()


def load_status(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what ``releases/status.json`` says: version to ``guidance``, ``active`` and ``reason``; {} without one.

    Raises:
        ReleaseError: The file is malformed.
    """
    path = folder / STATUS
    if not path.is_file():
        return {}
    wanted = '{"1.0.0": {"guidance": "DEPRECATED", "active": true, "reason": "..."}}'
    status = _json_object(path)
    for version, entry in status.items():
        if (
            not isinstance(entry, dict)
            or set(entry) != {"guidance", "active", "reason"}
            or entry["guidance"] not in GUIDANCE
            or not isinstance(entry["active"], bool)
            or not isinstance(entry["reason"], str)
        ):
            raise ReleaseError(
                f"{path}: the entry of {version!r} is {entry!r}; it must look like {wanted}. "
                f"Change it with `portfolio retire`, not by hand."
            )
    return status


def _load_product(product_id: str, folders: tuple[Path, ...]) -> ReleasedProduct:
    status = load_status(folders[0].parent)
    releases = tuple(sorted((_load_release(path, status) for path in folders), key=lambda release: release.version))
    unknown = sorted(set(status) - {str(release.version) for release in releases})
    if unknown:
        raise ReleaseError(
            f"{folders[0].parent / STATUS} names {', '.join(unknown)}, which is not a release of {product_id}. "
            f"Remove the entry, or restore the release from git."
        )
    newest = _newest(releases)
    return ReleasedProduct(id=product_id, title=newest.title, summary=newest.summary, versions=releases)


def _newest(releases: tuple[Release, ...]) -> Release:
    return max(releases, key=lambda release: (not release.version.pre_release, release.version))


def _load_release(path: Path, status: Mapping[str, Mapping[str, Any]]) -> Release:
    record_path = path / RECORD
    if not record_path.is_file():
        raise ReleaseError(
            f"{path} is not a release: it has no {RECORD}. Restore it from git, or remove the folder if it was never "
            f"committed."
        )
    record = _json_object(record_path)
    try:
        version = Version.parse(record["version"])
        now = {"guidance": record["guidance"], "active": True, "reason": "", **status.get(str(version), {})}
        if version.pre_release:
            now |= {"guidance": "DEPRECATED", "reason": now["reason"] or PRE_RELEASE}
        files = {
            name: ReleasedFile(
                name=name, path=path / name, sha256=entry["sha256"], size=entry["size"], key=entry["key"]
            )
            for name, entry in record["files"].items()
        }
        release = Release(
            product=record["product"],
            title=record["title"],
            summary=record["summary"],
            version=version,
            description=record["description"],
            date=record["date"],
            guidance=now["guidance"],
            active=now["active"],
            reason=now["reason"],
            contract=record["contract"],
            baseline=record.get("baseline"),
            seed_code=record["seed_code"],
            tools=record["tools"],
            files=files,
            path=path,
        )
    except (KeyError, TypeError, AttributeError, VersionError) as err:
        cause = f"{err.args[0]!r} is missing" if isinstance(err, KeyError) else str(err)
        raise ReleaseError(
            f"{record_path} is not a release record: {cause}. Releases never change: restore the file from git."
        ) from err
    product_id = path.parent.parent.name.replace("_", "-")
    if path.name != str(version) or release.product != product_id:
        raise ReleaseError(
            f"{record_path} says it is {release.product} {version}, but its folder is that of {product_id} "
            f"{path.name}. A release folder cannot be copied or renamed: restore it from git."
        )
    return release


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as err:
        raise ReleaseError(f"{path} is not valid JSON: {err}. Restore it from git.") from err
    if not isinstance(content, dict):
        raise ReleaseError(f"{path} holds {type(content).__name__} where a JSON object belongs. Restore it from git.")
    return content
