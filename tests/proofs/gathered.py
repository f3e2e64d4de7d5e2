"""Everything that has permissions: each template that is deployed or launched, resolved, with the policies in it.

One organisation: a hub (account of `tests.hub`), a development and a deployment account. `gather` (fixture `gathered`,
once per process) holds

- `templates`: the stacks of a hub with two regions, the StackSets' templates as they land, every release with the
  templates in its seed code, the products and the seed code as the code makes them now. Each has a `launch` that
  resolves names, ARNs and conditions.
- `policies`: every identity, trust and resource policy and boundary in them, the permission sets of people
  (foundation/organization) and the bootstrap policies of the hub, with where it stands.

Choose by `origin` or `account`; what cannot be launched any more has the origin ``retired``.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import yaml

from foundation.baseline_version import BASELINE_VERSION
from foundation.organization import PERMISSION_SETS
from pipeline.execution_policy import documents
from portfolios.catalog import products_of_the_hub
from products.catalog import PRODUCTS
from products.releases import ARCHIVE, load_catalog
from products.shared import names, seed_code
from tests import hub
from tests.products.launches import ORDINARY, network
from tests.proofs.stacks import DEPLOYMENT, WORKLOAD, Stack, product_templates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
HUB: Final = hub.ACCOUNT

Origin: TypeAlias = Literal["hub", "baseline", "release", "retired", "code", "people", "bootstrap"]
Statement: TypeAlias = "Mapping[str, Any]"

_STAGE_PARAMETERS: Final = {
    "ProjectName": "churn",
    "ProjectId": "p-aaaaaaaaaaaa",
    "Stage": "prod",
    "HubBusArn": f"arn:aws:events:{hub.REGION}:{HUB}:event-bus/ml-platform",
    "UseVpc": "true",
    "WithApi": "true",
    "InputBucket": "sales-lake",
    "InputPrefix": "churn/",
    "ReplicaBucket": "replica",
    "ReplicaKeyArn": f"arn:aws:kms:{hub.REGION}:{hub.DEPLOYMENT_ACCOUNTS[1]}:key/replica",
}
"""A stage with all options: its policies are the most that a stage has."""


@dataclass(frozen=True)
class Deployed:
    """A template as it is deployed or launched.

    Attributes:
        name: E.g. ``ml-platform-registry``, ``train-s3 1.0.0``, ``deploy-realtime (code): base``.
        origin: Where it comes from; ``retired`` for releases that cannot be launched any more.
        launch: The template, resolved for one account and region.
        product: Id of the product, for releases and code.
        stage: Name of the template in the seed code, e.g. ``base``; empty for others.
    """

    name: str
    origin: Origin
    launch: Stack
    product: str = ""
    stage: str = ""

    @property
    def template(self) -> Mapping[str, Any]:
        return self.launch.template


@dataclass(frozen=True)
class Policy:
    """Statements that are decided together.

    Attributes:
        where: Template and logical id, or file.
        kind: ``identity`` (all policies of a role or person), ``boundary``, ``trust`` or ``resource``.
        statements: Its statements, resolved.
        origin: As of `Deployed`.
        account: Account of the principal or resource.
    """

    where: str
    kind: Literal["identity", "boundary", "trust", "resource"]
    statements: tuple[Statement, ...]
    origin: Origin
    account: str


class Gathered:
    """All templates and policies."""

    @cached_property
    def templates(self) -> tuple[Deployed, ...]:
        """Everything that is deployed or launched."""
        return (*_hub(), *_releases(), *_code())

    @cached_property
    def policies(self) -> tuple[Policy, ...]:
        """Every policy."""
        found = [policy for deployed in self.templates for policy in _policies(deployed)]
        for path in sorted(PERMISSION_SETS.glob("*.json")):
            account = HUB if path.stem in ("ml-engineer", "governance-officer") else WORKLOAD
            statements = tuple(json.loads(path.read_text(encoding="utf-8"))["Statement"])
            found.append(Policy(f"permission set {path.stem}", "identity", statements, "people", account))
        bootstrap = tuple(s for document in documents(HUB, "aws") for s in document["Statement"])
        return (*found, Policy("bootstrap policies", "identity", bootstrap, "bootstrap", HUB))

    def policy(self, where: str) -> Policy:
        """Return the identity policy whose place begins with a text; there must be one."""
        (found,) = (p for p in self.policies if p.kind == "identity" and p.where.startswith(where))
        return found


@cache
def gather() -> Gathered:
    """Return everything; resolved when first looked at, once per process."""
    return Gathered()


def _hub() -> Iterator[Deployed]:
    assembly = hub.two_region_assembly()
    for name, template in assembly.templates.items():
        region = hub.OTHER_REGION if name.endswith(f" in {hub.OTHER_REGION}") else hub.REGION
        stack = name.removesuffix(f" in {region}")
        launch = Stack(template, _given(template), account=HUB, region=region, stack=stack)
        yield Deployed(name, "hub", launch)
    for path in sorted(
        assembly.folder.rglob(f"*{hub.REGION.replace('-', '')}*BaselineTemplate*.product.template.json")
    ):
        account = WORKLOAD if "WorkloadBaseline" in path.name else DEPLOYMENT
        name = "workload baseline" if account == WORKLOAD else "deployment baseline"
        template = json.loads(path.read_text(encoding="utf-8"))
        # Instances of the StackSet in other regions have no resources of IAM; what they have is in this one too.
        stack = f"StackSet-{name.replace(' ', '-')}"
        yield Deployed(name, "baseline", Stack(template, {}, account=account, region=hub.REGION, stack=stack))


def _releases() -> Iterator[Deployed]:
    for release in load_catalog(ROOT).releases():
        origin: Origin = "release" if release.active and release.guidance == "DEFAULT" else "retired"
        name = f"{release.product} {release.version}"
        yield _product(name, release.product, origin, release.template())
        if ARCHIVE in release.files:
            with zipfile.ZipFile(release.files[ARCHIVE].path) as archive:
                files = {entry: archive.read(entry) for entry in archive.namelist()}
            yield from _stages(name, release.product, origin, files)


def _code() -> Iterator[Deployed]:
    for product in PRODUCTS:
        id_ = product.SPEC.id
        name = f"{id_} (code)"
        yield _product(name, id_, "code", product_templates()[id_])
        if product.SPEC.seed_code:
            yield from _stages(name, id_, "code", seed_code.assemble(product.SPEC.seed_code))


def _product(name: str, product: str, origin: Origin, template: Mapping[str, Any]) -> Deployed:
    account = HUB if product in products_of_the_hub() else WORKLOAD
    connection = {"ConnectionArn": f"arn:aws:codeconnections:{hub.REGION}:{account}:connection/0a1b"}
    values = {k: v for k, v in {**ORDINARY[product], **connection}.items() if k in template["Parameters"]}
    ssm = {
        "/ml-platform/v1/baseline-version": BASELINE_VERSION,
        "/ml-platform/v1/boundary-arn": f"arn:aws:iam::{account}:policy/{names.BOUNDARY_POLICY}",
        "/ml-platform/v1/hub-account-id": HUB,
        "/ml-platform/v1/artifact-bucket": names.artifact_bucket(HUB, hub.REGION),
    }
    stack = f"SC-{account}-pp-{product}"
    found = {"Custom::Preflight": network(account, hub.REGION)}
    launch = Stack(
        template,
        _given(template) | values,
        account=account,
        region=hub.REGION,
        stack=stack,
        ssm=ssm,
        answers=found,
    )
    return Deployed(name, origin, launch, product=product)


def _stages(name: str, product: str, origin: Origin, files: Mapping[str, bytes]) -> Iterator[Deployed]:
    for path, content in sorted(files.items()):
        if path.startswith("templates/") and path.endswith(".yaml"):
            yield _stage(name, product, origin, Path(path).stem, content.decode())


def _stage(name: str, product: str, origin: Origin, stage: str, text: str) -> Deployed:
    text = text.replace("${Content}", "0a1b2c3d4e5f")  # as the deployment's `render` fills it in
    template = yaml.load(text, _Loader)  # noqa: S506 - a safe loader with CloudFormation's short forms
    values = _given(template) | {k: v for k, v in _STAGE_PARAMETERS.items() if k in template["Parameters"]}
    stack = "mlp-p-aaaaaaaaaaaa-prod" + ("-base" if stage == "base" else "")
    launch = Stack(template, values, account=DEPLOYMENT, region=hub.REGION, stack=stack)
    return Deployed(f"{name}: {stage}", origin, launch, product=product, stage=stage)


def _given(template: Mapping[str, Any]) -> dict[str, str]:
    """Return a value for each parameter without a default."""
    return {
        name: "1" if parameter["Type"] == "Number" else parameter.get("AllowedValues", [f"any-{name}"])[0]
        for name, parameter in template.get("Parameters", {}).items()
        if "Default" not in parameter
    }


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms of intrinsic functions."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _policies(deployed: Deployed) -> Iterator[Policy]:
    launch, origin = deployed.launch, deployed.origin

    def policy(logical_id: str, kind: Literal["identity", "boundary", "trust", "resource"], found: list[Any]) -> Policy:
        return Policy(f"{deployed.name}: {logical_id}", kind, tuple(found), origin, launch.account)

    attached = json.dumps([p.get("ManagedPolicyArns", []) for p in launch.resources("AWS::IAM::Role").values()])
    own = {launch.physical_id(logical_id) for logical_id in launch.resources("AWS::IAM::Role")}
    for logical_id, statements in launch.roles().items():
        yield policy(logical_id, "identity", statements)
    for logical_id, properties in launch.resources().items():
        type_ = launch.template["Resources"][logical_id]["Type"]
        if type_ == "AWS::IAM::ManagedPolicy" and "Roles" in properties:
            if not own & set(properties["Roles"]):  # else it is among what its roles may do
                yield policy(logical_id, "identity", _statements(properties))
        elif type_ == "AWS::IAM::ManagedPolicy" and str(launch.ref(logical_id)) not in attached:
            yield policy(logical_id, "boundary", _statements(properties))
        elif type_ == "AWS::IAM::Role":
            yield policy(logical_id, "trust", _statements(properties["AssumeRolePolicyDocument"]))
        elif not type_.startswith("AWS::IAM::"):
            statements = _statements(properties)
            if statements:
                yield policy(logical_id, "resource", statements)


def _statements(node: Any) -> list[Any]:  # noqa: ANN401 - JSON of any shape
    """Return every policy statement below a node."""
    if isinstance(node, dict):
        if "Effect" in node and ("Action" in node or "NotAction" in node):
            return [node]
        return [statement for value in node.values() for statement in _statements(value)]
    return [statement for value in node for statement in _statements(value)] if isinstance(node, list) else []
