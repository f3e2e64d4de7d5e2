"""Zips of the Lambda functions, the same bytes on every machine, addressed by their digest.

The functions import the standard library and boto3 only, so a zip of the sources is all they need: no Docker, no pip.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lambdas.shared.artifact_bucket import archive_key

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parent.parent

_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say; any fixed time keeps the bytes the same
_NOT_A_FUNCTION: Final = frozenset({"shared"})


class BundlingError(Exception):
    """A function's folder cannot be made into a zip."""


@cache
def bundles(*, root: Path = ROOT) -> Mapping[str, bytes]:
    """Return the zip of every function, keyed by the name of its folder below ``lambdas/``, e.g. ``seed_checkin``.

    A zip keeps the package path, so that a handler is ``lambdas.<function>.handler.lambda_handler``, and holds
    ``lambdas/__init__.py``, ``lambdas/shared/`` and the function's own folder.

    Args:
        root: Folder that holds ``lambdas/``. Default: this repository.
    """
    folders = sorted(path.parent for path in (root / "lambdas").glob("*/handler.py"))
    return {folder.name: _bundle(folder, root) for folder in folders if folder.name not in _NOT_A_FUNCTION}


def asset_key(name: str, *, root: Path = ROOT) -> str:
    """Return the key of a function's zip in the hub's artifact bucket: ``assets/<sha256>.zip``.

    Raises:
        BundlingError: There is no such function.
    """
    content = bundles(root=root).get(name)
    if content is None:
        raise BundlingError(
            f"there is no Lambda function {name!r}: a function is a folder below lambdas/ with a handler.py. "
            f"Known functions: {', '.join(bundles(root=root)) or 'none'}."
        )
    return archive_key(hashlib.sha256(content).hexdigest())


def _bundle(folder: Path, root: Path) -> bytes:
    package = root / "lambdas"
    sources = [package / "__init__.py", *(package / "shared").rglob("*.py"), *folder.rglob("*.py")]
    buffer = io.BytesIO()
    # Stored, not deflated: what deflate writes depends on the zlib that Python was built with.
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_STORED) as zipped:
        for path, name in sorted((path, path.relative_to(root).as_posix()) for path in sources):
            entry = zipfile.ZipInfo(name, date_time=_ZIP_TIME)
            entry.create_system = 3  # Unix: the upper half of external_attr is the file mode
            entry.external_attr = 0o100644 << 16
            zipped.writestr(entry, path.read_bytes())
    return buffer.getvalue()
