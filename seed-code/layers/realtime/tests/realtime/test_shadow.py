"""A shadow period: the template with a shadow, the comparison, and what begins, ends and answers the period."""

from __future__ import annotations

import base64
import copy
import io
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deployment import checks, local, shadow
from deployment.context import Context
from deployment.errors import DeploymentError
from deployment.render import Rendered
from deployment.shadow_comparison import Comparison, Event, Measured, compare, match, parse
from deployment.shadow_template import Period, period_of, with_shadow, without_scaling, without_shadow
from deployment.targets import Target
from tests.deployment.conftest import NOW, Aws, Bucket, RefusedError

from .conftest import SCHEDULES, Project, make_samples

EXECUTION = local.VARIABLES["PIPELINE_EXECUTION_ID"]
BEGUN = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
PERIOD = Period(EXECUTION, local.PACKAGE["ModelPackageArn"], BEGUN.isoformat())
SETTINGS = {"min_requests": 3, "max_different_percent": 10.0, "value_tolerance": 0.1, "max_slower_percent": 50.0}
VARIABLES = {
    "STAGE": "prod",
    "SHADOW_HOURS": "24",
    "PACKAGE_ARN": local.PACKAGE["ModelPackageArn"],
    **SCHEDULES,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Rendered, Rendered]:
    """A repository in which two models were rendered one after the other; the second is for another machine."""
    project = Project(tmp_path_factory.mktemp("repository"))
    old = project.render({}, **VARIABLES)["prod"]
    return project, old, project.render({}, **{**VARIABLES, "INSTANCE_TYPE": "ml.m5.xlarge"})["prod"]


@pytest.fixture
def project(prepared: tuple[Project, Rendered, Rendered], tmp_path: Path) -> Project:
    """A copy of that repository."""
    return Project(tmp_path, prepared[0].root)


@pytest.fixture
def rendered(prepared: tuple[Project, Rendered, Rendered]) -> tuple[Rendered, Rendered]:
    """What is in place, and what is new: another machine."""
    return prepared[1], prepared[2]


# ---- the template ---------------------------------------------------------------------------------------------------


def test_the_model_in_place_stays_as_it_is_and_the_new_one_gets_every_request_too(
    rendered: tuple[Rendered, Rendered],
) -> None:
    old, new = rendered
    template = with_shadow(old.template, new, PERIOD)
    config = template["Resources"]["EndpointConfig"]["Properties"]
    before = old.template["Resources"]["EndpointConfig"]["Properties"]
    assert template["Resources"]["Model"] == old.template["Resources"]["Model"]
    assert config["ProductionVariants"] == before["ProductionVariants"]
    (variant,) = config["ShadowProductionVariants"]
    assert variant == {
        "VariantName": "shadow",
        "ModelName": {"Fn::GetAtt": ["ShadowModel", "ModelName"]},
        "InitialVariantWeight": 1,
        "InstanceType": "ml.m5.xlarge",
        "InitialInstanceCount": "2",
    }
    assert period_of(template) == PERIOD
    assert period_of(old.template) is None


def test_the_template_with_a_shadow_passes_every_check(project: Project, rendered: tuple[Rendered, Rendered]) -> None:
    old, new = rendered
    template = with_shadow(old.template, new, PERIOD)
    context = project.context({}, **VARIABLES)
    result = Rendered(name="endpoint", template=template, parameters=old.parameters)
    # Conditions and parameters of the guardrails are left over.
    unused = ("(cfn-lint W2001)", "(cfn-lint W8001)")
    assert [found for found in checks.problems(context, "prod", result) if not found.endswith(unused)] == []


def test_names_with_a_shadow_are_new_so_that_the_model_can_take_over_later(
    rendered: tuple[Rendered, Rendered],
) -> None:
    old, new = rendered
    resources = with_shadow(old.template, new, PERIOD)["Resources"]
    name = resources["ShadowModel"]["Properties"]["ModelName"]
    assert name != new.template["Resources"]["Model"]["Properties"]["ModelName"]
    later = with_shadow(old.template, new, Period("another execution", PERIOD.package, PERIOD.begun))["Resources"]
    configs = [
        entry["EndpointConfig"]["Properties"]["EndpointConfigName"]["Fn::Sub"]
        for entry in (old.template["Resources"], new.template["Resources"], resources, later)
    ]
    assert len(set(configs)) == 4


def test_a_shadow_on_a_machine_that_takes_no_key_has_none(
    project: Project, rendered: tuple[Rendered, Rendered]
) -> None:
    new = project.render({}, **VARIABLES | {"INSTANCE_TYPE": "ml.g5.xlarge"})["prod"]
    config = with_shadow(rendered[0].template, new, PERIOD)["Resources"]["EndpointConfig"]["Properties"]
    assert "KmsKeyId" in rendered[0].template["Resources"]["EndpointConfig"]["Properties"]
    assert "KmsKeyId" not in config


def unguarded(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a template without deployment guardrails."""
    result: dict[str, Any] = copy.deepcopy(dict(template))
    del result["Resources"]["Endpoint"]["Properties"]["DeploymentConfig"]
    return result


def test_without_its_shadow_the_template_is_what_it_was_but_for_the_guardrails(
    rendered: tuple[Rendered, Rendered],
) -> None:
    old, new = rendered
    assert without_shadow(with_shadow(old.template, new, PERIOD)) == unguarded(old.template)
    assert without_shadow(old.template) == old.template


def test_no_update_that_adds_or_drops_a_variant_has_guardrails(rendered: tuple[Rendered, Rendered]) -> None:
    old, new = rendered
    shadowed = with_shadow(old.template, new, PERIOD)
    for template in (shadowed, without_shadow(shadowed)):
        assert "DeploymentConfig" not in template["Resources"]["Endpoint"]["Properties"]


def test_a_second_shadow_takes_the_place_of_the_first(rendered: tuple[Rendered, Rendered]) -> None:
    old, new = rendered
    twice = with_shadow(with_shadow(old.template, new, PERIOD), new, PERIOD)
    assert twice == with_shadow(old.template, new, PERIOD)


def test_a_stack_of_another_template_gets_no_shadow(rendered: tuple[Rendered, Rendered]) -> None:
    with pytest.raises(DeploymentError, match="no Model and no EndpointConfig and no Endpoint"):
        with_shadow({"Resources": {"Queue": {}}}, rendered[1], PERIOD)


def test_scaling_can_be_taken_out_of_a_template(rendered: tuple[Rendered, Rendered]) -> None:
    found = without_scaling(rendered[0].template)
    assert found is not None
    assert set(rendered[0].template["Resources"]) - set(found["Resources"]) == {"ScalableTarget", "ScalingPolicy"}
    assert without_scaling(found) is None


# ---- the comparison -------------------------------------------------------------------------------------------------


def captured(number: int, answer: dict[str, Any], *, event: str, inference: str | None = None) -> str:
    """Return a line of captured data."""
    metadata = {"eventId": event, "inferenceTime": f"2026-11-20T09:{number % 60:02d}:00Z"}
    if inference:
        metadata["inferenceId"] = inference
    asked = {"data": json.dumps({"age": number}), "encoding": "JSON", "observedContentType": "application/json"}
    said = {
        "data": json.dumps({"predictions": [answer]}),
        "encoding": "JSON",
        "observedContentType": "application/json",
    }
    data = {"endpointInput": asked, "endpointOutput": said}
    return json.dumps({"captureData": data, "eventMetadata": metadata, "eventVersion": "0"})


def answer(score: float) -> dict[str, Any]:
    return {"score": score, "label": "yes" if score > 0.5 else "no"}


def events(scores: list[float], *, prefix: str, inference: bool = False) -> list[Event]:
    lines = [
        captured(number, answer(score), event=f"{prefix}{number}", inference=f"id{number}" if inference else None)
        for number, score in enumerate(scores)
    ]
    return list(parse(lines))


def test_answers_are_matched_by_the_callers_id_even_when_they_come_in_another_order() -> None:
    old = events([0.1, 0.2, 0.3], prefix="a", inference=True)
    new = events([0.15, 0.25, 0.35], prefix="b", inference=True)[::-1]
    assert [(before.ids[0], after.ids[0]) for before, after in match(old, new)] == [
        (f"id{number}", f"id{number}") for number in range(3)
    ]


def test_answers_without_ids_are_matched_by_what_was_asked_each_once() -> None:
    old = events([0.1, 0.2, 0.3], prefix="a")
    new = events([0.1, 0.2], prefix="b")
    assert len(match(old, new)) == 2
    same = [parsed for _ in range(3) for parsed in events([0.1], prefix="a")]
    assert len(match(same, same[:2])) == 2


def test_lines_that_are_no_events_are_left_out_and_base64_is_read() -> None:
    line = json.loads(captured(1, answer(0.7), event="a"))
    line["captureData"]["endpointOutput"] |= {
        "data": base64.b64encode(b"0.7,yes\n").decode(),
        "encoding": "BASE64",
        "observedContentType": "text/csv",
    }
    found = list(parse(["", "no json", "{}", json.dumps(line)]))
    assert [(event.text, event.content_type) for event in found] == [("0.7,yes\n", "text/csv")]


GOOD = [0.1, 0.2, 0.8, 0.9] * 5
FIGURES = Measured(requests=100, errors=0, latency_ms=10, p99_ms=20)


@pytest.mark.parametrize(
    ("new", "figures", "failed"),
    [
        pytest.param(GOOD, FIGURES, set(), id="the same"),
        pytest.param([0.15, *GOOD[1:]], FIGURES, set(), id="another score, the same decision"),
        pytest.param([0.9, *GOOD[1:]], FIGURES, set(), id="one in twenty differs"),
        pytest.param([0.9, 0.9, 0.1, *GOOD[3:]], FIGURES, {"Same decisions"}, id="three in twenty differ"),
        pytest.param(GOOD[:2], FIGURES, {"Requests"}, id="too few requests"),
        pytest.param([], Measured(), {"Requests"}, id="no requests"),
        pytest.param(GOOD, Measured(100, 2, 10, 20), {"Errors"}, id="errors"),
        pytest.param(GOOD, Measured(100, 0, 16, 20), {"Latency"}, id="slower"),
        pytest.param(GOOD, Measured(100, 0, 14, 20), set(), id="a little slower"),
        pytest.param(GOOD, Measured(), set(), id="not measured"),
    ],
)
def test_a_new_model_takes_over_only_if_it_is_like_the_old_one(
    new: list[float], figures: Measured, failed: set[str]
) -> None:
    matched = match(events(GOOD, prefix="a"), events(new, prefix="b"))
    result = compare(matched, FIGURES, figures, settings=SETTINGS, max_error_percent=1)
    assert {check.name for check in result.checks if not check.passed} == failed
    assert result.passed == (not failed)
    assert len(shadow.summarize(result)) <= 400


def test_errors_that_the_old_model_has_too_are_no_reason() -> None:
    matched = match(events(GOOD, prefix="a"), events(GOOD, prefix="b"))
    bad = Measured(requests=100, errors=5, latency_ms=10, p99_ms=20)
    assert compare(matched, bad, bad, settings=SETTINGS, max_error_percent=1).passed


@pytest.mark.parametrize(("value", "passed"), [(105.0, True), (120.0, False)])
def test_values_of_regression_may_differ_by_a_share(value: float, passed: bool) -> None:
    old = list(parse([captured(n, {"value": 100.0}, event=f"a{n}") for n in range(5)]))
    new = list(parse([captured(n, {"value": value}, event=f"b{n}") for n in range(5)]))
    assert compare(match(old, new), FIGURES, FIGURES, settings=SETTINGS, max_error_percent=1).passed is passed


def test_answers_of_another_form_are_a_reason() -> None:
    old = events([0.1, 0.2, 0.3], prefix="a")
    new = [Event(event.ids, event.asked, "<html>", event.content_type, event.time) for event in old]
    result = compare(match(old, new), FIGURES, FIGURES, settings=SETTINGS, max_error_percent=1)
    assert not result.passed
    assert "3 of 3 pairs of answers do not fit together" in shadow.summarize(result)


# ---- the period -----------------------------------------------------------------------------------------------------


class Cloud:
    """The hub and the prod account of a project: stacks, the pipeline, schedules, captured data.

    Attributes:
        aws: Requests and answers.
        template: Template of the stage's stack; None without one.
        answers: What the approval was answered, with the summary.
    """

    def __init__(self, project: Project, rendered: Rendered | None, *, package: str = "arn:of-another") -> None:
        self.project = project
        self.template: Any = rendered.template if rendered else None
        self.parameters = dict(rendered.parameters) if rendered else {}
        self.package = package
        self.approval: str | None = "InProgress"
        self.execution = EXECUTION
        self.status = "Approved"
        self.answers: list[tuple[str, str]] = []
        registry = Bucket()
        registry.promote(self._package({}))
        self.aws = Aws(
            {
                ("cloudformation", "DescribeStacks"): self._stacks,
                ("cloudformation", "GetTemplate"): lambda given: {"TemplateBody": json.dumps(self.template)},
                ("cloudformation", "CreateChangeSet"): self._change,
                ("cloudformation", "DescribeChangeSet"): lambda given: {
                    "Status": "CREATE_COMPLETE",
                    "ChangeSetId": given["ChangeSetName"],
                    "StackId": "stack",
                },
                ("cloudformation", "ExecuteChangeSet"): lambda given: {},
                ("cloudformation", "DescribeStackEvents"): lambda given: {"StackEvents": []},
                ("sagemaker", "DescribeModelPackage"): self._package,
                ("codepipeline", "GetPipelineState"): self._state,
                ("codepipeline", "PutApprovalResult"): self._answer,
                ("scheduler", "CreateSchedule"): lambda given: {
                    "ScheduleArn": "arn:aws:scheduler:eu-west-1:1:schedule/a/b"
                },
                ("cloudwatch", "GetMetricStatistics"): lambda given: {"Datapoints": []},
                **registry.answers,
            }
        )
        self.aws.answers["s3", "PutObject"] = lambda given: {"ETag": '"1"'}

    def _stacks(self, given: dict[str, Any]) -> dict[str, Any]:
        if self.template is None and not given["StackName"].endswith("-base"):
            raise RefusedError("ValidationError", f"Stack with id {given['StackName']} does not exist")
        return {
            "Stacks": [
                {
                    "StackName": "stack",
                    "StackId": "stack",
                    "CreationTime": NOW,
                    "StackStatus": "UPDATE_COMPLETE",
                    "Outputs": [
                        {"OutputKey": "KeyArn", "OutputValue": "arn:aws:kms:eu-west-1:1:key/1"},
                        {"OutputKey": "PackageArn", "OutputValue": self.package},
                    ],
                    "Parameters": [
                        {"ParameterKey": key, "ParameterValue": value} for key, value in self.parameters.items()
                    ],
                }
            ]
        }

    def _change(self, given: dict[str, Any]) -> dict[str, Any]:
        self.template = json.loads(given["TemplateBody"])
        return {"Id": "arn:aws:cloudformation:eu-west-1:1:changeSet/a/1"}

    def _package(self, given: dict[str, Any]) -> dict[str, Any]:
        more = {
            "ModelPackageName": "churn",
            "ModelPackageStatusDetails": {"ValidationStatuses": []},
            "ModelPackageStatus": "Completed",
            "CreationTime": NOW,
            "LastModifiedTime": NOW,
        }
        return {**local.PACKAGE, **more, "ModelApprovalStatus": self.status}

    def _state(self, given: dict[str, Any]) -> dict[str, Any]:
        action = {"status": self.approval, "token": "12345678-1234-1234-1234-123456789012"} if self.approval else {}
        latest = {"pipelineExecutionId": self.execution, "status": "InProgress" if self.approval else "Succeeded"}
        actions = [{"actionName": "Deploy"}, {"actionName": "Period", "latestExecution": action}]
        return {"stageStates": [{"stageName": "Shadow", "latestExecution": latest, "actionStates": actions}]}

    def _answer(self, given: dict[str, Any]) -> dict[str, Any]:
        self.answers.append((given["result"]["status"], given["result"]["summary"]))
        assert len(given["result"]["summary"]) <= 512
        # Whatever is answered with no, the shadow is gone before.
        assert given["result"]["status"] == "Approved" or not self.has_shadow
        return {}

    @property
    def has_shadow(self) -> bool:
        return self.template is not None and period_of(self.template) is not None

    @property
    def context(self) -> Context:
        plain = self.project.context({}, **VARIABLES)
        target = Target("prod", "333344445555", "ap-southeast-1", self.aws)
        return Context(
            plain.build, plain.environments, root=plain.root, session=self.aws, assume=lambda *_, **__: target
        )

    def begin(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """Begin the period and return the schedule that was created."""
        monkeypatch.setattr(shadow.common_steps, "deploy_base", lambda context, **_: {})
        shadow.begin(self.context, pause=lambda seconds: None, now=lambda: BEGUN)
        (request,) = self.aws.called("CreateSchedule")
        return request

    def finish(self, monkeypatch: pytest.MonkeyPatch, result: Comparison | Exception | None = None) -> None:
        """End the period; `result` is what the comparison gives."""

        def compared(*_: Any) -> Comparison:
            if isinstance(result, Exception):
                raise result
            assert result is not None
            return result

        monkeypatch.setattr(shadow, "_compare", compared)
        shadow.finish(self.context, pause=lambda seconds: None, now=lambda: BEGUN + timedelta(hours=24))


def comparison(new: list[float]) -> Comparison:
    matched = match(events(GOOD, prefix="a"), events(new, prefix="b"))
    return compare(matched, FIGURES, FIGURES, settings=SETTINGS, max_error_percent=1)


def test_a_period_begins_with_a_shadow_and_a_schedule_that_starts_the_comparison(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, rendered[0])
    request = cloud.begin(monkeypatch)
    assert cloud.has_shadow
    assert request["ScheduleExpression"] == "at(2026-11-21T08:30:00)"
    assert len(request["Name"]) <= 64
    start = json.loads(request["Target"]["Input"])
    assert start["ProjectName"] == "mlp-p-abcdefghijklmn-prod"
    assert start["SourceLocationOverride"].endswith(f"shadow/{EXECUTION}/source.zip")
    assert {entry["Name"]: entry["Value"] for entry in start["EnvironmentVariablesOverride"]} == {
        "STEP": "compare",
        "PIPELINE_EXECUTION_ID": EXECUTION,
        "PACKAGE_ARN": local.PACKAGE["ModelPackageArn"],
    }


def test_captured_answers_and_metrics_of_both_variants_are_compared(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, rendered[0])
    cloud.begin(monkeypatch)
    before = [captured(0, answer(0.9), event="early").replace("T09:", "T08:")]  # the period begins at 8:30
    lines = {
        "main": [*before, *(captured(n, answer(score), event=f"a{n}") for n, score in enumerate(GOOD * 10))],
        "shadow": [captured(n, answer(score + 0.01), event=f"b{n}") for n, score in enumerate(GOOD * 10)],
    }
    prefix = "capture/a-project-name-of-32-characters1-p-abcdefghijklmn-prod"
    files = {f"{prefix}/{name}/2026/11/20/09/1.jsonl": "\n".join(found) for name, found in lines.items()}

    def listed(given: dict[str, Any]) -> dict[str, Any]:
        found = [{"Key": key, "Size": 1, "ETag": "1"} for key in files if key.startswith(given["Prefix"])]
        return {"Contents": found, "IsTruncated": False}

    def figures(given: dict[str, Any]) -> dict[str, Any]:
        is_shadow = given["Dimensions"][1]["Value"] == "shadow"
        values = {"Invocations": 200.0, "Invocation5XXErrors": 0.0, "ModelLatency": 12_000.0 if is_shadow else 10_000.0}
        value = values[given["MetricName"]]
        if "ExtendedStatistics" in given:
            return {"Datapoints": [{"ExtendedStatistics": {"p99": 2 * value}}]}
        return {"Datapoints": [{"Sum": value, "Average": value, "SampleCount": 200.0}]}

    cloud.aws.answers["s3", "ListObjectsV2"] = listed
    recorded = cloud.aws.answers["s3", "GetObject"]
    cloud.aws.answers["s3", "GetObject"] = lambda given: (
        {"Body": io.BytesIO(files[given["Key"]].encode())} if given["Key"] in files else recorded(given)
    )
    cloud.aws.answers["cloudwatch", "GetMetricStatistics"] = figures
    monkeypatch.setattr(shadow, "load_samples", lambda context: make_samples())
    shadow.finish(cloud.context, pause=lambda seconds: None, now=lambda: BEGUN + timedelta(hours=24))
    ((status, summary),) = cloud.answers
    assert status == "Approved"
    assert "200 requests answered by both models, 0.0 percent of decisions differ" in summary
    report = json.loads((project.root / "build" / "reports" / "shadow.json").read_text())
    assert report["new"] == {"requests": 200.0, "errors": 0.0, "latency_ms": 12.0, "p99_ms": 24.0}
    assert report["old"]["latency_ms"] == 10.0


def test_without_a_model_in_place_the_period_ends_at_once(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, None)
    assert cloud.begin(monkeypatch)["ScheduleExpression"] == "at(2026-11-20T08:31:00)"
    cloud.finish(monkeypatch)
    assert [status for status, _ in cloud.answers] == ["Approved"]


def test_the_same_model_again_needs_no_period(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, rendered[0], package=local.PACKAGE["ModelPackageArn"])
    assert cloud.begin(monkeypatch)["ScheduleExpression"] == "at(2026-11-20T08:31:00)"
    assert not cloud.has_shadow


def test_no_period_begins_with_a_model_that_is_no_longer_approved(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, rendered[0])
    cloud.status = "Rejected"
    with pytest.raises(DeploymentError, match="no longer approved"):
        cloud.begin(monkeypatch)
    assert not cloud.has_shadow


def test_a_shadow_that_nobody_would_end_is_taken_away_again(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, rendered[0])

    def refuse(given: dict[str, Any]) -> dict[str, Any]:
        raise RefusedError("ServiceQuotaExceededException", "no more schedules", 402)

    cloud.aws.answers["scheduler", "CreateSchedule"] = refuse
    with pytest.raises(Exception, match="no more schedules"):
        cloud.begin(monkeypatch)
    assert not cloud.has_shadow
    assert cloud.template == unguarded(rendered[0].template)


def test_a_good_shadow_is_approved_and_stays_until_it_takes_over(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, rendered[0])
    cloud.begin(monkeypatch)
    cloud.finish(monkeypatch, comparison(GOOD))
    ((status, summary),) = cloud.answers
    assert status == "Approved"
    assert summary.startswith("The new model may take over: 20 requests answered by both models")
    assert cloud.has_shadow
    report = (project.root / "build" / "reports" / "shadow.html").read_text()
    assert "version 7, as shadow: may take over" in report
    assert report.count("<svg") == 2


def test_a_bad_shadow_is_taken_away_and_then_rejected_with_reasons(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, rendered[0])
    cloud.begin(monkeypatch)
    cloud.finish(monkeypatch, comparison([1 - score for score in GOOD]))
    ((status, summary),) = cloud.answers
    assert status == "Rejected"
    assert "100.0 percent of 20 records differ" in summary
    assert cloud.template == unguarded(rendered[0].template)


@pytest.mark.parametrize("error", [RuntimeError("S3 is away"), DeploymentError("no samples")])
def test_a_comparison_that_fails_takes_the_shadow_away_rejects_and_fails(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    cloud = Cloud(project, rendered[0])
    cloud.begin(monkeypatch)
    with pytest.raises(type(error)):
        cloud.finish(monkeypatch, error)
    assert [status for status, _ in cloud.answers] == ["Rejected"]
    assert not cloud.has_shadow


def test_an_approval_withdrawn_during_the_period_ends_it(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, rendered[0])
    cloud.begin(monkeypatch)
    cloud.status = "Rejected"
    with pytest.raises(DeploymentError, match="no longer approved"):
        cloud.finish(monkeypatch, comparison(GOOD))
    assert [status for status, _ in cloud.answers] == ["Rejected"]
    assert not cloud.has_shadow


def test_a_comparison_that_nobody_waits_for_only_takes_its_own_shadow_away(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, rendered[0])
    cloud.begin(monkeypatch)
    cloud.approval = None
    cloud.finish(monkeypatch)
    assert cloud.answers == []
    assert not cloud.has_shadow


def test_the_shadow_of_a_later_execution_is_left_alone(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, rendered[0])
    cloud.template = with_shadow(rendered[0].template, rendered[1], Period("a later one", PERIOD.package, PERIOD.begun))
    cloud.execution = "a-later-one"
    cloud.finish(monkeypatch)
    assert cloud.answers == []
    assert cloud.has_shadow


def test_the_archive_for_the_comparison_holds_the_repository_and_nothing_that_was_made(project: Project) -> None:
    for name in (
        ".venv/lib/a.py",
        ".git/config",
        "build/reports/a.html",
        "deployment/steps.py",
        "rendered/prod/endpoint.template.json",
    ):
        path = project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    names = set(zipfile.ZipFile(io.BytesIO(shadow.archive(project.root))).namelist())
    assert {"deployment/steps.py", "environments.yaml"} <= names
    assert not any(name.startswith((".venv", ".git", "build", "rendered")) for name in names)


def test_an_endpoint_on_instances_does_not_become_serverless(
    project: Project, rendered: tuple[Rendered, Rendered]
) -> None:
    cloud = Cloud(project, rendered[0])
    project.render({}, ENDPOINT_TYPE="serverless", TRAFFIC_POLICY="all-at-once", CAPTURE_PERCENT="0")
    with pytest.raises(DeploymentError, match="runs on instances"):
        shadow.prepare_update(cloud.context, pause=lambda seconds: None)


def test_scaling_pauses_while_an_endpoint_gets_other_machines(
    project: Project, rendered: tuple[Rendered, Rendered]
) -> None:
    cloud = Cloud(project, rendered[0])  # and the new machine is what was rendered last
    shadow.prepare_update(cloud.context, pause=lambda seconds: None)
    assert "ScalableTarget" not in cloud.template["Resources"]


def test_a_shadow_goes_in_an_update_of_its_own_before_the_new_model_takes_over(
    project: Project, rendered: tuple[Rendered, Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(project, rendered[0])
    cloud.begin(monkeypatch)
    shadow.prepare_update(cloud.context, pause=lambda seconds: None)
    assert cloud.template == unguarded(rendered[0].template)


def test_scaling_goes_on_while_only_the_model_changes(project: Project, rendered: tuple[Rendered, Rendered]) -> None:
    cloud = Cloud(project, rendered[1])
    shadow.prepare_update(cloud.context, pause=lambda seconds: None)
    assert cloud.aws.called("CreateChangeSet") == []
