"""What the rehearsal leaves: ``report.json`` for machines and ``report.html``, one page without outside references."""

from __future__ import annotations

import base64
import datetime as dt
import json
import platform
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import jinja2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rehearsal.organization import AwsClient

_TEMPLATE: Final = "report.html.j2"
_NODE_WIDTH: Final = 150
_NODE_HEIGHT: Final = 48
_GAP_X: Final = 44
_GAP_Y: Final = 26


@dataclass(frozen=True)
class StepResult:
    """One step as it went: `seconds` of wall time, `detail` or the cause of its failure."""

    name: str
    account: str
    seconds: float
    detail: str
    emulated: str
    ok: bool


@dataclass(frozen=True)
class Product:
    """A product of the hub's catalog: its versions with guidance, and the portfolios it is in."""

    name: str
    portfolios: tuple[str, ...]
    versions: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Launched:
    """A provisioned product: who launched which version, with what, and what came out."""

    id: str
    name: str
    product: str
    version: str
    by: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Node:
    """A step of a SageMaker pipeline, placed in the picture (units: SVG pixels)."""

    name: str
    kind: str
    status: str
    seconds: float | None
    x: int
    y: int


@dataclass(frozen=True)
class Pipeline:
    """A SageMaker pipeline's graph with what each step of one execution took."""

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[Node, Node, str], ...]
    width: int
    height: int

    @classmethod
    def of(cls, name: str, definition: Mapping[str, Any], executed: Sequence[Mapping[str, Any]]) -> Pipeline:
        """Lay the steps out from left to right, each in the column after the last step that it needs.

        Args:
            name: Name of the pipeline.
            definition: Parsed pipeline definition.
            executed: Entries of ``ListPipelineExecutionSteps``.
        """
        steps: dict[str, Mapping[str, Any]] = {}
        edges: list[tuple[str, str, str]] = []

        def collect(listed: Sequence[Mapping[str, Any]], parent: str | None, branch: str) -> None:
            for step in listed:
                steps[step["Name"]] = step
                if parent:
                    edges.append((parent, step["Name"], branch))
                arguments = step.get("Arguments") or {}
                if step["Type"] == "Condition":
                    collect(arguments.get("IfSteps", []), step["Name"], "yes")
                    collect(arguments.get("ElseSteps", []), step["Name"], "no")

        collect(definition["Steps"], None, "")
        inside = {child for _, child, _ in edges}
        for step_name, step in steps.items():
            own = step if step["Type"] != "Condition" else {**step, "Arguments": step["Arguments"].get("Conditions")}
            needed = {*step.get("DependsOn", []), *re.findall(r"Steps\.([^.\"\[]+)\.", json.dumps(own))}
            edges.extend(
                (n, step_name, "") for n in sorted(needed) if n in steps and step_name not in inside and n != step_name
            )
        columns: dict[str, int] = {}

        def column(step_name: str) -> int:
            if step_name not in columns:
                before = [column(a) for a, b, _ in edges if b == step_name]
                columns[step_name] = 1 + max(before) if before else 0
            return columns[step_name]

        taken: dict[int, int] = {}
        ran = {entry["StepName"]: entry for entry in executed}
        nodes: dict[str, Node] = {}
        for step_name in steps:
            at = column(step_name)
            row = taken.get(at, 0)
            taken[at] = row + 1
            entry = ran.get(step_name, {})
            begin, end = entry.get("StartTime"), entry.get("EndTime")
            nodes[step_name] = Node(
                step_name,
                steps[step_name]["Type"],
                str(entry.get("StepStatus", "not run")),
                (end - begin).total_seconds() if begin and end else None,
                at * (_NODE_WIDTH + _GAP_X),
                row * (_NODE_HEIGHT + _GAP_Y),
            )
        # An edge that a longer way already implies would cross the nodes between: show only the direct ones.
        shown = [e for e in edges if columns[e[1]] - columns[e[0]] == 1]
        return cls(
            name,
            tuple(nodes.values()),
            tuple((nodes[a], nodes[b], label) for a, b, label in shown),
            (max(columns.values()) + 1) * (_NODE_WIDTH + _GAP_X) - _GAP_X,
            max(taken.values()) * (_NODE_HEIGHT + _GAP_Y) - _GAP_Y,
        )


@dataclass
class Facts:
    """Everything the steps found out that the report shows.

    Attributes:
        product: Training product of the walk that this is about; empty before there is one.
    """

    product: str = ""
    steps: list[StepResult] = field(default_factory=list)
    catalog: list[Product] = field(default_factory=list)
    launched: list[Launched] = field(default_factory=list)
    seed_files: list[str] = field(default_factory=list)
    pipeline: Pipeline | None = None
    evaluation: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, bytes] = field(default_factory=dict)
    model_package: dict[str, Any] = field(default_factory=dict)
    promotion: dict[str, Any] = field(default_factory=dict)
    """The copy in the hub: ``package``, ``card``, ``card_name``, ``card_version``, audit ``record``. Default: none."""
    faults: dict[str, Any] = field(default_factory=dict)
    """Counts of the faults, as `aws_emulator.faults` counts it. Default: no faults."""

    deployment: dict[str, Any] = field(default_factory=dict)
    """The path to production: ``stopped``, ``test``, ``question``, ``decision``, ``prod``. Default: none."""
    predictions: list[dict[str, Any]] = field(default_factory=list)
    """Answers of the production endpoint: ``record`` and ``answer``. Default: none."""
    drift: dict[str, Any] = field(default_factory=dict)
    """Detail of the drift event, with ``sent`` records and the ``mail`` that the topic got. Default: none."""

    governance: dict[str, Any] = field(default_factory=dict)
    """What was granted of the lake and asked of it: ``grants``, ``queries``, ``training_set``, ``revoked``."""

    def metrics(self) -> dict[str, float]:
        """Return the evaluated metrics by name, e.g. ``{"auc": 0.85}``."""
        sections = (v for k, v in self.evaluation.items() if k.endswith("_metrics") and isinstance(v, dict))
        return {
            name: float(entry["value"])
            for section in sections
            for name, entry in section.items()
            if isinstance(entry, dict) and isinstance(entry.get("value"), int | float)
        }


def read_catalog(servicecatalog: AwsClient) -> list[Product]:
    """Return what the hub's Service Catalog holds, read through its API."""
    products = []
    for view in servicecatalog.search_products_as_admin()["ProductViewDetails"]:
        summary = view["ProductViewSummary"]
        portfolios = servicecatalog.list_portfolios_for_product(ProductId=summary["ProductId"])["PortfolioDetails"]
        versions = servicecatalog.list_provisioning_artifacts(ProductId=summary["ProductId"])
        products.append(
            Product(
                summary["Name"],
                tuple(p["DisplayName"] for p in portfolios),
                tuple(
                    (v["Name"], v.get("Guidance", "DEFAULT") if v.get("Active", True) else "INACTIVE", v["Description"])
                    for v in versions["ProvisioningArtifactDetails"]
                ),
            )
        )
    return sorted(products, key=lambda p: p.name)


def write(work: Path, facts: Sequence[Facts], *, ok: bool, seconds: float) -> Path:
    """Write ``report.json`` and ``report.html`` into `work`; return the path of the page.

    Args:
        work: Existing folder.
        facts: What was found out until the end or the failing step: before the first walk, then in each one.
        ok: Whether every step succeeded.
        seconds: Wall time of the whole rehearsal.
    """
    steps = [step for part in facts for step in part.steps]
    catalog = [product for part in facts for product in part.catalog]
    launched = [product for part in facts for product in part.launched]
    content = {
        "ok": ok,
        "seconds": round(seconds, 2),
        "steps": [
            {
                "name": s.name,
                "account": s.account,
                "seconds": round(s.seconds, 2),
                "detail": s.detail,
                "emulated": s.emulated,
                "ok": s.ok,
            }
            for s in steps
        ],
        "catalog": [asdict(p) for p in catalog],
        "launched": [asdict(p) for p in launched],
        "walks": {
            part.product: {
                "metrics": part.metrics(),
                "gate": part.evaluation.get("gate", {}),
                "model_package": part.model_package,
                "promotion": part.promotion,
                "deployment": part.deployment,
                "predictions": part.predictions,
                "drift": part.drift,
                "governance": part.governance,
            }
            for part in facts
            if part.product
        },
    }
    (work / "report.json").write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rehearsal", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template(_TEMPLATE).render(
        ok=ok,
        seconds=seconds,
        steps=steps,
        catalog=catalog,
        launched=launched,
        walks=[part for part in facts if part.product],
        bars=_bars(steps),
        base64=lambda image: base64.b64encode(image).decode(),
        node_width=_NODE_WIDTH,
        node_height=_NODE_HEIGHT,
        made=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    )
    path = work / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _bars(steps: Sequence[StepResult]) -> list[tuple[StepResult, float, float]]:
    """Return each step with the start and the width of its bar, in percent of the whole."""
    total = sum(s.seconds for s in steps) or 1.0
    bars, at = [], 0.0
    for step in steps:
        width = 100 * step.seconds / total
        bars.append((step, at, max(width, 0.25)))
        at += width
    return bars
