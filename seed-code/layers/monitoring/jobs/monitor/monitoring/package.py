"""The model package that the endpoint serves: its baselines, its schema, and its model with its own code."""

from __future__ import annotations

import importlib
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitoring.results import MonitorError
from monitoring.storage import Storage

BASELINES = ("statistics.json", "constraints.json", "model_quality_constraints.json", "analysis.json")


@dataclass(frozen=True)
class Package:
    """What came with a model.

    Attributes:
        model: Its `tabular.model.Model`.
        baselines: Content of each baseline that it has, by file name.
    """

    model: Any
    baselines: dict[str, Any]

    @property
    def schema(self) -> Any:
        """The `tabular.schema.Schema` of its training data."""
        return self.model.schema

    @property
    def classes(self) -> tuple[str, ...]:
        """Label values as text, ``(negative, positive)`` for a binary problem; empty for regression."""
        return tuple(self.model.schema.classes)


def load(storage: Storage, model_key: str, baselines: Mapping[str, str], folder: Path) -> Package:
    """Fetch a package from the stage's bucket.

    Args:
        storage: The bucket.
        model_key: Key of the model archive.
        baselines: Key of each baseline that the package brought, by file name (`BASELINES`).
        folder: Where the archive may be unpacked.

    Raises:
        MonitorError: The archive is missing, or was not made by this platform's training code.
    """
    model = fetch_model(storage, model_key, folder)
    contents = {name: storage.json(key) for name, key in baselines.items() if name in BASELINES}
    present = {name: content for name, content in contents.items() if content is not None}
    return Package(model, present)


def fetch_model(storage: Storage, key: str, folder: Path) -> Any:
    """Fetch a model archive and load the model; the folder has to stay as long as the model is used.

    Raises:
        MonitorError: As `load`.
    """
    archive = folder / "model.tar.gz"
    with archive.open("wb") as target:
        found = storage.download(key, target)
    if not found:
        raise MonitorError(
            f"s3://{storage.bucket}/{key} is missing, so records cannot be understood. "
            f"Deploy the stage again: the deployment copies the model there."
        )
    return load_model(archive, folder / "model")


def load_model(archive: Path, folder: Path) -> Any:
    """Unpack a model archive and load the model with the code inside it.

    The model's own code is what reads records at the endpoint, so the monitors see what the model sees.

    Raises:
        MonitorError: The archive has no such code.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # in every Python from 3.11.4
        tar.extractall(folder)
    code = folder / "code"
    if not (code / "tabular" / "model.py").is_file() or not (folder / "schema.json").is_file():
        raise MonitorError(
            f"{archive.name} has no code/tabular or no schema.json, by which the monitors read records. "
            f"Switch monitors off in environments.yaml, or register the model with the platform's training project."
        )
    sys.path.insert(0, str(code))
    return importlib.import_module("tabular.model").Model.load(folder)
