"""Data of one's own: read as the product reads it, and landed in S3 under the names that it has."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from products.shared.form.patterns import S3_FOLDER
from rehearsal import data_set, training_steps
from rehearsal.organization import Organization, RehearsalError
from rehearsal.world import World

pytestmark = pytest.mark.seed

ROWS = "age;churn\n41,5;yes\n39,5;no\n"


class Bucket:
    """Stands for S3: remembers what was uploaded under which key."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def create_bucket(self, **_: Any) -> None:  # noqa: ANN401
        pass

    def upload_file(self, path: str, _bucket: str, key: str) -> None:
        assert key not in self.objects, f"{key} is overwritten"
        self.objects[key] = Path(path).read_bytes()


def land(data: Path, label: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, World, dict[str, bytes]]:
    """Return what the step says, what the rehearsal knows afterwards, and the objects."""
    bucket = Bucket()
    world = World(data.parent, Organization(data.parent / "cloud"), data, label)
    monkeypatch.setattr(World, "client", lambda *_, **__: bucket)
    return training_steps.land_data(world), world, bucket.objects


def write(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def test_what_the_product_reads_is_landed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, str | bytes] = {
        "semicolon.csv": ROWS,
        "blanks.csv": ROWS.replace("age;churn", "age ; churn "),
        "tab.csv": ROWS.replace(";", "\t"),
        "mark.csv": "\ufeff" + ROWS,
        "utf-16.csv": ROWS.encode("utf-16"),
        "zipped.csv.gz": gzip.compress(ROWS.encode()),
        "crlf.csv": ROWS.replace("\n", "\r\n"),
    }
    folder = write(tmp_path / "claims", **files)
    said, _, objects = land(folder, "churn", monkeypatch)
    assert "14 rows" in said
    assert objects == {f"claims/{path.name}": path.read_bytes() for path in folder.iterdir()}


def test_files_of_equal_names_in_different_folders_are_all_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(
        tmp_path / "sales",
        **{"region=south__part-0.csv": ROWS, "region=north__part-0.csv": ROWS, "region=north___SUCCESS": ""},
    )
    said, world, objects = land(folder, "churn", monkeypatch)
    assert set(objects) == {
        "sales/region=south/part-0.csv",
        "sales/region=north/part-0.csv",
        "sales/region=north/_SUCCESS",
    }
    assert "4 rows" in said
    assert world.known["data-uri"].endswith("/sales/")


def test_the_name_of_a_folder_may_be_the_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(
        tmp_path / "sales", **{"churn=yes__part-0.csv": "age,x\n1,2\n", "churn=no__part-0.csv": "age,x\n3,4\n"}
    )
    said, _, _ = land(folder, "churn", monkeypatch)
    assert "2 rows" in said


def test_a_file_with_any_name_is_landed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(tmp_path, **{"claims 2024 (1).csv": ROWS}) / "claims 2024 (1).csv"
    _, world, objects = land(data, "churn", monkeypatch)
    assert world.known["data-uri"].endswith("/claims-2024-1/")
    assert set(objects) == {"claims-2024-1/claims 2024 (1).csv"}


@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=60))
def test_the_place_of_a_file_with_any_name_fits_the_form(name: str) -> None:
    assert re.fullmatch(S3_FOLDER, f"s3://data-lake/{data_set.folder_of(Path('/data', name))}/")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.csv": "age,left\n41,yes\n"}, "a.csv has no column LABEL=churn; it has: age, left"),
        ({"a.csv": ROWS, "b__a.csv": "age;left\n41;yes\n"}, "b/a.csv has no column LABEL=churn"),
        ({"a.csv": "age,churn\n41,yes,7\n"}, "a.csv, line 2: 3 fields, but the header has 2"),
        ({"_SUCCESS": ""}, "there is no CSV or Parquet file"),
    ],
)
def test_what_the_product_refuses_is_refused_before_anything_starts(
    files: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RehearsalError, match=re.escape(said)):
        land(write(tmp_path / "data", **files), "churn", monkeypatch)
