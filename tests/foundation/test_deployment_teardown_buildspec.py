"""The buildspec of the teardown, run with bash against a command line of AWS that a test scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

BUILDSPEC: Final = Path(__file__).parents[2] / "foundation" / "deployment_teardown_buildspec.yml"
MAIN, BASE = "mlp-p-abc-prod", "mlp-p-abc-prod-base"
EXECUTION = "arn:aws:sagemaker:eu-central-1:444455556666:pipeline/mlp-p-abc-prod-monitor/execution/1"

pytestmark = pytest.mark.slow

AWS: Final = """#!{python}
import json, os, sys
from pathlib import Path

world_file = Path(os.environ["WORLD"])
world = json.loads(world_file.read_text())
service, operation, *arguments = sys.argv[1:]

def end(text="", error=""):
    world_file.write_text(json.dumps(world))
    if error:
        print(error, file=sys.stderr)
        sys.exit(254)
    if text:
        print(text)
    sys.exit(0)

token, region = os.environ.get("AWS_SESSION_TOKEN"), os.environ.get("AWS_DEFAULT_REGION")
world["calls"].append([f"{{service}} {{operation}}", token, region, arguments])
if operation == "assume-role":
    end("KEY\\tSECRET\\tTOKEN", world["refusal"])
if operation == "stop-pipeline-execution":
    world["executions"] = []
    end()
if operation == "list-pipeline-executions":
    end("\\t".join(world["executions"]))
stack = arguments[arguments.index("--stack-name") + 1]
before, after = world["stacks"].setdefault(stack, [["NONE"], []])
if operation == "describe-stacks":
    states = after if stack in world["asked"] else before
    state = states[0]
    if len(states) > 1 and state != "DELETE_FAILED":
        states.pop(0)
    if world["throttled"]:
        end(error="An error occurred (Throttling) when calling the DescribeStacks operation: Rate exceeded")
    if state == "NONE":
        end(error=f"An error occurred (ValidationError): Stack with id {{stack}} does not exist")
    end(state)
if operation == "delete-stack" and world["refuses"]:
    end(error=world["refuses"])
if operation == "delete-stack":
    if stack in world["asked"] and after[0] == "DELETE_FAILED" and len(after) > 1:
        after.pop(0)
    world["asked"].append(stack)
if operation == "describe-stack-resources":
    end("Bucket\\tAWS::S3::Bucket\\tThe bucket is not empty")
if operation == "list-stack-resources" and not stack.endswith("-base"):
    end(f"{{stack}}-monitor")
end()
"""
"""AWS as the buildspec sees it. Each stack has states before its deletion is asked for, and states after that; the last
one of each stays."""

GONE: Final = ["DELETE_IN_PROGRESS", "NONE"]


@dataclass
class Account:
    """A deployment account and the machine that runs the buildspec.

    Attributes:
        stacks: States of each stack before its deletion is asked for, and after it.
        executions: ARNs of executions of pipelines that run.
        refusal: What AWS says instead of letting the build in.
        refuses: What CloudFormation says instead of deleting.
        throttled: Whether states cannot be read.
    """

    root: Path
    stacks: dict[str, tuple[list[str], list[str]]]
    executions: list[str] = field(default_factory=list)
    refusal: str = ""
    refuses: str = ""
    throttled: bool = False
    calls: list[Any] = field(default_factory=list)

    def run(self) -> dict[str, str]:
        """Run the buildspec and return what it exports."""
        world = self.root / "world.json"
        state = {"calls": [], "asked": []} | {
            name: getattr(self, name) for name in ("stacks", "executions", "refusal", "refuses", "throttled")
        }
        world.write_text(json.dumps(state))
        command = self.root / "bin" / "aws"
        command.parent.mkdir()
        command.write_text(AWS.format(python=sys.executable))
        command.chmod(0o755)
        spec = yaml.safe_load(BUILDSPEC.read_text(encoding="utf-8"))
        exported = self.root / "exported"
        (script,) = spec["phases"]["build"]["commands"]
        names = spec["env"]["exported-variables"]
        show = "\n".join(f'printf "%s" "${name}" > "{exported}-{name}"' for name in names)
        environment = {
            **spec["env"]["variables"],
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "HOME": str(self.root),
            "WORLD": str(world),
            "POLL_S": "0",
            "ROLE_ARN": "arn:aws:iam::444455556666:role/ml-platform-deploy",
            "TAG": "p-abc-prod",
            "TARGET_REGION": "eu-central-1",
            "REQUEST_ID": "1",
        }
        body = script.rpartition('test "$RESULT"')[0]
        ended = subprocess.run(
            ["bash", "-c", f'{body}\n{show}\ntest "$RESULT" -eq 0'],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        self.calls = json.loads(world.read_text())["calls"]
        return {name: Path(f"{exported}-{name}").read_text() for name in names}

    def deleted(self) -> list[str]:
        """Stacks in the order in which they were asked to go."""
        return [arguments[1] for call, *_, arguments in self.calls if call == "cloudformation delete-stack"]


def test_both_stacks_go_the_second_one_first(tmp_path: Path) -> None:
    account = Account(tmp_path, {MAIN: (["UPDATE_COMPLETE"], GONE), BASE: (["CREATE_COMPLETE"], GONE)})
    assert account.run() == {"TEARDOWN_STATUS": "ok", "TEARDOWN_REASON": ""}
    assert account.deleted() == [MAIN, BASE]


def test_it_works_in_the_stages_account_and_region_with_the_stages_tag(tmp_path: Path) -> None:
    account = Account(tmp_path, {MAIN: (["CREATE_COMPLETE"], GONE)})
    account.run()
    (_, token, _, assumed), *others = account.calls
    assert token is None, "the build's own permissions open the role"
    assert assumed[assumed.index("--role-arn") + 1] == "arn:aws:iam::444455556666:role/ml-platform-deploy"
    assert assumed[assumed.index("--tags") + 1] == "Key=ml-platform-deployment,Value=p-abc-prod"
    assert {(token, region) for _, token, region, _ in others} == {("TOKEN", "eu-central-1")}


def test_what_is_not_there_is_removed(tmp_path: Path) -> None:
    account = Account(tmp_path, {})
    assert account.run()["TEARDOWN_STATUS"] == "ok"
    assert account.deleted() == []


@pytest.mark.parametrize(
    "state",
    ["CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "UPDATE_ROLLBACK_FAILED", "REVIEW_IN_PROGRESS",
     "CREATE_IN_PROGRESS", "DELETE_FAILED"],
)  # fmt: skip
def test_a_stack_goes_whatever_state_it_was_left_in(tmp_path: Path, state: str) -> None:
    account = Account(tmp_path, {MAIN: ([state], GONE)})
    assert account.run()["TEARDOWN_STATUS"] == "ok"
    assert account.deleted() == [MAIN]


@pytest.mark.parametrize("state", ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"])
def test_an_update_under_way_ends_before_its_stack_goes(tmp_path: Path, state: str) -> None:
    account = Account(tmp_path, {MAIN: ([state, "UPDATE_ROLLBACK_COMPLETE"], GONE)})
    assert account.run()["TEARDOWN_STATUS"] == "ok"
    cancelled = [call for call, *_ in account.calls if call == "cloudformation cancel-update-stack"]
    assert bool(cancelled) == (state == "UPDATE_IN_PROGRESS")
    assert account.deleted() == [MAIN]


def test_pipelines_that_run_are_stopped_before_their_stack_goes(tmp_path: Path) -> None:
    account = Account(tmp_path, {MAIN: (["CREATE_COMPLETE"], GONE)}, executions=[EXECUTION])
    assert account.run()["TEARDOWN_STATUS"] == "ok"
    calls = [call for call, *_ in account.calls]
    assert calls.index("sagemaker stop-pipeline-execution") < calls.index("cloudformation delete-stack")
    (arguments,) = (a for call, *_, a in account.calls if call == "sagemaker stop-pipeline-execution")
    assert arguments == ["--pipeline-execution-arn", EXECUTION]


def test_a_deletion_that_failed_is_tried_again(tmp_path: Path) -> None:
    account = Account(tmp_path, {MAIN: (["CREATE_COMPLETE"], ["DELETE_IN_PROGRESS", "DELETE_FAILED", "NONE"])})
    assert account.run()["TEARDOWN_STATUS"] == "ok"
    assert account.deleted() == [MAIN, MAIN]


def test_what_cannot_be_deleted_is_named_and_the_second_stack_keeps_its_role(tmp_path: Path) -> None:
    account = Account(tmp_path, {MAIN: (["CREATE_COMPLETE"], ["DELETE_FAILED"]), BASE: (["CREATE_COMPLETE"], GONE)})
    exported = account.run()
    assert exported["TEARDOWN_STATUS"] == "failed"
    assert exported["TEARDOWN_REASON"] == (
        "stack mlp-p-abc-prod is DELETE_FAILED: Bucket AWS::S3::Bucket The bucket is not empty."
    )
    assert BASE not in account.deleted()


@pytest.mark.parametrize(
    ("account", "status", "told"),
    [
        ({"refusal": "AccessDenied: not authorized"}, "unreachable", "AccessDenied: not authorized"),
        ({"refuses": "TerminationProtection is enabled"}, "failed", "to delete stack mlp-p-abc-prod: Termination"),
        ({"throttled": True}, "failed", "The state of stack mlp-p-abc-prod cannot be read: An error occurred (Thr"),
    ],
)
def test_what_a_person_has_to_mend_is_exported_by_a_build_that_succeeds(
    tmp_path: Path, account: dict[str, Any], status: str, told: str
) -> None:
    exported = Account(tmp_path, {MAIN: (["CREATE_COMPLETE"], GONE)}, **account).run()
    assert exported["TEARDOWN_STATUS"] == status
    assert told in exported["TEARDOWN_REASON"]
    assert "\n" not in exported["TEARDOWN_REASON"]
