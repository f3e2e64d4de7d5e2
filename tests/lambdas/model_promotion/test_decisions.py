"""What the hub does with decisions, whoever makes them, and what the function does with messages."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from lambdas.model_promotion import handler
from lambdas.model_promotion.requeue import Queue
from tests.lambdas.aws import client_error
from tests.lambdas.model_promotion.cloud import (
    AUDIT,
    BUCKET,
    DEV,
    HUB,
    KEY,
    PROD,
    QUEUE,
    REPOSITORY,
    Cloud,
    model,
    put_artifacts,
)

if TYPE_CHECKING:
    from tests.lambdas.model_promotion.conftest import Function


@pytest.fixture
def arn(cloud: Cloud, function: Function) -> str:
    """Return the package in development whose copy is in the hub."""
    put_artifacts(cloud)
    arn = cloud.register(dict(model()))
    function.deliver(cloud.decide(arn, "Approved", "good"))
    return arn


def decide_in_hub(cloud: Cloud, status: str, reason: str) -> dict[str, Any]:
    """Decide on the copy as the ML engineer does."""
    return cloud.decide(cloud.copies[0]["ModelPackageArn"], status, reason, who="engineer")


def test_a_rejection_in_development_rejects_the_copy_and_says_who_and_when(
    cloud: Cloud, function: Function, arn: str
) -> None:
    decide_in_hub(cloud, "Approved", "deploy it")
    event = cloud.decide(arn, "Rejected", "unfair")
    function.deliver(event)
    (package,) = cloud.copies
    assert package["ModelApprovalStatus"] == "Rejected"
    assert package["ApprovalDescription"] == f"Rejected in account {DEV} by lead at {event['time']}: unfair"
    assert package["CustomerMetadataProperties"]["source_decided_by"] == "lead"
    assert package["CustomerMetadataProperties"]["source_decided_at"] == event["time"]


def test_an_approval_after_a_rejection_lets_the_copy_wait_again(cloud: Cloud, function: Function, arn: str) -> None:
    function.deliver(cloud.decide(arn, "Rejected", "unfair"))
    function.deliver(cloud.decide(arn, "Approved", "fair after all"))
    (package,) = cloud.copies
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["ApprovalDescription"].endswith("fair after all")


def test_development_does_not_undo_what_the_engineer_rejected(cloud: Cloud, function: Function, arn: str) -> None:
    decide_in_hub(cloud, "Rejected", "too slow")
    function.deliver(cloud.decide(arn, "Rejected", "unfair"))
    function.deliver(cloud.decide(arn, "Approved", "fair"))
    (package,) = cloud.copies
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == ("Rejected", "too slow")
    assert package["CustomerMetadataProperties"]["source_status"] == "Approved"


def test_a_changed_reason_is_reflected_and_leaves_the_engineers_text_alone(
    cloud: Cloud, function: Function, arn: str
) -> None:
    function.deliver(cloud.decide(arn, "Approved", "very good"))
    assert cloud.copies[0]["ApprovalDescription"].endswith(": very good")
    decide_in_hub(cloud, "Approved", "deploy it")
    function.deliver(cloud.decide(arn, "Approved", "excellent"))
    (package,) = cloud.copies
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == ("Approved", "deploy it")
    assert package["CustomerMetadataProperties"]["source_reason"] == "excellent"


def test_an_approval_that_is_taken_back_stops_the_copy(cloud: Cloud, function: Function, arn: str) -> None:
    decide_in_hub(cloud, "Approved", "deploy it")
    function.deliver(cloud.decide(arn, "PendingManualApproval", "look again"))
    assert cloud.copies[0]["ModelApprovalStatus"] == "PendingManualApproval"


def forget_what_was_promoted(cloud: Cloud) -> str:
    """Leave of a promotion what the function left before deployments compared; return the key that is missing."""
    for (bucket, key), entry in cloud.objects.items():
        if bucket == BUCKET and key.startswith("promotions/"):
            record = json.loads(entry.body)
            record["artifacts"] = [{k: v for k, v in a.items() if k != "target_etag"} for a in record["artifacts"]]
            entry.body = json.dumps(record).encode()
    (missing,) = [key for bucket, key in cloud.objects if bucket == BUCKET and key.startswith("promoted/")]
    del cloud.objects[BUCKET, missing]
    return missing


@pytest.mark.parametrize("first", ["Rejected", "Approved"])
def test_a_copy_from_before_deployments_compared_is_vouched_for_by_the_next_approval_and_decided_anew(
    cloud: Cloud, function: Function, arn: str, first: str
) -> None:
    decide_in_hub(cloud, "Approved", "deploy it")
    missing, files = forget_what_was_promoted(cloud), len(cloud.of("CopyObject"))
    (before,) = [dict(package) for package in cloud.copies]
    function.deliver(cloud.decide(arn, first, "again"))
    function.deliver(cloud.decide(arn, "Approved", "still good"))
    (package,) = cloud.copies
    assert package["ModelPackageArn"] == before["ModelPackageArn"]
    assert package["InferenceSpecification"] == before["InferenceSpecification"]
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    promoted = json.loads(cloud.objects[BUCKET, missing].body)
    assert promoted["package"] == package["ModelPackageArn"]
    assert all(size and etag for size, etag in promoted["objects"].values())
    assert len(cloud.of("CopyObject")) == files
    decide_in_hub(cloud, "Approved", "deploy it")
    function.deliver(cloud.decide(arn, "Approved", "as before"))
    assert cloud.copies[0]["ModelApprovalStatus"] == "Approved"


def test_a_copy_from_before_deployments_compared_stays_rejected_by_the_engineer(
    cloud: Cloud, function: Function, arn: str
) -> None:
    decide_in_hub(cloud, "Rejected", "too slow")
    missing = forget_what_was_promoted(cloud)
    function.deliver(cloud.decide(arn, "Approved", "again"))
    assert (BUCKET, missing) in cloud.objects
    assert cloud.copies[0]["ModelApprovalStatus"] == "Rejected"


def test_every_decision_is_on_record_once_with_who_what_when_and_the_same_digest(
    cloud: Cloud, function: Function, arn: str
) -> None:
    for event in (decide_in_hub(cloud, "Approved", "deploy it"), cloud.decide(arn, "Rejected", "unfair")):
        function.deliver(event)
        function.deliver(event)
    verdicts = sorted(cloud.verdicts, key=lambda verdict: str(verdict["at"]))
    assert [(verdict["place"], verdict["what"], verdict["who"], verdict["reason"]) for verdict in verdicts] == [
        ("development", "Approved", "lead", "good"),
        ("hub", "Approved", "engineer", "deploy it"),
        ("development", "Rejected", "lead", "unfair"),
    ]
    assert len({verdict["digest"] for verdict in verdicts}) == 1
    assert verdicts[0]["digest"].startswith("sha256:")
    keys = [key for bucket, key in cloud.objects if bucket == AUDIT]
    assert all(key.startswith("decisions/year=2025/month=11/day=20/") for key in keys)
    assert all(entry.body.count(b"\n") == 1 for (bucket, _), entry in cloud.objects.items() if bucket == AUDIT)


def test_a_decision_that_no_longer_stands_when_its_event_comes_is_on_record(
    cloud: Cloud, function: Function, arn: str
) -> None:
    approved = decide_in_hub(cloud, "Approved", "deploy it")
    decide_in_hub(cloud, "Rejected", "no, wait")
    function.deliver(approved)
    whats = {(verdict["what"], verdict["who"]) for verdict in cloud.verdicts if verdict["place"] == "hub"}
    assert whats == {("Approved", "unknown: changed again since"), ("Rejected", "engineer")}
    assert arn


@pytest.mark.usefixtures("arn")
@pytest.mark.parametrize(("status", "what"), [("Succeeded", "Approved"), ("Failed", "Rejected")])
def test_the_governance_officers_answer_is_on_record_once_with_the_digest_of_the_model(
    cloud: Cloud, function: Function, status: str, what: str
) -> None:
    copy = cloud.copies[0]["ModelPackageArn"]
    event = cloud.answer(copy, status, "read the report")
    function.deliver(event)
    function.deliver(event)
    (verdict,) = (v for v in cloud.verdicts if v["place"] == "production")
    (development,) = (v for v in cloud.verdicts if v["place"] == "development")
    assert (verdict["what"], verdict["who"], verdict["reason"]) == (
        what,
        f"arn:aws:iam::{HUB}:user/officer",
        "read the report",
    )
    assert (verdict["package"], verdict["deployment"]) == (copy, "mlp-p-1-deploy/e0")
    assert verdict["digest"] == development["digest"]


@pytest.mark.usefixtures("arn")
def test_an_approval_that_nobody_answered_is_no_decision(cloud: Cloud, function: Function) -> None:
    before = cloud.verdicts
    function.deliver(cloud.answer(cloud.copies[0]["ModelPackageArn"], "Failed", who=None))
    assert cloud.verdicts == before


@pytest.mark.usefixtures("arn")
def test_an_answer_that_codepipeline_does_not_show_yet_is_recorded_later(cloud: Cloud, function: Function) -> None:
    event = cloud.answer(cloud.copies[0]["ModelPackageArn"], "Succeeded")
    shown, cloud.actions = cloud.actions, []
    assert function.invoke(event) == []
    assert [call["DelaySeconds"] for call in cloud.sent] == [60]
    cloud.actions = shown
    function.deliver(json.loads(cloud.sent[0]["MessageBody"]))
    assert [v["place"] for v in cloud.verdicts].count("production") == 1


EXPORTED = ("", "own", "other", "arn:aws:sagemaker:eu-west-1:444444444444:model-package/x/1", "not an ARN")
"""What an action exports as PACKAGE_ARN: nothing, one of two models of the hub, a stranger's, nonsense."""


def generated_executions() -> list[dict[str, list[str]]]:
    """Return executions in which up to three actions of any stages export something, in any order."""
    chosen = random.Random(20261129)  # noqa: S311
    cases = [{"Render": [value]} for value in EXPORTED]
    for _ in range(200):
        case: dict[str, list[str]] = {}
        for _ in range(chosen.randint(0, 3)):
            case.setdefault(chosen.choice(["Source", "Render", "Test", "Approve"]), []).append(chosen.choice(EXPORTED))
        cases.append(case)
    return cases


@pytest.mark.usefixtures("arn")
def test_every_answered_approval_has_exactly_one_record_whatever_the_execution_exports(
    cloud: Cloud, function: Function
) -> None:
    put_artifacts(cloud, 2)
    function.deliver(cloud.decide(cloud.register(dict(model(2))), "Approved"))
    own, other = (package["ModelPackageArn"] for package in cloud.copies)
    spelled = {"own": own, "other": other}
    for number, case in enumerate(generated_executions()):
        execution = f"case{number}"
        for stage, values in case.items():
            for value in values:
                cloud.now += 1
                exported = {"PACKAGE_ARN": spelled.get(value, value)} if value else {}
                cloud.act(execution, stage, "Build", output={"outputVariables": exported})
        function.deliver(cloud.answer(None, "Succeeded", execution=execution))
        (verdict,) = (v for v in cloud.verdicts if v["deployment"] == f"mlp-p-1-deploy/{execution}")
        said = next(reversed(case.get("Render", [""])))
        assert verdict["package"] == (
            spelled.get(said, said) or "unknown: the pipeline does not say which model it deploys"
        )
        assert bool(verdict["digest"]) == (said in spelled)
        assert verdict["hub_package"] == spelled.get(said, "")


@pytest.mark.usefixtures("arn")
def test_a_stage_that_is_tried_again_has_a_record_for_each_answer(cloud: Cloud, function: Function) -> None:
    copy = cloud.copies[0]["ModelPackageArn"]
    rejected = cloud.answer(copy, "Failed", "not yet", execution="twice")
    approved = cloud.answer(None, "Succeeded", "now", execution="twice")
    second, *first = cloud.actions
    cloud.actions = [{**second, "status": "InProgress"}, *first]
    assert function.invoke(rejected, approved) == []
    assert len(cloud.sent) == 1
    cloud.actions = [second, *first]
    function.deliver(json.loads(cloud.sent[0]["MessageBody"]))
    assert [v["what"] for v in sorted(cloud.verdicts, key=lambda v: str(v["at"])) if v["place"] == "production"] == [
        "Rejected",
        "Approved",
    ]


@pytest.mark.usefixtures("arn")
def test_an_answer_is_found_among_more_actions_than_codepipeline_lists_at_a_time(
    cloud: Cloud, function: Function
) -> None:
    event = cloud.answer(cloud.copies[0]["ModelPackageArn"], "Succeeded", execution="long")
    for _ in range(250):
        cloud.act("long", "Prod", "Deploy", status="Failed")
    function.deliver(event)
    assert [v["place"] for v in cloud.verdicts].count("production") == 1


def test_the_digest_on_record_is_that_of_the_promotion_whatever_an_approval_writes_into_the_package(
    cloud: Cloud, function: Function, arn: str
) -> None:
    cloud.copies[0]["CustomerMetadataProperties"]["source_digest"] = "sha256:forged"
    function.deliver(decide_in_hub(cloud, "Approved", "deploy it"))
    digests = {verdict["place"]: verdict["digest"] for verdict in cloud.verdicts}
    assert digests["hub"] == digests["development"]
    assert arn


def test_a_card_gets_one_version_per_promotion(cloud: Cloud, function: Function, arn: str) -> None:
    put_artifacts(cloud, 2)
    function.deliver(cloud.decide(cloud.register(dict(model(2))), "Approved", "better"))
    versions = [json.loads(text) for text in cloud.cards[f"churn-p-1-{DEV}"]]
    assert [card["model_overview"]["model_version"] for card in versions] == [1, 2]
    assert versions[0]["additional_information"]["custom_details"]["development_package"] == arn


@pytest.mark.usefixtures("arn")
def test_the_approval_of_a_card_does_not_pass_to_the_next_models_content(cloud: Cloud, function: Function) -> None:
    cloud.card_status[f"churn-p-1-{DEV}"] = "Approved"
    put_artifacts(cloud, 2)
    function.deliver(cloud.decide(cloud.register(dict(model(2))), "Approved", "better"))
    assert len(cloud.cards[f"churn-p-1-{DEV}"]) == 2
    assert cloud.card_status == {f"churn-p-1-{DEV}": "PendingReview"}


def test_a_message_that_fails_does_not_hold_up_the_others(cloud: Cloud, function: Function) -> None:
    put_artifacts(cloud)
    good = cloud.decide(cloud.register(dict(model())), "Approved")
    bad = cloud.decide(cloud.register(dict(model(2))), "Approved")  # its artifacts are not there
    assert function.invoke(bad, good) == ["m0"]
    assert len(cloud.copies) == 1
    assert [call["VisibilityTimeout"] for call in cloud.put_off] == [30]


def test_a_message_of_something_else_is_refused(cloud: Cloud, function: Function) -> None:
    assert function.invoke({"source": "aws.s3", "detail-type": "Object Created", "detail": {}}) == ["m0"]
    assert cloud.copies == []


def test_a_package_that_is_worked_on_comes_again_without_counting_as_failed(
    cloud: Cloud, function: Function, arn: str
) -> None:
    event = cloud.decide(arn, "Rejected", "unfair")
    (key,) = [key for bucket, key in cloud.objects if bucket == BUCKET and key.startswith("promotions/")]
    record = json.loads(cloud.objects[BUCKET, key].body) | {"lease_until": cloud.now + 500}
    cloud.objects[BUCKET, key].body = json.dumps(record).encode()
    assert function.invoke(event) == []
    assert [call["DelaySeconds"] for call in cloud.sent] == [60]
    assert cloud.copies[0]["ModelApprovalStatus"] == "PendingManualApproval"


def test_pauses_between_failures_grow_to_a_quarter_of_an_hour(cloud: Cloud, function: Function) -> None:
    cloud.fail = lambda name, _parameters: (
        client_error("ThrottlingException", name) if name.startswith("sagemaker") else None
    )
    put_artifacts(cloud)
    event = cloud.event(cloud.register(dict(model())))
    for received in range(1, 9):
        message = {
            "messageId": "m",
            "receiptHandle": "r",
            "body": json.dumps(event),
            "attributes": {"ApproximateReceiveCount": str(received)},
        }
        handler.handle_batch([message], function.use, Queue(QUEUE))
    assert [call["VisibilityTimeout"] for call in cloud.put_off] == [30, 60, 120, 240, 480, 900, 900, 900]


def test_the_function_is_wired_from_its_environment(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    put_artifacts(cloud)
    cloud.images.clear()
    containers = {"Containers": [model()["InferenceSpecification"]["Containers"][1]]}
    event = cloud.decide(cloud.register(dict(model(InferenceSpecification=containers))), "Approved")
    for name, value in {
        "HUB_ACCOUNT_ID": HUB,
        "ARTIFACT_BUCKET": BUCKET,
        "ARTIFACT_KEY_ARN": KEY,
        "AUDIT_BUCKET": AUDIT,
        "REGISTRY_REPOSITORY": REPOSITORY,
        "READER_ACCOUNT_IDS": PROD,
        "QUEUE_URL": QUEUE,
    }.items():
        monkeypatch.setenv(name, value)
    handler.services.cache_clear()
    handler.queue.cache_clear()
    record = {
        "messageId": "m",
        "receiptHandle": "r",
        "body": json.dumps(event),
        "attributes": {"ApproximateReceiveCount": "1"},
    }
    assert handler.lambda_handler({"Records": [record]}, _Context()) == {"batchItemFailures": []}
    assert len(cloud.copies) == 1


class _Context:
    function_name = invoked_function_arn = log_stream_name = "x"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000
