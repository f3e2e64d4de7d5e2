"""The hub: its cloud assembly, the releases, the baselines of all accounts, and the portfolios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from products.shared import names
from rehearsal import cloud_assembly, pipeline_builds, report
from rehearsal.organization import ACCOUNTS, DEV, HUB, PROD, REGION, TEST, WORKLOADS_OU, Credentials, RehearsalError

if TYPE_CHECKING:
    from pathlib import Path

    from rehearsal.world import World


def synthesise(world: World) -> str:
    """Wait for the cloud assembly of the hub."""
    if world.synth is None:
        raise RehearsalError("the synthesis was not started")
    world.doing("python app.py")
    if world.synth.wait(timeout=300):
        raise RehearsalError(
            f"python app.py ended with exit code {world.synth.returncode}; nothing was deployed. Its output:\n"
            + (world.work / "synth.log").read_text(encoding="utf-8")[-3000:]
        )
    found = [s.name for folder in _stage_folders(world) for s in cloud_assembly.stacks(folder)]
    return f"stacks {', '.join(found)}"


def _stage_folders(world: World) -> list[Path]:
    """Return the nested assemblies of the home region: Foundation, then Portfolios."""
    folders = []
    for stage in ("Foundation", "Portfolios"):
        matches = sorted(p for p in world.assembly.glob("assembly-*") if stage in p.name)
        if not matches:
            raise RehearsalError(
                f"{world.assembly} has no assembly for the stage {stage}; it holds "
                f"{sorted(p.name for p in world.assembly.iterdir())}"
            )
        folders.append(matches[0])
    return folders


def _deploy(world: World, stack: cloud_assembly.StackArtifact) -> dict[str, str]:
    administrator = Credentials.administrator(HUB)
    substitutions = {"AWS::AccountId": HUB, "AWS::Region": REGION, "AWS::Partition": "aws"}
    cloud_assembly.publish(stack, world.client("s3", administrator), substitutions)
    return cloud_assembly.deploy(
        stack,
        world.client("cloudformation", administrator),
        substitutions,
        endpoint=world.organization.endpoint,
        doing=world.doing,
    )


def publish_releases(world: World) -> str:
    """Create the artifact bucket and upload every released file."""
    first, *_ = cloud_assembly.stacks(_stage_folders(world)[0])
    _deploy(world, first)
    pipeline_builds.deploy(world.organization, world.assembly, doing=world.doing)
    world.doing("portfolio upload")
    pipeline_builds.run(world.organization, "upload")
    bucket = names.artifact_bucket(HUB, REGION)
    objects = world.client("s3", Credentials.administrator(HUB)).list_objects_v2(Bucket=bucket)["KeyCount"]
    return f"{objects} files in {bucket}"


def roll_out_baselines(world: World) -> str:
    """Deploy registry, StackSets and the hub's baseline, and with them what every kind of account needs."""
    _, *rest = cloud_assembly.stacks(_stage_folders(world)[0])
    for stack in rest:
        _deploy(world, stack)
    found = []
    for account, role in ((DEV, names.LAUNCH_ROLE), (HUB, names.LAUNCH_ROLE), (TEST, names.DEPLOY_ROLE)):
        made = world.client("iam", Credentials.administrator(account)).get_role(RoleName=role)["Role"]["RoleName"]
        found.append(f"{made} in {ACCOUNTS[account]}")
    world.client("iam", Credentials.administrator(PROD)).get_role(RoleName=names.DEPLOY_ROLE)
    return f"roles {', '.join(found)} and {ACCOUNTS[PROD]}"


def publish_portfolios(world: World) -> str:
    """Create the portfolios from the released files and share them with the workloads OU."""
    for stack in cloud_assembly.stacks(_stage_folders(world)[1]):
        _deploy(world, stack)
    world.doing("portfolio check-published")
    pipeline_builds.run(world.organization, "check-published")
    world.facts.catalog = report.read_catalog(world.client("servicecatalog", Credentials.administrator(HUB)))
    versions = sum(len(product.versions) for product in world.facts.catalog)
    return f"{len(world.facts.catalog)} products, {versions} versions, shared with {WORKLOADS_OU}"
