"""Deploys a synthesised cloud assembly as CDK Pipelines would: file assets first, then the stacks in order."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rehearsal.organization import HUB, REGION, RehearsalError, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rehearsal.organization import AwsClient

_STACK_TIMEOUT_S: Final = 300.0
BOOTSTRAP_QUALIFIER: Final = "hnb659fds"


def execution_role_arn(region: str = REGION) -> str:
    """Return the role that `cdk bootstrap` makes for CloudFormation in a region of the hub.

    It has the policies of pipeline/execution_policy.py.
    """
    return f"arn:aws:iam::{HUB}:role/cdk-{BOOTSTRAP_QUALIFIER}-cfn-exec-role-{HUB}-{region}"


@dataclass(frozen=True)
class StackArtifact:
    """One stack of an assembly.

    Attributes:
        name: Name of the CloudFormation stack.
        template: Path of its template.
        assets: File assets: path below the assembly, packaging (``file`` or ``zip``), bucket, key.
        dependencies: Ids of artifacts that must be deployed before.
    """

    id: str
    name: str
    template: Path
    template_url_key: tuple[str, str]
    assets: tuple[tuple[Path, str, str, str], ...]
    dependencies: frozenset[str]


def stacks(assembly: Path) -> Iterator[StackArtifact]:
    """Yield the stacks of an assembly folder in the order in which they can be deployed."""
    artifacts: dict[str, Any] = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    waiting = {name: a for name, a in artifacts.items() if a["type"] == "aws:cloudformation:stack"}
    found: list[StackArtifact] = []
    for name, artifact in waiting.items():
        template_file = artifact["properties"]["templateFile"]
        manifest = next(d for d in artifact["dependencies"] if artifacts[d]["type"] == "cdk:asset-manifest")
        listing = json.loads((assembly / artifacts[manifest]["properties"]["file"]).read_text(encoding="utf-8"))
        assets = [
            (assembly / asset["source"]["path"], asset["source"]["packaging"], where["bucketName"], where["objectKey"])
            for asset in listing["files"].values()
            for where in asset["destinations"].values()
        ]
        own = next((a[2], a[3]) for a in assets if a[0].name == template_file)
        depends = frozenset(d for d in artifact["dependencies"] if d in waiting)
        stack_name = artifact["properties"]["stackName"]
        found.append(StackArtifact(name, stack_name, assembly / template_file, own, tuple(assets), depends))
    done: set[str] = set()
    while found:
        ready = next((s for s in found if s.dependencies <= done), None)
        if ready is None:
            raise RehearsalError(f"{assembly}: the stacks {[s.name for s in found]} wait for each other")
        found.remove(ready)
        done.add(ready.id)
        yield ready


def publish(stack: StackArtifact, s3: AwsClient, substitutions: dict[str, str]) -> None:
    """Upload the stack's file assets, each under the key that its template expects."""
    for path, packaging, bucket, key in stack.assets:
        body = path.read_bytes() if packaging == "file" else _zipped(path)
        s3.put_object(Bucket=_filled(bucket, substitutions), Key=_filled(key, substitutions), Body=body)


def deploy(
    stack: StackArtifact,
    cloudformation: AwsClient,
    substitutions: dict[str, str],
    *,
    endpoint: str,
    doing: Callable[[str], None],
) -> dict[str, str]:
    """Create a stack and wait for it; return its outputs.

    Raises:
        RehearsalError: It did not reach CREATE_COMPLETE; the message has the first reason of each failed resource.
    """
    bucket, key = (_filled(part, substitutions) for part in stack.template_url_key)
    cloudformation.create_stack(
        StackName=stack.name,
        TemplateURL=f"{endpoint}/{bucket}/{key}",
        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        RoleARN=execution_role_arn(cloudformation.meta.region_name),
    )
    return wait_for_stack(stack.name, cloudformation, doing=doing)


def wait_for_stack(name: str, cloudformation: AwsClient, *, doing: Callable[[str], None]) -> dict[str, str]:
    """Wait until a stack is complete and return its outputs; raise RehearsalError when it failed."""

    def look() -> dict[str, str] | None:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        status = stack["StackStatus"]
        if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
        if not status.endswith("_IN_PROGRESS"):
            events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
            reasons = [
                f"{e['LogicalResourceId']} ({e['ResourceType']}): {e.get('ResourceStatusReason', 'no reason given')}"
                for e in reversed(events)
                if e["ResourceStatus"].endswith("_FAILED")
            ]
            shown = "\n  ".join(reasons or ["no failed resource"])
            raise RehearsalError(f"stack {name} ended as {status}:\n  {shown}")
        doing(f"stack {name} {status}")
        return None

    return wait_for(look, overdue=f"stack {name} was not complete", timeout_s=_STACK_TIMEOUT_S)


def _filled(text: str, substitutions: dict[str, str]) -> str:
    for name, value in substitutions.items():
        text = text.replace("${" + name + "}", value)
    return text


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
    return buffer.getvalue()
