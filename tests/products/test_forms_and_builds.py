"""What a form accepts, everything behind it accepts: the checks of the functions, the services, and the first build.

Answers are generated from the template's own patterns, values and bounds, and held by its rules, as CloudFormation
reads them. Then the launched template is read as the custom resources, the services and the seed code read it.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from lambdas.deployment.core import parse_stage
from lambdas.preflight.core import connection_problems, repository_problems
from lambdas.seed_checkin.core import parse_checkin
from lambdas.shared.custom_resource import Address, Request
from products.catalog import PRODUCTS
from products.shared import seed_code
from products.shared.form import patterns
from tests.products.launches import ORDINARY, launch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Template = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
TRIALS = ROOT.parent / "shared/trials"
REGIONS = ("eu-west-1", "eu-central-1")
TAG_VALUE = re.compile(r"(?!aws:)[\w .:/=+@-]{0,256}", re.IGNORECASE)
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html, "Rules for tagging": aws: is reserved, in values too.

The letters are those that all services of our resources take."""

MADE_UP = re.compile(r"(?s).*\.[A-Z][A-Za-z]+")
"""An attribute that `launch` makes up, e.g. ``churn.DomainId``."""

every_product = pytest.mark.parametrize("product", PRODUCTS, ids=lambda p: p.SPEC.id)


# ---- what a form accepts --------------------------------------------------------------------------------------------


def answers(template: Template, example: Mapping[str, str]) -> st.SearchStrategy[dict[str, str]]:
    """Return answers that the form accepts one by one; names of SSM parameters are those of the example."""
    return st.fixed_dictionaries(
        {name: accepted(declared, example.get(name)) for name, declared in template["Parameters"].items()}
    )


def accepted(declared: Mapping[str, Any], example: str | None) -> st.SearchStrategy[str]:
    if "AllowedValues" in declared:
        return st.sampled_from([str(value) for value in declared["AllowedValues"]])
    if declared["Type"] == "Number":
        least, most = declared["MinValue"], declared["MaxValue"]
        fractions = st.decimals(least, most, places=2).map(lambda number: f"{number:f}")
        return st.integers(least, most).map(str) | fractions
    if declared["Type"] != "String":
        return st.just(example or str(declared["Default"]))
    longest = declared.get("MaxLength", 4096)
    written = st.from_regex(declared["AllowedPattern"], fullmatch=True).filter(lambda value: len(value) <= longest)
    usual = [value for value in (example, declared.get("Default")) if value is not None]
    return st.sampled_from(usual) | written if usual else written


def keeps_the_rules(template: Template, given_answers: Mapping[str, str]) -> bool:
    """Return whether the answers fit together, as the template's rules say."""
    launched = launch(template, given_answers)
    return all(
        launched.value(assertion["Assert"])
        for rule in template.get("Rules", {}).values()
        if launched.value(rule.get("RuleCondition", {"Fn::Equals": ["", ""]}))
        for assertion in rule["Assertions"]
    )


# ---- what is behind it ----------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Writes the repository that a template generates, and lets its modules be imported until the test is over."""
    before = set(sys.modules)

    def write(template: str) -> Path:
        seed_code.write(template, tmp_path)
        for folder in (tmp_path, tmp_path / "src"):
            monkeypatch.syspath_prepend(folder)
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(f"{tmp_path}/"):
            del sys.modules[name]


def variables(launched: Any) -> Iterator[dict[str, str]]:  # noqa: ANN401
    """Yield the variables of each of the project's builds."""
    for project in launched.resources("AWS::CodeBuild::Project").values():
        yield {entry["Name"]: str(entry["Value"]) for entry in project["Environment"]["EnvironmentVariables"]}


def refused_by_functions(launched: Any) -> list[str]:  # noqa: ANN401
    """Return what the functions behind the custom resources refuse."""
    found: list[str] = []
    for properties in launched.resources("Custom::Preflight").values():
        if arn := properties.get("ConnectionArn"):
            found += connection_problems(arn, "AVAILABLE")
        if repository := properties.get("Repository"):
            found += repository_problems(repository)
    for properties in launched.resources("Custom::SeedCode").values():
        parse_checkin(request(properties | {"Version": "1.0.0"}), properties["AssetBucket"])
    for properties in launched.resources("Custom::Deployment").values():
        parse_stage(request(properties), {*REGIONS, properties["Region"]})
    return found


def request(properties: Mapping[str, Any]) -> Request:
    address = Address(response_url="https://x", stack_id="s", request_id="r", logical_resource_id="l")
    return Request(
        kind="Create",
        address=address,
        resource_type="Custom::Checked",
        physical_id=None,
        properties=properties,
        old_properties={},
    )


@cache
def checker(type_: str) -> Draft7Validator:
    """Return the schema of a resource type, with its classes of letters in the words of Python."""
    words = {"L": "w", "N": "d", "Z": "s"}
    schema = json.dumps(PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", type_).schema)
    schema = re.sub(r"\\\\p\{(.)\}", lambda found: rf"\\{words.get(found[1], 'S')}", schema)
    return Draft7Validator(json.loads(schema))


@cache
def answered(properties: str, questions: tuple[str, ...]) -> bool:
    """Return whether the properties of a resource depend on an answer."""
    return any(name in properties for name in questions)


def refused_by_services(template: Template, launched: Any) -> list[str]:  # noqa: ANN401
    """Return what the schemas of the resource types say about texts and numbers, and IAM about the values of tags."""
    found = []
    for id_, resource in template["Resources"].items():
        type_, own = resource["Type"], resource.get("Properties", {})
        made = "Condition" not in resource or launched.condition(resource["Condition"])
        if type_.startswith("Custom::") or not made or not answered(json.dumps(own), tuple(template["Parameters"])):
            continue
        properties = launched.value(own)
        found += [
            f"{id_}.{'.'.join(map(str, error.absolute_path))}: {error.message}"
            for error in checker(type_).iter_errors(properties)
            if error.validator in ("pattern", "maxLength", "minLength", "maximum", "minimum", "enum")
            and not MADE_UP.fullmatch(str(error.instance))
        ]
        tags = properties.get("Tags", [])
        for tag in tags if isinstance(tags, list) else [{"Value": value} for value in tags.values()]:
            if not TAG_VALUE.fullmatch(str(tag["Value"])):
                found.append(f"{id_}: tag value {tag['Value']!r}")
    return found


def read_by_build(product: str, repository: Path, launched: Any) -> None:  # noqa: ANN401
    """Let the seed code read what its builds are told, with the settings files as they are checked in."""
    builds = list(variables(launched))
    if product.startswith("train-"):
        read_settings = importlib.import_module("ml_pipelines.config").read_settings
        for told in builds:
            source, job, _ = read_settings(repository / "config.yaml", told)
            assert source.undecided is None
            assert job.label == told["LABEL"]
        return
    steps, read = (importlib.import_module(f"deployment.{name}") for name in ("steps", "settings"))
    choices = [read.read_build(told).choices for told in builds]
    read.read_environments(repository / "environments.yaml", choices[0], steps.SCHEMA, steps.refuse)


# ---- the rule -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@every_product
def test_what_the_form_accepts_nothing_behind_it_refuses(
    product: type[Any], synth_product: Callable[[type[Any]], Template], repository: Callable[[str], Path]
) -> None:
    template = synth_product(product)
    generated = repository(product.SPEC.seed_code) if product.SPEC.seed_code else None
    example = ORDINARY[product.SPEC.id]

    @settings(
        max_examples=30,
        phases=[Phase.generate],  # what is refused is short; making it shorter takes minutes
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(answers(template, example))
    def accepted_everywhere(filled: dict[str, str]) -> None:
        assume(keeps_the_rules(template, filled))
        launched = launch(template, filled)
        assert refused_by_functions(launched) == []
        assert refused_by_services(template, launched) == []
        if generated:
            read_by_build(product.SPEC.id, generated, launched)

    accepted_everywhere()


@pytest.mark.skipif(not TRIALS.is_dir(), reason="the trial inputs are not on this machine")
def test_the_trials_of_forms_are_accepted_by_form_and_build_or_refused_by_the_form(
    repository: Callable[[str], Path],
) -> None:
    repository("train-s3")
    read = importlib.import_module("ml_pipelines.data_source").DataSource.read
    for uri in (TRIALS / "form-data-uri-accepted-build-refuses.txt").read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(patterns.S3_FOLDER, uri), uri
        problems: list[str] = []
        read({"data_uri": uri}, problems)
        assert problems == []
    for schedule in (TRIALS / "form-cron-both-days-star.txt").read_text(encoding="utf-8").splitlines():
        assert not re.fullmatch(patterns.SCHEDULE, schedule), schedule
