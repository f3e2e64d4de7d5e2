"""The hub: its cloud assembly, the releases, the baselines of all accounts, and the portfolios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from products.shared import names
from rehearsal import cloud_assembly, pipeline_builds, report
from rehearsal.organization import ACCOUNTS, DEV, HUB, PROD, REGION, TEST, WORKLOADS_OU, Credentials, RehearsalError

if TYPE_CHECKING:
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
    found = [s.name for stage in ("Foundation", "Portfolios") for s in _stacks(world, stage, REGION)]
    return f"stacks {', '.join(found)}"


def _stacks(world: World, stage: str, region: str) -> list[cloud_assembly.StackArtifact]:
    """Return the stacks of a stage in a region, Foundation or Portfolios, in the order in which they can be made."""
    folder = world.assembly / f"assembly-{names.PIPELINE_STACK}-{stage}-{region}"
    if not folder.is_dir():
        raise RehearsalError(
            f"{world.assembly} has no assembly for the stage {stage} in {region}; it holds "
            f"{sorted(p.name for p in world.assembly.iterdir())}"
        )
    return list(cloud_assembly.stacks(folder))


def _deploy(world: World, stack: cloud_assembly.StackArtifact, region: str) -> dict[str, str]:
    administrator = Credentials.administrator(HUB)
    substitutions = {"AWS::AccountId": HUB, "AWS::Region": region, "AWS::Partition": "aws"}
    cloud_assembly.publish(stack, world.client("s3", administrator, region=region), substitutions)
    return cloud_assembly.deploy(
        stack,
        world.client("cloudformation", administrator, region=region),
        substitutions,
        endpoint=world.organization.endpoint,
        doing=world.doing,
    )


def publish_releases(world: World) -> str:
    """Create the artifact bucket of each region and upload every released file."""
    for region in world.regions:
        first, *_ = _stacks(world, "Foundation", region)
        _deploy(world, first, region)
    pipeline_builds.deploy(world.organization, world.assembly, doing=world.doing)
    world.doing("portfolio upload")
    for region in world.regions:
        pipeline_builds.run(world.organization, "upload", region=region)
    bucket = names.artifact_bucket(HUB, REGION)
    return f"{len(world.uris(Credentials.administrator(HUB), f's3://{bucket}/'))} files in {bucket}"


def roll_out_baselines(world: World) -> str:
    """Deploy registry, StackSets and the hub's baseline, and with them what every kind of account needs."""
    for region in world.regions:
        _, *rest = _stacks(world, "Foundation", region)
        for stack in rest:
            _deploy(world, stack, region)
    found = []
    for account, role in ((DEV, names.LAUNCH_ROLE), (HUB, names.LAUNCH_ROLE), (TEST, names.DEPLOY_ROLE)):
        made = world.client("iam", Credentials.administrator(account)).get_role(RoleName=role)["Role"]["RoleName"]
        found.append(f"{made} in {ACCOUNTS[account]}")
    world.client("iam", Credentials.administrator(PROD)).get_role(RoleName=names.DEPLOY_ROLE)
    return f"roles {', '.join(found)} and {ACCOUNTS[PROD]}"


def publish_portfolios(world: World) -> str:
    """Create the portfolios from the released files and share them with the workloads OU."""
    for region in world.regions:
        for stack in _stacks(world, "Portfolios", region):
            _deploy(world, stack, region)
    world.doing("portfolio check-published")
    for region in world.regions:
        pipeline_builds.run(world.organization, "check-published", region=region)
    world.facts.catalog = report.read_catalog(world.client("servicecatalog", Credentials.administrator(HUB)))
    versions = sum(len(product.versions) for product in world.facts.catalog)
    return f"{len(world.facts.catalog)} products, {versions} versions, shared with {WORKLOADS_OU}"
