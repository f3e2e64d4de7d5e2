"""A project with a real-time endpoint, held-out records, and an endpoint that answers as a test wants it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from deployment import common_steps, local, packages, realtime
from deployment.answers import CSV, JSON
from deployment.calls import Endpoint, Samples, parse_samples
from deployment.cli import make_context
from deployment.context import ROOT, Context
from deployment.render import Rendered

SETTINGS = Path(__file__).with_name("settings")
"""Settings and choices of the tests: what the project's own say is no matter of theirs."""
SCHEDULES = {
    "SCHEDULE_GROUP": "mlp-p-abcdefghijklmn-shadow",
    "SCHEDULE_ROLE_ARN": "arn:aws:iam::111122223333:role/ml-platform/project/schedules",
    "MISSED_STARTS_ARN": "arn:aws:sqs:ap-southeast-1:111122223333:missed",
}


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of this machine out: nothing reaches AWS from a test."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class Project:
    """A repository whose choices and settings a test may change.

    Attributes:
        root: Its folder.
    """

    def __init__(self, root: Path, source: Path = ROOT) -> None:
        self.root = root
        for name in ("templates", "jobs", *(["rendered"] if source != ROOT else [])):
            shutil.copytree(source / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(SETTINGS / "environments.yaml", root)

    def context(self, changes: Mapping[str, Any] | None = None, **variables: str) -> Context:
        """Return a step's context; `changes` are settings by stage, section and name, e.g. ``prod.api.auth``."""
        given = {**local.VARIABLES, **local.choices(SETTINGS), **variables}
        context = make_context(given, self.root)
        if not changes:
            return context
        settings = {stage: dict(context.environments[stage]) for stage in context.environments}
        for path, value in changes.items():
            stage, *keys = path.split(".")
            section = settings[stage]
            for key in keys[:-1]:
                section[key] = dict(section[key])
                section = section[key]
            section[keys[-1]] = value
        return Context(context.build, settings, root=self.root)

    def render(self, changes: Mapping[str, Any] | None = None, **variables: str) -> dict[str, Rendered]:
        """Render and check both stages, and return their endpoint templates."""
        context = self.context(changes, **variables)
        package = packages.parse(local.PACKAGE)
        common_steps.render_package(context, package, realtime.TEMPLATE, realtime.parameters)
        return {stage: Rendered.read(context.rendered / stage, realtime.TEMPLATE) for stage in ("test", "prod")}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A repository of its own."""
    return Project(tmp_path)


def make_samples(count: int = 40) -> Samples:
    """Return held-out records of a made-up model whose score is age divided by 100."""
    rows = [(str(20 + number), "WA" if number % 2 else "OR") for number in range(count)]
    expected = [score(int(age)) for age, _ in rows]
    actual = [answer["label"] for answer in expected]
    return parse_samples(
        "age,state\n" + "".join(f"{age},{state}\n" for age, state in rows),
        "".join(json.dumps({"age": int(age), "state": state}) + "\n" for age, state in rows),
        "".join(json.dumps({"expected": e, "actual": a}) + "\n" for e, a in zip(expected, actual, strict=True)),
        "package",
    )


def score(age: int) -> dict[str, Any]:
    """Return what the made-up model answers."""
    return {"score": age / 100, "label": "yes" if age >= 40 else "no"}


class Runtime:
    """Client ``sagemaker-runtime`` with a model that reads records as the real one does.

    Args:
        model: Returns the answer to an age.
        seconds: Time that every request takes.
        strict: Whether malformed requests are refused.
        text: What is answered in place of the model's answers.
        only_csv: Whether JSON is malformed, too.
    """

    def __init__(
        self,
        model: Callable[[int], dict[str, Any]] = score,
        *,
        seconds: Callable[[int], float] = lambda number: 0.010,
        strict: bool = True,
        text: str | None = None,
        only_csv: bool = False,
    ) -> None:
        self.model, self.seconds, self.strict, self.text, self.only_csv = model, seconds, strict, text, only_csv
        self.now = 0.0
        self.requests = 0
        self.unavailable = 0

    def clock(self) -> float:
        return self.now

    def invoke_endpoint(self, *, EndpointName: str, Body: bytes, ContentType: str, Accept: str) -> dict[str, Any]:  # noqa: N803
        self.requests += 1
        self.now += self.seconds(self.requests)
        if self.unavailable:
            self.unavailable -= 1
            raise self._error(503, "no machine yet")
        try:
            ages = self._ages(Body.decode(), ContentType)
        except (ValueError, KeyError, TypeError) as err:
            if self.strict:
                raise self._error(400, str(err)) from err
            ages = [0]
        answers = [self.model(age) for age in ages]
        if Accept == CSV:
            text = "".join(",".join(map(str, answer.values())) + "\n" for answer in answers)
        else:
            text = json.dumps({"predictions": answers})
        return {"Body": io.BytesIO((self.text or text).encode()), "ContentType": Accept}

    def _ages(self, body: str, content_type: str) -> list[int]:
        if content_type == JSON and not self.only_csv:
            content = json.loads(body)
            records = content if isinstance(content, list) else [content]
            return [int(record["age"]) for record in records]
        if content_type != CSV:
            raise ValueError(f"content type {content_type} is not supported")
        header, *rows = body.splitlines()
        if not rows or any(row.count(",") != header.count(",") for row in rows):
            raise ValueError("no record, or another number of fields")
        return [int(row.split(",")[header.split(",").index("age")]) for row in rows]

    def _error(self, status: int, text: str) -> ClientError:
        return ClientError(
            {
                "Error": {"Code": "ModelError", "Message": text},
                "OriginalStatusCode": status,
                "ResponseMetadata": {"HTTPStatusCode": 424},
            },  # type: ignore[typeddict-item, unused-ignore]
            "InvokeEndpoint",
        )

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of this model."""
        return Endpoint(self, "churn-p-abc123-test", clock=self.clock)
