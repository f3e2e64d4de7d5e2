"""The last step of a rehearsal with faults: the registry must hold what it holds without them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from lambdas.model_promotion.names import PACKAGES_PREFIX, PENDING, PROMOTED_PREFIX
from products.shared import names
from rehearsal.audit_records import audit_records
from rehearsal.organization import DEV, HUB, REGION, Credentials, RehearsalError, wait_for

if TYPE_CHECKING:
    from rehearsal.world import World

_TIMEOUT_S = 180.0


def compare_registry(world: World) -> str:
    """Wait until every message is processed; then look for anything that the faults could have left behind."""
    hub = Credentials.administrator(HUB)
    counts = wait_for(
        lambda: _settled(world, hub), overdue="messages of the promotion are still in the queue", timeout_s=_TIMEOUT_S
    )
    problems = [*_packages(world, hub), *_artifacts(world, hub), *_records(world, hub)]
    if problems:
        raise RehearsalError("the registry is not what it is without faults:\n  " + "\n  ".join(problems))
    world.facts.faults = counts
    return (
        f"{counts['crashes']} crashes, {counts['throttled']} throttled calls, {counts['duplicates']} duplicates and "
        f"{counts['out_of_order']} events out of order survived: one package, every artifact equal to its original"
    )


def _settled(world: World, hub: Credentials) -> dict[str, Any] | None:
    """Return the counts, once no message waits or is in work; one in the dead-letter queue is an error."""
    sqs = world.client("sqs", hub)
    waiting = {}
    for url in sqs.list_queues()["QueueUrls"]:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        states = ("", "NotVisible", "Delayed")
        waiting[url] = sum(int(attributes.get(f"ApproximateNumberOfMessages{state}", 0)) for state in states)
    lost = {url: number for url, number in waiting.items() if number and "Lost" in url}
    if lost:
        raise RehearsalError(f"messages of the promotion are in the dead-letter queue: {lost}")
    number = sum(count for url, count in waiting.items() if "Decisions" in url)
    if number:
        world.doing(f"{number} messages wait")
        return None
    counts: dict[str, Any] = json.loads((world.organization.work / "faults.json").read_text(encoding="utf-8"))
    return counts


def _packages(world: World, hub: Credentials) -> list[str]:
    sagemaker = world.client("sagemaker", hub)
    group = world.facts.promotion["package"]["ModelPackageGroupName"]
    versions = sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    card = sagemaker.describe_model_card(ModelCardName=group)
    problems = []
    if len(versions) != 1:
        problems.append(f"{group} has {len(versions)} packages instead of one")
    if card["ModelCardVersion"] != 1:
        problems.append(f"the model card has {card['ModelCardVersion']} versions instead of one")
    return problems


def _artifacts(world: World, hub: Credentials) -> list[str]:
    """Compare every copy with its original, byte by byte, and look for copies that were begun and left."""
    developer, artifacts = Credentials.administrator(DEV), world.facts.promotion["record"]["artifacts"]
    problems = [
        f"{artifact['target']} differs from {artifact['source']}"
        for artifact in artifacts
        if world.read(developer, artifact["source"]) != world.read(hub, artifact["target"])
    ]
    bucket = names.registry_bucket(HUB, REGION)
    copied = {artifact["target"] for artifact in artifacts}
    there = set(world.uris(hub, f"s3://{bucket}/{PACKAGES_PREFIX}"))
    problems += [f"{uri} belongs to no package" for uri in sorted(there - copied)]
    package = world.facts.promotion["package"]
    place = f"s3://{bucket}/{PROMOTED_PREFIX}{package['ModelPackageGroupName']}/{package['ModelPackageVersion']}.json"
    promoted = json.loads(world.read(hub, place))
    objects = {f"s3://{bucket}/{key}" for key in promoted["objects"]}
    if promoted["package"] != package["ModelPackageArn"] or objects != copied:
        problems.append(f"{place} is not about {package['ModelPackageArn']} and its artifacts")
    uploads = world.client("s3", hub).list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return problems + [f"an unfinished upload of {upload['Key']} is left" for upload in uploads]


def _records(world: World, hub: Credentials) -> list[str]:
    """Every decision is on record once, and what was decided in the hub still stands."""
    records = audit_records(world, hub)
    seen = Counter((record["place"], record["what"], record["who"]) for record in records)
    problems = [f"{number} records of one decision: {what}" for what, number in seen.items() if number > 1]
    decided = [record["what"] for record in sorted(records, key=lambda r: str(r["at"])) if record["place"] == "hub"]
    expected = decided[-1] if decided else PENDING
    arn = world.facts.promotion["package"]["ModelPackageArn"]
    status = world.client("sagemaker", hub).describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"]
    if status != expected:
        problems.append(f"{arn} is {status} instead of {expected}")
    return problems
