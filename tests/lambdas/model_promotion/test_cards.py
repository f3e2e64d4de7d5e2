"""The content of model cards, against the schema with which CloudFormation checks them."""

from __future__ import annotations

import json
from typing import Any

from cfnlint.jsonschema import CfnTemplateValidator
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from lambdas.model_promotion import cards
from lambdas.model_promotion.decisions import Decision
from tests.lambdas.model_promotion.cloud import DEV, HUB, REGION, model


def promoted(**fields: Any) -> cards.Promoted:  # noqa: ANN401
    """Return what a card is about."""
    return cards.Promoted(
        group=f"churn-p-1-{DEV}",
        package=f"arn:aws:sagemaker:{REGION}:{HUB}:model-package/churn-p-1-{DEV}/7",
        source=f"arn:aws:sagemaker:{REGION}:{DEV}:model-package/churn-p-1/3",
        account=DEV,
        version=7,
        request=model(3, **fields),
        decision=Decision(status="Approved", who="lead", when=1_763_600_000, reason="good"),
        digest="sha256:1",
    )


def problems(card: dict[str, Any]) -> list[str]:
    """Return what CloudFormation's schema of AWS::SageMaker::ModelCard has against a content."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", "AWS::SageMaker::ModelCard").schema
    content = schema["definitions"]["Content"] | {"definitions": schema["definitions"]}
    return [error.message for error in CfnTemplateValidator(schema=content).iter_errors(_as_cloudformation(card))]


def _as_cloudformation(value: Any, *, names: bool = True) -> Any:  # noqa: ANN401 (JSON)
    """Return a content with the names of CloudFormation, which differ from the API's only in their form."""
    if isinstance(value, dict):
        return {
            (key.title().replace("_", "") if names else key): _as_cloudformation(member, names=key != "custom_details")
            for key, member in value.items()
        }
    return [_as_cloudformation(member) for member in value] if isinstance(value, list) else value


def test_a_card_follows_the_schema() -> None:
    assert problems(cards.content(promoted())) == []


def test_the_schema_is_looked_at() -> None:
    card = cards.content(promoted())
    assert problems(card | {"no_such_part": {}}) != []
    assert problems(card | {"model_overview": {"model_version": "seven"}}) != []


def test_a_card_says_purpose_owner_data_metrics_bias_approver_and_links() -> None:
    card = cards.content(promoted())
    details = card["additional_information"]["custom_details"]
    source = f"s3://mlp-p-1-{DEV}-{REGION}"
    assert card["intended_uses"]["purpose_of_model"] == "Keep customers."
    assert card["model_overview"]["model_owner"] == "churn"
    assert card["training_details"]["training_job_details"]["training_datasets"] == [f"{source}/lake/"]
    assert card["evaluation_details"][0]["metric_groups"][0]["metric_data"] == [
        {"name": "auc", "type": "number", "value": 0.93}
    ]
    assert card["additional_information"]["ethical_considerations"].endswith(f"{source}/v3/bias.json")
    assert (details["approved_by"], details["approval_reason"]) == ("lead", "good")
    assert details["report_modelquality_statistics"] == f"{source}/v3/evaluation.json"
    assert details["hub_package"].endswith("/7")
    assert (details["repository"], details["commit"]) == ("team/churn", "abc")


def test_a_model_without_any_description_has_a_card_that_says_so() -> None:
    fields: dict[str, Any] = {
        "ModelMetrics": {},
        "ModelCard": {},
        "CustomerMetadataProperties": {},
        "ModelPackageDescription": "",
    }
    card = cards.content(promoted(**fields))
    assert problems(card) == []
    assert card["model_overview"]["model_owner"] == f"account {DEV}"
    assert card["additional_information"]["ethical_considerations"].startswith("No bias report")


def test_a_card_that_cannot_be_read_is_replaced() -> None:
    card = cards.content(promoted(ModelCard={"ModelCardContent": "{not JSON", "ModelCardStatus": "Draft"}))
    assert card["intended_uses"]["purpose_of_model"] == "Predicts churn"


def test_an_evaluation_that_is_too_long_gives_way() -> None:
    long = {"evaluation_details": [{"name": str(number), "evaluation_observation": "x" * 2000} for number in range(60)]}
    card = cards.content(promoted(ModelCard={"ModelCardContent": json.dumps(long), "ModelCardStatus": "Draft"}))
    assert len(json.dumps(card)) <= 100_000
    assert "too long" in card["evaluation_details"][0]["evaluation_observation"]
    assert problems(card) == []
