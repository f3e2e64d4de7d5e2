"""From the approval in the dev account to the copy in the hub's registry: what people do, and what it sets off."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from lambdas.model_promotion.names import APPROVED, PENDING
from products.shared import names
from rehearsal.audit_records import audit_records
from rehearsal.domain_steps import LEAD_PROFILE
from rehearsal.organization import ACCOUNTS, DEV, HUB, REGION, Credentials, RehearsalError, wait_for

if TYPE_CHECKING:
    from rehearsal.world import World

_CONSUMED: Final = (
    "AdditionalInferenceSpecifications",
    "DriftCheckBaselines",
    "InferenceSpecification",
    "ModelMetrics",
    "SamplePayloadUrl",
)
"""What deployments and monitors read; where the training data were stays a fact about the model."""

_REASON: Final = "Beats the prior by a margin; the curves look right."
_TIMEOUT_S: Final = 120.0


def approve_as_lead(world: World) -> str:
    """Approve the registered version in Studio, as the lead data scientist."""
    studio = world.organization.open_studio(world.domain.outputs["DomainId"], LEAD_PROFILE, caller=world.lead)
    sagemaker = world.client("sagemaker", studio)
    arn = world.facts.model_package["ModelPackageArn"]
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=APPROVED, ApprovalDescription=_REASON)
    status = sagemaker.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"]
    return f"{arn.rsplit(':', 1)[1]}: {status}"


def promote_to_hub(world: World) -> str:
    """Wait until the approval has become a package, a model card and an audit record in the hub."""
    hub = Credentials.administrator(HUB)
    sagemaker = world.client("sagemaker", hub)
    record = _await_record(world, hub)
    package = sagemaker.describe_model_package(ModelPackageName=record["hub_package"])
    if package["ModelApprovalStatus"] != PENDING:
        raise RehearsalError(
            f"{record['hub_package']} is {package['ModelApprovalStatus']}: a promoted model has to wait for the "
            "ML engineer, whatever was decided in the dev account"
        )
    bucket = names.registry_bucket(HUB, REGION)
    consumed = {key: package[key] for key in _CONSUMED if key in package}
    foreign = sorted(uri for uri in _uris(consumed) if not uri.startswith(f"s3://{bucket}/"))
    if foreign:
        raise RehearsalError(f"{record['hub_package']} still points to what is not in the hub: {', '.join(foreign)}")
    card = sagemaker.describe_model_card(ModelCardName=package["ModelPackageGroupName"])
    world.facts.promotion = {
        "package": {k: v for k, v in package.items() if k != "ResponseMetadata"},
        "card": json.loads(card["Content"]),
        "card_name": card["ModelCardName"],
        "card_version": card["ModelCardVersion"],
        "record": record,
    }
    return (
        f"{record['hub_package'].rsplit(':', 1)[1]} {package['ModelApprovalStatus']}, {len(record['artifacts'])} "
        f"artifacts, model card version {card['ModelCardVersion']}"
    )


def _await_record(world: World, hub: Credentials) -> dict[str, Any]:
    """Wait for the audit record, which the promotion writes last, and return it."""
    approved = world.facts.model_package["ModelPackageArn"]

    def look() -> dict[str, Any] | None:
        for record in audit_records(world, hub):
            if record["package"] == approved:
                return record
        world.doing(f"event from {ACCOUNTS[DEV]}, queue, {names.MODEL_PROMOTION_FUNCTION}")
        return None

    try:
        return wait_for(look, overdue=f"the approval of {approved} has no audit record", timeout_s=_TIMEOUT_S)
    except RehearsalError as err:
        raise RehearsalError(f"{err}. {names.MODEL_PROMOTION_FUNCTION} says:\n{_log(world, hub)}") from err


def _log(world: World, hub: Credentials) -> str:
    """Return the end of what the function logged."""
    logs = world.client("logs", hub)
    groups = [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"] if "Promotion" in g["logGroupName"]]
    lines = [e["message"] for g in groups for e in logs.filter_log_events(logGroupName=g).get("events", [])]
    return "\n".join(lines[-40:]) or "nothing: it was not invoked"


def _uris(node: object) -> set[str]:
    """Return every S3 URI in a description."""
    if isinstance(node, dict):
        return {uri for value in node.values() for uri in _uris(value)}
    if isinstance(node, list):
        return {uri for value in node for uri in _uris(value)}
    return {node} if isinstance(node, str) and node.startswith("s3://") else set()
