"""The configuration of the opt-in tests in a real account fits the newest releases; nothing is launched here."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest

from products.releases import TEMPLATE, load_catalog
from tests.e2e.taskcat import configuration
from tests.pipeline.product_repository import ROOT

FOLDER: Final = ROOT / "tests" / "e2e"
TESTS: Final[dict[str, Any]] = configuration()["tests"]
NEWEST: Final = {id_: product.newest for id_, product in load_catalog(ROOT).products.items()}
FROM_ACCOUNT: Final = re.compile(r"\$\[taskcat_ssm_(.+)\]")
each_test = pytest.mark.parametrize("product", sorted(TESTS))


def test_every_released_product_is_tested_in_its_newest_version() -> None:
    wanted = {id_: (release.path / TEMPLATE).relative_to(ROOT / "products") for id_, release in NEWEST.items()}
    assert {id_: test["template"] for id_, test in TESTS.items()} == {id_: str(path) for id_, path in wanted.items()}


@each_test
def test_the_parameters_are_those_of_the_template_and_the_required_ones_are_there(product: str) -> None:
    declared = json.loads((NEWEST[product].path / TEMPLATE).read_bytes())["Parameters"]
    given = set(TESTS[product]["parameters"])
    assert given <= set(declared)
    assert {name for name, parameter in declared.items() if "Default" not in parameter} <= given


@each_test
def test_the_template_accepts_the_values(product: str) -> None:
    declared = json.loads((NEWEST[product].path / TEMPLATE).read_bytes())["Parameters"]
    for name, value in TESTS[product]["parameters"].items():
        parameter = declared[name]
        if FROM_ACCOUNT.fullmatch(value):
            continue
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), value), name
        assert value in parameter.get("AllowedValues", [value]), name
        assert len(value) <= parameter.get("MaxLength", len(value)), name


def test_the_readme_says_how_to_set_every_value_that_the_account_holds() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    values = [value for test in TESTS.values() for value in test["parameters"].values()]
    held = [match.group(1) for value in values if (match := FROM_ACCOUNT.fullmatch(value))]
    assert held
    assert [name for name in held if f"put-parameter --type String --name {name} " not in readme] == []
