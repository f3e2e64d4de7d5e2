"""How layers become a generated repository (products/shared/seed_code.py)."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from typing import TYPE_CHECKING

import pytest

from products.shared import seed_code
from products.shared.seed_code import SeedCodeError

if TYPE_CHECKING:
    from pathlib import Path


def make_tree(root: Path, layers: dict[str, dict[str, str]], template: str | None = None) -> Path:
    """Write layers and one template named ``demo`` that uses them all."""
    for layer, files in layers.items():
        for path, content in files.items():
            target = root / "layers" / layer / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
    (root / "templates").mkdir(parents=True, exist_ok=True)
    names = ", ".join(f'"{layer}"' for layer in layers)
    (root / "templates" / "demo.toml").write_text(template if template is not None else f"layers = [{names}]\n")
    return root


def test_a_repository_is_the_union_of_its_layers(tmp_path: Path) -> None:
    root = make_tree(tmp_path, {"base": {"README.md": "hello", "src/b.py": "b"}, "extra": {"src/a.py": "a"}})
    assert seed_code.assemble("demo", root=root) == {"README.md": b"hello", "src/a.py": b"a", "src/b.py": b"b"}
    assert list(seed_code.assemble("demo", root=root)) == ["README.md", "src/a.py", "src/b.py"]


def test_a_layer_may_not_replace_a_file_of_another(tmp_path: Path) -> None:
    root = make_tree(tmp_path, {"base": {"src/a.py": "1"}, "extra": {"src/a.py": "1"}})
    with pytest.raises(SeedCodeError, match=r"layers 'base' and 'extra' both provide src/a\.py\. A layer may add"):
        seed_code.assemble("demo", root=root)


def test_a_file_may_not_be_a_folder_in_another_layer(tmp_path: Path) -> None:
    root = make_tree(tmp_path, {"base": {"src": "1"}, "extra": {"src/a.py": "1"}})
    with pytest.raises(SeedCodeError, match=r"src is a file in layer 'base' and a folder in layer 'extra'"):
        seed_code.assemble("demo", root=root)


def test_caches_and_environments_stay_out(tmp_path: Path) -> None:
    left_by_tools = {
        ".venv/bin/python": "x",
        "src/__pycache__/a.cpython-311.pyc": "x",
        "src/stray.pyc": "x",
        ".ruff_cache/1": "x",
        ".pytest_cache/1": "x",
        "build/out.json": "x",
    }
    root = make_tree(tmp_path, {"base": {"src/a.py": "1", ".gitignore": "build/", **left_by_tools}})
    assert list(seed_code.assemble("demo", root=root)) == [".gitignore", "src/a.py"]


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    root = make_tree(tmp_path, {"base": {"a.py": "1"}})
    (root / "layers" / "base" / "b.py").symlink_to("a.py")
    with pytest.raises(SeedCodeError, match=r"b\.py in layer 'base' is a symbolic link"):
        seed_code.assemble("demo", root=root)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("layers = 'base'", "must list layer names"),
        ("", "must list layer names"),
        ("layers = [", "not valid TOML"),
        ('layers = ["base", "base"]', "names base more than once"),
        ('layers = ["base", "other"]', "layer 'other' does not exist"),
    ],
)
def test_a_malformed_template_says_what_is_wrong(tmp_path: Path, template: str, message: str) -> None:
    root = make_tree(tmp_path, {"base": {"a.py": "1"}}, template)
    with pytest.raises(SeedCodeError, match=message):
        seed_code.assemble("demo", root=root)


def test_an_unknown_template_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    root = make_tree(tmp_path, {"base": {"a.py": "1"}})
    with pytest.raises(SeedCodeError, match=r"'trian' does not exist.*Known templates: demo"):
        seed_code.assemble("trian", root=root)


def test_an_empty_layer_is_refused(tmp_path: Path) -> None:
    root = make_tree(tmp_path, {"base": {"a.py": "1"}}, 'layers = ["base", "empty"]')
    (root / "layers" / "empty").mkdir()
    with pytest.raises(SeedCodeError, match="layer 'empty' holds no files"):
        seed_code.assemble("demo", root=root)


def test_the_archive_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    files = {"b/run.sh": "#!/bin/sh\necho hi\n", "a.py": "1"}
    first = make_tree(tmp_path / "one", {"base": files})
    second = make_tree(tmp_path / "two" / "elsewhere", {"base": dict(reversed(files.items()))})
    for path in second.rglob("*"):
        os.utime(path, (1, 1))
    (second / "layers" / "base" / "a.py").chmod(0o600)
    assert seed_code.archive("demo", root=first) == seed_code.archive("demo", root=second)

    with zipfile.ZipFile(io.BytesIO(seed_code.archive("demo", root=first))) as zipped:
        entries = zipped.infolist()
    assert [entry.filename for entry in entries] == ["a.py", "b/run.sh"]
    assert [oct(entry.external_attr >> 16) for entry in entries] == ["0o100644", "0o100755"]
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}


def test_a_changed_byte_changes_the_archive(tmp_path: Path) -> None:
    root = make_tree(tmp_path, {"base": {"a.py": "1"}})
    before = seed_code.archive("demo", root=root)
    (root / "layers" / "base" / "a.py").write_text("2")
    assert seed_code.archive("demo", root=root) != before


def test_written_scripts_can_be_executed(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "seed", {"base": {"bin/run": "#!/bin/sh\n", "a.py": "1"}})
    written = seed_code.write("demo", tmp_path / "out", root=root)
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == ["a.py", "bin/run"]
    assert shutil.which(str(tmp_path / "out" / "bin" / "run"))
    assert not shutil.which(str(tmp_path / "out" / "a.py"))


def test_inputs_name_the_template_and_every_layer(tmp_path: Path) -> None:
    root = make_tree(tmp_path, {"base": {"a.py": "1"}, "extra": {"b.py": "1"}})
    expected = (root / "templates" / "demo.toml", root / "layers" / "base", root / "layers" / "extra")
    assert seed_code.inputs("demo", root=root) == expected
