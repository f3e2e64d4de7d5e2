"""Requests to an endpoint, and the held-out records that a package brings."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deployment import copying
from deployment.answers import CSV, JSON, Answer
from deployment.context import Context
from deployment.errors import DeploymentError
from deployment.targets import Target

# One attempt: a repetition would hide an error and count as latency. SageMaker gives a model 60 seconds.
_CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=70)


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        status: HTTP status that the model or SageMaker answered with; 0 if nothing came back.
        text: The body, or the error message.
        content_type: Type of the body.
        seconds: How long it took.
    """

    status: int
    text: str
    content_type: str
    seconds: float


class Endpoint:
    """An endpoint.

    Args:
        client: Client ``sagemaker-runtime`` of the endpoint's account and region.
        name: Its name.
        clock: Returns seconds.
    """

    def __init__(self, client: Any, name: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self._client = client
        self._clock = clock
        self.name = name

    @classmethod
    def of(cls, context: Context) -> Endpoint:
        """Return the endpoint of this build's stage."""
        target: Target = context.target()
        client = target.session.client("sagemaker-runtime", region_name=target.region, config=_CONFIG)
        return cls(client, context.build.endpoint(context.stage))

    def ask(self, body: str, content_type: str, accept: str) -> Reply:
        """Send one request; errors of the endpoint are replies, too."""
        begun = self._clock()
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=self.name, Body=body.encode(), ContentType=content_type, Accept=accept
            )
            text = answer["Body"].read().decode(errors="replace")
        except ClientError as err:
            # ModelError is 424 with the status of the model in a field of its own (API reference, InvokeEndpoint).
            response: Mapping[str, Any] = err.response
            status = response.get("OriginalStatusCode") or response["ResponseMetadata"]["HTTPStatusCode"]
            return Reply(int(status), str(err), "", self._clock() - begun)
        except BotoCoreError as err:
            return Reply(0, str(err), "", self._clock() - begun)
        return Reply(200, text, str(answer.get("ContentType", "")), self._clock() - begun)


def usual_type(content_types: Sequence[str]) -> str:
    """Return in which type single records are sent: JSON, unless a model says that it understands CSV only."""
    return CSV if CSV in content_types and JSON not in content_types else JSON


@dataclass(frozen=True)
class Samples:
    """Held-out raw records with the answers that the endpoint must give.

    Attributes:
        columns: Header of the CSV records.
        rows: The records as CSV fields.
        records: The same as JSON objects.
        expected: What training answered for each.
        actual: What was observed for each, as text.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    records: tuple[Mapping[str, Any], ...]
    expected: tuple[Answer, ...]
    actual: tuple[str, ...]

    def first(self, most: int) -> Samples:
        """Return the first records."""
        return Samples(self.columns, self.rows[:most], self.records[:most], self.expected[:most], self.actual[:most])

    def csv(self, start: int, end: int) -> str:
        """Return some records as CSV with a header."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows[start:end])
        return stream.getvalue()

    def json(self, start: int, end: int) -> str:
        """Return some records as a JSON list."""
        return json.dumps(list(self.records[start:end]), ensure_ascii=False)

    def body(self, start: int, end: int, content_type: str) -> str:
        """Return some records as a request of a type."""
        return self.csv(start, end) if content_type == CSV else self.json(start, end)


def load_samples(context: Context) -> Samples:
    """Return the samples of the rendered package, from the bucket of this build's stage.

    Raises:
        DeploymentError: The package brings none, or they cannot be used.
    """
    package = copying.located(context.package, context.build.bucket(context.stage))
    if package.samples is None:
        raise DeploymentError(
            f"{package.arn} brings no held-out records (customer metadata `samples`), so nobody can know whether the "
            f"endpoint answers as it should. Register the model with a training pipeline that stores them."
        )
    bucket, prefix = copying.split(package.samples)
    s3 = context.target().client("s3")

    def read(name: str) -> str:
        key = f"{prefix.rstrip('/')}/{name}"
        try:
            return str(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode("utf-8-sig"))
        except ClientError as err:
            if err.response["Error"]["Code"] not in ("NoSuchKey", "404"):
                raise
            raise DeploymentError(
                f"s3://{bucket}/{key} is missing: the samples of {package.arn} are incomplete, so the endpoint cannot "
                f"be tested. Register the model again."
            ) from err

    return parse_samples(read("records.csv"), read("records.jsonl"), read("expected.jsonl"), package.arn)


def parse_samples(records_csv: str, records_jsonl: str, expected_jsonl: str, package: str) -> Samples:
    """Return samples from the three files of a package.

    Raises:
        DeploymentError: They are empty or do not belong together.
    """
    try:
        header, *rows = [row for row in csv.reader(io.StringIO(records_csv)) if row]
        records = [json.loads(line) for line in records_jsonl.splitlines() if line.strip()]
        entries = [json.loads(line) for line in expected_jsonl.splitlines() if line.strip()]
        expected = tuple(entry["expected"] for entry in entries)
        actual = tuple(str(entry["actual"]) for entry in entries)
    except (ValueError, KeyError, TypeError) as err:
        raise DeploymentError(
            f"The samples of {package} cannot be read ({type(err).__name__}: {err}), so the endpoint cannot be tested. "
            f"Register the model again."
        ) from err
    if not rows or not len(rows) == len(records) == len(expected):
        raise DeploymentError(
            f"The samples of {package} do not belong together: {len(rows)} CSV records, {len(records)} JSON records, "
            f"{len(expected)} answers. Register the model again."
        )
    return Samples(tuple(header), tuple(map(tuple, rows)), tuple(records), expected, actual)
