"""Names that another language has to repeat: seed code, policies and build commands say what the code says.

Each pattern finds every place of its kind in a file, so a name that changes on either side is found here.
"""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from lambdas.model_promotion import names as promotion
from lambdas.preflight import core as preflight
from pipeline.preflight.hub import AUDIT_WORK_GROUP
from products.catalog import PRODUCTS
from products.deploy_realtime import product as deploy_realtime
from products.shared import names, seed_code
from products.shared.deployment import pipeline, shadow
from products.shared.deployment.answers import variable
from products.shared.form import questions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Template = dict[str, Any]
    SynthProduct = Callable[[type[Any]], Template]

ROOT: Final = Path(__file__).resolve().parent.parent
SETS: Final = "foundation/organization/permission_sets"
LAYERS: Final = "seed-code/layers"
REGISTRY: Final = names.registry_bucket("HUB", "REGION").removesuffix("-HUB-REGION")
AUDIT: Final = names.audit_bucket("HUB", "REGION").removesuffix("-HUB-REGION")
TAGS: Final = {names.DEPLOYMENT_TAG, names.COST_CENTER_TAG, names.PROJECT_NAME_TAG, names.PROJECT_ID_TAG}


def said(path: str, pattern: str) -> set[Any]:
    """Return everything that a pattern finds in the files of the repository that a path, which may have *, names."""
    files = list(ROOT.glob(path))
    assert files, f"{path} is nowhere"
    return {name for file in files for name in re.findall(pattern, file.read_text(encoding="utf-8"))}


REPEATED: Final = {
    "where deployments find what was promoted": (
        f"{LAYERS}/deployment/deployment/packages.py",
        r'f"([a-z]+/)\{package\.group',
        {promotion.PROMOTED_PREFIX},
    ),
    "where the sample of a deployment repository has its model": (
        f"{LAYERS}/deployment/deployment/local.py",
        r"s3://(ml-platform-[a-z]+)-\d{12}-[a-z0-9-]+/([a-z]+/)\{_GROUP\}",
        {(REGISTRY, promotion.PACKAGES_PREFIX)},
    ),
    "the event of a monitor": (
        f"{LAYERS}/monitoring/jobs/monitor/monitoring/publish.py",
        r'SOURCE, DETAIL_TYPE = "([^"]+)", "([^"]+)"',
        {(names.DRIFT_SOURCE, names.DRIFT_EVENT)},
    ),
    "what the governance officer answers": (
        f"{SETS}/governance-officer.json",
        r":codepipeline:[^\"]*:([a-z]+-)p-\*-deploy/(\w+)/(\w+)\"",
        {(names.PROJECT_RESOURCE_PREFIX, promotion.APPROVAL_STAGE, promotion.APPROVAL_ACTION)},
    ),
    "the audit records that the governance officer reads": (
        f"{SETS}/governance-officer.json",
        r":s3:::(ml-platform-[a-z]+)-\$\{aws:PrincipalAccount\}-\$\{aws:RequestedRegion\}/([a-z]+/)",
        {(AUDIT, promotion.AUDIT_PREFIX)},
    ),
    "the reports that the ML engineer reads": (
        f"{SETS}/ml-engineer.json",
        r":s3:::(ml-platform-[a-z]+)-\$\{aws:PrincipalAccount\}-\$\{aws:RequestedRegion\}/([a-z]+/)",
        {(REGISTRY, promotion.PACKAGES_PREFIX)},
    ),
    "the folders that the ML engineer lists": (
        f"{SETS}/ml-engineer.json",
        r'"s3:prefix": \["([a-z]+/)\*"',
        {promotion.PACKAGES_PREFIX},
    ),
    "the decisions of the ML engineer": (
        f"{SETS}/ml-engineer.json",
        r'"sagemaker:ModelApprovalStatus": \["(\w+)", "(\w+)"\]',
        {promotion.DECISIONS},
    ),
    "where the registry is": (
        f"{LAYERS}/deployment/deployment/context.py",
        r'f"(ml-platform-[a-z]+)-\{hub\}',
        {REGISTRY},
    ),
    "the role that stages assume, and the tags of their sessions": (
        f"{LAYERS}/deployment/deployment/targets.py",
        r'(?m)^[A-Z_]+ = "(ml-platform[a-z-]*)"',
        {names.DEPLOY_ROLE, names.DEPLOYMENT_TAG, names.GROUP_TAG},
    ),
    "the tags of stacks": (
        f"{LAYERS}/deployment/deployment/settings.py",
        r'"([\w:-]+)": self\.(?:tag\(stage\)|cost_center|project_name|project_id),',
        TAGS,
    ),
    "the tags in templates of stages": (
        f"{LAYERS}/*/templates/*.yaml",
        r"""["{]Key"?: "?(?!model-package)([\w:-]+)"?, "?Value""",
        TAGS,
    ),
    "the tags of a training pipeline": (
        f"{LAYERS}/project/ml_pipelines/config.py",
        r'"(sagemaker:[a-z-]+)": self\.',
        {names.PROJECT_NAME_TAG, names.PROJECT_ID_TAG},
    ),
    "the path of the roles of stages, in templates": (
        f"{LAYERS}/*/templates/*.yaml",
        r"(?:Path: |:role)(?!/aws-service-role)(/[\w/-]+/)",
        {names.DEPLOYMENT_ROLE_PATH},
    ),
    "the path of the roles of stages, in code": (
        f"{LAYERS}/deployment/deployment/*.py",
        r'(?::role|_ROLE_PATH = ")(/[a-z/-]+/)',
        {names.DEPLOYMENT_ROLE_PATH},
    ),
    "the boundary of the roles of stages": (
        f"{LAYERS}/deployment/[dt]*/[bc]*.*",
        r":policy/(ml-platform[a-z-]*)",
        {names.DEPLOYMENT_BOUNDARY_POLICY},
    ),
    "the function that empties buckets of stages": (
        f"{LAYERS}/*/templates/*.yaml",
        r":function:(ml-platform[a-z-]*)",
        {names.BUCKET_EMPTIER_FUNCTION},
    ),
    "the bus of the hub": (
        f"{LAYERS}/deployment/deployment/*.py",
        r":event-bus/([\w-]+)",
        {names.HUB_EVENT_BUS},
    ),
    "the metrics of monitors": (
        f"{LAYERS}/*/templates/*.yaml",
        r"(ml-platform/\w+)",
        said(f"{LAYERS}/monitoring/jobs/monitor/monitoring/publish.py", r'NAMESPACE = "([^"]+)"')
        | {names.DEPLOYMENT_ROLE_PATH[1:-1]},
    ),
    "the reports of a deployment": (
        f"{LAYERS}/*/deployment/*.py",
        r"""["/](reports/)\{""",
        {names.REPORTS_PREFIX},
    ),
    "the reports that people of the hub read": (
        f"{SETS}/*.json",
        r"(reports/)\*",
        {names.REPORTS_PREFIX},
    ),
    "what a scheduled comparison is started from": (
        f"{LAYERS}/realtime/deployment/shadow.py",
        r'f"(shadow/)\{',
        {shadow.ARCHIVES.removesuffix("*")},
    ),
    "what a scheduled comparison is told": (
        f"{LAYERS}/realtime/deployment/shadow.py",
        r'(?m)^        "([A-Z_]+)": ',
        set(shadow.STARTED_WITH),
    ),
    "the approval that a comparison answers": (
        f"{LAYERS}/realtime/deployment/shadow.py",
        r'STAGE, ACTION = "(\w+)", "(\w+)"',
        {(pipeline.SHADOW_STAGE, pipeline.SHADOW_ACTION)},
    ),
    "what starts a batch run": (
        f"{LAYERS}/batch/deployment/batch.py",
        r'SCHEDULE, NEW_DATA = "([^"]+)", "([^"]+)"',
        {(questions.SCHEDULE, questions.NEW_DATA)},
    ),
    "the kinds of an endpoint": (
        f"{LAYERS}/realtime/deployment/realtime.py",
        r'INSTANCE, SERVERLESS = "([^"]+)", "([^"]+)"',
        {(deploy_realtime.INSTANCE, deploy_realtime.SERVERLESS)},
    ),
    "how a new model takes over": (
        f"{LAYERS}/realtime/deployment/realtime.py",
        r'"([a-z-]+)": "[A-Z_]+"[,}]',
        {deploy_realtime.AT_ONCE, deploy_realtime.CANARY, deploy_realtime.LINEAR},
    ),
    "the kinds of an API": (
        f"{LAYERS}/realtime/deployment/realtime.py",
        r'"auth": choice\("(\w+)", "(\w+)", "(\w+)"\)',
        {(deploy_realtime.NO_API, deploy_realtime.IAM_API, deploy_realtime.JWT_API)},
    ),
    "the audit table and its work group": (
        f"{SETS}/governance-officer.json",
        r"(?:database|table|workgroup)/([\w/-]+)",
        {names.AUDIT_DATABASE, f"{names.AUDIT_DATABASE}/{names.AUDIT_TABLE}", AUDIT_WORK_GROUP},
    ),
    "what the check-in of seed code is told": (
        "foundation/seed_checkin_buildspec.yml",
        r"\$\{?(?!WORK|RESULT|GIT_AUTHOR|GIT_COMMITTER|CHECKIN|COMMIT)([A-Z_]+)",
        said("lambdas/seed_checkin/core.py", r'(?m)^        "([A-Z_]+)": (?:mode|checkin|former)'),
    ),
    "what the check-in of seed code answers": (
        "foundation/seed_checkin_buildspec.yml",
        r"(?m)^    - ([A-Z_]+)$",
        said("lambdas/seed_checkin/core.py", r'exported\.get\("([A-Z_]+)"'),
    ),
    "what a teardown is told": (
        "foundation/deployment_teardown_buildspec.yml",
        r"\$\{?(?!WORK|RESULT|QUERY|POLL_S|TEARDOWN)([A-Z_]+)",
        said("lambdas/deployment/core.py", r'"([A-Z_]+)": (?:role_arn|stage)'),
    ),
    "what a teardown answers": (
        "foundation/deployment_teardown_buildspec.yml",
        r"(?m)^    - ([A-Z_]+)$",
        said("lambdas/deployment/core.py", r'exported\.get\("([A-Z_]+)"'),
    ),
    "what is known of the network of jobs": (
        "products/shared/training/jobs.py",
        r'get_att_string\("(\w+)"\)',
        said("lambdas/preflight/core.py", r'"(Jobs?[A-Z]\w+)": '),
    ),
    "the stacks that a teardown removes": (
        "foundation/deployment_teardown_buildspec.yml",
        r'remove "([a-z]+-)\$TAG',
        {names.PROJECT_RESOURCE_PREFIX},
    ),
}


@pytest.mark.parametrize("what", REPEATED)
def test_what_another_language_repeats_is_what_the_code_says(what: str) -> None:
    path, pattern, values = REPEATED[what]
    assert said(path, pattern) == values, f"{path} and the code differ in {what}: change both, or neither"


def test_the_drift_mail_quotes_what_monitors_send() -> None:
    publish = f"{LAYERS}/monitoring/jobs/monitor/monitoring/publish.py"
    sent = said(publish, r"(?m)^    (\w+): str$") | said(publish, r'(?m)^        "(\w+)": ')
    quoted = said("foundation/registry/notices.py", r"'\$\.detail\.([a-z]+)'")
    assert quoted
    assert quoted <= sent


# ---- what builds tell generated repositories ----

FOREIGN: Final = ("AWS_", "CODEBUILD_", "SAGEMAKER_", "SM_")
"""Variables of AWS itself."""

VARIABLES: Final = {"COLUMN_VARIABLES", "VARIABLES", "_VARIABLES", "_OPTIONAL", "_FROM_PLATFORM", "needed", "names"}
"""What seed code calls its tables of variables."""

HOLDERS: Final = {"environ", "environment", "variables", "choices"}
"""What seed code calls that in which it looks for a variable."""

every_project = pytest.mark.parametrize(
    "product", [p for p in PRODUCTS if p.SPEC.seed_code], ids=lambda product: product.SPEC.id
)


@cache
def repository(template: str) -> dict[str, str]:
    """Return the text files of a generated repository that are no tests."""
    files = {Path(path): content for path, content in seed_code.assemble(template).items()}
    return {
        path.as_posix(): content.decode()
        for path, content in files.items()
        if "tests" not in path.parts and path.suffix != ".whl"
    }


def _named(node: ast.AST) -> str:
    return str(getattr(node, "attr", getattr(node, "id", "")))


def _looked_up(source: str) -> Iterator[str]:
    """Yield the variables that Python code looks for."""
    for node in ast.walk(ast.parse(source)):
        where: list[ast.AST] = []
        if isinstance(node, ast.Subscript) and _named(node.value) in HOLDERS:
            where = [node.slice]
        elif isinstance(node, ast.Call) and (
            _named(node.func) == "_network"
            or (isinstance(node.func, ast.Attribute) and node.func.attr == "get" and _named(node.func.value) in HOLDERS)
        ):
            where = list(node.args)
        elif isinstance(node, ast.Assign) and VARIABLES & {_named(target) for target in node.targets}:
            where = [node.value]
        for text in (found for part in where for found in ast.walk(part) if isinstance(found, ast.Constant)):
            if re.fullmatch(r"[A-Z]+(_[A-Z]+)*", str(text.value)) and not str(text.value).startswith(FOREIGN):
                yield str(text.value)


def read_by(template: str) -> set[str]:
    """Return the variables that a generated repository reads."""
    files = repository(template)
    found = {name for path, text in files.items() if path.endswith(".py") for name in _looked_up(text)}
    settings = yaml.safe_load(files.get("environments.yaml", "{}"))
    return (
        found
        | set(re.findall(r"\$\{(\w+)\}", str(settings)))
        | set(re.findall(r'"\$([A-Z]+)"', files["buildspec.yml"]))
    )


def actions(template: Template) -> list[dict[str, str]]:
    """Return the variables that the actions of a CodePipeline hand to their builds."""
    found = re.findall(r'"EnvironmentVariables": ("(?:[^"\\]|\\.)*")', json.dumps(template))
    return [{each["name"]: each["value"] for each in json.loads(json.loads(text))} for text in found]


def set_by(template: Template) -> set[str]:
    """Return the variables that the builds of a product have."""
    builds = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::CodeBuild::Project"]
    of_builds = {v["Name"] for build in builds for v in build["Environment"]["EnvironmentVariables"]}
    return of_builds.union(*actions(template))


@every_project
def test_seed_code_reads_the_variables_that_its_builds_set_and_no_others(
    product: type[Any], synth_product: SynthProduct
) -> None:
    assert read_by(product.SPEC.seed_code) == set_by(synth_product(product))


@every_project
def test_what_steps_export_is_what_the_build_hands_on_and_the_pipeline_uses(
    product: type[Any], synth_product: SynthProduct
) -> None:
    files, template = repository(product.SPEC.seed_code), synth_product(product)
    code = "\n".join(text for path, text in files.items() if path.endswith(".py"))
    exported = {
        name for call in re.findall(r"context\.export\(([A-Z].*)\)", code) for name in re.findall(r"([A-Z_]+)=", call)
    }
    assert set(yaml.safe_load(files["buildspec.yml"])["env"].get("exported-variables", [])) == exported
    assert set(re.findall(r"#\{\w+\.([A-Z_]+)\}", json.dumps(template))) == exported


@every_project
def test_a_repository_has_the_steps_that_its_pipeline_runs_and_no_others(
    product: type[Any], synth_product: SynthProduct
) -> None:
    template = synth_product(product)
    started = {variables[pipeline.STEP_VARIABLE] for variables in actions(template)}
    if "ShadowHours" in template["Parameters"]:
        started.add(shadow.COMPARE)
    steps = repository(product.SPEC.seed_code).get("deployment/steps.py", "")
    assert set(re.findall(r'(?m)^    "([a-z-]+)": ', steps)) == started


def documented(heading: str) -> set[str]:
    """Return the variables in a section of docs/architecture.md."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = re.search(rf"(?ms)^### {re.escape(heading)}$(.*?)(?=^##|\Z)", text)
    assert section, f"docs/architecture.md has no section {heading!r}"
    return set(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", section[1]))


@every_project
def test_the_documentation_has_the_variables_of_builds(product: type[Any], synth_product: SynthProduct) -> None:
    template, files = synth_product(product), repository(product.SPEC.seed_code)
    deploys = "deployment/steps.py" in files
    told = documented(
        "What the builds of a deployment project hand to the seed code"
        if deploys
        else "What a project's CodeBuild hands to the seed code"
    )
    # Of the answers of forms the page has examples, of all other variables each.
    answers = {variable(name) for name in template["Parameters"]} | {"SCHEDULE"}
    answers |= set(_looked_up(files.get("ml_pipelines/data_source.py", "")))
    assert set_by(template) - answers <= told
    every = {name for other in PRODUCTS if other.SPEC.seed_code for name in set_by(synth_product(other))}
    exported = yaml.safe_load(files["buildspec.yml"])["env"].get("exported-variables", [])
    assert told <= every | set(exported) | {"NAME"}


# ---- what products tell functions ----

FUNCTIONS: Final = {
    "Custom::BucketContents": "bucket_emptier",
    "Custom::DataAccess": "data_permissions",
    "Custom::Deployment": "deployment",
    "Custom::EnableProjects": "enable_projects",
    "Custom::Preflight": "preflight",
    "Custom::ProjectDataAccess": "data_permissions",
    "Custom::SeedCode": "seed_checkin",
}


def sent_by(types: set[str], synth_product: SynthProduct) -> set[str]:
    """Return the properties of custom resources of some types in all products."""
    found = [r for product in PRODUCTS for r in synth_product(product)["Resources"].values() if r["Type"] in types]
    return {name for resource in found for name in resource["Properties"]} - {"ServiceToken", "ServiceTimeout"}


@pytest.mark.parametrize("type_", FUNCTIONS)
def test_a_function_reads_the_properties_that_products_send_and_the_documentation_has_them(
    type_: str, synth_product: SynthProduct
) -> None:
    resources = [r for product in PRODUCTS for r in synth_product(product)["Resources"].values() if r["Type"] == type_]
    read = said(f"lambdas/{FUNCTIONS[type_]}/*.py", r"""(?:request\.texts?\(|properties\.get\()["'](\w+)["']""")
    if type_ == "Custom::Preflight":
        read |= {*preflight.FIXED, "Version"}  # nobody reads the version: a new one has CloudFormation ask again
        # What it is asked about data of a lake is read by the data lake administrator's function.
        read |= said("lambdas/data_permissions/look.py", r"""wanted(?:\.get\(|\[)["'](\w+)["']""")
        asked = json.dumps([resource["Properties"]["Checks"] for resource in resources])
        assert set(re.findall(r'"([a-z]+(?:-[a-z]+)*)"', asked)) == set(preflight.CHECKS)
    read -= {"RoleArn"}  # of Custom::DataLakeAdministrator, which no product has
    siblings = {other for other, folder in FUNCTIONS.items() if folder == FUNCTIONS[type_]}
    assert read == sent_by(siblings, synth_product)
    sent = sent_by({type_}, synth_product)
    (row,) = said("docs/architecture.md", rf"(?ms)^- `{type_}`[^\n]*\n  - properties: (.*?)\n  - returns")
    assert set(re.findall(r"`([A-Z]\w+)`", row)) == sent
