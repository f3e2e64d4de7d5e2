"""Builds of the catalog's pipeline in the emulated hub: their projects, roles and commands as the template has them.

The pipeline itself is not deployed here. What it would start are two builds that work with the hub's data, and those
act as their own roles: a permission that is missing on AWS fails the rehearsal as well.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Final

from products.shared import names
from rehearsal.cloud_assembly import execution_role_arn, wait_for_stack
from rehearsal.organization import HUB, REGION, ROOT, Credentials, Organization, RehearsalError, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rehearsal.organization import AwsClient

_COMMAND: Final = ".venv/bin/portfolio "
_COMMANDS: Final = ("upload", "check-published")
_BUILD_TIMEOUT_S: Final = 300.0


def deploy(organization: Organization, assembly: Path, *, doing: Callable[[str], None]) -> None:
    """Create the two builds of the synthesised pipeline, with all that they refer to and nothing else.

    Args:
        organization: The running organisation.
        assembly: Cloud assembly of the hub.
        doing: Called with what is waited for.
    """
    template = json.loads((assembly / f"{names.PIPELINE_STACK}.template.json").read_text(encoding="utf-8"))
    cloudformation = organization.client("cloudformation", Credentials.administrator(HUB))
    cloudformation.create_stack(
        StackName=names.PIPELINE_STACK,
        TemplateBody=json.dumps(builds_of(template)),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        RoleARN=execution_role_arn(),
    )
    wait_for_stack(names.PIPELINE_STACK, cloudformation, doing=doing)


def builds_of(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the pipeline's template that consists of the builds that run `portfolio` on the hub's data.

    It holds their projects and roles, the policies of these roles, and what these refer to.
    """
    resources: Mapping[str, Any] = template["Resources"]
    chosen = {
        name
        for name, resource in resources.items()
        for command in _COMMANDS
        if f"{_COMMAND}{command}" in str(resource.get("Properties", {}).get("Source", {}).get("BuildSpec", ""))
    }
    while True:
        policies = {
            name
            for name, resource in resources.items()
            if resource["Type"] == "AWS::IAM::Policy"
            and any(role.get("Ref") in chosen for role in resource["Properties"]["Roles"])
        }
        named = {reference for name in chosen | policies for reference in _references(resources[name])}
        grown = chosen | policies | (named & set(resources))
        if grown == chosen:
            return {"Resources": {name: resources[name] for name in resources if name in chosen}}
        chosen = grown


def _references(node: object) -> Iterator[str]:
    """Yield the names that a part of a template refers to with Ref or Fn::GetAtt."""
    if isinstance(node, dict):
        if isinstance(node.get("Ref"), str):
            yield node["Ref"]
        if isinstance(node.get("Fn::GetAtt"), list):
            yield node["Fn::GetAtt"][0]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def run(organization: Organization, command: str, *, region: str = REGION) -> str:
    """Run a build as its own role and return what it printed.

    What the pipeline does before is left out: cloning the repository and installing its environment, which are here.

    Args:
        organization: The running organisation, after `deploy`.
        command: Which build: ``upload`` or ``check-published``.
        region: For which region of the hub. Default: home.

    Raises:
        RehearsalError: The build failed; the message ends with what it printed.
    """
    hub = Credentials.administrator(HUB)
    codebuild = organization.client("codebuild", hub)
    project, line = project_of(codebuild, command, region=region)
    buildspec = {"version": "0.2", "phases": {"build": {"commands": [f"cd {shlex.quote(str(ROOT))}", line]}}}
    started = codebuild.start_build(
        projectName=project,
        sourceTypeOverride="NO_SOURCE",
        artifactsOverride={"type": "NO_ARTIFACTS"},
        buildspecOverride=json.dumps(buildspec),
    )["build"]["id"]

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = codebuild.batch_get_builds(ids=[started])["builds"][0]
        return found if found["buildComplete"] else None

    build = wait_for(look, overdue=f"{line}: the build {started} was not complete", timeout_s=_BUILD_TIMEOUT_S)
    printed = _log(organization.client("logs", hub), build["logs"])
    if build["buildStatus"] != "SUCCEEDED":
        reasons = [c["message"] for phase in build["phases"] for c in phase.get("contexts", ()) if c.get("message")]
        details = "\n".join([*reasons, printed])
        raise RehearsalError(
            f"{line}, as {build['serviceRole']}: the build ended as {build['buildStatus']}.\n{details}"
        )
    return printed


def project_of(codebuild: AwsClient, command: str, *, region: str = REGION) -> tuple[str, str]:
    """Return the name of the project that runs a command of the catalog for a region, and the whole command."""
    projects = codebuild.batch_get_projects(names=codebuild.list_projects()["projects"])["projects"]
    found = [
        (project["name"], line)
        for project in projects
        if project["source"].get("buildspec", "").startswith("{")
        for line in json.loads(project["source"]["buildspec"])["phases"]["build"]["commands"]
        if line.startswith(f"{_COMMAND}{command} ") and f"--region {region}" in line
    ]
    if len(found) != 1:
        raise RehearsalError(
            f"the pipeline has {len(found)} builds that run `portfolio {command}` for {region}; expected one"
        )
    return found[0]


def _log(logs: AwsClient, place: Mapping[str, str]) -> str:
    try:
        events = logs.get_log_events(
            logGroupName=place["groupName"], logStreamName=place["streamName"], startFromHead=True
        )["events"]
    except logs.exceptions.ResourceNotFoundException:  # the build ended before it could write
        return ""
    return "\n".join(event["message"] for event in events)
