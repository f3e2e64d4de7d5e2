"""What holds for every product of the catalog: its form, its tags, its roles, its size, and what the linters say."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
import pytest
from cdk_nag import AwsSolutionsChecks
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from foundation import boundary
from pipeline.synthesis import feature_flags, template_bytes
from portfolios.catalog import PORTFOLIOS
from products.catalog import PRODUCTS
from products.shared import names
from tests.policy import allows
from tests.products.launches import ANSWERS, LONGEST, LONGEST_REGION, ORDINARY, launch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.policy import Launch

    Template = dict[str, Any]
    SynthProduct = Callable[[type[Any]], Template]

ROOT = Path(__file__).resolve().parents[2]
INLINE_POLICIES_MAX = 10_240  # characters per role without white space (IAM quotas)
MANAGED_POLICY_MAX = 6_144  # characters without white space (IAM quotas)
CUSTOM_RESOURCES = {
    "Custom::Preflight": (names.PREFLIGHT_FUNCTION, {"Checks"}),
    "Custom::Deployment": (names.DEPLOYMENT_FUNCTION, {"ProjectId", "Stage", "AccountId", "Region"}),
    "Custom::BucketContents": (names.BUCKET_EMPTIER_FUNCTION, {"BucketName"}),
    "Custom::EnableProjects": (
        names.ENABLE_PROJECTS_FUNCTION,
        {"DomainName", "ConnectionArn", "PersonaRoleArns"},
    ),
    "Custom::ProjectDataAccess": (
        names.DATA_PERMISSIONS_FUNCTION,
        {"ProjectId", "Database", "Table", "Columns", "Location", "Roles"},
    ),
    "Custom::DataAccess": (
        names.DATA_PERMISSIONS_FUNCTION,
        {
            "CatalogId",
            "TargetDatabase",
            "Tables",
            "Columns",
            "DataCellsFilter",
            "TagExpression",
            "Personas",
            "Projects",
            "ProjectTag",
            "Hybrid",
        },
    ),
    "Custom::SeedCode": (
        names.SEED_CHECKIN_FUNCTION,
        {
            "ConnectionArn",
            "Repository",
            "Branch",
            "AssetBucket",
            "AssetKey",
            "Version",
            "ProjectName",
            "ProjectId",
        },
    ),
}

every_product = pytest.mark.parametrize("product", PRODUCTS, ids=lambda p: p.SPEC.id)


@cache
def schema(type_: str) -> dict[str, Any]:
    return dict(PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", type_).schema)


@cache
def actions_with_resources() -> frozenset[str]:
    """Actions that IAM can limit to resources, in lower case, from the service authorization data of cfn-lint."""
    data = json.loads(files("cfnlint.data.AdditionalSpecs").joinpath("Policies.json").read_text(encoding="utf-8"))
    return frozenset(
        f"{service}:{action}"
        for service, about in data.items()
        for action, limits in about["Actions"].items()
        if limits.get("Resources")
    )


def strings(node: Any) -> Iterator[str]:  # noqa: ANN401 (JSON)
    """Yield every key and value of a template that is text."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from strings(value)
    elif isinstance(node, list):
        for item in node:
            yield from strings(item)


def references(node: Any) -> set[str]:  # noqa: ANN401 (JSON)
    """Return the names that a part of a template refers to."""
    if isinstance(node, dict):
        found = set().union(*(references(v) for v in node.values()))
        if "Ref" in node:
            found.add(node["Ref"])
        if "Fn::GetAtt" in node:
            found.add(node["Fn::GetAtt"][0])
        if "Fn::Sub" in node:
            text = node["Fn::Sub"] if isinstance(node["Fn::Sub"], str) else node["Fn::Sub"][0]
            found |= {match.split(".")[0] for match in re.findall(r"\$\{([^!}]+)\}", text)}
        return found
    if isinstance(node, list):
        return set().union(*(references(item) for item in node))
    return set()


def waits_for(template: Template, logical_id: str) -> set[str]:
    """Return every resource that must exist before another one is made."""
    resources = template["Resources"]
    found: set[str] = set()
    todo = [logical_id]
    while todo:
        resource = resources[todo.pop()]
        explicit = resource.get("DependsOn", [])
        needed = references(resource.get("Properties", {})) | ({explicit} if isinstance(explicit, str) else {*explicit})
        new = (needed & resources.keys()) - found
        found |= new
        todo += new
    return found


def statements(roles: Launch) -> Iterator[tuple[str, dict[str, Any]]]:
    for role, granted in roles.roles().items():
        for statement in granted:
            yield role, dict(statement)


def listed(value: Any) -> list[str]:  # noqa: ANN401 (JSON)
    return value if isinstance(value, list) else [value]


@every_product
def test_the_example_answers_fit_the_form(product: type[Any], synth_product: SynthProduct) -> None:
    declared = synth_product(product)["Parameters"]
    example = ANSWERS[product.SPEC.id]
    required = {name for name, parameter in declared.items() if "Default" not in parameter}
    assert required <= set(example.ordinary) <= set(declared)
    assert set(example.tags) | set(example.organization) | set(example.longest) <= set(declared)
    people = {
        persona for portfolio in PORTFOLIOS if product.SPEC.id in portfolio.products for persona in portfolio.personas
    }
    assert example.launched_by in people
    for answers in (example.ordinary, example.longest):
        for name, answer in answers.items():
            parameter = declared[name]
            if parameter["Type"].startswith("AWS::SSM"):
                continue  # the form asks for the name of an SSM parameter; the example is the parameter's value
            assert re.fullmatch(parameter.get("AllowedPattern", ".*"), answer), name
            assert answer in parameter.get("AllowedValues", [answer]), name
            assert len(answer) <= parameter.get("MaxLength", len(answer)), name
            assert parameter["Type"] != "Number" or answer.isdecimal(), name


# ---- linters --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@every_product
def test_cfn_lint_finds_nothing_not_even_warnings(product: type[Any], synth_product: SynthProduct) -> None:
    found = lint(json.dumps(synth_product(product)), config=ManualArgs(regions=["us-east-1", "eu-west-1"]))
    assert [str(match) for match in found] == []


@every_product
def test_cdk_nag_finds_nothing_that_is_not_acknowledged(product: type[Any]) -> None:
    stack = cdk.Stack(cdk.App(analytics_reporting=False, context=feature_flags(ROOT)), "Test")
    report = AwsSolutionsChecks().validate_scope(product(stack, "Product"))
    assert [(v.rule_name, v.violating_resources[0].construct_path) for v in report.violations] == []


# ---- the template ---------------------------------------------------------------------------------------------------


@every_product
def test_the_template_fits_into_service_catalog(product: type[Any], synth_product: SynthProduct) -> None:
    assert len(template_bytes(synth_product(product))) <= 1_000_000


@every_product
def test_the_template_knows_no_account_region_or_partition(product: type[Any], synth_product: SynthProduct) -> None:
    for text in strings(synth_product(product)):
        assert not re.search(r"(?<![0-9a-f-])\d{12}(?![0-9a-f-])", text), text
        assert not re.search(r"\b[a-z]{2}(-gov|-iso[a-z]?)?-(north|south|east|west|central)[a-z]*-\d\b", text), text
        assert "arn:aws:" not in text
        assert not re.search(r"\bo-[a-z0-9]{10,32}\b", text), text


@every_product
def test_the_template_is_ascii_so_that_every_console_shows_it_as_it_is(
    product: type[Any], synth_product: SynthProduct
) -> None:
    assert [text for text in strings(synth_product(product)) if not text.isascii()] == []


@every_product
def test_the_product_brings_no_function_and_no_asset(product: type[Any], synth_product: SynthProduct) -> None:
    template = synth_product(product)
    types = {resource["Type"] for resource in template["Resources"].values()}
    assert not {t for t in types if t.startswith(("AWS::Lambda::", "Custom::AWS", "Custom::CDK", "Custom::S3"))}
    assert not [text for text in strings(template) if "cdk-hnb659fds" in text or "AssetParameters" in text]


@every_product
def test_custom_resources_follow_the_contract(product: type[Any], synth_product: SynthProduct) -> None:
    for logical_id, resource in synth_product(product)["Resources"].items():
        if not resource["Type"].startswith("Custom::"):
            continue
        function, needed = CUSTOM_RESOURCES[resource["Type"]]
        properties = resource["Properties"]
        arn = f"arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:{function}"
        assert properties["ServiceToken"] == {"Fn::Sub": arn}, logical_id
        assert needed <= properties.keys(), logical_id
        assert 1 <= int(properties["ServiceTimeout"]) <= 3600, logical_id


@every_product
def test_nothing_is_made_before_the_preflight_check_passed(product: type[Any], synth_product: SynthProduct) -> None:
    template = synth_product(product)
    (check,) = [k for k, v in template["Resources"].items() if v["Type"] == "Custom::Preflight"]
    hasty = [k for k in template["Resources"] if k != check and check not in waits_for(template, k)]
    assert hasty == []


# ---- the form -------------------------------------------------------------------------------------------------------


@every_product
def test_every_parameter_is_used_by_a_resource(product: type[Any], synth_product: SynthProduct) -> None:
    template = synth_product(product)
    by_condition = {name: references(body) for name, body in template["Conditions"].items()}
    used = references(template["Resources"])
    for name, body in by_condition.items():
        if f'"{name}"' in json.dumps(template["Resources"]):
            used |= body
    assert set(template["Parameters"]) - used == set()


@every_product
def test_every_parameter_has_a_label_a_group_and_a_description(product: type[Any], synth_product: SynthProduct) -> None:
    template = synth_product(product)
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [p for group in interface["ParameterGroups"] for p in group["Parameters"]]
    assert sorted(grouped) == sorted(template["Parameters"])
    assert len({group["Label"]["default"] for group in interface["ParameterGroups"]}) == len(
        interface["ParameterGroups"]
    )
    for name, parameter in template["Parameters"].items():
        assert interface["ParameterLabels"][name]["default"]
        free = "AllowedValues" not in parameter and not parameter["Type"].startswith("AWS::SSM::")
        assert len(parameter["Description"]) > 20
        assert not free or "e.g." in parameter["Description"].lower() or "for example" in parameter["Description"], name


@every_product
def test_every_parameter_is_checked_in_the_form_and_says_what_is_wrong(
    product: type[Any], synth_product: SynthProduct
) -> None:
    for name, parameter in synth_product(product)["Parameters"].items():
        typed = parameter["Type"].startswith("AWS::SSM::")
        assert typed or parameter.keys() & {"AllowedValues", "AllowedPattern", "MinValue"}, name
        if parameter.keys() & {"AllowedPattern", "MinValue", "MaxLength"}:
            assert len(parameter["ConstraintDescription"]) > 20, name


@every_product
def test_defaults_satisfy_their_own_constraints(product: type[Any], synth_product: SynthProduct) -> None:
    for name, parameter in synth_product(product)["Parameters"].items():
        default = parameter.get("Default")
        if default is None:
            continue
        assert "AllowedValues" not in parameter or default in parameter["AllowedValues"], name
        assert "AllowedPattern" not in parameter or re.fullmatch(parameter["AllowedPattern"], default), name
        assert "MinValue" not in parameter or parameter["MinValue"] <= int(default) <= parameter["MaxValue"], name


@every_product
def test_the_readme_explains_every_parameter_and_output(product: type[Any], synth_product: SynthProduct) -> None:
    template = synth_product(product)
    text = (ROOT / "products" / product.SPEC.folder / "README.md").read_text(encoding="utf-8")
    missing = [name for name in (*template["Parameters"], *template["Outputs"]) if f"`{name}`" not in text]
    assert missing == []
    for title in ("What it makes", "Parameters", "Outputs", "Costs", "Delete", "Troubleshooting"):
        assert re.search(rf"^## .*{title}", text, re.MULTILINE), title


@every_product
def test_every_output_says_what_it_is(product: type[Any], synth_product: SynthProduct) -> None:
    outputs = synth_product(product)["Outputs"]
    assert "NextStep" in outputs
    assert [name for name, output in outputs.items() if not output.get("Description")] == []


# ---- tags and names -------------------------------------------------------------------------------------------------


@every_product
def test_every_resource_that_can_be_tagged_carries_the_cost_tags(
    product: type[Any], synth_product: SynthProduct
) -> None:
    template = synth_product(product)
    launched = launch(template, ORDINARY[product.SPEC.id])
    for logical_id, resource in template["Resources"].items():
        if resource["Type"].startswith("Custom::"):
            continue
        tagging = schema(resource["Type"]).get("tagging", {})
        if not tagging.get("taggable", True):
            continue
        where = tagging.get("tagProperty", "/properties/Tags").removeprefix("/properties/")
        if where not in schema(resource["Type"])["properties"]:
            continue
        tags = launched.value(resource["Properties"].get(where, []))
        found = {tag["Key"]: tag["Value"] for tag in tags}
        assert found.keys() >= set(ANSWERS[product.SPEC.id].tags), f"{logical_id} ({resource['Type']}) has {found}"
        assert found["CostCenter"] == "ml-1000"


@every_product
def test_longest_names_fit_what_the_services_allow(product: type[Any], synth_product: SynthProduct) -> None:
    longest = launch(synth_product(product), LONGEST[product.SPEC.id], region=LONGEST_REGION)
    limits = {("AWS::S3::Bucket", "BucketName"): 63, ("AWS::CodePipeline::Pipeline", "Name"): 100}
    limits |= {("AWS::SQS::Queue", "QueueName"): 80, ("AWS::CodeBuild::Project", "Name"): 255}
    checked = 0
    for logical_id, resource in longest.template["Resources"].items():
        if resource["Type"].startswith("Custom::"):
            continue
        for name, value in longest.value(resource.get("Properties", {})).items():
            about = schema(resource["Type"])["properties"].get(name, {})
            limit = limits.get((resource["Type"], name), about.get("maxLength"))
            if isinstance(value, str) and limit and name.endswith(("Name", "Description")):
                assert len(value) <= limit, f"{logical_id}.{name} has {len(value)} characters: {value}"
                checked += 1
    assert checked


@every_product
def test_two_launches_in_one_account_share_no_name(product: type[Any], synth_product: SynthProduct) -> None:
    template = synth_product(product)
    parameters = ORDINARY[product.SPEC.id]
    other = {"DomainName": "fraud-lab", "SageMakerProjectId": "p-bbbbbbbbbbbb"}
    first = launch(template, parameters, stack="SC-1")
    second = launch(template, {**parameters, **{k: v for k, v in other.items() if k in parameters}}, stack="SC-2")
    named = [k for k, v in template["Resources"].items() if "Policy" not in v["Type"]]
    mine, theirs = ({run.physical_id(k) for k in named} for run in (first, second))
    assert mine & theirs == set()


# ---- roles ----------------------------------------------------------------------------------------------------------


@every_product
def test_every_role_has_the_boundary_a_platform_path_and_one_service(
    product: type[Any], synth_product: SynthProduct
) -> None:
    launched = launch(synth_product(product), ORDINARY[product.SPEC.id])
    for role in launched.resources("AWS::IAM::Role").values():
        assert role["PermissionsBoundary"].endswith(":policy/ml-platform-boundary")
        paths = [names.PROJECT_ROLE_PATH, names.STUDIO_ROLE_PATH, *map(names.persona_role_path, names.PERSONAS)]
        assert role["Path"] in paths
        assert "ManagedPolicyArns" not in role
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            if "AWS" in statement["Principal"]:  # a lead who acts as a data scientist: test_sagemaker_domain.py
                assert role["Path"] == names.persona_role_path("data-scientist")
                continue
            assert list(statement["Principal"]) == ["Service"]
            assert isinstance(statement["Principal"]["Service"], str)
            assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": launched.account}}


@every_product
def test_what_data_scientists_pass_to_sagemaker_are_roles_of_pipelines_and_nothing_else(
    product: type[Any], synth_product: SynthProduct
) -> None:
    launched = launch(synth_product(product), ORDINARY[product.SPEC.id])
    for role in launched.resources("AWS::IAM::Role").values():
        trusted = {s["Principal"].get("Service") for s in role["AssumeRolePolicyDocument"]["Statement"]}
        if role["Path"] == names.PROJECT_ROLE_PATH and "sagemaker.amazonaws.com" in trusted:
            assert trusted == {"sagemaker.amazonaws.com"}
            assert role["Description"] == "Runs the SageMaker pipeline and the jobs of one project"


@every_product
def test_no_role_is_granted_a_wildcard_action(product: type[Any], synth_product: SynthProduct) -> None:
    launched = launch(synth_product(product), ORDINARY[product.SPEC.id])
    wild = [a for _, s in statements(launched) for a in listed(s["Action"]) if "*" in a]
    assert wild == []


@every_product
def test_all_resources_are_meant_only_where_an_action_has_none(product: type[Any], synth_product: SynthProduct) -> None:
    launched = launch(synth_product(product), ORDINARY[product.SPEC.id])
    broad = {a.lower() for _, s in statements(launched) if "*" in listed(s["Resource"]) for a in listed(s["Action"])}
    # PutMetricData knows an ARN for data sets only; SageMaker's metrics belong to none.
    assert broad & actions_with_resources() <= {"cloudwatch:putmetricdata"}


@every_product
def test_the_boundary_lets_through_what_the_roles_are_granted(product: type[Any], synth_product: SynthProduct) -> None:
    launched = launch(synth_product(product), ORDINARY[product.SPEC.id])
    work = [{"Effect": "Allow", "Action": [*boundary.WORK, "iam:PassRole", "sts:AssumeRole"], "Resource": "*"}]
    asked = {a for _, s in statements(launched) for a in listed(s["Action"])}
    assert {action for action in asked if not allows(work, action, "*")} == set()


@every_product
def test_inline_policies_fit(product: type[Any], synth_product: SynthProduct) -> None:
    stack = "SC-111122223333-pp-abcdefghijklm"  # as Service Catalog names them
    longest = launch(synth_product(product), LONGEST[product.SPEC.id], region=LONGEST_REGION, stack=stack)
    for role, granted in longest.roles(managed=False).items():
        assert len(json.dumps(granted, separators=(",", ":"))) < INLINE_POLICIES_MAX - 300, role


@every_product
def test_managed_policies_fit(product: type[Any], synth_product: SynthProduct) -> None:
    longest = launch(synth_product(product), LONGEST[product.SPEC.id], region=LONGEST_REGION)
    for logical_id, policy in longest.resources("AWS::IAM::ManagedPolicy").items():
        assert len(json.dumps(policy["PolicyDocument"], separators=(",", ":"))) < MANAGED_POLICY_MAX, logical_id


@every_product
def test_no_role_both_registers_and_approves(product: type[Any], synth_product: SynthProduct) -> None:
    launched = launch(synth_product(product), ORDINARY[product.SPEC.id])
    own = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/churn-p-aaaaaaaaaaaa/1"
    approved = {"sagemaker:ModelApprovalStatus": "Approved"}
    for role, granted in launched.roles().items():
        registers = allows(granted, "sagemaker:CreateModelPackage", own)
        approves = allows(granted, "sagemaker:UpdateModelPackage", own, **approved)
        assert not (registers and approves), role
        assert not allows(granted, "sagemaker:CreateModelPackage", own, **approved), role
