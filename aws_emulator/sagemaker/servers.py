"""The containers of SageMaker's hosting and batch transform: a model's archive is fetched as its role, and served.

A container is a process with the configuration's Python (``serving.py``): the image a model names is not used.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from aws_emulator import core, processes
from aws_emulator.clock import Condition, clock, random_id
from aws_emulator.core import ServiceError
from aws_emulator.iam.callers import assume_as_service
from aws_emulator.sagemaker.store import PRINCIPAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_emulator.core import AwsClient, Json

S3_ERRORS: Final = (Boto3Error, BotoCoreError, ClientError)
_SCRIPT: Final = Path(__file__).with_name("serving.py")
_MODEL_ROOT: Final = "/opt/ml/model"
_START_SECONDS: Final = 120
_ANSWER_SECONDS: Final = 60
"""A container has 60 seconds to answer: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html"""


class ContainerError(Exception):
    """A container did not start; the message is the reason that SageMaker would give."""


def split_s3(uri: str) -> tuple[str, str]:
    """Return bucket and key of an S3 URI.

    Raises:
        ServiceError: It is none.
    """
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise ServiceError("ValidationException", f"{uri} is not a valid S3 URI.")
    return parts.netloc, parts.path.lstrip("/")


def s3_as(role_arn: str) -> AwsClient:
    """Return a client of S3 with the permissions of a role that SageMaker assumes."""
    return core.client("s3", credentials=assume_as_service(role_arn, PRINCIPAL, "SageMaker"))


def container_of(model: Json) -> Json:
    """Return the only container of a model."""
    found: Json = model.get("PrimaryContainer") or model["Containers"][0]
    return found


def model_data(container: Json) -> str | None:
    """Return the S3 URI of a container's model data, or None."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    found: str | None = container.get("ModelDataUrl") or source.get("S3Uri")
    return found


def _unpack(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12 has 3.11.2, which knows none
        tar.extractall(target)  # noqa: S202 - own training


def _fetch(model: Json, target: Path) -> None:
    """Bring a model's data into a folder, as the model's role."""
    container = container_of(model)
    uri = model_data(container)
    target.mkdir(parents=True)
    if uri is None:
        return
    bucket, key = split_s3(uri)
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    try:
        s3 = s3_as(model["ExecutionRoleArn"])
        if source.get("S3DataType") == "S3Prefix" and source.get("CompressionType") == "None":
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            for item in (item for page in pages for item in page.get("Contents", []) if item["Key"] != key):
                file = target / item["Key"].removeprefix(key).lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(bucket, item["Key"], str(file))
        else:
            archive = target.with_suffix(".tar.gz")
            s3.download_file(bucket, key, str(archive))
            _unpack(archive, target)
    except (*S3_ERRORS, ServiceError) as error:
        raise ContainerError(
            f'Failed to download model data for container "container_1" from URL: "{uri}". Please ensure that there is '
            f"an object located at the URL and that the role passed to CreateModel has permissions to download the "
            f"model. ({error})"
        ) from error
    except (tarfile.TarError, OSError) as error:
        raise ContainerError(f'Failed to extract model data archive from URL "{uri}": {error}') from error


@dataclass(kw_only=True)
class Server:
    """A running container.

    Attributes:
        model: Description of the model it serves.
        folder: Its folder, with the log.
        port: Loopback port on which it answers.
    """

    model: Json
    folder: Path
    port: int
    process: subprocess.Popen[Any]
    _busy: int = 0
    _idle: Condition = field(default_factory=clock.condition)

    def invoke(self, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Send a request to ``/invocations`` and return status, headers and body of the answer.

        Raises:
            OSError: The container is gone or does not answer in time.
        """
        with self._idle:
            self._busy += 1
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("POST", "/invocations", body, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        except http.client.HTTPException as error:
            raise OSError(f"the container sent no answer: {error!r}") from error
        finally:
            connection.close()
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def ping(self) -> bool:
        """Whether the container is healthy; waits while it still loads the model."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_START_SECONDS)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def log(self) -> str:
        """Return what the container has written so far."""
        return log_of(self.folder)

    def stop(self) -> None:
        """End the container after the requests it is answering, and forget its model."""
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, timeout=_ANSWER_SECONDS)
        processes.kill(self.process)
        shutil.rmtree(self.folder / "model", ignore_errors=True)


def _environment(model: Json, folder: Path, more: dict[str, str]) -> dict[str, str]:
    credentials = assume_as_service(model["ExecutionRoleArn"], PRINCIPAL, "SageMaker")
    # "No AWS credentials are made available to the container runtime environment" (developer guide, network isolation)
    isolated = model.get("EnableNetworkIsolation", False)
    given = {**container_of(model).get("Environment", {}), **more}
    return {
        **processes.sdk_environment(),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",  # one core each: other processes need the rest
        "SM_MODEL_DIR": str(folder),
        **({} if isolated else credentials.environment()),
        **{name: value.replace(_MODEL_ROOT, str(folder)) for name, value in given.items()},
    }


def start(model: Json, folder: Path, *, variant: str = "AllTraffic", more: dict[str, str] | None = None) -> Server:
    """Start a container and wait until it answers the health check.

    Args:
        model: Description of the model, as DescribeModel gives it.
        folder: Folder for its files; it must not exist.
        variant: Name of the production variant, for messages.
        more: Environment variables beyond the model's. Default: none.

    Raises:
        ContainerError: The model data cannot be read, or the container is not healthy.
    """
    _fetch(model, folder / "model")
    try:
        environment = _environment(model, folder / "model", more or {})
    except ServiceError as error:
        raise ContainerError(error.message) from error
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        # -P: the modules beside the script are not the archive's.
        command = [core.organization().python, "-P", str(_SCRIPT), "--model", str(folder / "model")]
        command += ["--socket", str(listener.fileno())]
        with (folder / "container.log").open("wb") as log:
            process = processes.start(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(listener.fileno(),),
            )
        # From here on only the container holds the socket: when it ends, connected clients notice at once.
        server = Server(model=model, folder=folder, port=listener.getsockname()[1], process=process)
    if server.ping():
        return server
    log_text = server.log()
    with contextlib.suppress(OSError):
        server.stop()
    raise ContainerError(
        f"The primary container for production variant {variant} did not pass the ping health check. Please check "
        f"CloudWatch logs for this endpoint. {last_line(log_text)}".strip()
    )


def log_of(folder: Path) -> str:
    """Return what the container in a folder has written."""
    file = folder / "container.log"
    return file.read_text(errors="replace") if file.exists() else ""


def write_log(group: str, owner: str, lines: Iterable[str]) -> None:
    """Put what a container wrote into a log group, in a stream of its own, as SageMaker does.

    https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html

    Args:
        group: The log group.
        owner: What the stream's name begins with: a variant or a job.
        lines: The lines; empty ones are left out.
    """
    logs, stream = core.client("logs"), f"{owner}/i-{random_id(17)}"
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    moment = int(clock.now() * 1000)
    events = [{"timestamp": moment, "message": line} for line in lines if line.strip()]
    if events:
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def last_line(log: str) -> str:
    """Return the last line of a container's log that says something."""
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
