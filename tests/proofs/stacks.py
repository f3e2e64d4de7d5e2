"""Every stack that the platform brings into an organisation, resolved, as many times as it can be there at once.

The hub's own stacks and the StackSets' instances in each region of the hub, every product launched twice in the home
region and once elsewhere, and the stacks that the stages of deployment projects make. Each template is the one that the
code gives now.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cfnlint.decode import cfn_yaml

from foundation.baseline_version import BASELINE_VERSION
from pipeline.synthesis import synthesise
from portfolios.catalog import products_of_the_hub
from products.catalog import PRODUCTS
from products.shared import names
from tests import hub
from tests.policy import Launch
from tests.products.launches import ORDINARY, network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WORKLOAD: Final = "222211110000"
DEPLOYMENT: Final = hub.DEPLOYMENT_ACCOUNTS[0]

_LAYERS: Final = Path(__file__).resolve().parents[2] / "seed-code" / "layers"
_STACK_SETS: Final = {"WorkloadBaseline": WORKLOAD, "DeploymentBaseline": DEPLOYMENT}
_STAGE_STACKS: Final = {
    "deploy-realtime": ("deployment/templates/base", "realtime/templates/endpoint", "monitoring/templates/monitor"),
    "deploy-batch": ("deployment/templates/base", "batch/templates/batch", "monitoring/templates/monitor"),
}


class Stack(Launch):
    """A stack of an account; unlike `Launch` it knows the ARNs of what starts functions and is written by them."""

    def physical_id(self, logical_id: str) -> str:
        """Return the name of a resource; one that CloudFormation makes up is no other region's."""
        found = super().physical_id(logical_id)
        return f"{found}-{self.region}" if found == f"{self.stack}-{logical_id}" else found

    def attribute(self, logical_id: str, name: str) -> str:
        """Return what ``Fn::GetAtt`` gives."""
        resource = self.template["Resources"][logical_id]
        own, place = self.physical_id(logical_id), f"{self.region}:{self.account}"
        properties = resource.get("Properties", {})
        arns = {
            "AWS::CodePipeline::Pipeline": f"codepipeline:{place}:{own}",
            "AWS::DynamoDB::Table": f"dynamodb:{place}:table/{self.value(properties.get('TableName', own))}",
            "AWS::ECR::Repository": f"ecr:{place}:repository/{self.value(properties.get('RepositoryName', own))}",
            "AWS::Events::EventBus": f"events:{place}:event-bus/{own}",
            "AWS::Lambda::Function": f"lambda:{place}:function:{self.value(properties.get('FunctionName', own))}",
            "AWS::SNS::Topic": f"sns:{place}:{self.value(properties.get('TopicName', own))}",
        }
        if name.endswith("Arn") and resource["Type"] in arns:
            return f"arn:{self.partition}:{arns[resource['Type']]}"
        return super().attribute(logical_id, name)

    def ref(self, name: str) -> Any:  # noqa: ANN401 (as in the base class)
        """Return what ``Ref`` gives."""
        kind = self.template["Resources"].get(name, {}).get("Type")
        if kind == "AWS::SNS::Topic":
            return self.attribute(name, "TopicArn")
        if kind == "AWS::Lambda::Function":
            return self.attribute(name, "Arn").rsplit(":", 1)[1]
        return super().ref(name)


def everything(*regions: str) -> Iterator[Stack]:
    """Yield the stacks of a hub with these regions, the home region first, and of one account of each kind."""
    yield from of_the_hub(regions)
    home, *others = regions
    for number, region in enumerate((home, home, *others)):
        for product, template in product_templates().items():
            project = f"p-{'abcdefgh'[number] * 12}"
            yield _launched(product, template, project, region, domain=f"lab{number if region == home else 0}")
            for stage in names.STAGES if product in _STAGE_STACKS else ():
                # A project has one kind of deployment.
                own_project = f"{project[:-1]}{'x' if product == 'deploy-batch' else 'y'}"
                for name in _STAGE_STACKS[product]:
                    yield _of_a_stage(name, own_project, stage, region)


def of_the_hub(regions: tuple[str, ...]) -> Iterator[Stack]:
    """Yield the hub's stacks in each region, and the instances of its StackSets in one account of each kind."""
    assembly = hub.hub_assembly() if regions == (hub.REGION,) else hub.two_region_assembly()
    for title, template in assembly.templates.items():
        name, _, region = title.partition(" in ")
        yield Stack(template, {}, account=hub.ACCOUNT, region=region or regions[0], stack=name)
    for region in regions:
        for part, account in _STACK_SETS.items():
            (path,) = assembly.folder.glob(f"assembly-*{region}/*{part}Template*.product.template.json")
            template = json.loads(path.read_text(encoding="utf-8"))
            yield Stack(template, {}, account=account, region=region, stack=f"StackSet-{part}")


@cache
def product_templates() -> dict[str, dict[str, Any]]:
    """Return the template of every product by id."""
    return {product.SPEC.id: synthesise(product) for product in PRODUCTS}


def _launched(product: str, template: Mapping[str, Any], project: str, region: str, *, domain: str) -> Stack:
    # A project is of one kind.
    kind = {"deploy-batch": "x", "deploy-realtime": "y", "train-athena": "z"}
    project = f"{project[:-1]}{kind.get(product, project[-1])}"
    own = {
        "SageMakerProjectName": "churn",
        "SageMakerProjectId": project,
        "DomainName": domain,
        "TestAccountId": DEPLOYMENT,
        "ProdAccountId": DEPLOYMENT,
        "ProdRegion": region,
    }
    return launched(product, template, region, own, stack=f"pp-{project}-{product}")


def launched(product: str, template: Mapping[str, Any], region: str, own: Mapping[str, str], *, stack: str) -> Stack:
    """Return a product as it is launched in the account of its kind.

    Args:
        product: Its id.
        template: Its template.
        region: Where.
        own: Answers that differ from the ordinary ones; those that the product does not ask for are left out.
        stack: Name of the stack after Service Catalog's prefix.
    """
    account = hub.ACCOUNT if product in products_of_the_hub() else WORKLOAD
    return Stack(
        template,
        {key: value for key, value in {**ORDINARY[product], **own}.items() if key in template["Parameters"]},
        account=account,
        region=region,
        stack=f"SC-{account}-{stack}",
        ssm={
            "/ml-platform/v1/baseline-version": BASELINE_VERSION,
            "/ml-platform/v1/boundary-arn": f"arn:aws:iam::{account}:policy/{names.BOUNDARY_POLICY}",
            "/ml-platform/v1/hub-account-id": hub.ACCOUNT,
            "/ml-platform/v1/artifact-bucket": names.artifact_bucket(hub.ACCOUNT, region),
            "/ml-platform/v1/connection-arn": f"arn:aws:codeconnections:{region}:{account}:connection/0a1b",
        },
        answers={"Custom::Preflight": network(account, region)},
    )


@cache
def _stage_template(name: str) -> dict[str, Any]:
    text = json.dumps(cfn_yaml.load(str(_LAYERS / f"{name}.yaml")))
    template: dict[str, Any] = json.loads(text.replace("${Content}", "0a1b2c3d4e5f"))  # as `render` fills it in
    return template


def _of_a_stage(name: str, project: str, stage: str, region: str) -> Stack:
    return stack_of_a_stage(name, "churn", project, stage, region)


def stack_of_a_stage(name: str, title: str, project: str, stage: str, region: str) -> Stack:
    """Return a stack of a stage with everything that it can have; other parameters have their names for values.

    Args:
        name: Template below ``seed-code/layers``, without its ending.
        title: Name of the project.
        project: Its id.
        stage: ``test`` or ``prod``.
        region: Where.
    """
    template = _stage_template(name)
    own = {
        "ProjectName": title,
        "ProjectId": project,
        "Stage": stage,
        "HubBusArn": f"arn:aws:events:{region}:{hub.ACCOUNT}:event-bus/{names.HUB_EVENT_BUS}",
        "UseVpc": "true",
        "WithApi": "true",
        "InputBucket": f"lake-{stage}",
        "InputPrefix": f"{project}/",
        "ReplicaBucket": "replica",
        "ReplicaKeyArn": f"arn:aws:kms:{region}:{WORKLOAD}:key/replica",
    }
    parameters = {
        key: own.get(key, key) for key, about in template["Parameters"].items() if key in own or "Default" not in about
    }
    stack = f"mlp-{project}-{stage}-{name.rpartition('/')[2]}"
    return Stack(template, parameters, account=DEPLOYMENT, region=region, stack=stack)
