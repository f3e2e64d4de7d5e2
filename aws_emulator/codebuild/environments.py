"""Python environments of builds, made of those that are installed already: installing takes long.

Every build has an environment of its own. In it, packages from an index are links to the installed ones; what the
repository carries itself, such as a wheel, the build installs. So uv really synchronises it, as on CodeBuild, and
changes nothing that other builds use.
"""

from __future__ import annotations

import shutil
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAYS_NOTHING: Final = frozenset({"resolution-markers", "revision", "size", "upload-time", "url"})
"""Keys of a lock file that differ between two files which pin the same: by index, and by how the resolver went."""


def lend(lock: Path, interpreters: Mapping[str, str], environment: Path) -> Path | None:
    """Make an environment with the packages from indexes that a repository locks, and return its interpreter.

    Args:
        lock: The repository's ``uv.lock``.
        interpreters: Interpreters of the installed environments, by the lock files that they were installed from.
        environment: Folder to make.

    Returns:
        None where no installed environment has exactly the locked packages from indexes, by version and hashes.
    """
    try:
        wanted, _ = _read(lock.read_text(encoding="utf-8"))
    except (FileNotFoundError, tomllib.TOMLDecodeError):  # of the latter uv complains
        return None
    for path, python in interpreters.items():
        pinned, carried = _read(Path(path).read_text(encoding="utf-8"))
        if pinned == wanted:
            _link(Path(python).parent.parent, environment, carried)
            return environment / "bin" / Path(python).name
    return None


@cache
def _read(text: str) -> tuple[dict[str, Any], frozenset[str]]:
    """Return what a lock file pins from indexes, and the names of the packages that its repository carries itself."""
    content = tomllib.loads(text)
    packages = content.get("package", [])
    carried = frozenset(each["name"] for each in packages if {"path", "directory"} & each.get("source", {}).keys())

    def pinned(value: Any) -> Any:  # noqa: ANN401 - any value of TOML
        if isinstance(value, list):
            return [pinned(item) for item in value if not (isinstance(item, dict) and item.get("name") in carried)]
        if isinstance(value, dict):
            return {key: pinned(item) for key, item in value.items() if key not in _SAYS_NOTHING}
        return value

    return pinned(content), carried


def _link(installed: Path, environment: Path, carried: frozenset[str]) -> None:
    """Make an environment of links to an installed one, without the packages that a repository carries.

    Folders with metadata are folders, because uv overlooks links to them.
    """
    site = next((installed / "lib").glob("python3*/site-packages"))
    left_out: set[str] = set()
    for metadata in site.glob("*.dist-info"):
        if metadata.name.partition("-")[0].replace("_", "-").lower() in carried:
            files = (metadata / "RECORD").read_text(encoding="utf-8").splitlines()
            left_out |= {file.partition("/")[0] for file in files}
    for folder in (installed / "bin", site):
        (environment / folder.relative_to(installed)).mkdir(parents=True)
        for path in folder.iterdir():
            target = environment / path.relative_to(installed)
            if path.suffix == ".dist-info" and path.name not in left_out:
                target.mkdir()
                for file in path.iterdir():
                    (target / file.name).symlink_to(file)
            elif path.name not in left_out:
                target.symlink_to(path)
    shutil.copy(installed / "pyvenv.cfg", environment)
