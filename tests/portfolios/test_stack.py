"""The portfolios as CloudFormation gets them: versions, principals, launch roles, shares."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from aws_cdk import App, Environment
from aws_cdk.assertions import Template
from cdk_nag import AwsSolutionsChecks

from lambdas.bundling import asset_key
from lambdas.portfolio_share.core import DEADLINE_S
from portfolios.catalog import PORTFOLIOS, PortfolioSpec, products_of_the_hub
from portfolios.stack import PortfoliosStack
from products.releases import Catalog, Release, ReleasedProduct, load_catalog
from products.semver import Version
from products.shared import names
from tests.hub import ACCOUNT, OU, REGION, SETTINGS, resources
from tests.policy import Launch, allows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
PRODUCTS: Final = tuple(product for portfolio in PORTFOLIOS for product in portfolio.products)
ENGINEERS: Final = SETTINGS["principals"]["ml-deployment"][0]
PORTFOLIO_ARN: Final = f"arn:aws:catalog:{REGION}:{ACCOUNT}:portfolio/port-1"
PRODUCT_ARN: Final = f"arn:aws:catalog:{REGION}:{ACCOUNT}:product/prod-1"


def release(product: str, version: str, *, guidance: Any = "DEFAULT", active: bool = True) -> Release:  # noqa: ANN401
    return Release(
        product=product,
        title=f"Title of {product}",
        summary=f"Summary of {product}",
        version=Version.parse(version),
        description=f"What is new in {version}",
        date="2026-01-01T00:00:00Z",
        guidance=guidance,
        active=active,
        reason="",
        contract=1,
        seed_code=None,
        tools={},
        files={},
        path=Path("unused"),
    )


def catalog(**versions: tuple[Release, ...]) -> Catalog:
    """Return a catalog with 1.0.0 of every product, or the given releases of some."""
    released = {product: versions.get(product.replace("-", "_"), (release(product, "1.0.0"),)) for product in PRODUCTS}
    products = {
        id_: ReleasedProduct(id=id_, title=found[-1].title, summary=found[-1].summary, versions=found)
        for id_, found in released.items()
        if found
    }
    return Catalog(root=ROOT, products=products, unreleased=())


def stack(
    published: Catalog,
    *,
    portfolios: Sequence[PortfolioSpec] = PORTFOLIOS,
    principals: Mapping[str, Sequence[str]] = SETTINGS["principals"],
) -> PortfoliosStack:
    return PortfoliosStack(
        App(),
        "Portfolios",
        catalog=published,
        workloads_ou_id=OU,
        principals=principals,
        notification_emails=SETTINGS["notification_emails"],
        support_email=SETTINGS["support"]["email"],
        support_url=SETTINGS["support"]["url"],
        env=Environment(account=ACCOUNT, region=REGION),
        portfolios=portfolios,
    )


def template_of(published: Catalog) -> dict[str, Any]:
    return dict(Template.from_stack(stack(published)).to_json())


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return template_of(catalog())


@pytest.fixture(scope="module")
def launch(template: dict[str, Any]) -> Launch:
    parameters = {"BootstrapVersion": "30"} if "BootstrapVersion" in template.get("Parameters", {}) else {}
    return Launch(template, parameters, account=ACCOUNT, region=REGION)


def artifacts(template: dict[str, Any], product: str) -> list[dict[str, Any]]:
    """Return the published versions of a product, by its title."""
    (found,) = [
        p
        for p in resources(template, "AWS::ServiceCatalog::CloudFormationProduct").values()
        if p["Name"] == f"Title of {product}"
    ]
    return list(found["ProvisioningArtifactParameters"])


def test_adding_a_version_leaves_the_published_properties_of_the_others_unchanged() -> None:
    first, second = release("train-s3", "1.0.0"), release("train-s3", "1.1.0")
    before, after = template_of(catalog(train_s3=(first,))), template_of(catalog(train_s3=(first, second)))
    assert artifacts(after, "train-s3")[:1] == artifacts(before, "train-s3")
    assert [a["Name"] for a in artifacts(after, "train-s3")] == ["1.0.0", "1.1.0"]
    # Besides the product and its guidance nothing in the stack changes.
    changed = {id_ for id_ in after["Resources"] if after["Resources"][id_] != before["Resources"].get(id_)}
    assert {after["Resources"][id_]["Type"] for id_ in changed} == {
        "AWS::ServiceCatalog::CloudFormationProduct",
        "Custom::ProductVersions",
    }
    assert set(before["Resources"]) == set(after["Resources"])


def test_a_version_is_its_released_template_in_the_artifact_bucket(launch: Launch) -> None:
    urls = [
        artifact["Info"]["LoadTemplateFromURL"]
        for product in launch.resources("AWS::ServiceCatalog::CloudFormationProduct").values()
        for artifact in product["ProvisioningArtifactParameters"]
    ]
    bucket = f"https://{names.artifact_bucket(ACCOUNT, REGION)}.s3.{REGION}.amazonaws.com"
    assert urls == [f"{bucket}/releases/{product}/1.0.0/template.json" for product in PRODUCTS]


def test_ids_of_versions_stay_when_anything_about_a_product_changes(template: dict[str, Any]) -> None:
    products = resources(template, "AWS::ServiceCatalog::CloudFormationProduct").values()
    # "If turned off, ... the associated provisioning artifacts will retain the same unique identifier" (its schema).
    assert {product["ReplaceProvisioningArtifacts"] for product in products} == {False}


def test_guidance_and_visibility_follow_the_releases() -> None:
    versions = (
        release("train-s3", "1.0.0", active=False),
        release("train-s3", "1.1.0", guidance="DEPRECATED"),
        release("train-s3", "2.0.0"),
    )
    found = resources(template_of(catalog(train_s3=versions)), "Custom::ProductVersions").values()
    assert [
        {"Name": "1.0.0", "Guidance": "DEFAULT", "Active": "false"},
        {"Name": "1.1.0", "Guidance": "DEPRECATED", "Active": "true"},
        {"Name": "2.0.0", "Guidance": "DEFAULT", "Active": "true"},
    ] in [properties["Versions"] for properties in found]


def test_a_product_without_a_release_is_left_out_until_it_has_one() -> None:
    template = template_of(catalog(train_s3=()))
    titles = {p["Name"] for p in resources(template, "AWS::ServiceCatalog::CloudFormationProduct").values()}
    assert titles == {f"Title of {product}" for product in PRODUCTS if product != "train-s3"}
    assert len(resources(template, "AWS::ServiceCatalog::Portfolio")) == len(PORTFOLIOS)


def test_a_portfolio_whose_products_have_no_release_yet_is_published_empty() -> None:
    template = template_of(catalog(deploy_realtime=(), deploy_batch=()))
    portfolios = resources(template, "AWS::ServiceCatalog::Portfolio")
    (deployment,) = (id_ for id_, p in portfolios.items() if p["DisplayName"] == "ML Deployment")
    associated = resources(template, "AWS::ServiceCatalog::PortfolioProductAssociation").values()
    assert {"Ref": deployment} not in [a["PortfolioId"] for a in associated]
    principals = resources(template, "AWS::ServiceCatalog::PortfolioPrincipalAssociation").values()
    assert {"Ref": deployment} in [p["PortfolioId"] for p in principals]


def test_products_of_a_portfolio_that_is_not_shared_are_products_of_the_hub() -> None:
    assert products_of_the_hub() == {"deploy-realtime", "deploy-batch"}


def test_every_released_product_is_in_a_portfolio_and_every_product_of_a_portfolio_exists() -> None:
    found = load_catalog(ROOT)
    assert set(found.products) <= set(PRODUCTS)
    assert set(PRODUCTS) <= {*found.products, *found.unreleased}


@pytest.mark.parametrize(
    ("portfolio", "patterns"),
    [
        (
            "ML Admin",
            {"ml-platform/persona/lead-data-scientist/*", "aws-reserved/sso.amazonaws.com/*AWSReservedSSO_MLLead_*"},
        ),
        ("SageMaker Projects", {"ml-platform/persona/data-scientist/*"}),
        ("ML Deployment", {"ml-platform/persona/ml-engineer/*", ENGINEERS}),
    ],
)
def test_personas_and_the_roles_of_the_settings_launch_by_name_in_every_account(
    launch: Launch, portfolio: str, patterns: set[str]
) -> None:
    (portfolio_id,) = [
        launch.physical_id(id_)
        for id_, p in launch.resources("AWS::ServiceCatalog::Portfolio").items()
        if p["DisplayName"] == portfolio
    ]
    principals = [
        p
        for p in launch.resources("AWS::ServiceCatalog::PortfolioPrincipalAssociation").values()
        if p["PortfolioId"] == portfolio_id
    ]
    assert {p["PrincipalType"] for p in principals} == {"IAM_PATTERN"}
    assert {p["PrincipalARN"] for p in principals} == {f"arn:aws:iam:::role/{pattern}" for pattern in patterns}


def test_every_product_is_launched_with_the_role_of_the_baseline(template: dict[str, Any]) -> None:
    constraints = resources(template, "AWS::ServiceCatalog::LaunchRoleConstraint").values()
    associations = resources(template, "AWS::ServiceCatalog::PortfolioProductAssociation").values()
    assert {c["LocalRoleName"] for c in constraints} == {names.LAUNCH_ROLE}
    assert not any("RoleArn" in c for c in constraints)
    assert [(c["PortfolioId"], c["ProductId"]) for c in constraints] == [
        (a["PortfolioId"], a["ProductId"]) for a in associations
    ]


def test_studio_finds_the_project_templates_and_nothing_else(launch: Launch) -> None:
    tags = {
        product["Name"]: {t["Key"]: t["Value"] for t in product.get("Tags", [])}
        for product in launch.resources("AWS::ServiceCatalog::CloudFormationProduct").values()
    }
    for product in ("train-s3", "deploy-realtime", "deploy-batch"):
        assert tags[f"Title of {product}"].get("sagemaker:studio-visibility") == "true"
    assert "sagemaker:studio-visibility" not in tags["Title of sagemaker-domain"]


def test_products_say_whom_to_ask(template: dict[str, Any]) -> None:
    for product in resources(template, "AWS::ServiceCatalog::CloudFormationProduct").values():
        assert product["SupportEmail"] == SETTINGS["support"]["email"]
        assert product["SupportUrl"] == SETTINGS["support"]["url"]


def test_what_is_launched_carries_its_portfolio_as_a_tag_without_anybody_choosing(template: dict[str, Any]) -> None:
    options = [(o["Key"], o["Value"]) for o in resources(template, "AWS::ServiceCatalog::TagOption").values()]
    assert sorted(options) == [
        ("ml-platform:portfolio", "ml-admin"),
        ("ml-platform:portfolio", "ml-deployment"),
        ("ml-platform:portfolio", "sagemaker-projects"),
    ]
    associations = resources(template, "AWS::ServiceCatalog::TagOptionAssociation").values()
    resources_tagged = [json.dumps(a["ResourceId"]) for a in associations]
    assert len(set(resources_tagged)) == len(PORTFOLIOS), (
        "several values on one portfolio would ask the person to choose"
    )


def test_a_tag_option_that_two_portfolios_use_is_created_once() -> None:
    same = {"cost-centre": ("ml",)}
    both = [dataclasses.replace(portfolio, tag_options=same) for portfolio in PORTFOLIOS]
    template = dict(Template.from_stack(stack(catalog(), portfolios=both)).to_json())
    assert len(resources(template, "AWS::ServiceCatalog::TagOption")) == 1
    assert len(resources(template, "AWS::ServiceCatalog::TagOptionAssociation")) == len(PORTFOLIOS)


def test_the_portfolios_for_accounts_are_shared_with_the_unit_once_they_are_complete(template: dict[str, Any]) -> None:
    shares = {id_: r for id_, r in template["Resources"].items() if r["Type"] == "Custom::PortfolioShare"}
    titles = {
        template["Resources"][r["Properties"]["PortfolioId"]["Ref"]]["Properties"]["DisplayName"]
        for r in shares.values()
    }
    assert titles == {"ML Admin", "SageMaker Projects"}, "deployment projects are created in the hub only"
    for share in shares.values():
        properties = share["Properties"]
        assert properties["OrganizationalUnitId"] == OU
        assert (properties["SharePrincipals"], properties["ShareTagOptions"]) == ("true", "true")
        contents = {
            id_
            for id_, r in template["Resources"].items()
            if r.get("Properties", {}).get("PortfolioId") == properties["PortfolioId"] and id_ not in shares
        }
        assert contents <= set(share["DependsOn"])
        # CloudFormation must wait longer than the function, which answers at its own deadline.
        assert int(properties["ServiceTimeout"]) > DEADLINE_S + 120


def test_custom_resources_wait_for_the_permissions_of_their_function(template: dict[str, Any]) -> None:
    (policy,) = [
        id_
        for id_, r in template["Resources"].items()
        if r["Type"] == "AWS::IAM::Policy" and "servicecatalog" in json.dumps(r)
    ]
    custom = [r for r in template["Resources"].values() if r["Type"].startswith("Custom::")]
    assert all(policy in r["DependsOn"] for r in custom)


def test_the_function_is_the_one_in_this_repository(launch: Launch) -> None:
    (function,) = launch.resources("AWS::Lambda::Function").values()
    assert function["Code"] == {
        "S3Bucket": names.artifact_bucket(ACCOUNT, REGION),
        "S3Key": asset_key("portfolio_share"),
    }
    assert function["Handler"] == "lambdas.portfolio_share.handler.lambda_handler"


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("servicecatalog:CreatePortfolioShare", PORTFOLIO_ARN, True),
        ("servicecatalog:UpdatePortfolioShare", PORTFOLIO_ARN, True),
        ("servicecatalog:DeletePortfolioShare", PORTFOLIO_ARN, True),
        ("servicecatalog:DescribePortfolioShares", PORTFOLIO_ARN, True),
        ("servicecatalog:DescribePortfolioShareStatus", "*", True),
        ("servicecatalog:ListProvisioningArtifacts", PRODUCT_ARN, True),
        ("servicecatalog:UpdateProvisioningArtifact", PRODUCT_ARN, True),
        ("servicecatalog:CreatePortfolioShare", PORTFOLIO_ARN.replace(ACCOUNT, "999999999999"), False),
        ("servicecatalog:DeletePortfolio", PORTFOLIO_ARN, False),
        ("servicecatalog:DeleteProvisioningArtifact", PRODUCT_ARN, False),
        ("servicecatalog:AssociatePrincipalWithPortfolio", PORTFOLIO_ARN, False),
        ("iam:PassRole", "arn:aws:iam::111122223333:role/any", False),
        ("s3:GetObject", "arn:aws:s3:::any/key", False),
    ],
)
def test_the_function_may_share_and_mark_versions_and_no_more(
    launch: Launch, action: str, resource: str, allowed: bool
) -> None:
    (statements,) = launch.roles().values()
    assert allows(statements, action, resource) is allowed


def test_lost_tasks_and_undelivered_answers_raise_an_alarm_that_is_mailed(launch: Launch) -> None:
    alarms = launch.resources("AWS::CloudWatch::Alarm").values()
    assert {a["MetricName"] for a in alarms} == {"ApproximateNumberOfMessagesVisible", "Errors"}
    (topic,) = launch.resources("AWS::SNS::Topic")
    assert all(a["AlarmActions"] == [launch.ref(topic)] for a in alarms)
    emails = [s["Endpoint"] for s in launch.resources("AWS::SNS::Subscription").values()]
    assert emails == list(SETTINGS["notification_emails"])


def test_the_queue_keeps_a_task_longer_than_the_function_runs_and_gives_up_in_the_end(launch: Launch) -> None:
    queues = launch.resources("AWS::SQS::Queue").values()
    assert all(q["FifoQueue"] for q in queues), "repeated invocations are recognised by their deduplication id"
    (tasks,) = [q for q in queues if "RedrivePolicy" in q]
    (function,) = launch.resources("AWS::Lambda::Function").values()
    assert tasks["VisibilityTimeout"] >= 6 * function["Timeout"]
    assert tasks["RedrivePolicy"]["maxReceiveCount"] > 1
    assert 0 < tasks["DelaySeconds"] <= 30


def test_the_stack_has_no_unacknowledged_finding() -> None:
    report = AwsSolutionsChecks().validate_scope(stack(catalog()))
    assert [violation.rule_name for violation in report.violations] == []
