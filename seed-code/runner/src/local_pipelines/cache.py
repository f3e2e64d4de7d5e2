"""The step cache of SageMaker Pipelines: a step whose arguments were seen before is not run again.

Which arguments are compared: https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_COMPARED = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": ("AlgorithmSpecification", "Environment", "HyperParameters", "InputDataConfig"),
}
_DAYS = re.compile(r"P(\d+)D")
_DAY_S = 86_400


@dataclass(frozen=True)
class Kept:
    """What is known of a step that succeeded.

    Attributes:
        properties: Its properties.
        metadata: What its events say.
        files: URIs of its property files by name.
        execution: ARN of the execution that ran it.
        at: When it succeeded, in seconds since 1970.
    """

    properties: dict[str, Any]
    metadata: dict[str, Any]
    files: dict[str, str]
    execution: str
    at: float


class StepCache:
    """Successful steps in a folder.

    Args:
        folder: Where they are kept; made if missing.
        now: Returns the time, in seconds since 1970.
    """

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now

    def find(self, pipeline: str, step: Mapping[str, Any], request: Mapping[str, Any]) -> Kept | None:
        """Return what an earlier execution of the pipeline made of the same step; None if it has to run.

        Args:
            pipeline: Name of the pipeline.
            step: The step as the definition has it.
            request: Its arguments, with the values of this execution.
        """
        days = _DAYS.fullmatch(step.get("CacheConfig", {}).get("ExpireAfter", ""))
        path = self._path(pipeline, step, request)
        if path is None or not days or not path.is_file():
            return None
        kept = Kept(**json.loads(path.read_text(encoding="utf-8")))
        return kept if self._now() - kept.at < int(days[1]) * _DAY_S else None

    def keep(
        self,
        pipeline: str,
        step: Mapping[str, Any],
        request: Mapping[str, Any],
        *,
        properties: dict[str, Any],
        metadata: dict[str, Any],
        files: dict[str, str],
        execution: str,
    ) -> None:
        """Keep what a step that succeeded has made, if it is one that is cached."""
        path = self._path(pipeline, step, request)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = Kept(properties, metadata, files, execution, self._now())
            path.write_text(json.dumps(asdict(kept)), encoding="utf-8")

    def _path(self, pipeline: str, step: Mapping[str, Any], request: Mapping[str, Any]) -> Path | None:
        compared = _COMPARED.get(step["Type"])
        if compared is None or not step.get("CacheConfig", {}).get("Enabled"):
            return None
        said = [pipeline, step["Name"], step["Type"], {key: request.get(key) for key in compared}]
        return self._folder / f"{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()}.json"
