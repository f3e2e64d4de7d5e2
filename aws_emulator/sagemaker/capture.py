"""Data capture of endpoints: requests and answers as JSON lines in S3, written with the permissions of the model.

Form of keys and records: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
AWS writes a file when it is big enough or some time has passed; here that is half a second, to keep waiting short.
"""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aws_emulator.clock import clock
from aws_emulator.core import ServiceError
from aws_emulator.sagemaker.servers import S3_ERRORS, s3_as, split_s3

if TYPE_CHECKING:
    from datetime import datetime

    from aws_emulator.core import Json

_log: Final = logging.getLogger(__name__)
_FLUSH_SECONDS: Final = 0.5
_MODES: Final = {"Input": ("INPUT",), "Output": ("OUTPUT",), "InputAndOutput": ("INPUT", "OUTPUT")}


def chosen(number: int, percent: float) -> bool:
    """Whether the request with a number (from 1) belongs to a share: evenly spread, and the same in every run."""
    return number * percent // 100 > (number - 1) * percent // 100


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request and its answer.

    Attributes:
        variant: The variant that answered.
        role: Execution role of its model.
        sent: Content type and body of the request.
        answered: Content type and body of the answer.
        inference_id: What the caller gave as ``InferenceId``, if anything.
    """

    variant: str
    role: str
    sent: tuple[str, bytes]
    answered: tuple[str, bytes]
    inference_id: str | None


class Capture:
    """Writes what an endpoint is asked and answers, as its configuration says.

    Args:
        endpoint: Name of the endpoint.
        config: ``DataCaptureConfig`` of the endpoint's configuration.
    """

    def __init__(self, endpoint: str, config: Json) -> None:
        self._endpoint = endpoint
        self._config = config
        self._modes = [mode for o in config["CaptureOptions"] for mode in _MODES[o["CaptureMode"]]]
        self._asked = 0
        self._waiting: list[tuple[Exchange, datetime]] = []
        self._lock = clock.lock()
        self._is_due = False

    def takes_next(self) -> bool:
        """Whether the next request belongs to the share that is captured; for all variants that get it alike."""
        with self._lock:
            self._asked += 1
            return chosen(self._asked, self._config["InitialSamplingPercentage"])

    def note(self, exchange: Exchange) -> None:
        """Keep an exchange; it is written soon."""
        with self._lock:
            self._waiting.append((exchange, clock.moment()))
            if not self._is_due:
                self._is_due = True
                clock.start_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what is waiting: one file for each variant and hour."""
        with self._lock:
            waiting, self._waiting, self._is_due = self._waiting, [], False
        files: dict[tuple[str, str, str], list[tuple[Exchange, datetime]]] = {}
        for exchange, moment in waiting:
            place = (exchange.role, exchange.variant, moment.strftime("%Y/%m/%d/%H"))
            files.setdefault(place, []).append((exchange, moment))
        for (role, variant, hour), exchanges in files.items():
            first = exchanges[0][1]
            name = f"{first:%M-%S}-{first.microsecond // 1000:03d}-{clock.uuid()}.jsonl"
            lines = "".join(json.dumps(self._record(e, moment)) + "\n" for e, moment in exchanges)
            self._write(role, f"{self._endpoint}/{variant}/{hour}/{name}", lines)

    def _write(self, role: str, key: str, lines: str) -> None:
        bucket, prefix = split_s3(self._config["DestinationS3Uri"].rstrip("/") + "/")
        key_id = self._config.get("KmsKeyId")
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id} if key_id else {}
        try:
            s3_as(role).put_object(Bucket=bucket, Key=f"{prefix}{key}", Body=lines.encode(), **encryption)
        except (*S3_ERRORS, ServiceError) as error:  # callers of the endpoint never notice, on AWS neither
            _log.warning("captured data of endpoint %s is lost: %s", self._endpoint, error)

    def _record(self, exchange: Exchange, moment: datetime) -> Json:
        both = {"INPUT": ("endpointInput", exchange.sent), "OUTPUT": ("endpointOutput", exchange.answered)}
        data: dict[str, Any] = {}
        for mode in self._modes:
            name, (content_type, body) = both[mode]
            text, encoding = self._encoded(content_type, body)
            data[name] = {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}
        metadata = {"eventId": clock.uuid(), "inferenceTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
        if exchange.inference_id:
            metadata["inferenceId"] = exchange.inference_id
        return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}

    def _encoded(self, content_type: str, body: bytes) -> tuple[str, str]:
        """Return data as text: as it is for the content types that the configuration lists, else in base64."""
        types = self._config.get("CaptureContentTypeHeader", {})
        kind = content_type.split(";", maxsplit=1)[0].strip().lower()
        for encoding, key in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
            if kind in [listed.lower() for listed in types.get(key, [])]:
                return body.decode(errors="replace"), encoding
        return base64.b64encode(body).decode(), "BASE64"
