"""A launched template, resolved, and an evaluator of the IAM policies in it: what a role of a product may really do.

`Launch` resolves a synthesised template as CloudFormation would for one launch (parameters, conditions, references).
`allows` decides a request against the statements found there. The rules are those of
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html for one identity: an explicit
deny wins, then any allow, then an implicit deny. A boundary is one more such decision, and so is a resource policy.

Tags are context like anything else: `principal` for those of whoever asks (a session's tags replace the same ones of
its role), `requested` for those in the request, `existing` for those of the resource. `assumes` decides about a trust
policy.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from aws_emulator import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Statement = Mapping[str, Any]

_DYNAMIC_REFERENCE: Final = re.compile(r"\{\{resolve:ssm:([^}]+)\}\}")
_SUB_VARIABLE: Final = re.compile(r"\$\{([^!}][^}]*)\}")
_POLICY_VARIABLE: Final = re.compile(r"\$\{([A-Za-z0-9:/_-]+)\}")
_NAME_PROPERTIES: Final = (
    "RoleName",
    "BucketName",
    "ModelPackageGroupName",
    "QueueName",
    "LogGroupName",
    "AlarmName",
    "DomainName",
    "RepositoryName",
    "TableName",
    "Name",
)
_NO_VALUE: Final = object()


class Launch:
    """A template with everything filled in that a launch fills in.

    Args:
        template: The synthesised template.
        parameters: Values of parameters; a parameter not named here has its default. For parameters that name an SSM
            parameter, the value that SSM holds.
        account: Launching account.
        region: Launching Region.
        partition: ``aws``, ``aws-cn``, ….
        stack: Stack name, part of generated physical names; two launches in one account differ in it.
        ssm: Values of the SSM parameters that the template resolves dynamically.
        answers: Attributes that custom resources return, by type. Default: made-up values.

    Raises:
        KeyError: The template refers to something that neither it nor the arguments define.
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        parameters: Mapping[str, str],
        *,
        account: str = "111122223333",
        region: str = "eu-west-1",
        partition: str = "aws",
        stack: str = "SC-launch",
        ssm: Mapping[str, str] | None = None,
        answers: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.template = template
        self.account, self.region, self.partition, self.stack = account, region, partition, stack
        self._ssm = ssm or {}
        self._answers = answers or {}
        declared = template.get("Parameters", {})
        unknown = set(parameters) - set(declared)
        if unknown:
            raise KeyError(f"the template has no parameter {sorted(unknown)}")
        self.parameters = {k: parameters.get(k, v.get("Default")) for k, v in declared.items()}

    # ---- intrinsic functions ------------------------------------------------------------------------------------

    def value(self, node: Any) -> Any:  # noqa: ANN401 (a template is plain JSON)
        """Return `node` with every intrinsic function and dynamic reference replaced by its value."""
        if isinstance(node, list):
            return [v for v in (self.value(item) for item in node) if v is not _NO_VALUE]
        if isinstance(node, str):
            return _DYNAMIC_REFERENCE.sub(lambda m: self._ssm[m.group(1)], node)
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (key, argument), *_ = node.items()
            function = self._functions().get(key)
            if function:
                return function(argument)
        return {k: v for k, v in ((k, self.value(item)) for k, item in node.items()) if v is not _NO_VALUE}

    def _functions(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "Ref": self.ref,
            "Fn::GetAtt": lambda a: self.attribute(*(a.split(".", 1) if isinstance(a, str) else a)),
            "Fn::Join": lambda a: a[0].join(self.value(a[1])),
            "Fn::Split": lambda a: self.value(a[1]).split(a[0]),
            "Fn::Select": lambda a: self.value(a[1])[int(self.value(a[0]))],
            "Fn::Sub": self._sub,
            "Fn::If": lambda a: self.value(a[1] if self.condition(a[0]) else a[2]),
            "Fn::FindInMap": lambda a: self.template["Mappings"][a[0]][self.value(a[1])][self.value(a[2])],
            "Fn::Equals": lambda a: str(self.value(a[0])) == str(self.value(a[1])),  # a number equals its text
            "Fn::Not": lambda a: not self.value(a[0]),
            "Fn::And": lambda a: all(self.value(item) for item in a),
            "Fn::Contains": lambda a: self.value(a[1]) in self.value(a[0]),
            "Fn::Or": lambda a: any(self.value(item) for item in a),
            "Condition": self.condition,
        }

    def condition(self, name: str) -> bool:
        """Return whether a condition of the template holds."""
        return bool(self.value(self.template["Conditions"][name]))

    def ref(self, name: str) -> Any:  # noqa: ANN401 (list parameters are lists)
        """Return what ``Ref`` of a parameter, pseudo parameter or resource gives."""
        pseudo = {
            "AWS::AccountId": self.account,
            "AWS::Region": self.region,
            "AWS::Partition": self.partition,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": self.stack,
            "AWS::StackId": f"arn:{self.partition}:cloudformation:{self.region}:{self.account}:stack/{self.stack}/"
            "0a1b2c3d-0000-4000-8000-000000000000",
            "AWS::NoValue": _NO_VALUE,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.parameters:
            value = self.parameters[name]
            is_list = "List" in self.template["Parameters"][name]["Type"]
            return value.split(",") if is_list and isinstance(value, str) else value
        resource = self.template["Resources"][name]
        if resource["Type"] == "AWS::SageMaker::ModelPackageGroup":
            return self.attribute(name, "ModelPackageGroupArn")
        return self.physical_id(name)

    def physical_id(self, logical_id: str) -> str:
        """Return the name of a resource: the one that it asks for, or one made like CloudFormation makes them."""
        properties = self.template["Resources"][logical_id].get("Properties", {})
        for key in _NAME_PROPERTIES:
            if key in properties:
                return str(self.value(properties[key]))
        return f"{self.stack}-{logical_id}"

    def attribute(self, logical_id: str, name: str) -> str:
        """Return what ``Fn::GetAtt`` gives: real ARNs for the types that policies name, a made-up value otherwise."""
        resource = self.template["Resources"][logical_id]
        if name in (answer := self._answers.get(resource["Type"], {})):
            return answer[name]
        own = self.physical_id(logical_id)
        regional = f"{self.region}:{self.account}"
        path = self.value(resource.get("Properties", {}).get("Path", "/"))
        arns = {
            "AWS::IAM::Role": f"iam::{self.account}:role{path}{own}",
            "AWS::S3::Bucket": f"s3:::{own}",
            "AWS::KMS::Key": f"kms:{regional}:key/{own}",
            "AWS::SQS::Queue": f"sqs:{regional}:{own}",
            "AWS::CodeBuild::Project": f"codebuild:{regional}:project/{own}",
            "AWS::Logs::LogGroup": f"logs:{regional}:log-group:{own}:*",
            "AWS::Events::Rule": f"events:{regional}:rule/{own}",
            "AWS::SageMaker::ModelPackageGroup": f"sagemaker:{regional}:model-package-group/{own}",
            "AWS::CodeConnections::Connection": f"codeconnections:{regional}:connection/{own}",
            "AWS::SageMaker::Domain": f"sagemaker:{regional}:domain/{own}",
            "AWS::DynamoDB::Table": f"dynamodb:{regional}:table/{own}",
            "AWS::ECR::Repository": f"ecr:{regional}:repository/{own}",
            "AWS::CodePipeline::Pipeline": f"codepipeline:{regional}:{own}",
        }
        if name.endswith("Arn") and resource["Type"] in arns:
            return f"arn:{self.partition}:{arns[resource['Type']]}"
        return f"{own}.{name}"

    def _sub(self, argument: Any) -> str:  # noqa: ANN401 (text, or text and a map)
        text, given = (argument, {}) if isinstance(argument, str) else argument

        def replace(match: re.Match[str]) -> str:
            name = match.group(1)
            if name in given:
                return str(self.value(given[name]))
            return str(self.value({"Fn::GetAtt": name} if "." in name else {"Ref": name}))

        return str(self.value(_SUB_VARIABLE.sub(replace, text))).replace("${!", "${")

    # ---- resources ----------------------------------------------------------------------------------------------

    def resources(self, *types: str) -> dict[str, dict[str, Any]]:
        """Return the resolved properties of the resources that this launch makes, by logical id.

        Args:
            types: Resource types. Default: all.
        """
        return {
            logical_id: self.value(resource.get("Properties", {}))
            for logical_id, resource in self.template["Resources"].items()
            if (not types or resource["Type"] in types)
            and ("Condition" not in resource or self.condition(resource["Condition"]))
        }

    def roles(self, *, managed: bool = True) -> dict[str, list[Statement]]:
        """Return the statements of every role that this launch makes, attached policies included, by logical id.

        Args:
            managed: Whether with those of managed policies. Default: with them.
        """
        statements = {
            logical_id: [s for policy in properties.get("Policies", []) for s in _statements(policy["PolicyDocument"])]
            for logical_id, properties in self.resources("AWS::IAM::Role").items()
        }
        for policy in self.resources("AWS::IAM::Policy").values():
            for logical_id in statements:
                if self.physical_id(logical_id) in policy["Roles"]:
                    statements[logical_id] += _statements(policy["PolicyDocument"])
        roles = self.resources("AWS::IAM::Role")
        for policy_id, policy in self.resources("AWS::IAM::ManagedPolicy").items() if managed else ():
            for logical_id in statements:
                attached = self.ref(policy_id) in roles[logical_id].get("ManagedPolicyArns", [])
                if attached or self.physical_id(logical_id) in policy.get("Roles", []):
                    statements[logical_id] += _statements(policy["PolicyDocument"])
        return statements

    def outputs(self) -> dict[str, Any]:
        """Return the outputs of this launch."""
        return {
            name: self.value(output["Value"])
            for name, output in self.template.get("Outputs", {}).items()
            if "Condition" not in output or self.condition(output["Condition"])
        }


def allows(statements: Iterable[Statement], action: str, resource: str, **context: str | list[str]) -> bool:
    """Decide whether an identity with these statements may do something.

    Args:
        statements: Resolved statements of the identity.
        action: E.g. ``s3:GetObject``.
        resource: ARN, or ``*`` for an action without a resource.
        context: Condition keys of the request, colons and slashes written as in IAM: pass them as
            ``**{"sagemaker:ModelApprovalStatus": "Approved"}``.

    Raises:
        ValueError: There is no such action, or the decision hangs on a key that no request of it carries.
    """
    if reference.canonical(action) is None:
        raise ValueError(f"there is no action {action}: nobody can ask for it, so a test of it shows nothing.")
    statements = list(statements)
    carried = {key: value for key, value in context.items() if reference.carries(action, key)}
    decision = _decided(statements, action, resource, carried)
    if decision is not _decided(statements, action, resource, context):
        raise ValueError(
            f"with {sorted(set(context) - set(carried))} {action} would be {'refused' if decision else 'allowed'}, but "
            f"no request of it carries that (service authorization reference): AWS decides the opposite."
        )
    return decision


def _decided(
    statements: Iterable[Statement], action: str, resource: str, context: Mapping[str, str | list[str]]
) -> bool:
    effects = {s["Effect"] for s in statements if _applies(s, action, resource, context)}
    return "Allow" in effects and "Deny" not in effects


def principal(tags: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Return the context of a caller with tags."""
    return {f"aws:PrincipalTag/{key}": value for key, value in tags.items()}


def requested(tags: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Return the context of a request that sets tags."""
    return {f"aws:RequestTag/{key}": value for key, value in tags.items()} | {"aws:TagKeys": list(tags)}


def existing(tags: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Return the context of a resource that has tags."""
    return {f"aws:ResourceTag/{key}": value for key, value in tags.items()}


def assumes(
    trust: Mapping[str, Any], *, caller: str, caller_tags: Mapping[str, str], session_tags: Mapping[str, str]
) -> bool:
    """Decide whether a trust policy lets a caller assume the role, with tags for the session.

    The caller's own policy has to allow it as well when the role is in another account.

    Args:
        trust: Resolved trust policy.
        caller: ARN of the role that asks.
        caller_tags: Its tags.
        session_tags: Tags for the session; passing any takes ``sts:TagSession`` too.
    """
    _, partition, _, _, account, _ = caller.split(":", 5)
    meant = {caller, account, f"arn:{partition}:iam::{account}:root", "*"}
    statements = [
        {**s, "Resource": "*"} for s in _statements(trust) if meant & set(_listed(s["Principal"].get("AWS", [])))
    ]
    context: dict[str, str | list[str]] = {"aws:PrincipalArn": caller, **principal(caller_tags)}
    if session_tags:
        context |= requested(session_tags)
    actions = ["sts:AssumeRole", *(["sts:TagSession"] if session_tags else [])]
    return all(allows(statements, action, "*", **context) for action in actions)


def _applies(statement: Statement, action: str, resource: str, context: Mapping[str, str | list[str]]) -> bool:
    actions = _listed(statement.get("Action", statement.get("NotAction")))
    names_action = any(_matches(pattern.lower(), action.lower()) for pattern in actions)
    if names_action == ("NotAction" in statement):
        return False
    resources = [_filled(r, context) for r in _listed(statement.get("Resource", statement.get("NotResource", [])))]
    names_resource = any(r is not None and _matches(r, resource) for r in resources)
    if names_resource == ("NotResource" in statement):
        return False
    return all(
        _holds(operator, key, [_filled(str(v), context) for v in _listed(expected)], context)
        for operator, keys in statement.get("Condition", {}).items()
        for key, expected in keys.items()
    )


def _holds(operator: str, key: str, expected: list[str | None], context: Mapping[str, str | list[str]]) -> bool:
    found = next((value for name, value in context.items() if name.lower() == key.lower()), None)
    quantifier, _, plain = operator.rpartition(":")
    if plain == "Null":
        return expected == [str(found is None).lower()]
    base = plain.removesuffix("IfExists")
    if found is None:
        # An absent key fails a positive operator and satisfies a negated one; ForAllValues is satisfied by no value.
        return plain.endswith("IfExists") or base.startswith(("StringNot", "ArnNot")) or quantifier == "ForAllValues"
    wanted = [item for item in expected if item is not None]
    matches = _OPERATORS[base.replace("Not", "")]
    negated = "Not" in base
    results = [any(matches(item, value) for item in wanted) != negated for value in _listed(found)]
    return all(results) if quantifier == "ForAllValues" else any(results)


def _matches(pattern: str, value: str) -> bool:
    return fnmatchcase(value, pattern.replace("[", "[[]"))


_OPERATORS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "StringEquals": lambda pattern, value: pattern == value,
    "StringEqualsIgnoreCase": lambda pattern, value: pattern.lower() == value.lower(),
    "StringLike": _matches,
    "ArnEquals": _matches,
    "ArnLike": _matches,
    "Bool": lambda pattern, value: pattern.lower() == value.lower(),
}


def _filled(text: str, context: Mapping[str, str | list[str]]) -> str | None:
    """Replace policy variables such as ``${sagemaker:DomainId}``; None when the request lacks one of them."""
    missing = False

    def replace(match: re.Match[str]) -> str:
        nonlocal missing
        value = context.get(match.group(1))
        missing = missing or not isinstance(value, str)
        return value if isinstance(value, str) else ""

    filled = _POLICY_VARIABLE.sub(replace, text)
    return None if missing else filled


def _statements(document: Mapping[str, Any]) -> list[Statement]:
    statements = document["Statement"]
    return list(statements) if isinstance(statements, list) else [statements]


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 (JSON)
    return value if isinstance(value, list) else [value]
