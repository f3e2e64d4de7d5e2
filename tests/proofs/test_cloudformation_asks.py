"""Every role with which CloudFormation acts has what its templates take: the oracle that CloudFormation's schemas are.

`foundation.caller_permissions` says what is asked for; here each of it is looked for among the statements of the role
that launches or deploys the template: one that names the action, whose conditions a request of the action can meet, and
whose resources match the real ARN where there is one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest

from aws_emulator import reference
from foundation import launch_policy, launch_scopes
from foundation.caller_exceptions import EXCEPTIONS, SPELT
from foundation.caller_permissions import Need, needs
from foundation.handler_permissions import PHASES, handlers, tag_permissions
from portfolios.catalog import products_of_the_hub
from tests.policy import Launch
from tests.proofs.contradictions import fits, is_usable
from tests.proofs.gathered import HUB
from tests.proofs.stacks import DEPLOYMENT, WORKLOAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tests.proofs.gathered import Deployed, Gathered, Statement


class Role:
    """What the statements of a role, or of its boundary, let through.

    Args:
        statements: Its statements; denials are not looked at.
        is_boundary: Whether they are a boundary's, for messages.
    """

    def __init__(self, statements: Sequence[Statement], *, is_boundary: bool = False) -> None:
        self._allows = [s for s in statements if s["Effect"] == "Allow"]
        self._where = "boundary" if is_boundary else "role"
        self._grants: dict[str, str | re.Pattern[str]] = {}

    def lacks(self, action: str, arns: Iterable[str]) -> Iterator[str]:
        """Yield why an action is not granted, or not on one of the ARNs."""
        if action not in self._grants:
            self._grants[action] = self._grant(action)
        granted = self._grants[action]
        if isinstance(granted, str):
            yield granted
        else:
            yield from (f"not on {arn}, in the {self._where}" for arn in arns if not granted.fullmatch(arn))

    def _grant(self, action: str) -> str | re.Pattern[str]:
        """Return what matches the resources on which an action is granted, or why it is not."""
        naming = [s for s in self._allows if _names(s, action)]
        usable = [s for s in naming if is_usable(s, action)]
        if not naming:
            return f"missing in the {self._where}"
        if not usable:
            return f"only under a condition or on a resource that it never has, in the {self._where}"
        patterns = [re.sub(r"\$\{[^}]*\}", "*", pattern) for s in usable for pattern in _patterns(s)]
        return re.compile("|".join(re.escape(p).replace(r"\*", ".*").replace(r"\?", ".") for p in patterns))


@dataclass(frozen=True)
class Acting:
    """A template and the role with which CloudFormation makes it.

    Attributes:
        name: Name of the role, for messages.
        deployed: The template.
        roles: The role, and its boundary if it has one.
    """

    name: str
    deployed: Deployed
    roles: tuple[Role, ...]

    def missing(self) -> set[str]:
        """Return what the template takes and the role cannot do."""
        return {
            f"{need.action} for {need.kind}: {lack}"
            for need in needs(self.deployed.template)
            for role in self.roles
            for lack in role.lacks(need.action, _resources(need, self.deployed.launch))
        }


def _names(statement: Statement, action: str) -> bool:
    if "NotAction" in statement:
        return not any(fnmatchcase(action.lower(), a.lower()) for a in _listed(statement["NotAction"]))
    return any(fnmatchcase(action.lower(), a.lower()) for a in _listed(statement["Action"]))


def _patterns(statement: Statement) -> list[str]:
    # What a NotResource leaves out is a denial in other words; the proofs of isolation look at it.
    return ["*"] if "NotResource" in statement else list(_listed(statement.get("Resource", "*")))


def _resources(need: Need, launch: Launch) -> Iterator[str]:
    """Yield the ARNs on which a need is asked for, where they are known; ``*`` where a request names no resource."""
    place = f"{launch.region}:{launch.account}"
    if need.on == "*":
        yield "*"
    elif need.action == "ssm:GetParameters" and need.phase == "start":
        name = launch.template["Parameters"][need.logical_id].get("Default") if need.logical_id else need.on
        if name:
            yield f"arn:aws:ssm:{place}:parameter{name}"
    elif need.on is not None:
        value = str(launch.value(need.on))
        if value.startswith(f"arn:aws:{need.action.split(':')[0]}:"):
            yield value
    elif not need.action.startswith("iam:PassRole"):
        arn = _arn(need.logical_id, launch)
        forms = reference.kinds(reference.canonical(need.action) or need.action).values()
        if arn.startswith("arn:") and any(fits(arn, form) for form in forms):
            yield arn


def _arn(logical_id: str, launch: Launch) -> str:
    """Return the ARN of a resource, if `Launch` knows the form of it; made-up names are like CloudFormation's."""
    resource = launch.template["Resources"][logical_id]
    properties, arn = resource.get("Properties", {}), launch.attribute(logical_id, "Arn")
    match resource["Type"]:
        case "AWS::S3::Bucket" if "BucketName" not in properties:
            return arn.lower()
        case "AWS::CodeBuild::Project" if "Name" not in properties:  # named by the logical id alone
            return f"{arn.split('/')[0]}/{logical_id}-AbCdEfGhIjKl"
        case "AWS::Logs::LogGroup":
            return arn.removesuffix(":*")
    return arn


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, list) else [value]


# ---- who makes what -------------------------------------------------------------------------------------------------


def acting(gathered: Gathered) -> Iterator[Acting]:
    """Yield every template with the role that makes it."""
    released = {in_hub: launch_policy.launched_templates(in_hub=in_hub) for in_hub in (False, True)}
    ceiling = next(p.statements for p in gathered.policies if p.kind == "boundary" and p.account == DEPLOYMENT)
    boundary = Role(ceiling, is_boundary=True)

    @cache
    def role(where: str) -> Role:
        return Role(gathered.policy(where).statements)

    for deployed in gathered.templates:
        if deployed.origin == "hub":
            yield Acting("bootstrap policies", deployed, (role("bootstrap policies"),))
        elif deployed.stage == "base":
            yield Acting("deploy role", deployed, (role("deployment baseline: DeployRole"),))
        elif deployed.stage:
            base = role(f"{deployed.name.split(':')[0]}: base: ExecutionRole")
            yield Acting("execution role of the stage", deployed, (base, boundary))
        elif deployed.origin in ("release", "retired"):
            where = (
                "ml-platform-hub-baseline: Launch" if deployed.launch.account == HUB else "workload baseline: Launch"
            )
            yield Acting("launch role", deployed, (role(where),))
        elif deployed.origin == "code":  # the launch role as it is once this is released
            in_hub = deployed.product in products_of_the_hub()
            kind = launch_scopes.HUB if in_hub else launch_scopes.WORKLOADS
            derived = launch_policy.statements([*released[in_hub], deployed.template], HUB, kind)
            yield Acting("launch role", deployed, (Role(_filled(derived, HUB if in_hub else WORKLOAD)),))


def _filled(statements: Sequence[Statement], account: str) -> list[Statement]:
    launch = Launch({"Resources": {}}, {}, account=account)
    filled: list[Statement] = json.loads(
        re.sub(r"\$\{(AWS::\w+)\}", lambda m: str(launch.ref(m[1])), json.dumps(statements))
    )
    return filled


_IN_VAIN: Final = "only under a condition or on a resource that it never has, in the role"
_TARGET: Final = "AWS::ApplicationAutoScaling::ScalableTarget"
FROZEN: Final[Mapping[str, set[str]]] = {
    "deploy-realtime 1.0.0: endpoint": {
        *(
            f"application-autoscaling:{operation} for {_TARGET}: {_IN_VAIN}"
            for operation in ("ListTagsForResource", "TagResource", "UntagResource")
        ),
        # The reference lists no kind of resource, though IAM's refusals name log-group::log-stream:, which is granted.
        f"logs:DescribeLogGroups for AWS::Logs::LogGroup: {_IN_VAIN}",
    }
}
"""What released versions, which cannot change any more, take in vain, by template."""


@pytest.fixture(scope="module")
def all_acting(gathered: Gathered) -> list[Acting]:
    return list(acting(gathered))


def test_every_role_has_what_its_templates_take(all_acting: list[Acting]) -> None:
    missing = {
        f"{a.name} for {a.deployed.name}": a.missing()
        for a in all_acting
        if a.deployed.origin not in ("release", "retired")
    }
    assert {who: lacking for who, lacking in missing.items() if lacking} == {}


def test_released_versions_lack_what_is_known(all_acting: list[Acting]) -> None:
    missing = {a.deployed.name: a.missing() for a in all_acting if a.deployed.origin in ("release", "retired")}
    assert {who: lacking for who, lacking in missing.items() if lacking} == FROZEN


def test_every_kind_of_role_is_looked_at(all_acting: list[Acting]) -> None:
    assert {a.name for a in all_acting} == {
        "bootstrap policies",
        "deploy role",
        "execution role of the stage",
        "launch role",
    }
    taken = sum(len(list(needs(a.deployed.template))) for a in all_acting)
    assert taken > 5000, "permissions that were looked for"


def test_every_exception_is_needed(all_acting: list[Acting]) -> None:
    """A row that no template of ours needs any more goes; the schemas may have changed."""
    resources = [
        (r["Type"], r.get("Properties", {}))
        for a in all_acting
        for r in a.deployed.template["Resources"].values()
        if r["Type"].startswith("AWS::") and r["Type"] != "AWS::CDK::Metadata"
    ]
    idle = []
    for row in EXCEPTIONS:
        of_types = [(type_, properties) for type_, properties in resources if type_ in row.types]
        listed = {a for type_, _ in of_types for a in _in_schema(type_)}
        for action in row.actions:
            if not any(fnmatchcase(a, action) for a in listed):
                idle.append((sorted(row.types), action))
        if not any(row.applies(properties, properties) for _, properties in of_types):
            idle.append((sorted(row.types), "every resource has the option"))
    assert idle == []
    assert all(len(row.because) > 30 for row in EXCEPTIONS)


def _in_schema(type_: str) -> set[str]:
    return {SPELT.get(a, a) for a in (*(a for p in PHASES for a in handlers(type_)[p]), *tag_permissions(type_))}


# ---- the oracle itself ----


@pytest.mark.parametrize(
    ("who", "template", "without", "lack"),
    [
        ("workload baseline: Launch", "sagemaker-domain (code)", "ec2:DescribeVpcs", "missing in the role"),
        ("workload baseline: Launch", "sagemaker-domain (code)", "ec2:DescribeSubnets", "missing in the role"),
        ("workload baseline: Launch", "train-s3 (code)", "codeconnections:PassConnection", "missing in the role"),
        ("bootstrap policies", "MlPlatformPipeline", "codeconnections:PassConnection", "missing in the role"),
        ("bootstrap policies", "ml-platform-workload-baseline", "cloudformation:GetTemplateSummary", "missing in"),
        (
            "deployment baseline: DeployRole",
            "deploy-batch (code): base",
            "lambda:InvokeFunction",
            "missing in the role",
        ),
    ],
)
def test_what_a_role_lacks_is_found(gathered: Gathered, who: str, template: str, without: str, lack: str) -> None:
    (deployed,) = (d for d in gathered.templates if d.name == template)
    left = [
        {**s, "Action": [a for a in _listed(s["Action"]) if a != without]}
        for s in gathered.policy(who).statements
        if s["Effect"] == "Allow"
    ]
    missing = Acting(who, deployed, (Role(left),)).missing()
    assert missing
    assert all(line.startswith(f"{without} for ") and lack in line for line in missing)


def test_an_action_on_another_resource_is_found(gathered: Gathered) -> None:
    (deployed,) = (d for d in gathered.templates if d.name == "ml-platform-workload-baseline")
    narrow = [
        {**s, "Resource": "arn:aws:cloudformation:*:*:stackset/*"}
        if "cloudformation:GetTemplateSummary" in s["Action"]
        else s
        for s in gathered.policy("bootstrap policies").statements
    ]
    missing = Acting("bootstrap policies", deployed, (Role(narrow),)).missing()
    assert any(line.startswith("cloudformation:GetTemplateSummary") and "not on *" in line for line in missing)
