"""The few questions that releases put to git."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from products.releases import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NO_RELEASES: Final = (".", ":(exclude)products/*/releases")


def git(root: Path, *arguments: str) -> bytes:
    """Run git in a repository and return what it prints.

    Raises:
        ReleaseError: git is missing or fails; the message ends with its own.
    """
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError as err:
        raise ReleaseError("git is not installed or not on PATH, and releases are made from commits.") from err
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip()
        raise ReleaseError(f"`git {' '.join(arguments)}` failed in {root}:\n{message}")
    return done.stdout


def head_date(root: Path) -> str:
    """Return the committer date of HEAD in UTC, e.g. ``2026-03-01T09:30:00Z``: the same on every machine."""
    seconds = int(git(root, "log", "-1", "--format=%ct", "HEAD"))
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def uncommitted(root: Path, paths: Iterable[str]) -> tuple[str, ...]:
    """Return the files at or below `paths` (relative to `root`) that differ from HEAD or are not tracked.

    A path may be a git pathspec, e.g. ``:(exclude)products/*/releases``.
    """
    # --porcelain -z: "XY <path>\0", for a rename followed by "<old path>\0"; --no-renames spares us the second form.
    status = git(root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *paths).decode()
    return tuple(sorted(entry[3:] for entry in status.split("\0") if entry))


def export_head(root: Path, folder: Path) -> None:
    """Write the committed tree without its releases to `folder`: no edited, ignored or untracked file gets in."""
    # Whatever a person's configuration says about line ends must not reach the bytes of a release.
    as_committed = ("-c", "core.autocrlf=false", "-c", "core.eol=lf")
    archive = git(root, *as_committed, "archive", "--format=zip", "HEAD", "--", *_NO_RELEASES)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)


def export_working_tree(root: Path, folder: Path) -> None:
    """Write to `folder` what `export_head` would write if everything was committed: ignored files stay out."""
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *_NO_RELEASES).decode()
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():  # a tracked file may have been deleted
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name, follow_symlinks=False)


def files_at(root: Path, revision: str, path: str) -> dict[str, str]:
    """Return the tracked files below `path` at a revision: path relative to the repository to blob id.

    Raises:
        ReleaseError: There is no such revision.
    """
    try:
        git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except ReleaseError as err:
        raise ReleaseError(
            f"there is no revision {revision!r} in {root}. Name a branch, tag or commit, e.g. origin/main; in a "
            f"shallow clone, fetch it first (`git fetch --unshallow`)."
        ) from err
    listing = git(root, "ls-tree", "-r", "-z", "--full-tree", revision, "--", path).decode()
    rows = (row.split("\t", 1) for row in listing.split("\0") if row)
    return {name: about.split()[2] for about, name in rows}


def blob_ids(root: Path, paths: Iterable[Path]) -> tuple[str, ...]:
    """Return the blob ids that files on disk would have in git, in order; no filter (line ends) is applied."""
    names = [str(path) for path in paths]
    return tuple(git(root, "hash-object", "--no-filters", "--", *names).decode().split()) if names else ()
