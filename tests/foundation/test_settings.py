"""The settings of the hub: what is accepted, and how everything else is refused."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from foundation.settings import SAMPLE, HubSettings, SettingsError
from tests.hub import SETTINGS

ROOT = Path(__file__).resolve().parents[2]


def refusal(**changes: Any) -> str:  # noqa: ANN401 (wrong values of any kind)
    settings = {key: value for key, value in {**SETTINGS, **changes}.items() if value is not ...}
    with pytest.raises(SettingsError) as caught:
        HubSettings.parse(settings)
    return str(caught.value)


def test_the_committed_sample_is_valid_and_is_the_sample_that_is_recognised() -> None:
    committed = json.loads((ROOT / "cdk.json").read_text())["context"]["hub"]
    assert committed == SAMPLE
    HubSettings.parse(committed)


def test_settings_may_come_as_json_text_from_the_command_line() -> None:
    assert HubSettings.parse(json.dumps(SETTINGS)) == HubSettings.parse(SETTINGS)


def test_settings_cannot_be_changed_afterwards() -> None:
    settings = HubSettings.parse(SETTINGS)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, "account_id", "000000000000")  # noqa: B010 (the type checker knows that it is read-only)


def test_the_first_region_is_home() -> None:
    assert HubSettings.parse({**SETTINGS, "regions": ["us-east-1", "eu-west-1"]}).home_region == "us-east-1"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("account_id", "12345"),
        ("account_id", 210987654321),
        ("regions", []),
        ("organization_id", "my-org"),
        ("root_id", "root"),
        ("workloads_ou_id", "Workloads"),
        ("workloads_ou_path", "o-tests012345/ou-te01-workload1"),
        ("deployment_ou_id", "ou"),
        ("deployment_account_ids", ["1"]),
        ("notification_emails", ["nobody"]),
        ("connection_arn", "arn:aws:s3:::bucket"),
        ("tags", {"key": "*"}),
    ],
)
def test_a_wrong_value_is_named_with_what_was_found_and_an_example_of_a_right_one(key: str, value: object) -> None:
    message = refusal(**{key: value})
    (line,) = [line for line in message.splitlines() if f"hub.{key}" in line]
    shown = (
        next(iter(value.values()))
        if isinstance(value, dict)
        else value[0]
        if isinstance(value, list) and value
        else value
    )
    assert json.dumps(shown) in line
    assert "example: " in line
    example = json.loads(line.split("example: ", 1)[1])
    HubSettings.parse({**SAMPLE, key: example})  # the example is a right one (with the other keys of the sample)


def test_every_wrong_key_is_in_one_message() -> None:
    message = refusal(
        account_id="1",
        regions=["eu-central-9", "Frankfurt"],
        root_id=...,
        support={"email": "x", "url": "http://insecure"},
        source={"provider": "SVN", "repository": "name"},
        colour="blue",
    )
    wrong = (
        "hub.account_id: found",
        'hub.regions.0: found "eu-central-9"',
        'hub.regions.1: found "Frankfurt"',
        "hub.root_id: missing",
        'hub.support.email: found "x"',
        'hub.support.url: found "http://insecure"',
        'hub.source.provider: found "SVN"',
        'hub.source.repository: found "name"',
        'hub.colour: found "blue"; there is no such setting; remove it',
    )
    assert [w for w in wrong if w not in message] == []
    assert f"{len(wrong)} wrong setting(s)" in message
    assert message.count("\n") == len(wrong)


def test_the_path_of_the_unit_must_agree_with_the_ids() -> None:
    assert "must begin with organization_id and root_id: o-tests012345/r-te01/" in refusal(
        workloads_ou_path="o-tests012345/r-other/ou-te01-workload1/"
    )
    assert "must end with workloads_ou_id: /ou-te01-workload1/" in refusal(
        workloads_ou_path="o-tests012345/r-te01/ou-te01-workload2/"
    )


def test_a_region_may_be_named_once() -> None:
    assert "names a region twice" in refusal(regions=["eu-west-1", "eu-west-1"])


@pytest.mark.parametrize("pattern", ["*sagemaker*", "*", "ml*", "arn:aws:iam:::role/lead", "/path/lead"])
def test_a_pattern_that_would_match_foreign_roles_or_none_is_refused(pattern: str) -> None:
    assert json.dumps(pattern) in refusal(principals={"ml-admin": [pattern]})


def test_principals_of_a_portfolio_that_does_not_exist_are_refused() -> None:
    assert "names unknown portfolios data-access; there are ml-admin, sagemaker-projects" in refusal(
        principals={"data-access": ["team/lead-*"]}
    )


def test_more_patterns_than_service_catalog_allows_are_refused() -> None:
    patterns = [f"team-number-{n}/lead" for n in range(10)]
    assert "Service Catalog allows 10 a portfolio" in refusal(principals={"ml-admin": patterns})
    HubSettings.parse({**SETTINGS, "principals": {"ml-admin": patterns[:9]}})


@pytest.mark.parametrize("value", [None, [], "[1]"])
def test_missing_settings_are_explained_with_an_example(value: object) -> None:
    with pytest.raises(SettingsError, match='no object under the context key "hub"') as caught:
        HubSettings.parse(value)
    assert json.dumps(SAMPLE) in str(caught.value)


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(SettingsError, match='"hub" is not JSON'):
        HubSettings.parse("{account_id: 1}")


def test_every_value_that_must_be_replaced_is_listed_while_it_is_the_samples() -> None:
    listed = {line.split(":")[0] for line in HubSettings.parse(SAMPLE).sample_values()}
    assert listed == {
        "account_id",
        "organization_id",
        "root_id",
        "workloads_ou_id",
        "workloads_ou_path",
        "deployment_ou_id",
        "deployment_account_ids",
        "source.repository",
        "notification_emails",
        "support.email",
        "support.url",
    }
    assert HubSettings.parse(SETTINGS).sample_values() == []
    half = {**SETTINGS, "support": {**SETTINGS["support"], "url": SAMPLE["support"]["url"]}}
    assert HubSettings.parse(half).sample_values() == [f'support.url: "{SAMPLE["support"]["url"]}"']


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("o-tests012345/r-te01/ou-te01-deployme/", True),
        ("o-tests012345/r-te01/ou-te01-parent01/ou-te01-deployme/ou-te01-produc01/", True),
        ("o-tests012345/r-te01/ou-te01-deployme2/", False),
        ("o-tests012345/r-te01/ou-te01-workload1/", False),
        ("o-somebodyelse/r-te01/ou-te01-deployme/", False),
    ],
)
def test_the_deployment_unit_is_recognised_wherever_it_is_in_the_tree(path: str, matches: bool) -> None:
    patterns = HubSettings.parse(SETTINGS).deployment_ou_paths
    assert any(fnmatchcase(path, pattern) for pattern in patterns) is matches
