from __future__ import annotations

import itertools

import pytest

from products.semver import Step, Version, VersionError

# The example of rule 11 of the standard, and around it.
ASCENDING = (
    "0.9.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.10",
    "1.1.0-rc.1",
    "1.1.0",
    "10.0.0",
)


@pytest.mark.parametrize(("earlier", "later"), list(itertools.combinations(ASCENDING, 2)))
def test_versions_are_ordered_as_the_standard_orders_them(earlier: str, later: str) -> None:
    assert Version.parse(earlier) < Version.parse(later)
    assert not Version.parse(later) < Version.parse(earlier)


@pytest.mark.parametrize("text", ASCENDING)
def test_a_version_is_spelt_as_it_was_read(text: str) -> None:
    assert str(Version.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0-rc..1", "1.0.0-01", "1.0.0+b", " 1.0.0"]
)
def test_what_is_no_version_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(VersionError, match=r"1\.4\.0"):
        Version.parse(text)


@pytest.mark.parametrize(
    ("earlier", "later", "step"),
    [
        ("1.2.3", "1.2.4", Step.PATCH),
        ("1.2.3", "1.4.0", Step.MINOR),
        ("1.2.3", "2.0.0-rc.1", Step.MAJOR),
        ("1.2.3-rc.1", "1.2.3", Step.NONE),
    ],
)
def test_the_step_between_versions_is_that_of_the_first_number_that_differs(
    earlier: str, later: str, step: Step
) -> None:
    assert Version.parse(earlier).step_to(Version.parse(later)) is step


@pytest.mark.parametrize(
    ("step", "following"), [(Step.PATCH, "1.2.4"), (Step.MINOR, "1.3.0"), (Step.MAJOR, "2.0.0"), (Step.NONE, "1.2.3")]
)
def test_the_version_after_a_step_resets_the_numbers_behind_it(step: Step, following: str) -> None:
    assert str(Version.parse("1.2.3").after(step)) == following
