"""Files with example answers: what is wrong with one is said in a way that helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from products.answers import FILE, AnswersError, all_answers, read_answers

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
launched_by = "data-scientist"
tags = ["CostCenter"]
[ordinary]
DataUri = "s3://lake/churn/"
CostCenter = "ml-1000"
Branch = "main"
[longest]
CostCenter = "cccccccc"
[organization]
DataUri = "data-uri"
Branch = ""
"""


def write(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / FILE).write_text(text)
    return folder


def test_what_only_the_organisation_knows_replaces_the_example(tmp_path: Path) -> None:
    example = read_answers(write(tmp_path / "train_x", GOOD))
    assert example.longest == {"DataUri": "s3://lake/churn/", "CostCenter": "cccccccc", "Branch": "main"}
    assert example.given("the {} of e2e".format) == {"CostCenter": "ml-1000", "DataUri": "the data-uri of e2e"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "answers.toml is not valid TOML"),
        (GOOD.replace("[longest]", "[longer]"), "it must have"),
        (GOOD.replace('"ml-1000"', "1000"), "ordinary.CostCenter must be text in quotes"),
    ],
)
def test_a_malformed_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(AnswersError, match=problem):
        read_answers(write(tmp_path / "train_x", text))


def test_a_product_without_the_file_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "train_x").mkdir()
    (tmp_path / "train_x" / "product.py").touch()
    with pytest.raises(AnswersError, match=r"train_x/answers.toml is missing, so no test can launch the product"):
        all_answers(tmp_path)
