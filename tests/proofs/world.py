"""The platform as principals and policies, made from the templates as the code gives them now.

One hub, one development and one deployment account. Every product of the catalog is launched twice, for an attacker
(`ATTACKER`) and a victim (`VICTIM`), and both stages of both share one deployment account: the worst that the settings
allow. Beside them stand people with their permission sets, CloudFormation with the bootstrap policy,
roles that somebody makes, and administrators of other accounts, who can do whatever no policy here refuses.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from foundation.organization import PERMISSION_SETS
from foundation.settings import HubSettings
from pipeline import execution_policy
from portfolios.catalog import products_of_the_hub
from products.shared import names
from tests import hub
from tests.proofs import stacks
from tests.proofs.model import Actor, Organisation, ResourcePolicy, Statements, World, listed, statements
from tests.proofs.stacks import (
    WORKLOAD,
    Stack,
    launched,
    of_the_hub,
    product_templates,
    stack_of_a_stage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.policy import Launch

ROOT: Final = Path(__file__).resolve().parents[2]
HUB: Final = hub.ACCOUNT
DEV: Final = WORKLOAD
DEPLOYMENT: Final = stacks.DEPLOYMENT
COLLEAGUE: Final = "666655554444"
"""An account of the organisation that has nothing to do with the platform."""
STRANGER: Final = "999988887777"
"""An account of another organisation."""
REGION: Final = hub.REGION
CATALOG: Final = str(hub.SETTINGS["source"]["repository"])

ATTACKER: Final = "p-aaaa"
VICTIM: Final = "p-bbbb"
STAGES: Final = tuple(f"{project}-{stage}" for project in (ATTACKER, VICTIM) for stage in names.STAGES)
OWN_STAGE: Final = f"{ATTACKER}-test"
OTHER_STAGES: Final = tuple(stage for stage in STAGES if stage != OWN_STAGE)
DOMAINS: Final = {ATTACKER: "lab", VICTIM: "rival"}

PROFILE: Final = "me"
"""Name of the user profile of whoever works in Studio."""

_STAGE_TEMPLATES: Final = ("deployment/templates/base", "batch/templates/batch", "monitoring/templates/monitor")
_PEOPLE: Final = {
    "data-scientist": DEV,
    "lead-data-scientist": DEV,
    "ml-engineer": HUB,
    "governance-officer": HUB,
}
_TYPES_WITH_POLICY: Final = {
    # Type -> service, property with the policy, whether the policy names its resource only by where it hangs.
    "AWS::S3::BucketPolicy": ("s3", "PolicyDocument", False),
    "AWS::SQS::QueuePolicy": ("sqs", "PolicyDocument", False),
    "AWS::SNS::TopicPolicy": ("sns", "PolicyDocument", False),
    "AWS::KMS::Key": ("kms", "KeyPolicy", True),
    "AWS::SageMaker::ModelPackageGroup": ("sagemaker", "ModelPackageGroupPolicy", False),
    "AWS::ECR::Repository": ("ecr", "RepositoryPolicyText", True),
    "AWS::Events::EventBusPolicy": ("events", "Statement", False),
}


def organisation() -> Organisation:
    """Return which accounts belong to the organisation, and where."""
    settings = HubSettings.parse(hub.SETTINGS)
    above = f"{settings.organization_id}/{settings.root_id}/"
    return Organisation(
        id=settings.organization_id,
        paths={
            HUB: f"{above}ou-te01-mlhub001/",
            DEV: settings.workloads_ou_path,
            DEPLOYMENT: f"{above}{settings.deployment_ou_id}/",
            COLLEAGUE: f"{above}ou-te01-payroll1/",
        },
    )


# ---- templates -----------------------------------------------------------------------------------------------------


@cache
def _product_templates(release: str | None) -> dict[str, dict[str, Any]]:
    """Return the template of every product by id: as the code gives it now, or as a release holds it."""
    if release is None:
        return product_templates()
    found = (ROOT / "products").glob(f"*/releases/{release}/template.json")
    return {path.parents[2].name.replace("_", "-"): json.loads(path.read_text(encoding="utf-8")) for path in found}


def project_name(project: str) -> str:
    """Return the name of a project."""
    return f"name{project[2]}"


def domain_id(project: str) -> str:
    """Return the id of the Studio domain that stands beside a project."""
    return f"d-{DOMAINS[project]}"


def group_of(project: str) -> str:
    """Return the model package group of the hub from which a project deploys."""
    return f"{project_name(project)}-{project}-{DEV}"


def _roles_of_people(domain: Mapping[str, Any], project: str) -> dict[str, str]:
    """Return the roles of the personas of a project's domain, as a form asks for them."""
    stack = f"SC-{DEV}-pp-{project}-sagemaker-domain"
    paths = {id_: r["Properties"]["Path"] for id_, r in domain["Resources"].items() if r["Type"] == "AWS::IAM::Role"}
    begin = f"arn:aws:iam::{DEV}:role"
    return {
        f"{''.join(word.title() for word in persona.split('-'))}RoleArn": f"{begin}{path}{stack}-{id_}-{REGION}"
        for persona in names.PERSONAS
        for id_, path in paths.items()
        if path == names.persona_role_path(persona)
    }


def _launch_of_product(product: str, template: Mapping[str, Any], project: str, people: Mapping[str, str]) -> Stack:
    """Return a product as it is launched for a project; parameters that tell projects apart are the project's own."""
    account = HUB if product in products_of_the_hub() else DEV
    own = {
        "SageMakerProjectName": project_name(project),
        "SageMakerProjectId": project,
        "DomainName": DOMAINS[project],
        "DataUri": f"s3://lake/{project}/",
        "InputUriTest": f"s3://lake-test/{project}/",
        "InputUriProd": f"s3://lake-prod/{project}/",
        "ModelPackageGroup": group_of(project),
        "TestAccountId": DEPLOYMENT,
        "ProdAccountId": DEPLOYMENT,
        "ProdRegion": REGION,
        "Repository": f"team/{project}-{product}",
        "ConnectionArn": f"arn:aws:codeconnections:{REGION}:{account}:connection/0a1b",
        **people,
        "Repositories": f"{CATALOG.partition('/')[0]}/*",  # the team's repositories are beside the catalog's
    }
    return launched(product, template, REGION, own, stack=f"pp-{project}-{product}")


# ---- principals ----------------------------------------------------------------------------------------------------


def _roles(launch: Launch, name: str, bounds: Mapping[str, Statements], *labels: str) -> Iterator[Actor]:
    """Yield the roles of a stack, found by its name, their logical ids without the CDK's hash, and more labels."""
    properties = launch.resources("AWS::IAM::Role")
    for logical_id, identity in launch.roles().items():
        about = properties[logical_id]
        short = re.sub(r"[0-9A-F]{8}$", "", logical_id)
        bound = about.get("PermissionsBoundary")
        yield Actor(
            name=f"{name}:{short}",
            account=launch.account,
            arn=launch.attribute(logical_id, "Arn"),
            identity=tuple(identity),
            boundary=bounds[bound.rpartition("/")[2]] if bound else None,
            tags={tag["Key"]: tag["Value"] for tag in about.get("Tags", [])},
            trust=statements(about["AssumeRolePolicyDocument"]),
            labels=frozenset({name, short, *labels}),
        )


def _boundaries(launches: Mapping[str, Launch]) -> dict[str, dict[str, Statements]]:
    """Return the managed policies of each account by name."""
    found: dict[str, dict[str, Statements]] = {HUB: {}, DEV: {}, DEPLOYMENT: {}}
    for launch in launches.values():
        for about in launch.resources("AWS::IAM::ManagedPolicy").values():
            found[launch.account][about["ManagedPolicyName"]] = statements(about["PolicyDocument"])
    return found


def _sessions_of_the_deploy_role(role: Actor, builders: Mapping[str, Actor]) -> Iterator[Actor]:
    """Yield the deploy role as each stage's builds enter it: with the tags that the trust policy lets them pass."""
    keys = {
        key
        for statement in role.trust
        for body in statement.get("Condition", {}).values()
        for condition, value in body.items()
        if condition.lower() == "aws:tagkeys"
        for key in listed(value)
    }
    for stage, builder in builders.items():
        tags = {key: value for key, value in (builder.tags or {}).items() if key in keys}
        yield Actor(
            name=f"deploy:{stage}",
            account=role.account,
            arn=role.arn,
            identity=role.identity,
            tags={**(role.tags or {}), **tags},
            trust=role.trust,
            labels=frozenset({"deploy-session", stage}),
        )


def _made_roles(boundary: Statements) -> Iterator[Actor]:
    """Yield roles that stages make: named as the deploy role demands, else as their makers like."""
    for stage in STAGES:
        yield Actor(
            name=f"made:{stage}",
            account=DEPLOYMENT,
            arn=f"arn:aws:iam::{DEPLOYMENT}:role{names.DEPLOYMENT_ROLE_PATH}mlp-{stage}-",
            identity=({"Effect": "Allow", "Action": "*", "Resource": "*"},),
            boundary=boundary,
            tags={names.DEPLOYMENT_TAG: stage},
            made=True,
            session_tags=session_tags(stage),
            labels=frozenset({"made-role", stage}),
        )


@cache
def session_tags(own: str) -> tuple[str, ...]:
    """Return values of the deployment tag that stand for all: pieces of real ones, joined with a strange word.

    A pattern of a policy sees of a tag which pieces of names it makes up; these values put every piece of an own name
    and of other stages' names into every place of a value.
    """
    others = [value for value in STAGES if value != own]
    whole = [own, *others]
    pieces = {"-".join(v.split("-")[i:j]) for v in whole for i in range(3) for j in range(i + 1, 4)}
    strange = [
        "strange",
        *(f"{own}-strange-{s}" for s in names.STAGES),
        *(f"{a}-{b}" for a, b in itertools.product((own, "strange", "p-strange"), others)),
        *(f"{value}-strange" for value in others),
    ]
    return tuple(dict.fromkeys([*whole, "p", "", *sorted(pieces), *strange]))


def _people() -> Iterator[Actor]:
    for persona, account in _PEOPLE.items():
        document = json.loads((PERMISSION_SETS / f"{persona}.json").read_text(encoding="utf-8"))
        yield Actor(
            name=f"person:{persona}",
            account=account,
            arn=f"arn:aws:iam::{account}:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_{persona}_1",
            identity=statements(document),
            labels=frozenset({"person", "permission-set", persona}),
        )


def _bootstrap() -> Iterator[Actor]:
    """Yield CloudFormation in the hub: the role of the CDK's bootstrap stack with our policies."""
    yield Actor(
        name="hub:CloudFormation",
        account=HUB,
        arn=f"arn:aws:iam::{HUB}:role/cdk-hnb659fds-cfn-exec-role-{HUB}-{REGION}",
        identity=tuple(execution_policy.statements(HUB, "aws")),
        labels=frozenset({"bootstrap"}),
    )


def _bounded(bounds: Mapping[str, Mapping[str, Statements]]) -> Iterator[Actor]:
    """Yield a role of a project in each account that is bounded, and otherwise may do everything."""
    for account in (HUB, DEV):
        yield Actor(
            name=f"bounded:{account}",
            account=account,
            arn=f"arn:aws:iam::{account}:role{names.PROJECT_ROLE_PATH}anything",
            identity=({"Effect": "Allow", "Action": "*", "Resource": "*"},),
            boundary=bounds[account][names.BOUNDARY_POLICY],
            tags=None,
            labels=frozenset({"bounded"}),
        )


def _administrators() -> Iterator[Actor]:
    """Yield administrators: of an account of the platform other than the hub, of a colleague's and a stranger's."""
    for name, account in (("dev", DEV), ("deployment", DEPLOYMENT), ("colleague", COLLEAGUE), ("stranger", STRANGER)):
        yield Actor(
            name=f"administrator:{name}",
            account=account,
            arn=f"arn:aws:iam::{account}:role/",
            identity=({"Effect": "Allow", "Action": "*", "Resource": "*"},),
            tags=None,
            made=True,
            labels=frozenset({"administrator", name}),
        )


# ---- the world -----------------------------------------------------------------------------------------------------


def _resource_policies(launch: Launch) -> Iterator[ResourcePolicy]:
    for type_, (service, key, hangs) in _TYPES_WITH_POLICY.items():
        for logical_id, about in launch.resources(type_).items():
            document = about.get(key)
            if not document:
                continue
            found = statements(document) if "Statement" in document else (document,)
            arn = launch.attribute(logical_id, "Arn") if hangs else None
            yield ResourcePolicy(account=launch.account, service=service, protects=arn, statements=found)


_OPEN: Final = {
    "catalog": ("portfolio/open", "product/open"),
    "dynamodb": ("table/open",),
    "ecr": ("repository/open",),
    "events": ("event-bus/open",),
    "iam": ("role/open",),
    "kms": ("key/open",),
    "lambda": ("function:open",),
    "s3": ("open-{account}", "open-{account}/*"),
    "sagemaker": ("model-package-group/open", "model-package/open/*"),
    "sns": ("open",),
    "sqs": ("open",),
}
"""What may be shared between accounts, and the ends of the ARNs of one such thing."""


def _open_to_all() -> Iterator[ResourcePolicy]:
    """Yield policies of what somebody made in each account and shared with everybody, so that only IAM refuses."""
    everybody = [f"arn:aws:iam::{account}:root" for account in (HUB, DEV, DEPLOYMENT, COLLEAGUE, STRANGER)]
    for account, (service, ends) in itertools.product((HUB, DEV, DEPLOYMENT), _OPEN.items()):
        place = {"iam": f":{account}", "s3": ":"}.get(service, f"{REGION}:{account}")
        arns = [f"arn:aws:{service}:{place}:{end}".format(account=account) for end in ends]
        actions = {"catalog": "servicecatalog:*", "iam": "sts:*"}.get(service, f"{service}:*")
        grant = {"Effect": "Allow", "Principal": {"AWS": everybody}, "Action": actions}
        whole = service in ("iam", "kms")
        yield ResourcePolicy(
            account=account,
            service=service,
            protects=arns[0] if whole else None,
            statements=(grant if whole else {**grant, "Resource": arns},),
        )


@cache
def world(release: str | None = None) -> World:
    """Return the world.

    Args:
        release: Version of the products, e.g. ``1.0.0``. Default: as the code gives them now.
    """
    launches: dict[str, Launch] = {stack.stack: stack for stack in of_the_hub((REGION,))}
    platform = dict(launches)
    bounds = _boundaries(platform)
    actors: list[Actor] = []
    for name, launch in platform.items():
        actors += _roles(launch, name, bounds[launch.account], "platform")
    templates = _product_templates(release)
    for product, template in templates.items():
        for project in (ATTACKER, VICTIM):
            people = _roles_of_people(templates["sagemaker-domain"], project)
            launch = launches[f"{product}:{project}"] = _launch_of_product(product, template, project, people)
            roles = _roles(launch, f"{product}:{project}", bounds[launch.account], "product", product, project)
            actors += (_in_studio(role, project) for role in roles)
    actors = [_with_attached(actor, launches) for actor in actors]
    for project, stage, name in itertools.product((ATTACKER, VICTIM), names.STAGES, _STAGE_TEMPLATES):
        launch = stack_of_a_stage(name, project_name(project), project, stage, REGION)
        launches[launch.stack] = launch
        actors += _roles(launch, launch.stack, bounds[DEPLOYMENT], "stage-role", f"{project}-{stage}")
    (deploy_role,) = (a for a in actors if a.arn.endswith(f":role/{names.DEPLOY_ROLE}"))
    builders = {
        stage: next(a for a in actors if (a.tags or {}).get(names.DEPLOYMENT_TAG) == stage and "product" in a.labels)
        for stage in STAGES
    }
    actors += _sessions_of_the_deploy_role(deploy_role, builders)
    actors += _made_roles(bounds[DEPLOYMENT][names.DEPLOYMENT_BOUNDARY_POLICY])
    actors += [*_people(), *_bootstrap(), *_bounded(bounds), *_administrators()]
    policies = [policy for launch in launches.values() for policy in _resource_policies(launch)]
    trusts = {actor.arn: actor for actor in actors if actor.trust}
    policies += [
        ResourcePolicy(account=actor.account, service="iam", protects=arn, statements=actor.trust)
        for arn, actor in trusts.items()
    ]
    policies += _open_to_all()
    return World(
        organisation=organisation(),
        actors={actor.name: actor for actor in actors},
        resource_policies=tuple(policies),
        launches=launches,
    )


def _with_attached(actor: Actor, launches: Mapping[str, Launch]) -> Actor:
    """Return an actor with the policies that other products attach to its role."""
    others = [
        launch for name, launch in launches.items() if name not in actor.labels and launch.account == actor.account
    ]
    policies = [policy for launch in others for policy in launch.resources("AWS::IAM::ManagedPolicy").values()]
    name = actor.arn.rpartition("/")[2]
    more = [s for policy in policies if name in policy.get("Roles", []) for s in statements(policy["PolicyDocument"])]
    return replace(actor, identity=(*actor.identity, *more))


def _in_studio(actor: Actor, project: str) -> Actor:
    """Return a role of a product; one that works in Studio has the keys that SageMaker sets for its session."""
    labels = actor.labels | ({"person", "studio"} if "/persona/" in actor.arn else set())
    if "${sagemaker:DomainId}" not in json.dumps(actor.identity):
        return replace(actor, labels=labels)
    session = {"sagemaker:DomainId": domain_id(project), "sagemaker:UserProfileName": PROFILE}
    return replace(actor, session=session, labels=labels)
