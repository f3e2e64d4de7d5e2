"""Model cards of the hub: one per group, with a new version for every promotion.

The content follows the model card JSON schema, version 3:
https://docs.aws.amazon.com/sagemaker/latest/dg/model-cards.html#model-cards-json-schema
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import ClientError

from lambdas.model_promotion.names import LINEAGE_PREFIX
from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambdas.model_promotion.decisions import Decision

_CONTENT_MAX: Final = 100_000
_SHORT: Final = 1024
_LONG: Final = 2048
_ITEMS_MAX: Final = 15
_DATA_VERSION: Final = f"{LINEAGE_PREFIX}version"
_STATUS: Final = "PendingReview"


@dataclass(frozen=True, kw_only=True)
class Promoted:
    """What a card is about.

    Attributes:
        group: The hub's group; the card has its name.
        package: ARN of the hub's package.
        source: ARN of the original.
        account: Account of the original.
        version: Version of the hub's package.
        request: The request with which the hub's package was made: every URI in it names a copy.
        decision: The approval in development.
        digest: SHA-256 over images and artifacts.
    """

    group: str
    package: str
    source: str
    account: str
    version: int
    request: Mapping[str, Any]
    decision: Decision
    digest: str


def content(promoted: Promoted) -> dict[str, Any]:
    """Return the content of a card: what development wrote, completed with what promotion knows."""
    request = promoted.request
    written = _written(request)
    metadata = request.get("CustomerMetadataProperties", {})
    lineage = request.get("MetadataProperties", {})
    containers = request.get("InferenceSpecification", {}).get("Containers", [])
    description = str(request.get("ModelPackageDescription") or f"Model of {promoted.group}")
    overview = written.get("model_overview", {})
    training = written.get("training_details", {})
    more = written.get("additional_information", {})
    return _fitting(
        {
            **written,
            "model_overview": {
                **overview,
                "model_id": promoted.package[:_SHORT],
                "model_name": promoted.group,
                "model_version": promoted.version,
                "model_description": description[:_SHORT],
                "model_owner": str(
                    overview.get("model_owner") or overview.get("model_creator") or f"account {promoted.account}"
                )[:_SHORT],
                "problem_type": str(metadata.get("problem_type") or request.get("Task") or "not stated")[:_SHORT],
                "model_artifact": [url for url in map(_model_data, containers) if url][:_ITEMS_MAX],
                "inference_environment": {
                    "container_image": [str(container["Image"]) for container in containers if "Image" in container][
                        :_ITEMS_MAX
                    ]
                },
            },
            "intended_uses": {"purpose_of_model": description[:_LONG], **written.get("intended_uses", {})},
            "training_details": {
                **training,
                "training_job_details": {
                    **_data(metadata),
                    **training.get("training_job_details", {}),
                },
            },
            "evaluation_details": written.get("evaluation_details") or _evaluation(metadata),
            "additional_information": {
                **more,
                "ethical_considerations": str(more.get("ethical_considerations") or _bias(request))[:_LONG],
                "custom_details": {
                    key: str(value)[:_SHORT]
                    for key, value in {
                        **more.get("custom_details", {}),
                        "approved_by": promoted.decision.who,
                        "approved_at": promoted.decision.moment,
                        "approval_reason": promoted.decision.reason or "none given",
                        "hub_package": promoted.package,
                        "development_package": promoted.source,
                        "digest": promoted.digest,
                        "repository": lineage.get("Repository"),
                        "commit": lineage.get("CommitId"),
                        "generated_by": lineage.get("GeneratedBy"),
                        **_reports(request),
                    }.items()
                    if value
                },
            },
        }
    )


class Cards:
    """The hub's model cards."""

    def __init__(self) -> None:
        self._client: Any = boto3.client("sagemaker", config=CONFIG)

    def publish(self, name: str, card: Mapping[str, Any]) -> None:
        """Make a card's newest version have this content; nothing happens if it has."""
        text = json.dumps(card, sort_keys=True)
        try:
            present = self._client.describe_model_card(ModelCardName=name)
        except ClientError as err:
            if err.response["Error"]["Code"] not in ("ResourceNotFound", "ResourceNotFoundException"):
                raise
            self._client.create_model_card(ModelCardName=name, Content=text, ModelCardStatus=_STATUS)
            return
        if json.loads(present["Content"]) == card:
            return
        # One call cannot change both (UpdateModelCard, API reference). The status comes first: should the second call
        # fail, no content that nobody has reviewed carries the approval of an earlier one.
        if present["ModelCardStatus"] != _STATUS:
            self._client.update_model_card(ModelCardName=name, ModelCardStatus=_STATUS)
        self._client.update_model_card(ModelCardName=name, Content=text)


def _written(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the card that came with the package; nothing if it has none that can be read."""
    try:
        card = json.loads(request.get("ModelCard", {}).get("ModelCardContent") or "{}")
    except json.JSONDecodeError:
        return {}
    return card if isinstance(card, dict) else {}


def _data(metadata: Mapping[str, str]) -> dict[str, list[str]]:
    named = [
        value for key, value in metadata.items() if key.startswith(LINEAGE_PREFIX) and key != _DATA_VERSION and value
    ]
    return {"training_datasets": [value[:_SHORT] for value in named][:_ITEMS_MAX]} if named else {}


def _model_data(container: Mapping[str, Any]) -> str:
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    return str(container.get("ModelDataUrl") or source.get("S3Uri") or "")[:_SHORT]


def _evaluation(metadata: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the metric that the pipeline noted with the package, where development wrote nothing about evaluation."""
    try:
        value = float(metadata["metric_value"])
    except (KeyError, ValueError):
        return []
    metric = {"name": metadata.get("metric", "metric")[:63], "type": "number", "value": value}
    return [{"name": "Evaluation", "metric_groups": [{"name": "Gate", "metric_data": [metric]}]}]


def _reports(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the reports of the package as links, e.g. ``report_bias_report``."""
    return {
        f"report_{group}_{kind}".lower(): entry["S3Uri"]
        for group, kinds in request.get("ModelMetrics", {}).items()
        for kind, entry in kinds.items()
        if "S3Uri" in entry
    }


def _bias(request: Mapping[str, Any]) -> str:
    reports = [link for name, link in _reports(request).items() if name.startswith("report_bias")]
    if not reports:
        return "No bias report was registered with this model."
    return f"Bias was measured; reports: {', '.join(reports)}"


def _fitting(card: dict[str, Any]) -> dict[str, Any]:
    """Return a card that SageMaker takes: the evaluation's details give way where it is too long."""
    if len(json.dumps(card)) <= _CONTENT_MAX:
        return card
    note = "The evaluation is too long for a model card; see the reports in the custom details."
    return {**card, "evaluation_details": [{"name": "Evaluation", "evaluation_observation": note}]}
