"""The pipeline: its order, what its builds may do, whom it notifies of failures, and that it refuses the sample."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from aws_cdk import aws_s3

import app
from foundation.settings import SAMPLE
from tests.hub import (
    ACCOUNT,
    CONNECTION,
    OTHER_REGION,
    OU,
    REGION,
    SETTINGS,
    Assembly,
    connected_assembly,
    hub_assembly,
    resources,
    synthesise,
    two_region_assembly,
)
from tests.policy import Launch, allows

if TYPE_CHECKING:
    from aws_cdk import Stack

ROOT: Final = Path(__file__).resolve().parents[2]
PIPELINE: Final = "MlPlatformPipeline"
BUCKET: Final = f"arn:aws:s3:::ml-platform-artifacts-{ACCOUNT}-{REGION}"


@pytest.fixture(scope="module")
def assembly() -> Assembly:
    return hub_assembly()


@pytest.fixture(scope="module")
def launch(assembly: Assembly) -> Launch:
    return Launch(assembly.templates[PIPELINE], {"BootstrapVersion": "30"}, account=ACCOUNT, region=REGION)


@pytest.fixture(scope="module")
def sample() -> Assembly:
    return synthesise(SAMPLE)


@pytest.fixture(scope="module")
def two_regions() -> Assembly:
    return two_region_assembly()


def actions(assembly: Assembly) -> list[list[str]]:
    """Return the names of the pipeline's actions in the order they run; those of one list run at the same time."""
    (pipeline,) = resources(assembly.templates[PIPELINE], "AWS::CodePipeline::Pipeline").values()
    steps: list[list[str]] = []
    for stage in pipeline["Stages"]:
        orders = sorted({action["RunOrder"] for action in stage["Actions"]})
        steps += [sorted(a["Name"] for a in stage["Actions"] if a["RunOrder"] == order) for order in orders]
    return steps


def connection_of(launch: Launch) -> str:
    """Return the ARN of the connection that the pipeline made."""
    (connection,) = launch.resources("AWS::CodeConnections::Connection")
    return launch.attribute(connection, "ConnectionArn")


def build(launch: Launch, command: str) -> tuple[dict[str, Any], list[Any]]:
    """Return the build that runs a command, and the statements of its role."""
    (found,) = [
        p for p in launch.resources("AWS::CodeBuild::Project").values() if command in p["Source"].get("BuildSpec", "")
    ]
    (role,) = [
        id_ for id_ in launch.resources("AWS::IAM::Role") if launch.attribute(id_, "Arn") == found["ServiceRole"]
    ]
    return found, launch.roles()[role]


def test_a_push_is_checked_then_changes_the_pipeline_itself_then_publishes(assembly: Assembly) -> None:
    source, synth, self_mutation, assets, *deployment = actions(assembly)
    assert source == ["a-team_catalog"]
    assert [synth, self_mutation] == [["Synth"], ["SelfMutate"]]
    assert assets == ["FileAssets"], "all assets in one build"
    assert [[name.split(".")[-1] for name in step] for step in deployment] == [
        ["Deploy"],
        [f"UploadReleases-{REGION}"],
        ["Deploy", "Deploy"],
        ["Deploy", "Deploy"],
        ["Deploy"],
        [f"CheckPublished-{REGION}"],
    ]
    stacks = [[name.split(".")[0] for name in step] for step in deployment if step[0].endswith(".Deploy")]
    assert stacks == [
        ["ml-platform-artifacts"],
        ["ml-platform-deployment-baseline", "ml-platform-registry"],
        ["ml-platform-hub-baseline", "ml-platform-workload-baseline"],
        ["ml-platform-portfolios"],
    ]


def test_every_region_gets_both_stages_and_the_portfolios_wait_for_the_foundation_of_all(two_regions: Assembly) -> None:
    steps = actions(two_regions)
    assert [f"UploadReleases-{region}" in str(steps) for region in (REGION, OTHER_REGION)] == [True, True]
    assert [f"CheckPublished-{region}" in str(steps) for region in (REGION, OTHER_REGION)] == [True, True]
    last_foundation = max(n for n, step in enumerate(steps) if "workload-baseline" in str(step))
    first_portfolios = min(n for n, step in enumerate(steps) if "portfolios" in str(step))
    assert last_foundation < first_portfolios


@pytest.mark.parametrize("key", ["assembly", "two_regions", "sample"])
def test_the_synthesis_reports_no_finding(key: str, request: pytest.FixtureRequest) -> None:
    reports = request.getfixturevalue(key).report["pluginReports"]
    found = [v["ruleName"] for report in reports for v in report["violations"] if v["severity"] in ("error", "warning")]
    assert found == []


def test_a_finding_that_nobody_acknowledged_ends_the_synthesis(tmp_path: Path) -> None:
    hub = app.build(hub=SETTINGS, outdir=str(tmp_path))
    aws_s3.CfnBucket(cast("Stack", hub.node.find_child(PIPELINE)), "Careless")
    with pytest.raises(RuntimeError, match="AwsSolutions-S1"):
        hub.synth()


@pytest.mark.slow
def test_every_template_passes_cfn_lint(assembly: Assembly) -> None:
    files = [str(p) for p in assembly.folder.rglob("*.template.json")]
    assert len(files) >= 5
    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", *files], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert done.returncode == 0


def test_the_commands_of_the_checks_run_before_anything_is_deployed(launch: Launch) -> None:
    project, _ = build(launch, "make check test")
    commands = json.loads(project["Source"]["BuildSpec"])["phases"]["build"]["commands"]
    assert commands[0] == "make check test"
    assert ".venv/bin/portfolio verify --against HEAD^" in commands[1]
    assert commands[2:] == ["make synth"]


@pytest.mark.parametrize(("commits", "compared"), [(1, []), (2, ["verify --against HEAD^"])])
def test_the_first_commit_of_a_repository_is_compared_with_nothing(
    launch: Launch, tmp_path: Path, commits: int, compared: list[str]
) -> None:
    project, _ = build(launch, "make check test")
    command = json.loads(project["Source"]["BuildSpec"])["phases"]["build"]["commands"][1]
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    for _number in range(commits):
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Change"], check=True)
    portfolio = tmp_path / ".venv/bin/portfolio"
    portfolio.parent.mkdir(parents=True)
    portfolio.write_text('#!/bin/sh\necho "$@" >> called\n')
    portfolio.chmod(0o755)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    called = tmp_path / "called"
    assert (called.read_text().splitlines() if called.exists() else []) == compared


def test_the_versions_of_every_tool_are_pinned(launch: Launch) -> None:
    cdk = json.loads((ROOT / "package.json").read_text())["devDependencies"]["aws-cdk"]
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    specs = []
    for project in launch.resources("AWS::CodeBuild::Project").values():
        assert project["Environment"]["Image"] == "aws/codebuild/standard:7.0"
        assert project["Environment"]["PrivilegedMode"] is False
        specs.append(project["Source"]["BuildSpec"])
    own = [spec for spec in specs if spec.startswith("{")]
    runtimes = [json.loads(spec)["phases"]["install"]["runtime-versions"] for spec in own]
    assert all(f">={r['python']}" in python and r["nodejs"] == "22" for r in runtimes)
    installed = re.findall(r"npm install -g ([\w@.-]+)", " ".join(specs))
    assert f"aws-cdk@{cdk}" in installed
    assert [i for i in installed if not re.fullmatch(r"[\w-]+@\d+\.\d+\.\d+", i)] == []


@pytest.mark.parametrize(
    ("action", "resource", "context", "allowed"),
    [
        ("s3:PutObject", f"{BUCKET}/releases/train-s3/1.0.0/template.json", {}, True),
        ("s3:PutObject", f"{BUCKET}/assets/0.zip", {}, True),
        ("s3:GetObject", f"{BUCKET}/assets/0.zip", {}, True),
        ("s3:ListBucket", BUCKET, {}, True),
        ("kms:GenerateDataKey", "KEY", {"kms:ResourceAliases": ["alias/ml-platform-artifacts"]}, True),
        ("kms:GenerateDataKey", "KEY", {"kms:ResourceAliases": ["alias/other"]}, False),
        ("kms:Decrypt", "KEY", {}, False),
        ("s3:PutObject", f"{BUCKET}/elsewhere/0.zip", {}, False),
        ("s3:DeleteObject", f"{BUCKET}/assets/0.zip", {}, False),
        ("s3:DeleteObjectVersion", f"{BUCKET}/assets/0.zip", {}, False),
        ("s3:PutBucketPolicy", BUCKET, {}, False),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/cdk-hnb659fds-deploy-role-{ACCOUNT}-{REGION}", {}, False),
        ("servicecatalog:CreatePortfolioShare", "*", {}, False),
    ],
)
def test_the_upload_may_add_released_files_and_no_more(
    launch: Launch, action: str, resource: str, context: dict[str, list[str]], allowed: bool
) -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0"
    project, statements = build(launch, "portfolio upload")
    assert f"--bucket {BUCKET.rsplit(':', 1)[-1]} --region {REGION}" in project["Source"]["BuildSpec"]
    assert allows(statements, action, key if resource == "KEY" else resource, **context) is allowed


def test_the_final_check_reads_the_catalog_and_changes_nothing(launch: Launch) -> None:
    project, statements = build(launch, "portfolio check-published")
    assert f"--region {REGION} --ou {OU}" in project["Source"]["BuildSpec"]
    granted = [a for s in statements for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])]
    catalog = [a.split(":")[1] for a in granted if a.startswith("servicecatalog:")]
    assert catalog
    assert [a for a in catalog if not a.startswith(("List", "Describe", "Search"))] == []
    assert not any(a.startswith(("iam:", "sts:")) for a in granted)
    assert [a for a in granted if a.startswith("cloudformation:")] == ["cloudformation:ListStackInstances"]


def test_whoever_clones_the_repository_may_use_the_connection_by_its_new_name(launch: Launch) -> None:
    connection = connection_of(launch)
    assert connection.startswith("arn:aws:codeconnections:")
    users = {
        role
        for role, statements in launch.roles().items()
        if allows(statements, "codestar-connections:UseConnection", connection)  # what the CDK grants
    }
    assert len(users) == 4, "the source, the synthesis, the upload and the check"
    for role in users:
        assert allows(launch.roles()[role], "codeconnections:UseConnection", connection)
        assert not allows(launch.roles()[role], "codeconnections:UseConnection", f"{connection}0")


def test_no_build_may_assume_roles_but_those_that_publish_and_deploy(launch: Launch) -> None:
    def may_assume(command: str) -> bool:
        _, statements = build(launch, command)
        return allows(statements, "sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/any")

    assert not may_assume("make check test")
    assert not may_assume("portfolio upload")
    assert not may_assume("portfolio check-published")


def test_no_policy_grants_all_actions_of_a_service_or_the_use_of_every_key(two_regions: Assembly) -> None:
    launch = Launch(two_regions.templates[PIPELINE], {"BootstrapVersion": "30"}, account=ACCOUNT, region=REGION)
    statements = [s for found in launch.roles().values() for s in found]
    granted = [a for s in statements for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])]
    assert [a for a in granted if a == "*" or a.endswith(":*")] == []
    for statement in statements:
        on_everything = "*" in (
            [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
        )
        assert not (on_everything and "kms:" in json.dumps(statement["Action"]))
    assert not any(role.get("ManagedPolicyArns") for role in launch.resources("AWS::IAM::Role").values())


def test_failures_are_mailed_in_words(launch: Launch) -> None:
    (rule,) = launch.resources("AWS::Events::Rule").values()
    assert rule["EventPattern"]["detail"] == {"state": ["FAILED"]}
    assert rule["EventPattern"]["detail-type"] == ["CodePipeline Pipeline Execution State Change"]
    (target,) = rule["Targets"]
    (topic,) = launch.resources("AWS::SNS::Topic")
    assert target["Arn"] == launch.ref(topic)
    assert "failed" in target["InputTransformer"]["InputTemplate"]
    emails = {s["Endpoint"] for s in launch.resources("AWS::SNS::Subscription").values()}
    assert emails == set(SETTINGS["notification_emails"])


def test_the_topic_is_encrypted_takes_events_and_refuses_plain_http(launch: Launch) -> None:
    (topic,) = launch.resources("AWS::SNS::Topic").values()
    keys = {launch.attribute(id_, "Arn"): key for id_, key in launch.resources("AWS::KMS::Key").items()}
    statements = keys[topic["KmsMasterKeyId"]]["KeyPolicy"]["Statement"]
    principals = json.dumps([s["Principal"] for s in statements])
    assert "events.amazonaws.com" in principals
    assert "cloudwatch.amazonaws.com" in principals
    (policy,) = launch.resources("AWS::SNS::TopicPolicy").values()
    denied = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
    assert denied[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_connection_is_created_unless_one_is_given(assembly: Assembly) -> None:
    (connection,) = resources(assembly.templates[PIPELINE], "AWS::CodeConnections::Connection").values()
    assert connection["ProviderType"] == "GitHub"
    template = connected_assembly().templates[PIPELINE]
    assert resources(template, "AWS::CodeConnections::Connection") == {}
    (pipeline,) = resources(template, "AWS::CodePipeline::Pipeline").values()
    assert pipeline["Stages"][0]["Actions"][0]["Configuration"]["ConnectionArn"] == CONNECTION


def test_the_sample_synthesises_but_cloudformation_refuses_it_with_the_list_of_what_to_set(sample: Assembly) -> None:
    template = sample.templates[PIPELINE]
    (assertion,) = template["Rules"]["SettingsDescribeARealHub"]["Assertions"]
    # The rule compares a parameter, whose default is how many settings are the sample's, with none.
    left, right = assertion["Assert"]["Fn::Equals"]
    assert template["Parameters"][left["Ref"]]["Default"] != right
    for key in ("account_id", "organization_id", "workloads_ou_path", "source.repository", "support.url"):
        assert f"{key}: " in assertion["AssertDescription"]


def test_the_stages_of_the_sample_are_not_refused(sample: Assembly) -> None:
    for name in (
        "ml-platform-artifacts",
        "ml-platform-registry",
        "ml-platform-workload-baseline",
        "ml-platform-portfolios",
    ):
        assert "SettingsDescribeARealHub" not in sample.templates[name].get("Rules", {})


def test_a_real_hub_is_not_refused(assembly: Assembly) -> None:
    assert set(assembly.templates[PIPELINE].get("Rules", {})) <= {"CheckBootstrapVersion"}
    assert "SettingsToReplace" not in assembly.templates[PIPELINE]["Parameters"]


def test_every_stack_and_resource_carries_the_tags_of_the_settings(assembly: Assembly) -> None:
    (key, value), *_ = SETTINGS["tags"].items()
    for template in assembly.templates.values():
        for bucket in resources(template, "AWS::S3::Bucket").values():
            assert {"Key": key, "Value": value} in bucket["Tags"]
    for manifest in assembly.folder.rglob("manifest.json"):
        for artifact in json.loads(manifest.read_text())["artifacts"].values():
            if artifact["type"] == "aws:cloudformation:stack":
                assert artifact["properties"]["tags"] == SETTINGS["tags"]


def run_app(tmp_path: Path, hub: object) -> subprocess.CompletedProcess[str]:
    """Run the app as the CDK command line does with ``-c hub=...``."""
    environment = {**os.environ, "CDK_CONTEXT_JSON": json.dumps({"hub": hub}), "CDK_OUTDIR": str(tmp_path / "out")}
    return subprocess.run(
        [sys.executable, ROOT / "app.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


def test_every_key_of_the_hub_is_marked_as_the_platforms_so_that_no_launch_touches_it(assembly: Assembly) -> None:
    found = {
        (name, tag["Value"])
        for name, template in assembly.templates.items()
        for key in resources(template, "AWS::KMS::Key").values()
        for tag in key["Tags"]
        if tag["Key"] == "ml-platform:component"
    }
    with_keys = {name for name, template in assembly.templates.items() if resources(template, "AWS::KMS::Key")}
    assert found == {(name, "baseline" if name == "ml-platform-hub-baseline" else "hub") for name in with_keys}
    assert {"ml-platform-artifacts", "ml-platform-registry"} <= with_keys


@pytest.mark.slow
def test_the_context_of_the_command_line_replaces_the_settings(tmp_path: Path, assembly: Assembly) -> None:
    done = run_app(tmp_path, json.dumps(SETTINGS))
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()
    written = json.loads((tmp_path / "out" / f"{PIPELINE}.template.json").read_text())
    assert written == assembly.templates[PIPELINE], "the templates depend on the settings only, not on who synthesises"


@pytest.mark.slow
def test_wrong_settings_end_the_synthesis_with_one_message_and_no_traceback(tmp_path: Path) -> None:
    done = run_app(tmp_path, {**SETTINGS, "account_id": "1", "regions": ["nowhere"]})
    assert done.returncode == 1
    assert 'hub.account_id: found "1"' in done.stderr
    assert 'hub.regions.0: found "nowhere"' in done.stderr
    assert "Traceback" not in done.stderr
