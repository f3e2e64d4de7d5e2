"""Make a new release: decide whether it may be made, and write it all or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from foundation.baseline_version import BASELINE_VERSION
from lambdas.shared.artifact_bucket import archive_key
from pipeline.diff import Change, Diff, compare
from pipeline.git import head_date, uncommitted
from pipeline.synthesis import Candidate, candidate_of_head, template_bytes
from pipeline.verification import foreign_literals
from products.releases import (
    ARCHIVE,
    PRE_RELEASE,
    RECORD,
    STATUS,
    TEMPLATE,
    Catalog,
    Release,
    ReleasedProduct,
    ReleaseError,
    archive_keys,
    load_status,
    product_folder,
    releases_folder,
    template_key,
)
from products.semver import Step, Version, VersionError
from products.shared.names import BASELINE_NEEDED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CHANGELOG: Final = "CHANGELOG.md"
DESCRIPTION_MAX: Final = 8192
"""Longest description of a provisioning artifact (Service Catalog API, ProvisioningArtifactDescription)."""

# Files that every product's template depends on, besides its own folder and its seed code.
_COMMON_INPUTS: Final = ("products/shared", "cdk.json", "uv.lock")
_LISTED_AREAS: Final = ("parameters", "outputs")


@dataclass(frozen=True, kw_only=True)
class ReleasePlan:
    """A release that may be made and was not yet.

    Attributes:
        product: Product id.
        version: Version to release.
        base: Release that it was compared with; None for a first release.
        diff: Differences to `base`; None for a first release.
        folder: Folder to be written.
        files: Contents of that folder by file name.
        changelog_path: Changelog of the product.
        changelog: Its new content.
    """

    product: str
    version: Version
    base: Release | None
    diff: Diff | None
    folder: Path
    files: Mapping[str, bytes]
    changelog_path: Path
    changelog: str

    def write(self, root: Path) -> None:
        """Write the release: afterwards it is there whole, or - interrupted at any point - not at all.

        It is made in ``build/``, on the same file system, and put in place by one rename. The changelog goes first: an
        entry without a release is replaced by the next attempt, a release without an entry never would be.

        Args:
            root: The repository.

        Raises:
            ReleaseError: The folder exists by now.
        """
        staging = root / "build" / "releasing" / f"{self.product}-{self.version}"
        shutil.rmtree(staging, ignore_errors=True)  # left by an attempt that was killed
        before = self.changelog_path.read_bytes() if self.changelog_path.is_file() else None
        try:
            staging.mkdir(parents=True)
            for name, content in self.files.items():
                _write_durably(staging / name, content)
            _sync_folder(staging)
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            if self.folder.exists():
                raise ReleaseError(f"{self.folder} has appeared meanwhile, so nothing was written.")
            _replace(self.changelog_path, self.changelog.encode(), staging.with_suffix(".changelog"))
            staging.rename(self.folder)
            _sync_folder(self.folder.parent)
        except BaseException:
            if not self.folder.exists() and before is not None:
                self.changelog_path.write_bytes(before)
            elif not self.folder.exists():
                self.changelog_path.unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def base_of(product: ReleasedProduct | None) -> Release | None:
    """Return the release that a product's code is compared with: the newest, None if there is none."""
    return product.newest if product else None


def plan_release(catalog: Catalog, product_id: str, version_text: str, description: str) -> ReleasePlan:
    """Decide whether a product may be released now, from the commit that is checked out.

    Only committed files get in.

    Args:
        catalog: The catalog of the repository.
        product_id: Product to release.
        version_text: Version to give it, e.g. ``1.4.0``.
        description: What is new, for users: Service Catalog and the changelog show it.

    Raises:
        ReleaseError: It may not; the message says why and what to do.
    """
    catalog.check_known(product_id)
    released = catalog.products.get(product_id)
    version = _checked_version(product_id, version_text, released)
    if not description.strip() or len(description) > DESCRIPTION_MAX:
        raise ReleaseError(
            f"the description has {len(description.strip())} characters; it needs 1 to {DESCRIPTION_MAX:,}, because "
            f"Service Catalog and the changelog show it to users. Say what is new with -m."
        )
    folder = product_folder(catalog.root, product_id).relative_to(catalog.root).as_posix()
    own = (folder, f":(exclude){folder}/releases", f":(exclude){folder}/{CHANGELOG}")
    _check_committed(catalog.root, product_id, (*own, *_COMMON_INPUTS))
    candidate = candidate_of_head(catalog.root, product_id)
    _check_committed(catalog.root, product_id, candidate.seed_code_inputs)
    files = _files(candidate, version, description.strip(), head_date(catalog.root))
    _check_template(candidate, files)
    base = base_of(released)
    diff = compare(base, candidate) if base else None
    if released and base and diff:
        _check_changed(released, base, candidate, version)
        _check_step(product_id, base, diff, version)
    changelog_path = product_folder(catalog.root, product_id) / CHANGELOG
    return ReleasePlan(
        product=product_id,
        version=version,
        base=base,
        diff=diff,
        folder=releases_folder(catalog.root, product_id) / str(version),
        files=files,
        changelog_path=changelog_path,
        changelog=_changelog(changelog_path, json.loads(files[RECORD]), diff),
    )


def retire(catalog: Catalog, product_id: str, version: str, *, hide: bool, reason: str) -> Path:
    """Deprecate or hide a released version, and return the file that says so.

    The release folder stays as it is; whatever was launched from the version keeps working.

    Args:
        catalog: The catalog of the repository.
        product_id: Its product.
        version: The version, e.g. ``1.0.0``.
        hide: False: nothing new can be launched from it. True: nothing can be updated to it either.
        reason: Why, for whoever wonders.

    Raises:
        ReleaseError: No such version, no reason, it is deprecated as every pre-release is, or it is the last one that
            can be launched.
    """
    catalog.check_known(product_id)
    product = catalog.products.get(product_id)
    if product is None:
        raise ReleaseError(f"{product_id} has no release yet, so there is nothing to retire.")
    release = product.release(version)
    if not reason.strip():
        raise ReleaseError("the reason is empty. Say with --reason why, and what to use instead.")
    if release.version.pre_release and not hide:
        raise ReleaseError(f"{product_id} {version} is {PRE_RELEASE}. Hide it with --hide, or leave it.")
    if product.launchable == (release,):
        raise ReleaseError(
            f"{product_id} {version} is the only version that can be launched; without it the product is of no use. "
            f"Release a newer version first, or take the product out of portfolios/catalog.py."
        )
    folder = releases_folder(catalog.root, product_id)
    status = load_status(folder)
    status[version] = {"guidance": "DEPRECATED", "active": not hide, "reason": reason.strip()}
    ordered = dict(sorted(status.items(), key=lambda item: Version.parse(item[0])))
    path, build = folder / STATUS, catalog.root / "build"
    build.mkdir(exist_ok=True)
    _replace(path, _json_bytes(ordered), build / f"{product_id}-{STATUS}")
    return path


def _checked_version(product_id: str, version_text: str, released: ReleasedProduct | None) -> Version:
    try:
        version = Version.parse(version_text)
    except VersionError as err:
        raise ReleaseError(str(err)) from err
    if released is None:
        return version
    if any(release.version == version for release in released.versions):
        raise ReleaseError(
            f"{product_id} {version} is released already, and a release never changes. "
            f"Choose a version after {released.newest.version}; `portfolio diff {product_id}` names the smallest."
        )
    # A full version may come while a pre-release of a later one is tried.
    others = [release.version for release in released.versions if release.version.core == version.core]
    before = max([released.newest.version, *others])
    if version < before:
        raise ReleaseError(
            f"{version} comes before {before}, which {product_id} has already. Versions only go up: "
            f"`portfolio diff {product_id}` names the smallest one that is allowed."
        )
    return version


def _check_committed(root: Path, product_id: str, paths: tuple[str, ...]) -> None:
    changed = uncommitted(root, paths) if paths else ()
    if changed:
        listed = "\n".join(f"  {path}" for path in changed)
        raise ReleaseError(
            f"{product_id} is released from committed files only, so that its commit says all that is in it. "
            f"Not committed:\n{listed}\nCommit these files, or undo the changes."
        )


def needed_baseline(template: Mapping[str, Any]) -> str | None:
    """Return the least version of the baseline that a template says it needs; None for any."""
    preflights = (r for r in template["Resources"].values() if r["Type"] == "Custom::Preflight")
    return next((needed for r in preflights if (needed := r["Properties"].get(BASELINE_NEEDED))), None)


def _check_template(candidate: Candidate, files: Mapping[str, bytes]) -> None:
    template = files[TEMPLATE].decode()
    found = list(foreign_literals(json.loads(template)))
    named = archive_keys(template)
    own = {archive_key(hashlib.sha256(candidate.archive).hexdigest())} if candidate.archive is not None else set()
    found += [f"it names {key}, which is not its seed code" for key in sorted(named - own)]
    found += [f"it never names its seed code, {key}" for key in sorted(own - named)]
    needed = needed_baseline(candidate.template)
    if needed and Version.parse(needed) > Version.parse(BASELINE_VERSION):
        raise ReleaseError(
            f"{candidate.product} needs baseline {needed}, and this repository rolls out {BASELINE_VERSION}, so "
            f"nobody could launch it: raise BASELINE_VERSION in foundation/baseline_version.py with what is new there."
        )
    if found:
        listed = "\n".join(f"  {line}" for line in found)
        raise ReleaseError(f"the template of {candidate.product} would not work in every account:\n{listed}")


def _check_changed(released: ReleasedProduct, base: Release, candidate: Candidate, version: Version) -> None:
    """Refuse a release that equals the one it follows, unless it makes a pre-release a full version."""
    earlier = [release for release in released.versions if release.version < version]
    before = earlier[-1] if version.pre_release and earlier else base
    promotes = bool(before.version.pre_release) and not version.pre_release
    if not promotes and compare(before, candidate).step is Step.NONE:
        raise ReleaseError(
            f"{released.id} has not changed since {before.version}, so {version} would be the same under another name. "
            f"Commit the change first; `portfolio diff {released.id}` shows what counts as one."
        )


def _check_step(product_id: str, base: Release, diff: Diff, version: Version) -> None:
    if base.version.pre_release:
        return  # there is no full version that a step could be counted from
    if base.version.step_to(version) < diff.step:
        reasons = "\n".join(f"  {change}" for change in diff.reasons)
        raise ReleaseError(
            f"{base.version} to {version} is too small a step for {product_id}: a {diff.step} step, to "
            f"{base.version.after(diff.step)} or later, is needed because of\n{reasons}"
        )


def _files(candidate: Candidate, version: Version, description: str, date: str) -> dict[str, bytes]:
    """Return the contents of the release folder; the same commit gives the same bytes."""
    files = {TEMPLATE: template_bytes(candidate.template, str(version))}
    if candidate.archive is not None:
        files[ARCHIVE] = candidate.archive
    listed: dict[str, dict[str, Any]] = {}
    for name, content in files.items():
        digest = hashlib.sha256(content).hexdigest()
        key = template_key(candidate.product, version) if name == TEMPLATE else archive_key(digest)
        listed[name] = {"sha256": digest, "size": len(content), "key": key}
    record = {
        "product": candidate.product,
        "title": candidate.title,
        "summary": candidate.summary,
        "version": str(version),
        "description": description,
        "date": date,
        "guidance": "DEFAULT",
        "contract": candidate.contract,
        **({"baseline": baseline} if (baseline := needed_baseline(candidate.template)) else {}),
        "seed_code": candidate.seed_code,
        "files": listed,
        "tools": dict(candidate.tools),
    }
    return {**files, RECORD: _json_bytes(record)}


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _changelog(path: Path, record: Mapping[str, Any], diff: Diff | None) -> str:
    """Return the product's changelog with the entry of this release on top."""
    version = record["version"]
    lines = [f"## {version} ({record['date'][:10]})", "", record["description"], ""]
    if listed := [_for_users(change) for change in (diff.changes if diff else ()) if _concerns_users(change)]:
        lines += [*listed, ""]
    text = path.read_text(encoding="utf-8") if path.is_file() else f"# Changes of {record['title']}\n"
    # An attempt that was killed may have left its entry: replace it.
    text = re.sub(rf"^## {re.escape(version)} \(.*?(?=^## |\Z)", "", text, flags=re.DOTALL | re.MULTILINE)
    first = re.search(r"^## ", text, flags=re.MULTILINE)
    head, rest = (text[: first.start()], text[first.start() :]) if first else (text, "")
    return "\n".join([head.rstrip(), "", *lines, rest]).rstrip() + "\n"


def _concerns_users(change: Change) -> bool:
    if change.area in _LISTED_AREAS:
        return change.step > Step.PATCH
    return change.kind == "replaced" or change.step is Step.MAJOR


def _for_users(change: Change) -> str:
    area = change.area.removesuffix("s")
    return f"- {area.capitalize()} `{change.name}` {change.kind}" + (f": {change.detail}" if change.detail else "")


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, content: bytes, temporary: Path) -> None:
    """Give a file its new content in one step; `temporary` is a path on the same file system."""
    _write_durably(temporary, content)
    temporary.replace(path)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
