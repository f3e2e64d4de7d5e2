"""Assembly of a generated repository from the layers under ``seed-code/``.

A template (``seed-code/templates/<template>.toml``) names layers (``seed-code/layers/<layer>/``). The generated
repository is the union of their files: a layer adds files and never replaces one, so every file is edited in one place.
"""

from __future__ import annotations

import io
import tomllib
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

SEED_CODE: Final = Path(__file__).resolve().parents[2] / "seed-code"

_IGNORED: Final = frozenset(
    {
        "__pycache__",
        ".DS_Store",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".venv",
        "build",
    }
)
_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say; any fixed time keeps the bytes the same


class SeedCodeError(Exception):
    """The layers of a seed-code template do not make a repository; the message says which file or key and why."""


def templates(*, root: Path = SEED_CODE) -> tuple[str, ...]:
    """Return the names of all templates, sorted."""
    return tuple(sorted(path.stem for path in (root / "templates").glob("*.toml")))


def assemble(template: str, *, root: Path = SEED_CODE) -> dict[str, bytes]:
    """Return the files of a generated repository: POSIX path to content, sorted by path.

    Args:
        template: Name of a file in ``seed-code/templates`` without ``.toml``, e.g. ``train-s3``.
        root: Folder that holds ``templates`` and ``layers``. Default: this repository's ``seed-code``.

    Raises:
        SeedCodeError: Template or layer missing or malformed, a symbolic link, or two layers with the same file.
    """
    files: dict[str, bytes] = {}
    owner: dict[str, str] = {}
    for layer in layers(template, root=root):
        for path, source in _layer_files(layer, template, root):
            if path in owner:
                raise SeedCodeError(
                    f"seed-code template {template!r}: layers {owner[path]!r} and {layer!r} both provide {path}. "
                    f"A layer may add files but not replace them: keep the file in one layer, "
                    f"or split the part that differs into a new module."
                )
            owner[path] = layer
            files[path] = source.read_bytes()
    for path in files:
        for parent in PurePosixPath(path).parents:
            if str(parent) in owner:
                raise SeedCodeError(
                    f"seed-code template {template!r}: {parent} is a file in layer {owner[str(parent)]!r} and a folder "
                    f"in layer {owner[path]!r} ({path}). Rename one of them."
                )
    return dict(sorted(files.items()))


def archive(template: str, *, root: Path = SEED_CODE) -> bytes:
    """Return the generated repository as a zip whose bytes depend on names and contents of the files only.

    Entries are sorted, dated 1980-01-01 and stored with mode 0755 when the file starts with ``#!``, else 0644: neither
    clock, nor umask, nor the modes of a checkout get in. Nothing is compressed, because versions of zlib make different
    bytes of the same content; git compresses what it keeps anyway.

    Raises:
        SeedCodeError: As `assemble`.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_STORED) as zipped:
        for path, content in assemble(template, root=root).items():
            entry = zipfile.ZipInfo(path, date_time=_ZIP_TIME)
            entry.create_system = 3  # Unix: the upper half of external_attr is the file mode
            entry.external_attr = (0o100000 | _mode(content)) << 16
            zipped.writestr(entry, content)
    return buffer.getvalue()


def write(template: str, folder: Path, *, root: Path = SEED_CODE) -> tuple[Path, ...]:
    """Write the generated repository into a folder (made if missing) and return the files written.

    Raises:
        SeedCodeError: As `assemble`.
    """
    written: list[Path] = []
    for path, content in assemble(template, root=root).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(_mode(content))
        written.append(target)
    return tuple(written)


def layers(template: str, *, root: Path = SEED_CODE) -> list[str]:
    """Return the names of the layers of a template, in its order.

    Raises:
        SeedCodeError: Template or layer missing or malformed.
    """
    path = _template_file(template, root)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("layers")
    except tomllib.TOMLDecodeError as err:
        raise SeedCodeError(f"{path} is not valid TOML: {err}. No repository can be assembled from it.") from err
    if not isinstance(found, list) or not found or not all(isinstance(layer, str) for layer in found):
        raise SeedCodeError(
            f'{path}: layers is {found!r}; it must list layer names, e.g. layers = ["project", "tabular"].'
        )
    repeated = sorted({layer for layer in found if found.count(layer) > 1})
    if repeated:
        raise SeedCodeError(f"{path}: layers names {', '.join(repeated)} more than once. Name each layer once.")
    for layer in found:
        if not (root / "layers" / layer).is_dir():
            raise SeedCodeError(f"{path}: layer {layer!r} does not exist: {root / 'layers' / layer} is missing.")
    return list(found)


def inputs(template: str, *, root: Path = SEED_CODE) -> tuple[Path, ...]:
    """Return the paths whose change changes the archive: the template file and the folder of each layer.

    Raises:
        SeedCodeError: Template or layer missing or malformed.
    """
    found = layers(template, root=root)
    return (_template_file(template, root), *(root / "layers" / layer for layer in found))


def layer_files(folder: Path) -> list[Path]:
    """Return the files, and symbolic links, of a layer's folder that belong to it, sorted."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if not _IGNORED.intersection(path.relative_to(folder).parts)
        and path.suffix != ".pyc"
        and (path.is_symlink() or path.is_file())
    ]


def _template_file(template: str, root: Path) -> Path:
    path = root / "templates" / f"{template}.toml"
    if not path.is_file():
        known = ", ".join(templates(root=root)) or "none"
        raise SeedCodeError(
            f"seed-code template {template!r} does not exist: {path} is missing. Known templates: {known}."
        )
    return path


def _layer_files(layer: str, template: str, root: Path) -> list[tuple[str, Path]]:
    folder = root / "layers" / layer
    found: list[tuple[str, Path]] = []
    for source in layer_files(folder):
        relative = source.relative_to(folder)
        if source.is_symlink():
            raise SeedCodeError(
                f"seed-code template {template!r}: {relative.as_posix()} in layer {layer!r} is a symbolic link. "
                f"It would point nowhere in the generated repository: put the file itself into the layer."
            )
        found.append((relative.as_posix(), source))
    if not found:
        raise SeedCodeError(
            f"seed-code template {template!r}: layer {layer!r} holds no files. Remove it from the template."
        )
    return found


def _mode(content: bytes) -> int:
    return 0o755 if content.startswith(b"#!") else 0o644
