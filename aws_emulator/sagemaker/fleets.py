"""Fleets of SageMaker's hosting: the containers that serve an endpoint configuration, and who gets which request."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aws_emulator import core
from aws_emulator.clock import Lock, clock, random_id
from aws_emulator.core import ServiceError
from aws_emulator.sagemaker.capture import Capture, chosen
from aws_emulator.sagemaker.models import MODELS
from aws_emulator.sagemaker.servers import ContainerError, Server, log_of, start, write_log

if TYPE_CHECKING:
    from aws_emulator.core import Json


def log_group(endpoint: str) -> str:
    """Return the log group of an endpoint's containers."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


@dataclass(kw_only=True)
class Variant:
    """A variant of a fleet: its settings, its container, and its share of the traffic."""

    settings: Json
    server: Server
    weight: float
    instances: int
    credit: float = 0


@dataclass(kw_only=True)
class Fleet:
    """What serves one endpoint configuration.

    Attributes:
        config: The configuration, as it was when the fleet was started.
        variants: Production variants by name.
        shadows: Shadow variants by name.
        capture: Where requests and answers are written, if they are.
    """

    config: Json
    variants: dict[str, Variant]
    shadows: dict[str, Variant]
    capture: Capture | None
    _asked: int = 0
    _lock: Lock = field(default_factory=clock.lock)

    def choose(self) -> Variant:
        """Return the variant for the next request: by weight, evenly spread, and the same in every run."""
        with self._lock:
            self._asked += 1
            for variant in self.variants.values():
                variant.credit += variant.weight
            chosen_one = max(self.variants.values(), key=lambda variant: variant.credit)
            chosen_one.credit -= sum(variant.weight for variant in self.variants.values())
            return chosen_one

    def mirrored(self) -> list[Variant]:
        """Return the shadow variants that get a copy of the request that was chosen for last.

        Their share is their weight in relation to the production variant's:
        https://docs.aws.amazon.com/sagemaker/latest/dg/shadow-tests.html
        """
        (production,) = self.variants.values()
        share = {name: 100 * min(1, shadow.weight / (production.weight or 1)) for name, shadow in self.shadows.items()}
        return [shadow for name, shadow in self.shadows.items() if chosen(self._asked, share[name])]

    def stop(self) -> None:
        """End all containers, after the requests that they are answering."""
        for variant in (*self.variants.values(), *self.shadows.values()):
            variant.server.stop()
        if self.capture:
            self.capture.flush()


def start_fleet(endpoint: str, config: Json) -> Fleet:
    """Start the containers of a configuration, all at the same time.

    Raises:
        ContainerError: One of them is not healthy; the others are stopped again.
        ServiceError: A model does not exist any more.
    """
    production, shadow = config["ProductionVariants"], config.get("ShadowProductionVariants", [])
    started: list[Variant] = []

    def start_variant(settings: Json) -> Variant:
        folder = core.organization().work_dir / "endpoints" / f"{endpoint}-{random_id(8)}"
        name = settings["VariantName"]
        try:
            server = start(MODELS.find(settings), folder / name, variant=name)
        except ContainerError:
            write_log(log_group(endpoint), name, log_of(folder / name).splitlines())
            raise
        variant = Variant(
            settings=settings,
            server=server,
            weight=float(settings.get("InitialVariantWeight", 1.0)),
            instances=int(settings.get("InitialInstanceCount", 0)),
        )
        started.append(variant)
        return variant

    try:
        variants = clock.all_at_once([functools.partial(start_variant, item) for item in (*production, *shadow)])
    except (ContainerError, ServiceError):
        for variant in started:
            variant.server.stop()
        raise
    by_name = {variant.settings["VariantName"]: variant for variant in variants}
    capture = config.get("DataCaptureConfig", {})
    return Fleet(
        config=config,
        variants={item["VariantName"]: by_name[item["VariantName"]] for item in production},
        shadows={item["VariantName"]: by_name[item["VariantName"]] for item in shadow},
        capture=Capture(endpoint, capture) if capture and capture.get("EnableCapture", True) else None,
    )
