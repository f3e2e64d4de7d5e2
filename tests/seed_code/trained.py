"""A trained model with everything that comes with its package, and a server in place of AWS."""

from __future__ import annotations

import itertools
import json
import os
import random
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from rehearsal import demo_data
from rehearsal.organization import ROOT

from .warm import warm_python

if TYPE_CHECKING:
    from pathlib import Path

    from .generated import Repository

REGION = "eu-west-1"
_NUMBERS = itertools.count(1)
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}

_TRAIN = """
import shutil, sys
from pathlib import Path
sys.path[:0] = ["src", "tests"]
import tabular_jobs
data, out = map(Path, sys.argv[1:])
settings = {"label": "churned", "record_key": ["subscriber_id"], "hyperparameters": {"num_round": 60, "eta": 0.2}}
project = tabular_jobs.Project(out / "jobs", settings)
shutil.copy(data, project.data)
project.validate(); project.prepare(); project.train(); project.evaluate()
for name in ("baseline", "samples"):
    shutil.copytree(project.output(name), out / name)
shutil.copy(out / "jobs/evaluate/input/model/model.tar.gz", out)
"""

_ANSWER = """
import json, sys, tarfile
from pathlib import Path
folder = Path(sys.argv[1])
with tarfile.open(folder / "model.tar.gz") as tar:
    tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12 has 3.11.2, which knows none
    tar.extractall(folder / "unpacked")
sys.path.insert(0, str(folder / "unpacked" / "code"))
import inference
model = inference.model_fn(str(folder / "unpacked"))
prediction = inference.predict_fn(inference.input_fn(sys.stdin.read(), "application/jsonlines"), model)
sys.stdout.write(inference.output_fn(prediction, "application/jsonlines"))
"""


@dataclass(frozen=True)
class TrainedModel:
    """A model of made-up subscribers.

    Attributes:
        folder: Holds ``model.tar.gz``, ``baseline/`` and ``samples/`` as the training pipeline stores them.
    """

    folder: Path

    def answers(self, records: list[dict[str, str]]) -> list[dict[str, Any]]:
        """Return what the model answers for records."""
        lines = "".join(json.dumps(record) + "\n" for record in records)
        run = warm_python().run(_ANSWER, str(self.folder), text=lines)
        assert run.returncode == 0, run.stderr
        return [json.loads(line) for line in run.stdout.splitlines()]


def train(repository: Repository, folder: Path) -> TrainedModel:
    """Train a model with the jobs of a train-s3 repository."""
    data = folder / "subscribers.csv"
    demo_data.write(data, rows=4000)
    out = folder / "trained"
    out.mkdir()
    run = repository.run("-c", _TRAIN, str(data), str(out), OMP_NUM_THREADS="1")
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return TrainedModel(out)


def subscribers(count: int, seed: int) -> list[dict[str, str]]:
    """Return new records like those that the model was trained on, with their labels."""
    chance = random.Random(seed)  # noqa: S311 (made-up data, not a secret)
    return [demo_data.subscriber(number, chance) for number in range(1, count + 1)]


class AwsServer:
    """A server on this machine in place of S3, CloudWatch, EventBridge and SQS."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        command = [str(ROOT / ".venv-rehearsal/bin/python"), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _await(port)
        self.environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        session = boto3.Session("test", "test", region_name=REGION)
        url = self.environment["AWS_ENDPOINT_URL"]
        self.s3: Any = session.client("s3", endpoint_url=url)
        self.events: Any = session.client("events", endpoint_url=url)
        self.sqs: Any = session.client("sqs", endpoint_url=url)
        self.cloudwatch: Any = session.client("cloudwatch", endpoint_url=url)

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait()

    def bucket(self, name: str) -> None:
        """Create a bucket."""
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    def deployed(self, model: TrainedModel) -> tuple[str, str, str]:
        """Create what a stage with a model has; return its bucket, the ARN of the hub's bus and the URL of a queue.

        The bucket holds the model and its baseline, as a deployment leaves them. The queue gets the bus' events of
        drift.
        """
        number = next(_NUMBERS)
        bucket = f"mlp-p-abc123-prod-{number}"
        self.bucket(bucket)
        for path in sorted((model.folder / "baseline").iterdir()):
            self.s3.upload_file(str(path), bucket, f"packages/0123456789ab/baseline/{path.name}")
        self.s3.upload_file(str(model.folder / "model.tar.gz"), bucket, "packages/0123456789ab/model-0/model.tar.gz")
        return bucket, *self._drift_bus(f"bus-{number}")

    def _drift_bus(self, name: str) -> tuple[str, str]:
        """Create an event bus whose events of drift go to a queue; return the bus' ARN and the queue's URL."""
        arn = self.events.create_event_bus(Name=name)["EventBusArn"]
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        queue = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {"source": ["ml-platform"], "detail-type": ["Model drift detected"]}
        self.events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps(pattern))
        self.events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": queue}])
        return arn, url

    def received(self, queue_url: str) -> list[dict[str, Any]]:
        """Take the details of all events out of a queue."""
        found = []
        while messages := self.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"])["detail"])
                self.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return found


def _await(port: int) -> None:
    """Wait until a server listens."""
    end = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end, "the API server did not start"
        time.sleep(0.1)
