"""The generated repositories that deploy: complete, clean, independent of this one, and within what accounts allow."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
import pytest
import yaml
from aws_cdk import cloudformation_include
from cdk_nag import AwsSolutionsChecks

from foundation.caller_permissions import needed_actions
from foundation.handler_permissions import resource_kinds
from products.shared import names, seed_code
from tests.policy import Launch, allows

from .generated import DEPLOYING, ROOT, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DISTRIBUTIONS = {"pyyaml": "yaml", "cfn-lint": "cfnlint"}
COMES_WITH_BOTO3 = {"botocore"}
OWN_MACHINES = ("jobs/",)
"""Folders whose code runs in the image of the model and has what is in it."""

STAGES = ("test", "prod")
every_template = pytest.mark.parametrize("template", DEPLOYING)

_NUMBERED = "Names end in what follows from the content; the beginning names project and stage."
_TARGET = (
    "application-autoscaling gives targets ids of its own; a condition limits the namespace, the boundary the endpoint."
)
_APIS = "API Gateway gives APIs ids of its own; conditions, here and in the boundary, demand the tag of the stage."
_LOGS = "SageMaker names streams by instance and job; a role can only add to them, and read none."
_IMAGES = "AWS keeps its images in one account per framework and Region; an image can only be read, and only if shared."
_JOBS = "Pipelines name their jobs by execution; conditions, here and in the boundary, demand the tag of the stage."
ACCEPTED = {
    ("AwsSolutions-S1", "Bucket"): "CloudTrail records requests; a second bucket for logs would outlive the project.",
    ("AwsSolutions-SQS3", "MonitorFailures"): "It is the dead-letter queue itself.",
    ("AwsSolutions-SQS3", "Failures"): "It is the dead-letter queue itself.",
    (
        "AwsSolutions-APIG3",
        "ApiStage",
    ): "Callers are known, by IAM or by token, and throttled; a firewall is their company's.",
    ("AwsSolutions-APIG4", "ApiMethod"): "IAM or a user pool, by parameter: the rule does not follow Fn::If.",
    ("AwsSolutions-COG4", "ApiMethod"): "IAM or a user pool, by parameter: the rule does not follow Fn::If.",
    ("AwsSolutions-IAM5", "ExecutionRole", "endpoint-config/mlp-"): _NUMBERED,
    ("AwsSolutions-IAM5", "ExecutionRole", ":model/mlp-"): _NUMBERED,
    ("AwsSolutions-IAM5", "ExecutionRole", ":pipeline/mlp-"): _NUMBERED,
    ("AwsSolutions-IAM5", "ExecutionRole", ":alarm:mlp-"): _NUMBERED,
    ("AwsSolutions-IAM5", "ExecutionRole", ":rule/mlp-"): _NUMBERED,
    ("AwsSolutions-IAM5", "ExecutionRole", ":sqs:"): _NUMBERED,
    ("AwsSolutions-IAM5", "ExecutionRole", ":log-group:*mlp-"): "Log groups have a path before the name of the stage.",
    ("AwsSolutions-IAM5", "ExecutionRole", ":alarm:TargetTracking-endpoint/"): _NUMBERED,
    ("AwsSolutions-IAM5", "ExecutionRole", ":scalable-target/*"): _TARGET,
    (
        "AwsSolutions-IAM5",
        "ExecutionRole",
        ":role/aws-service-role/",
    ): "Its name is AWS's; a condition names the service.",
    ("AwsSolutions-IAM5", "ExecutionRole", "::/restapis/*"): _APIS,
    ("AwsSolutions-IAM5", "ExecutionRole", "::/tags/*"): _APIS,
    ("AwsSolutions-IAM5", "ExecutionRole", "::*"): "Application Auto Scaling and Logs list without resource level.",
    (
        "AwsSolutions-IAM5",
        "ExecutionRole",
        "<Bucket.Arn>/*",
    ): "Definitions of pipelines and the template, in its own bucket.",
    ("AwsSolutions-IAM5", "EndpointRole", "<Bucket.Arn>/packages/*"): "Archives of its own bucket.",
    ("AwsSolutions-IAM5", "EndpointRole", "<Bucket.Arn>/capture/*"): "Captured data of its own bucket.",
    ("AwsSolutions-IAM5", "EndpointRole", ":log-group:/aws/sagemaker/"): _LOGS,
    ("AwsSolutions-IAM5", "EndpointRole", ":alarm:mlp-"): _NUMBERED,
    ("AwsSolutions-IAM5", "MonitorRole", ":log-group:/aws/sagemaker/"): _LOGS,
    ("AwsSolutions-IAM5", "EndpointRole", ":repository/*"): _IMAGES,
    ("AwsSolutions-IAM5", "EndpointRole", "::*"): "Signing in to ECR and looking up networks have no resource level.",
    ("AwsSolutions-IAM5", "EventsRole", ":pipeline/mlp-"): _NUMBERED,
    ("AwsSolutions-IAM5", "MonitorRole", "<Bucket.Arn>/*"): "Its own bucket, all of which the jobs read or write.",
    ("AwsSolutions-IAM5", "MonitorRole", ":processing-job/pipelines-*"): _JOBS,
    ("AwsSolutions-IAM5", "MonitorRole", ":transform-job/pipelines-*"): _JOBS,
    ("AwsSolutions-IAM5", "ReplicationRole", "<AWS::Region>/capture/*"): "Captured data of its own bucket.",
    ("AwsSolutions-IAM5", "ReplicationRole", "<ReplicaBucket>/capture/*"): "Captured data, where it is to go.",
}
"""Findings of cdk-nag that stand: rule, resource and what the finding ends with or holds; and why."""


def test_its_own_tests_pass_whatever_its_settings_say(deploying_repository: Repository, tmp_path: Path) -> None:
    repository = Repository(tmp_path, deploying_repository.template)
    repository.spoil_settings()
    run = repository.run("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert "passed" in run.stdout
    assert "warning" not in run.stdout


def test_its_tests_begin_with_the_settings_that_it_begins_with(deploying_repository: Repository) -> None:
    kind = deploying_repository.template.removeprefix("deploy-")
    for name in ("environments.yaml", "choices.env"):
        own, of_tests = (deploying_repository.folder / path / name for path in ("", f"tests/{kind}/settings"))
        assert yaml.safe_load(own.read_text()) == yaml.safe_load(of_tests.read_text())


def test_its_style_is_clean(deploying_repository: Repository) -> None:
    ruff = [str(ROOT / ".venv" / "bin" / "ruff")]
    for command in (["check"], ["format", "--check"]):
        arguments = [*ruff, *command, "--no-cache", "."]
        run = subprocess.run(arguments, cwd=deploying_repository.folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def rendered(deploying_repository: Repository) -> dict[str, dict[str, Any]]:
    """What the check renders: content by path."""
    run = deploying_repository.run("-m", "deployment", "check")
    assert run.returncode == 0, run.stdout + run.stderr
    folder = deploying_repository.folder / "rendered"
    return {path.relative_to(folder).as_posix(): json.loads(path.read_text()) for path in folder.rglob("*.json")}


def templates(rendered: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """Yield name, template and parameters of everything that was rendered."""
    for path, template in rendered.items():
        if path.endswith(".template.json"):
            yield path, template, rendered[path.replace(".template.", ".parameters.")]


@pytest.mark.prove
def test_two_checkouts_render_the_same(
    deploying_repository: Repository, rendered: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("somewhere else") / "deep" / "checkout"
    other = Repository(folder, deploying_repository.template)
    assert other.run("-m", "deployment", "check").returncode == 0
    again = {
        path.relative_to(folder / "rendered").as_posix(): json.loads(path.read_text())
        for path in (folder / "rendered").rglob("*.json")
    }
    assert again == rendered


def accepted(rule: str, resource: str) -> bool:
    """Return whether a finding stands for a reason."""
    name, _, detail = rule.partition("[")
    return any(
        key[:2] == (name, resource) and (len(key) == 2 or key[2] in detail.removesuffix("]")) for key in ACCEPTED
    )


def test_cdk_nag_finds_nothing_but_what_is_accepted(rendered: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    for path, template, _ in templates(rendered):
        stack = cdk.Stack(cdk.App(analytics_reporting=False), "Test")
        (tmp_path / "template.json").write_text(json.dumps(template))
        cloudformation_include.CfnInclude(stack, "Template", template_file=str(tmp_path / "template.json"))
        found = {
            (violation.rule_name, str(violation.violating_resources[0].construct_path).rsplit("/", 1)[-1])
            for violation in AwsSolutionsChecks().validate_scope(stack).violations
        }
        assert {finding for finding in found if not accepted(*finding)} == set(), path


def allowed_statements(role: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the statements of a role's policies, those under a condition included."""
    for policy in role["Properties"].get("Policies", []):
        given = policy["Fn::If"][1] if "Fn::If" in policy else policy
        for statement in given["PolicyDocument"]["Statement"]:
            yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def actions_of(statement: dict[str, Any]) -> list[str]:
    """Return the actions of a statement."""
    return [statement["Action"]] if isinstance(statement["Action"], str) else list(statement["Action"])


def test_the_execution_role_may_do_what_the_types_of_the_stage_need(rendered: dict[str, dict[str, Any]]) -> None:
    role = rendered["test/base.template.json"]["Resources"]["ExecutionRole"]
    granted = {action for statement in allowed_statements(role) for action in actions_of(statement)}
    taken = needed_actions(t for path, t, _ in templates(rendered) if not path.endswith("/base.template.json"))
    assert set(taken) - granted == set()


def test_permissions_on_everything_have_no_resource_level(rendered: dict[str, dict[str, Any]]) -> None:
    for path, template, _ in templates(rendered):
        for key, entry in template["Resources"].items():
            for statement in allowed_statements(entry) if entry["Type"] == "AWS::IAM::Role" else ():
                if statement["Resource"] == "*" and "Condition" not in statement:
                    for action in actions_of(statement):
                        assert resource_kinds(action) == frozenset(), f"{path} {key} {action}"


def launches(rendered: dict[str, dict[str, Any]]) -> Iterator[tuple[Launch, Launch]]:
    """Yield the stack of each stage, and its first stack with everything that is optional."""
    place: dict[str, Any] = {"account": "222233334444", "region": "eu-central-1"}
    everything = {"UseVpc": "true", "WithApi": "true", "InputBucket": "lake", "InputPrefix": "in/"}
    for path, template, parameters in templates(rendered):
        if not path.endswith("/base.template.json"):
            base = path.split("/")[0] + "/base.{}.json"
            first = rendered[base.format("parameters")] | everything
            yield Launch(template, parameters, **place), Launch(rendered[base.format("template")], first, **place)


def test_whoever_updates_an_endpoint_may_see_the_alarms_that_roll_it_back(
    rendered: dict[str, dict[str, Any]], deploying_repository: Repository
) -> None:
    """SageMaker asks "your IAM execution role", be it that of the model or of who updates.

    https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html
    """
    seen = set()
    for stack, base in launches(rendered):
        for endpoint in stack.resources("AWS::SageMaker::Endpoint").values():
            rollback = endpoint.get("DeploymentConfig", {}).get("AutoRollbackConfiguration", {})
            for alarm in rollback.get("Alarms", []):
                arn = f"arn:aws:cloudwatch:{stack.region}:{stack.account}:alarm:{alarm['AlarmName']}"
                seen.add(arn)
                for role in ("EndpointRole", "ExecutionRole"):
                    assert allows(base.roles()[role], "cloudwatch:DescribeAlarms", arn), f"{role} {arn}"
    assert bool(seen) == (deploying_repository.template == "deploy-realtime")


RUNS = {
    "EndpointRole": ("Endpoints", "TransformJobs"),
    "MonitorRole": ("ProcessingJobs", "TransformJobs"),
}
"""What SageMaker runs as a role: it writes logs and metrics under this name with the role's permissions.

https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html (CreateModel, CreateProcessingJob,
CreateTransformJob API: execution role permissions)
"""


def test_what_runs_as_a_role_writes_its_own_logs_and_metrics_and_no_others(
    rendered: dict[str, dict[str, Any]],
) -> None:
    for _, base in launches(rendered):
        named = "{ProjectName}-{ProjectId}-{Stage}".format(**base.parameters)
        place = f"arn:aws:logs:{base.region}:{base.account}:log-group:/aws/sagemaker"
        groups = {
            kind: f"{place}/{kind}/{named}" if kind == "Endpoints" else f"{place}/{kind}"
            for kind in ("Endpoints", "TrainingJobs", "ProcessingJobs", "TransformJobs")
        }
        for role, kinds in RUNS.items():
            statements = base.roles()[role]
            for kind, group in groups.items():
                metrics = {"cloudwatch:namespace": f"/aws/sagemaker/{kind}"}
                for action, resource, context in (
                    ("logs:CreateLogGroup", group, {}),
                    ("logs:CreateLogGroup", f"{group}:log-stream:", {}),
                    ("logs:PutLogEvents", f"{group}:log-stream:main/i-1", {}),
                    ("cloudwatch:PutMetricData", "*", metrics),
                ):
                    assert allows(statements, action, resource, **context) == (kind in kinds), f"{role} {action} {kind}"
            another = f"{place}/Endpoints/{named}-other:log-stream:main/i-1"
            assert not allows(statements, "logs:PutLogEvents", another), role


def test_jobs_are_told_apart_by_the_tag_of_the_stage(rendered: dict[str, dict[str, Any]]) -> None:
    tag = {"Fn::Sub": "${ProjectId}-${Stage}"}
    asked, there = f"aws:RequestTag/{names.DEPLOYMENT_TAG}", f"aws:ResourceTag/{names.DEPLOYMENT_TAG}"
    conditions: dict[tuple[str, str, str], Any] = {}
    for path, template, _ in templates(rendered):
        for key, entry in template["Resources"].items():
            for statement in allowed_statements(entry) if entry["Type"] == "AWS::IAM::Role" else ():
                if "-job/" in json.dumps(statement["Resource"]):
                    conditions |= {(path, key, action): statement["Condition"] for action in actions_of(statement)}
    for (_, _, action), condition in conditions.items():
        assert condition["StringEquals"] == {asked if action.split(":")[1][:3] in ("Add", "Cre") else there: tag}
    for stage in STAGES:
        for verb in ("Create", "Describe", "Stop"):
            for kind in ("Processing", "Transform"):
                assert (f"{stage}/base.template.json", "MonitorRole", f"sagemaker:{verb}{kind}Job") in conditions


def test_pipelines_give_their_jobs_the_tag_of_the_stage(rendered: dict[str, dict[str, Any]]) -> None:
    found = 0
    for path, template, parameters in templates(rendered):
        for key, entry in template["Resources"].items():
            if entry["Type"] == "AWS::SageMaker::Pipeline":
                text = entry["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"]["Fn::Sub"]
                for name in ("ProjectId", "Stage"):
                    text = text.replace(f"${{{name}}}", parameters[name])
                tag = {"Key": names.DEPLOYMENT_TAG, "Value": f"{parameters['ProjectId']}-{parameters['Stage']}"}
                definition = json.loads(re.sub(r"\$\{[\w:.]+\}", "1", text))
                for step in definition["Steps"]:
                    if step["Type"] in ("Processing", "Transform"):
                        assert tag in step["Arguments"]["Tags"], f"{path} {key} {step['Name']}"
                        found += 1
    assert found


def test_every_policy_fits_into_its_role(rendered: dict[str, dict[str, Any]]) -> None:
    longest = {"ProjectName": "x" * 32, "ProjectId": "x" * 16, "Stage": "test", "AWS::Partition": "aws-us-gov"}
    longest |= {"AWS::Region": "ap-southeast-1", "AWS::AccountId": "1" * 12}
    for path, template, _ in templates(rendered):
        for key, entry in template["Resources"].items():
            if entry["Type"] == "AWS::IAM::Role":
                text = json.dumps(list(allowed_statements(entry)), separators=(",", ":"))
                for name, value in longest.items():
                    text = text.replace(f"${{{name}}}", value)
                # 10,240 characters without white space for all inline policies of a role (IAM quotas).
                assert len(text) < 10_000, f"{path} {key} has {len(text)}"


def imported(source: str) -> Iterator[str]:
    """Yield the top-level names of everything that Python code imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.split(".")[0]


@every_template
def test_it_imports_nothing_that_it_does_not_bring_or_install(template: str) -> None:
    files = seed_code.assemble(template)
    project = tomllib.loads(files["pyproject.toml"].decode())
    listed = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    distributions = {re.split(r"[=<>; ]", requirement)[0] for requirement in listed}
    installed = {DISTRIBUTIONS.get(name, name) for name in distributions} | COMES_WITH_BOTO3
    own = {part.removesuffix(".py") for path in files for part in path.split("/")}
    for path, content in files.items():
        if path.endswith(".py") and not path.startswith(OWN_MACHINES):
            foreign = set(imported(content.decode())) - installed - own - sys.stdlib_module_names
            assert not foreign, f"{path} imports {foreign}"


LATER_ARGUMENTS = {"bisect": {"key"}, "dataclass": {"kw_only", "slots"}, "zip": {"strict"}}
"""Arguments that functions have since Python 3.10 (its "What's New")."""
LATER_NAMES = {
    "Concatenate",
    "EllipsisType",
    "NoneType",
    "ParamSpec",
    "TypeAlias",
    "TypeGuard",
    "UnionType",
    "pairwise",
}
"""Names in the standard library since Python 3.10."""


@every_template
def test_jobs_run_with_the_python_of_older_images(template: str, tmp_path: Path) -> None:
    """They run in the image of the model, and images of SageMaker with Python 3.9 and 3.10 are still in use.

    What came with 3.11 and later, mypy knows, which goes back to 3.10; syntax is up to ruff, whose target is 3.9 there.
    """
    seed_code.write(template, tmp_path)
    later: set[str | None] = set()
    for path in (tmp_path / "jobs").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                later |= {keyword.arg for keyword in node.keywords} & LATER_ARGUMENTS.get(node.func.id, set())
            if isinstance(node, ast.ImportFrom):
                later |= {name.name for name in node.names} & LATER_NAMES
    assert later == set()

    mypy = [sys.executable, "-m", "mypy", "--config-file=", "--python-version=3.10", f"--cache-dir={tmp_path}/mypy"]
    folders = sorted((tmp_path / "jobs").iterdir())
    run = subprocess.run(
        [*mypy, "--ignore-missing-imports", "--no-site-packages", *(str(p) for f in folders for p in f.glob("*.py"))],
        env={**os.environ, "MYPYPATH": os.pathsep.join(map(str, folders))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "checked " in run.stdout or "no issues" in run.stdout, run.stdout + run.stderr
    assert re.findall(r'.*Module ".*" has no attribute.*', run.stdout) == []


@every_template
def test_it_says_nothing_of_the_repository_it_comes_from(template: str) -> None:
    for path, content in seed_code.assemble(template).items():
        if path != "uv.lock":
            found = re.findall(r"portfolio|seed-code|seed_code|products/|rehears|MiniStack|moto\b", content.decode())
            assert not found, f"{path} mentions {found}"


@every_template
def test_it_is_complete(template: str) -> None:
    assert set(seed_code.assemble(template)) >= {
        ".gitignore",
        "Makefile",
        "README.md",
        "buildspec.yml",
        "choices.env",
        "deployment/cli.py",
        "deployment/steps.py",
        "environments.yaml",
        "pyproject.toml",
        "requirements-build.txt",
        "templates/base.yaml",
        "uv.lock",
    }


@every_template
def test_links_of_the_documents_lead_somewhere(template: str) -> None:
    files = seed_code.assemble(template)
    for path, content in files.items():
        if path.endswith(".md"):
            for link in re.findall(r"\]\(([^)#:]+)\)", content.decode()):
                folder = path.rpartition("/")[0]
                parts = f"{folder}/{link}".strip("/").split("/")
                while ".." in parts:
                    at = parts.index("..")
                    del parts[at - 1 : at + 1]
                assert any(file.startswith("/".join(parts).rstrip("/")) for file in files), f"{path} links to {link}"


def test_help_lists_the_steps(deploying_repository: Repository) -> None:
    run = deploying_repository.run("-m", "deployment", "--help")
    assert run.returncode == 0, run.stderr
    for step in ("check", "render", "deploy"):
        assert step in run.stdout


def test_a_step_without_its_build_says_what_is_missing(deploying_repository: Repository) -> None:
    run = deploying_repository.run("-m", "deployment", "render")
    assert run.returncode == 1
    assert "PROJECT_NAME is not set" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_package_that_is_given_is_checked(deploying_repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{")
    run = deploying_repository.run("-m", "deployment", "check", str(tmp_path / "package.json"))
    assert run.returncode == 1
    assert "cannot be read as JSON" in run.stderr


def test_the_installer_is_the_same_everywhere() -> None:
    first, second = (
        (seed_code.SEED_CODE / "layers" / layer / "requirements-build.txt").read_bytes()
        for layer in ("project", "deployment")
    )
    assert first == second


@pytest.mark.seed
def test_registries_of_images_are_those_of_the_sdk(repository: Repository) -> None:
    listing = """
import json, pathlib, sagemaker.core.image_uri_config as folder
found = {}
def collect(value):
    if isinstance(value, dict):
        if "registries" in value and "repository" in value:
            names = value["repository"] if isinstance(value["repository"], list) else [value["repository"]]
            for name in names:
                tables = found.setdefault(name, [])
                if value["registries"] not in tables:
                    tables.append(value["registries"])
        for member in value.values():
            collect(member)
for path in sorted(pathlib.Path(list(folder.__path__)[0]).glob("*.json")):
    collect(json.loads(path.read_text()))
print(json.dumps(found))
"""
    run = repository.run("-c", listing)
    assert run.returncode == 0, run.stderr
    known = json.loads((seed_code.SEED_CODE / "layers/deployment/deployment/images.json").read_text())
    ours = {
        name: [known["registries"][number] for number in numbers] for name, numbers in known["repositories"].items()
    }
    theirs = json.loads(run.stdout)
    assert set(ours) == set(theirs)
    for name, tables in theirs.items():
        assert sorted(map(json.dumps, map(dict, map(sorted, map(dict.items, tables))))) == sorted(
            map(json.dumps, map(dict, map(sorted, map(dict.items, ours[name]))))
        ), name
