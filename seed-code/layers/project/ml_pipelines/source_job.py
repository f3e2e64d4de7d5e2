"""A processing job that a data source wants to run before Validate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SourceJob:
    """What runs, and what it leaves.

    Attributes:
        name: Name of the step; it runs ``<name in lower case>.py``.
        description: What it does, in one sentence.
        code: Folder with the script, of which the job gets a copy.
        settings: Content of ``settings.json`` beside the script. As long as it and the code stay the same, and the
            variables do, the step is taken from the cache.
        variables: Environment of the job; values may be variables of the pipeline.
        outputs: Names of the folders that it writes.
        results: JSON file in the first of them whose values the pipeline uses, under the name of the step. Default:
            none.
        instance_type: Where it runs. Default: as Validate does.
    """

    name: str
    description: str
    code: Path
    settings: Mapping[str, Any]
    variables: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    results: str | None = None
    instance_type: str | None = None
