"""The settings of the hub: what is accepted, and how everything else is refused."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from foundation.settings import SAMPLE, HubSettings, SettingsError
from products.shared import names
from tests.hub import ACCOUNT, CONNECTION, DEPLOYMENT_OU, ORGANIZATION, OU, REGION, SETTINGS

ROOT = Path(__file__).resolve().parents[2]
TRIALS = ROOT.parent / "shared/trials/settings-contradictions.json"


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
    assert "names 'eu-west-1' twice" in refusal(regions=["eu-west-1", "eu-west-1"])


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


# ---- settings that contradict each other ----------------------------------------------------------------------------

CONTRADICTIONS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "one unit for workloads and deployments": (
        {"deployment_ou_id": OU},
        (f'hub.workloads_ou_id is "{OU}", hub.deployment_ou_id is "{OU}": accounts of one unit would get both',),
    ),
    "the hub among the deployment accounts": (
        {"deployment_account_ids": ["321098765432", ACCOUNT]},
        (f'hub.account_id is "{ACCOUNT}", hub.deployment_account_ids is ["321098765432", "{ACCOUNT}"]',),
    ),
    "a deployment account twice": (
        {"deployment_account_ids": ["321098765432", "321098765432"]},
        ("hub.deployment_account_ids", "names '321098765432' twice"),
    ),
    "regions of two partitions": (
        {"regions": [REGION, "cn-north-1"]},
        (f'hub.regions is ["{REGION}", "cn-north-1"]', "these are of aws and aws-cn"),
    ),
    "a connection of another account": (
        {"connection_arn": CONNECTION.replace(ACCOUNT, "999922223333")},
        ("hub.connection_arn is", f'hub.account_id is "{ACCOUNT}"', "account 999922223333, but the pipeline is in"),
    ),
    "a connection of another region": (
        {"connection_arn": CONNECTION.replace(REGION, "us-west-2")},
        ("hub.connection_arn is", f'hub.regions is ["{REGION}"]', f"region us-west-2, but the pipeline is in {REGION}"),
    ),
    "a connection of another partition": (
        {"connection_arn": CONNECTION.replace("arn:aws:", "arn:aws-cn:")},
        ("partition aws-cn, but the pipeline is in aws",),
    ),
    "a workloads unit of another root": (
        {"workloads_ou_id": "ou-abcd-workload1", "workloads_ou_path": f"{ORGANIZATION}/r-te01/ou-abcd-workload1/"},
        ('hub.workloads_ou_id is "ou-abcd-workload1", hub.root_id is "r-te01": the unit belongs to another root',),
    ),
    "a deployment unit of another root": (
        {"deployment_ou_id": "ou-abcd-deployment1"},
        ('hub.deployment_ou_id is "ou-abcd-deployment1", hub.root_id is "r-te01"',),
    ),
    "a path through another root": (
        {"workloads_ou_path": f"{ORGANIZATION}/r-te01/ou-abcd-parent01/{OU}/"},
        ("hub.workloads_ou_path", 'hub.root_id is "r-te01"', "ou-abcd-parent01 belongs to another root"),
    ),
    "workloads below the deployment unit": (
        {"workloads_ou_path": f"{ORGANIZATION}/r-te01/{DEPLOYMENT_OU}/{OU}/"},
        ("hub.workloads_ou_path", f'hub.deployment_ou_id is "{DEPLOYMENT_OU}"', "get both baselines"),
    ),
    "a GitHub repository below a group": (
        {"source": {"provider": "GitHub", "repository": "github.com/a-team/catalog", "branch": "main"}},
        ('hub.source.provider is "GitHub", hub.source.repository is "github.com/a-team/catalog"', "without the host"),
    ),
    "one mailbox twice": (
        {"notification_emails": ["platform@tests.invalid", "Platform@tests.invalid"]},
        ("hub.notification_emails", "names 'platform@tests.invalid' twice"),
    ),
    "keys of tags that are one to IAM": (
        {"tags": {"Owner": "a", "owner": "b"}},
        ("hub.tags", "names 'Owner' twice"),
    ),
    "a tag on which permissions depend": (
        {"tags": {names.DEPLOYMENT_TAG: "p-abc123-prod"}},
        ("hub.tags", f"permissions depend on '{names.DEPLOYMENT_TAG}'"),
    ),
    "a tag that SageMaker sets": (
        {"tags": {"sagemaker:project-id": "p-abc123"}},
        ("hub.tags", "permissions depend on 'sagemaker:project-id'"),
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused_with_keys_and_values(name: str) -> None:
    changes, said = CONTRADICTIONS[name]
    message = refusal(**changes)
    (line,) = message.splitlines()[1:]
    assert [part for part in said if part not in line] == []


def test_every_key_is_named_by_a_relation_or_relates_to_no_other() -> None:
    related = {key for changes, _ in CONTRADICTIONS.values() for key in changes}
    assert set(HubSettings.model_fields) - related == {
        "account_id",  # by the connection and the deployment accounts
        "organization_id",  # by the path
        "root_id",  # by units and path
        "principals",  # by the portfolios, which are in the code
        "support",  # its address and its mailbox may be anyone's
    }


def test_contradictions_and_wrong_values_are_in_one_message() -> None:
    message = refusal(root_id="root", deployment_ou_id=OU, regions=["eu-west-1", "cn-north-1"], tags={"aws:x": "y"})
    assert "4 wrong setting(s)" in message
    for key in ("hub.root_id: found", "hub.tags.aws:x", "hub.workloads_ou_id is", "hub.regions is"):
        assert key in message


@pytest.mark.parametrize(
    "branch", ["refs/heads/main", "-main", "main/", "a..b", "a//b", "main.lock", "a b", "a~b", "@{1}", ".main", "x/.y"]
)
def test_what_git_takes_for_no_branch_is_refused(branch: str) -> None:
    assert "hub.source.branch: found" in refusal(source={**SETTINGS["source"], "branch": branch})


@pytest.mark.parametrize("branch", ["main", "release/2026-11", "team.a/x_y", "feature#1", "größe"])
def test_a_branch_may_be_called_what_git_allows(branch: str) -> None:
    HubSettings.parse({**SETTINGS, "source": {**SETTINGS["source"], "branch": branch}})


def test_groups_may_nest_on_gitlab_and_accounts_may_have_several_regions() -> None:
    HubSettings.parse(
        {
            **SETTINGS,
            "regions": [REGION, "us-east-1"],
            "source": {"provider": "GitLab", "repository": "acme/ml/platform/catalog"},
            "connection_arn": CONNECTION,
        }
    )


@pytest.mark.skipif(not TRIALS.exists(), reason="the trial inputs are not on this machine")
def test_every_trial_is_refused_with_its_keys() -> None:
    for name, changes in json.loads(TRIALS.read_text(encoding="utf-8")).items():
        settings: dict[str, Any] = json.loads(json.dumps(SAMPLE))
        for key, value in changes.items():
            *above, last = key.split(".")
            (settings[above[0]] if above else settings)[last] = value
        with pytest.raises(SettingsError) as caught:
            HubSettings.parse(settings)
        assert all(f"hub.{key}" in str(caught.value) for key in changes), name
