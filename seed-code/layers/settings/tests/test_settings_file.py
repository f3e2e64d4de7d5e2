from __future__ import annotations

from pathlib import Path

import pytest

from settings_file import SettingsFileError, load


def content(folder: Path, text: str | bytes) -> object:
    path = folder / "some.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("-2.5e+1", -25.0),
        (".5e1", 5.0),
        ("1.5", 1.5),
        ("3", 3),
        ("'1e3'", "1e3"),
        ("1e3x", "1e3x"),
        ("e3", "e3"),
        ("2024-05", "2024-05"),
    ],
)
def test_numbers_are_what_people_mean(tmp_path: Path, text: str, value: object) -> None:
    assert content(tmp_path, f"a: {text}\n") == {"a": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "some.yaml: a is there twice, in lines 1 and 3"),
        ("x:\n  y: 1\n  z: 2\n  y: 1\n", "some.yaml: y is there twice, in lines 2 and 4"),
        ("a: {b: 1, b: 2}\n", "some.yaml: b is there twice"),
        ("a: [\n", "some.yaml is not valid YAML"),
        ("a: \x00\n", "some.yaml is not valid YAML"),
        (b"a: 1\nb: gro\xdfe\n", "some.yaml is not UTF-8 text (byte 0xdf in line 2): save it as UTF-8"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(SettingsFileError) as failure:
        content(tmp_path, text)
    assert str(failure.value).startswith(message)


def test_the_same_key_in_two_places_is_fine(tmp_path: Path) -> None:
    assert content(tmp_path, "a: {c: 1}\nb: {c: 2}\n") == {"a": {"c": 1}, "b": {"c": 2}}


def test_anchors_can_be_merged_and_overridden(tmp_path: Path) -> None:
    text = "base: &base {a: 1, b: 2}\nother:\n  <<: *base\n  b: 3\n"
    assert content(tmp_path, text) == {"base": {"a": 1, "b": 2}, "other": {"a": 1, "b": 3}}


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    assert content(tmp_path, b"\xef\xbb\xbfa: 1\n") == {"a": 1}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsFileError, match=r"none\.yaml is missing: restore it"):
        load(tmp_path / "none.yaml")
