"""Service Catalog: publishing from CloudFormation, sharing with the organisation, who sees what, launching as whom."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV, DEV2, HUB, OUTSIDER, REGION, WORKLOADS_OU, AwsClient, eventually

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

BUCKET: Final = f"catalog-artifacts-{HUB}"
NODE: Final = {"Type": "ORGANIZATIONAL_UNIT", "Value": WORKLOADS_OU}
CLOUDFORMATION_CALLS: Final = [
    f"cloudformation:{action}"
    for action in ("CreateStack", "UpdateStack", "DeleteStack", "DescribeStacks", "DescribeStackEvents")
]
ENDUSER_CALLS: Final = [
    f"servicecatalog:{action}"
    for action in (
        "SearchProducts",
        "DescribeProduct",
        "ListLaunchPaths",
        "DescribeProvisioningParameters",
        "ProvisionProduct",
        "UpdateProvisionedProduct",
        "TerminateProvisionedProduct",
        "DescribeRecord",
        "DescribeProvisionedProduct",
        "GetProvisionedProductOutputs",
        "SearchProvisionedProducts",
    )
]


def template(version: str) -> dict[str, Any]:
    """Return a product's template: a queue, whose name the launcher chooses."""
    return {
        "Description": f"A queue, version {version}",
        "Parameters": {
            "QueueName": {
                "Type": "String",
                "Description": "e.g. orders",
                "AllowedPattern": "[a-z-]+",
                "MaxLength": 20,
            },
            "Delay": {"Type": "Number", "Default": 0, "MaxValue": 900},
            "Kind": {"Type": "String", "Default": "standard", "AllowedValues": ["standard", "bulk"]},
        },
        "Resources": {
            "Queue": {
                "Type": "AWS::SQS::Queue",
                "Properties": {"QueueName": {"Ref": "QueueName"}, "DelaySeconds": {"Ref": "Delay"}},
            }
        },
        "Outputs": {
            "Url": {"Value": {"Ref": "Queue"}, "Description": "where to send"},
            "Version": {"Value": version},
        },
    }


def template_url(version: str) -> str:
    """Return the URL of a version's template in the hub's bucket, as the published stack writes it."""
    return f"https://{BUCKET}.s3.{REGION}.amazonaws.com/releases/queue/{version}/template.json"


def hub_template(versions: dict[str, str]) -> dict[str, Any]:
    """Return the hub's stack: one portfolio with one product, in versions with descriptions."""
    ids = {"PortfolioId": {"Ref": "Portfolio"}, "ProductId": {"Ref": "Product"}}
    associated = {"DependsOn": ["Association"]}
    pattern = f"arn:aws:iam:::role/people/{HUB[0] * 2}-lead/*"
    return {
        "Resources": {
            "Portfolio": {
                "Type": "AWS::ServiceCatalog::Portfolio",
                "Properties": {"DisplayName": "Queues", "ProviderName": "Platform"},
            },
            "Product": {
                "Type": "AWS::ServiceCatalog::CloudFormationProduct",
                "Properties": {
                    "Name": "Queue",
                    "Owner": "Platform",
                    "SupportEmail": "platform@example.com",
                    "Tags": [{"Key": "sagemaker:studio-visibility", "Value": "true"}],
                    "ProvisioningArtifactParameters": [
                        {"Name": name, "Description": text, "Info": {"LoadTemplateFromURL": template_url(name)}}
                        for name, text in versions.items()
                    ],
                },
            },
            "Association": {"Type": "AWS::ServiceCatalog::PortfolioProductAssociation", "Properties": ids},
            "LaunchRole": {
                "Type": "AWS::ServiceCatalog::LaunchRoleConstraint",
                "Properties": {**ids, "LocalRoleName": "catalog-launch"},
                **associated,
            },
            "Leads": {
                "Type": "AWS::ServiceCatalog::PortfolioPrincipalAssociation",
                "Properties": {
                    "PortfolioId": {"Ref": "Portfolio"},
                    "PrincipalARN": pattern,
                    "PrincipalType": "IAM_PATTERN",
                },
            },
            **{
                f"CostCenter{value}": {
                    "Type": "AWS::ServiceCatalog::TagOption",
                    "Properties": {"Key": "cost-center", "Value": value},
                }
                for value in ("one", "two")
            },
            "Team": {"Type": "AWS::ServiceCatalog::TagOption", "Properties": {"Key": "team", "Value": "queues"}},
            **{
                f"{option}Association": {
                    "Type": "AWS::ServiceCatalog::TagOptionAssociation",
                    "Properties": {"ResourceId": {"Ref": "Portfolio"}, "TagOptionId": {"Ref": option}},
                }
                for option in ("CostCenterone", "CostCentertwo", "Team")
            },
        },
        "Outputs": {
            "PortfolioId": {"Value": {"Ref": "Portfolio"}},
            "ProductId": {"Value": {"Ref": "Product"}},
            "Versions": {"Value": {"Fn::GetAtt": ["Product", "ProvisioningArtifactIds"]}},
        },
    }


@dataclass
class Catalog:
    """A published and shared portfolio, and a lead who is allowed to launch from it.

    Attributes:
        portfolio: Its id.
        product: Id of the one product.
        versions: Ids of its versions by name.
        lead: Credentials of a role in the dev account whose name fits the portfolio's pattern.
        cloud: The organisation.
    """

    portfolio: str
    product: str
    versions: dict[str, str]
    lead: dict[str, str]
    cloud: Cloud

    def as_lead(self) -> AwsClient:
        """Return a Service Catalog client of the lead."""
        return self.cloud.client("servicecatalog", DEV, self.lead)

    def launch(
        self, name: str, values: dict[str, str], *, version: str = "1.0.0", tags: dict[str, str] | None = None
    ) -> str:
        """Launch the product as the lead and return the record's id."""
        record: str = self.as_lead().provision_product(
            ProductId=self.product,
            ProvisioningArtifactId=self.versions[version],
            ProvisionedProductName=name,
            ProvisioningParameters=[{"Key": key, "Value": value} for key, value in values.items()],
            Tags=[{"Key": k, "Value": v} for k, v in (tags or {"cost-center": "one"}).items()],
        )["RecordDetail"]["RecordId"]
        return record

    def record(self, record_id: str) -> dict[str, Any]:
        """Wait until an operation has ended and return its description."""
        catalog = self.as_lead()

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = catalog.describe_record(Id=record_id)
            return found if found["RecordDetail"]["Status"] in ("SUCCEEDED", "FAILED") else None

        return eventually(ended)


def share(catalog: AwsClient, portfolio: str, **options: bool) -> None:
    """Share a portfolio with the workloads OU and wait until that is done."""
    token = catalog.create_portfolio_share(PortfolioId=portfolio, OrganizationNode=NODE, **options)[
        "PortfolioShareToken"
    ]
    eventually(
        lambda: catalog.describe_portfolio_share_status(PortfolioShareToken=token)["Status"] == "COMPLETED" or None
    )


def published(cloud: Cloud) -> dict[str, str]:
    """Return the outputs of the hub's stack."""
    (stack,) = cloud.client("cloudformation", HUB).describe_stacks(StackName="Catalog")["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def error_of(call: ClientError) -> str:
    """Return an error's code."""
    return str(call.response["Error"]["Code"])


@pytest.fixture(scope="module")
def catalog(cloud: Cloud) -> Catalog:
    """A portfolio published in the hub by CloudFormation and shared with the OU, names and TagOptions included."""
    s3 = cloud.client("s3", HUB)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        s3.put_object(Bucket=BUCKET, Key=f"releases/queue/{version}/template.json", Body=json.dumps(template(version)))
    statements = [
        {"Effect": "Allow", "Action": CLOUDFORMATION_CALLS, "Resource": "*"},
        {"Effect": "Allow", "Action": ["sqs:*Queue*", "servicecatalog:*TagOption*"], "Resource": "*"},
    ]
    for account in (HUB, DEV, DEV2):
        cloud.role(account, "catalog-launch", statements)
    stack = cloud.deploy(HUB, "Catalog", hub_template({"1.0.0": "first", "1.1.0": "second"}))
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(HUB, "Catalog")
    outputs = published(cloud)
    share(cloud.client("servicecatalog", HUB), outputs["PortfolioId"], SharePrincipals=True, ShareTagOptions=True)
    allowed = [{"Effect": "Allow", "Action": ENDUSER_CALLS, "Resource": "*"}]
    lead = cloud.role(DEV, "catalog-lead", allowed, Path="/people/11-lead/")
    ids = outputs["Versions"].split(",")
    return Catalog(
        portfolio=outputs["PortfolioId"],
        product=outputs["ProductId"],
        versions=dict(zip(("1.0.0", "1.1.0"), ids, strict=True)),
        lead=cloud.assume(lead),
        cloud=cloud,
    )


# ---- sharing --------------------------------------------------------------------------------------------------------


def test_a_share_with_an_ou_reaches_its_accounts_and_no_others(catalog: Catalog) -> None:
    def imported(account: str) -> list[str]:
        client = catalog.cloud.client("servicecatalog", account)
        shares = client.list_accepted_portfolio_shares(PortfolioShareType="AWS_ORGANIZATIONS")
        return [portfolio["Id"] for portfolio in shares["PortfolioDetails"]]

    assert catalog.portfolio in imported(DEV)
    assert catalog.portfolio in imported(DEV2)
    assert catalog.portfolio not in imported(OUTSIDER)
    (found,) = catalog.cloud.client("servicecatalog", HUB).describe_portfolio_shares(
        PortfolioId=catalog.portfolio, Type="ORGANIZATIONAL_UNIT"
    )["PortfolioShareDetails"]
    assert found == {
        "PrincipalId": WORKLOADS_OU,
        "Type": "ORGANIZATIONAL_UNIT",
        "Accepted": True,
        "ShareTagOptions": True,
        "SharePrincipals": True,
    }


def test_sharing_is_asynchronous_and_blocks_changes_until_it_is_done(cloud: Cloud) -> None:
    hub = cloud.client("servicecatalog", HUB)
    portfolio = hub.create_portfolio(DisplayName="Slow", ProviderName="Platform")["PortfolioDetail"]["Id"]
    token = hub.create_portfolio_share(PortfolioId=portfolio, OrganizationNode=NODE)["PortfolioShareToken"]

    assert hub.describe_portfolio_share_status(PortfolioShareToken=token)["Status"] == "IN_PROGRESS"
    with pytest.raises(hub.exceptions.InvalidStateException):
        hub.update_portfolio_share(PortfolioId=portfolio, OrganizationNode=NODE, SharePrincipals=True)

    done = eventually(
        lambda: (
            status
            if (status := hub.describe_portfolio_share_status(PortfolioShareToken=token))["Status"] == "COMPLETED"
            else None
        )
    )
    assert sorted(done["ShareDetails"]["SuccessfulShares"]) == [DEV, DEV2]
    hub.update_portfolio_share(PortfolioId=portfolio, OrganizationNode=NODE, SharePrincipals=True)
    eventually(
        lambda: (
            hub.describe_portfolio_shares(PortfolioId=portfolio, Type="ORGANIZATIONAL_UNIT")["PortfolioShareDetails"][
                0
            ]["SharePrincipals"]
            or None
        )
    )
    hub.delete_portfolio_share(PortfolioId=portfolio, OrganizationNode=NODE)
    eventually(
        lambda: (
            not hub.describe_portfolio_shares(PortfolioId=portfolio, Type="ORGANIZATIONAL_UNIT")[
                "PortfolioShareDetails"
            ]
            or None
        )
    )
    hub.delete_portfolio(Id=portfolio)


def test_only_the_management_account_and_delegated_administrators_share_with_nodes(cloud: Cloud) -> None:
    dev = cloud.client("servicecatalog", DEV)
    portfolio = dev.create_portfolio(DisplayName="Mine", ProviderName="Dev")["PortfolioDetail"]["Id"]

    with pytest.raises(dev.exceptions.OperationNotSupportedException, match="nor a delegated administrator"):
        dev.create_portfolio_share(PortfolioId=portfolio, OrganizationNode=NODE)


# ---- who sees what --------------------------------------------------------------------------------------------------


def test_who_sees_a_product_follows_from_the_shared_name_pattern(catalog: Catalog) -> None:
    allowed = [{"Effect": "Allow", "Action": ENDUSER_CALLS, "Resource": "*"}]
    stranger = catalog.cloud.assume(catalog.cloud.role(DEV, "catalog-stranger", allowed, Path="/people/other/"))
    outside = catalog.cloud.assume(catalog.cloud.role(OUTSIDER, "catalog-lead", allowed, Path="/people/11-lead/"))

    seen = catalog.as_lead().search_products()["ProductViewSummaries"]

    assert [product["Name"] for product in seen] == ["Queue"]
    for account, credentials in ((DEV, stranger), (OUTSIDER, outside)):
        client = catalog.cloud.client("servicecatalog", account, credentials)
        assert client.search_products()["ProductViewSummaries"] == []
        with pytest.raises(client.exceptions.ResourceNotFoundException, match="No launch paths found"):
            client.provision_product(
                ProductId=catalog.product,
                ProvisioningArtifactId=catalog.versions["1.0.0"],
                ProvisionedProductName="refused",
            )


def test_an_account_may_let_its_own_roles_into_an_imported_portfolio(catalog: Catalog) -> None:
    allowed = [{"Effect": "Allow", "Action": ENDUSER_CALLS, "Resource": "*"}]
    role = catalog.cloud.role(DEV, "catalog-guest", allowed)
    admin = catalog.cloud.client("servicecatalog", DEV)
    admin.associate_principal_with_portfolio(PortfolioId=catalog.portfolio, PrincipalARN=role, PrincipalType="IAM")
    guest = catalog.cloud.client("servicecatalog", DEV, catalog.cloud.assume(role))
    try:
        assert [product["Name"] for product in guest.search_products()["ProductViewSummaries"]] == ["Queue"]
        listed = admin.list_principals_for_portfolio(PortfolioId=catalog.portfolio)["Principals"]
        assert {principal["PrincipalType"] for principal in listed} == {"IAM", "IAM_PATTERN"}
    finally:
        admin.disassociate_principal_from_portfolio(PortfolioId=catalog.portfolio, PrincipalARN=role)
    assert guest.search_products()["ProductViewSummaries"] == []


def test_iam_is_asked_before_service_catalog(catalog: Catalog) -> None:
    role = catalog.cloud.role(
        DEV,
        "catalog-reader",
        [{"Effect": "Allow", "Action": "servicecatalog:SearchProducts", "Resource": "*"}],
        Path="/people/11-lead/",
    )
    reader = catalog.cloud.client("servicecatalog", DEV, catalog.cloud.assume(role))

    assert len(reader.search_products()["ProductViewSummaries"]) == 1
    with pytest.raises(ClientError) as refused:
        reader.provision_product(
            ProductId=catalog.product,
            ProvisioningArtifactId=catalog.versions["1.0.0"],
            ProvisionedProductName="refused",
        )
    assert error_of(refused.value) == "AccessDeniedException"


# ---- versions -------------------------------------------------------------------------------------------------------


def test_adding_a_version_keeps_the_ids_of_the_others(catalog: Catalog) -> None:
    versions = {"1.0.0": "first, reworded", "1.1.0": "second", "2.0.0": "third"}
    catalog.cloud.deploy(HUB, "Catalog", hub_template(versions))

    first, second, third = published(catalog.cloud)["Versions"].split(",")
    assert (first, second) == (catalog.versions["1.0.0"], catalog.versions["1.1.0"])
    catalog.cloud.deploy(HUB, "Catalog", hub_template({k: v for k, v in versions.items() if k != "2.0.0"}))
    assert published(catalog.cloud)["Versions"] == f"{first},{second}"
    assert third not in {first, second}


def test_an_inactive_version_is_invisible_to_end_users_and_cannot_be_launched(catalog: Catalog) -> None:
    hub = catalog.cloud.client("servicecatalog", HUB)
    version = {"ProductId": catalog.product, "ProvisioningArtifactId": catalog.versions["1.1.0"]}
    hub.update_provisioning_artifact(**version, Active=False, Guidance="DEPRECATED")
    try:
        offered = catalog.as_lead().describe_product(Id=catalog.product)["ProvisioningArtifacts"]
        assert [artifact["Name"] for artifact in offered] == ["1.0.0"]
        with pytest.raises(ClientError, match="not found"):
            catalog.launch("inactive", {"QueueName": "inactive"}, version="1.1.0")
        listed = hub.list_provisioning_artifacts(ProductId=catalog.product)["ProvisioningArtifactDetails"]
        assert {artifact["Name"]: (artifact["Active"], artifact["Guidance"]) for artifact in listed} == {
            "1.0.0": (True, "DEFAULT"),
            "1.1.0": (False, "DEPRECATED"),
        }
    finally:
        hub.update_provisioning_artifact(**version, Active=True, Guidance="DEFAULT")


def test_a_version_needs_a_template_that_can_be_read(cloud: Cloud) -> None:
    hub = cloud.client("servicecatalog", HUB)
    with pytest.raises(hub.exceptions.InvalidParametersException, match="cannot be read"):
        hub.create_product(
            Name="Missing",
            Owner="Platform",
            ProductType="CLOUD_FORMATION_TEMPLATE",
            ProvisioningArtifactParameters={"Name": "1.0.0", "Info": {"LoadTemplateFromURL": template_url("9.9.9")}},
        )


# ---- launching ------------------------------------------------------------------------------------------------------


def test_what_a_launch_needs_comes_from_the_template_and_the_tag_options(catalog: Catalog) -> None:
    form = catalog.as_lead().describe_provisioning_parameters(
        ProductId=catalog.product, ProvisioningArtifactName="1.0.0"
    )

    parameters = {parameter["ParameterKey"]: parameter for parameter in form["ProvisioningArtifactParameters"]}
    assert parameters["QueueName"]["ParameterConstraints"]["AllowedPattern"] == "[a-z-]+"
    assert parameters["QueueName"]["Description"] == "e.g. orders"
    assert parameters["Delay"]["DefaultValue"] == "0"
    assert parameters["Kind"]["ParameterConstraints"]["AllowedValues"] == ["standard", "bulk"]
    assert {option["Key"]: sorted(option["Values"]) for option in form["TagOptions"]} == {
        "cost-center": ["one", "two"],
        "team": ["queues"],
    }
    assert [constraint["Type"] for constraint in form["ConstraintSummaries"]] == ["LAUNCH"]


def test_a_launch_makes_a_stack_with_the_launch_role_and_service_catalogs_tags(catalog: Catalog) -> None:
    record = catalog.record(catalog.launch("orders", {"QueueName": "orders", "Delay": "5"}))

    assert record["RecordDetail"]["Status"] == "SUCCEEDED", record["RecordDetail"]
    assert record["RecordDetail"]["LaunchRoleArn"] == f"arn:aws:iam::{DEV}:role/catalog-launch"
    outputs = {output["OutputKey"]: output["OutputValue"] for output in record["RecordOutputs"]}
    assert outputs["Version"] == "1.0.0"
    provisioned = catalog.as_lead().describe_provisioned_product(Name="orders")["ProvisionedProductDetail"]
    assert provisioned["Status"] == "AVAILABLE"
    (stack,) = catalog.cloud.client("cloudformation", DEV).describe_stacks(StackName=f"SC-{DEV}-{provisioned['Id']}")[
        "Stacks"
    ]
    assert stack["StackId"] == outputs["CloudformationStackARN"]
    tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
    assert tags["cost-center"] == "one"
    assert tags["team"] == "queues"
    assert tags["sagemaker:studio-visibility"] == "true"
    assert tags["aws:servicecatalog:productArn"] == f"arn:aws:catalog:{REGION}:{HUB}:product/{catalog.product}"
    assert tags["aws:servicecatalog:provisioningPrincipalArn"].endswith(":assumed-role/catalog-lead/test")
    queue = catalog.cloud.client("sqs", DEV).get_queue_attributes(QueueUrl=outputs["Url"], AttributeNames=["All"])
    assert queue["Attributes"]["DelaySeconds"] == "5"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Parameters: [QueueName] must have values"),
        ({"QueueName": "Orders"}, "Parameter 'QueueName' must match pattern [a-z-]+"),
        ({"QueueName": "orders-that-are-far-too-long"}, "Parameter 'QueueName' must contain at most 20 characters"),
        ({"QueueName": "o", "Delay": "901"}, "Parameter 'Delay' must be a number not greater than 900"),
        ({"QueueName": "o", "Kind": "odd"}, "Parameter 'Kind' must be one of AllowedValues"),
        ({"QueueName": "o", "Other": "1"}, "Parameters: [Other] do not exist in the template"),
    ],
)
def test_a_wrong_parameter_fails_the_record_in_cloudformations_words(
    catalog: Catalog, values: dict[str, str], message: str
) -> None:
    name = f"wrong-{uuid.uuid4().hex}"
    record = catalog.record(catalog.launch(name, values))

    assert record["RecordDetail"]["Status"] == "FAILED"
    assert [error["Description"] for error in record["RecordDetail"]["RecordErrors"]] == [message]
    lead = catalog.as_lead()
    assert lead.describe_provisioned_product(Name=name)["ProvisionedProductDetail"]["Status"] == "ERROR"
    lead.terminate_provisioned_product(ProvisionedProductName=name)
    with pytest.raises(lead.exceptions.ResourceNotFoundException):
        lead.describe_provisioned_product(Name=name)


def test_the_launch_role_has_to_trust_service_catalog_and_allow_cloudformation(catalog: Catalog) -> None:
    iam = catalog.cloud.client("iam", DEV)
    document = iam.get_role(RoleName="catalog-launch")["Role"]["AssumeRolePolicyDocument"]
    only_lambda = {
        **document,
        "Statement": [{**document["Statement"][0], "Principal": {"Service": "lambda.amazonaws.com"}}],
    }
    iam.update_assume_role_policy(RoleName="catalog-launch", PolicyDocument=json.dumps(only_lambda))
    untrusting = catalog.record(catalog.launch("untrusting", {"QueueName": "untrusting"}))
    iam.update_assume_role_policy(RoleName="catalog-launch", PolicyDocument=json.dumps(document))
    policy = iam.get_role_policy(RoleName="catalog-launch", PolicyName="Inline")["PolicyDocument"]
    nothing = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:TagSession", "Resource": "*"}]}
    iam.put_role_policy(RoleName="catalog-launch", PolicyName="Inline", PolicyDocument=json.dumps(nothing))
    powerless = catalog.record(catalog.launch("powerless", {"QueueName": "powerless"}))
    iam.put_role_policy(RoleName="catalog-launch", PolicyName="Inline", PolicyDocument=json.dumps(policy))

    (distrust,) = untrusting["RecordDetail"]["RecordErrors"]
    (denial,) = powerless["RecordDetail"]["RecordErrors"]
    assert "does not allow servicecatalog.amazonaws.com" in distrust["Description"]
    assert "cloudformation:CreateStack" in denial["Description"]


def test_tag_options_leave_no_other_choice(catalog: Catalog) -> None:
    with pytest.raises(ClientError, match="cost-center must have one of the values"):
        catalog.launch("tagged", {"QueueName": "tagged"}, tags={"cost-center": "three"})
    with pytest.raises(ClientError, match="team must have one of the values"):
        catalog.launch("tagged", {"QueueName": "tagged"}, tags={"cost-center": "one", "team": "other"})


def test_a_name_is_used_once_per_account_and_a_token_launches_once(catalog: Catalog) -> None:
    lead = catalog.as_lead()
    request = {
        "ProductId": catalog.product,
        "ProvisioningArtifactId": catalog.versions["1.0.0"],
        "ProvisionedProductName": "once",
        "ProvisioningParameters": [{"Key": "QueueName", "Value": "once"}],
        "Tags": [{"Key": "cost-center", "Value": "two"}],
    }
    first = lead.provision_product(**request, ProvisionToken="token-once")["RecordDetail"]["RecordId"]
    again = lead.provision_product(**request, ProvisionToken="token-once")["RecordDetail"]["RecordId"]

    assert again == first
    with pytest.raises(lead.exceptions.DuplicateResourceException):
        lead.provision_product(**request, ProvisionToken="another-token")


def test_an_update_changes_version_and_parameters_in_place_and_reports_a_rollback(catalog: Catalog) -> None:
    lead = catalog.as_lead()
    launched = catalog.record(catalog.launch("changing", {"QueueName": "changing", "Delay": "1"}))
    (stack,) = (
        output["OutputValue"] for output in launched["RecordOutputs"] if output["OutputKey"] == "CloudformationStackARN"
    )

    record = lead.update_provisioned_product(
        ProvisionedProductName="changing",
        ProvisioningArtifactId=catalog.versions["1.1.0"],
        ProvisioningParameters=[
            {"Key": "QueueName", "UsePreviousValue": True},
            {"Key": "Delay", "Value": "7"},
        ],
    )["RecordDetail"]["RecordId"]

    assert catalog.record(record)["RecordDetail"]["Status"] == "SUCCEEDED"
    outputs = {
        output["OutputKey"]: output["OutputValue"]
        for output in lead.get_provisioned_product_outputs(ProvisionedProductName="changing")["Outputs"]
    }
    assert outputs["Version"] == "1.1.0"
    assert outputs["CloudformationStackARN"] == stack
    refused = lead.update_provisioned_product(
        ProvisionedProductName="changing",
        ProvisioningParameters=[{"Key": "QueueName", "UsePreviousValue": True}, {"Key": "Delay", "Value": "901"}],
    )["RecordDetail"]["RecordId"]
    assert catalog.record(refused)["RecordDetail"]["Status"] == "FAILED"
    changed = lead.describe_provisioned_product(Name="changing")["ProvisionedProductDetail"]
    assert changed["Status"] == "TAINTED"
    assert changed["StatusMessage"] == "Parameter 'Delay' must be a number not greater than 900"
    again = lead.update_provisioned_product(
        ProvisionedProductName="changing",
        ProvisioningParameters=[{"Key": key, "UsePreviousValue": True} for key in ("QueueName", "Delay")],
    )["RecordDetail"]["RecordId"]
    assert catalog.record(again)["RecordDetail"]["Status"] == "SUCCEEDED"


def test_a_resource_that_fails_is_named_in_the_record(catalog: Catalog) -> None:
    hub = catalog.cloud.client("servicecatalog", HUB)
    broken = template("3.0.0")
    broken["Resources"]["Broken"] = {
        "Type": "AWS::ServiceCatalog::TagOptionAssociation",
        "Properties": {"ResourceId": "port-unknown", "TagOptionId": "tag-unknown"},
    }
    catalog.cloud.client("s3", HUB).put_object(
        Bucket=BUCKET, Key="releases/queue/3.0.0/template.json", Body=json.dumps(broken)
    )
    version = hub.create_provisioning_artifact(
        ProductId=catalog.product, Parameters={"Name": "3.0.0", "Info": {"LoadTemplateFromURL": template_url("3.0.0")}}
    )["ProvisioningArtifactDetail"]["Id"]
    catalog.versions["3.0.0"] = version
    try:
        failed = catalog.record(catalog.launch("broken", {"QueueName": "broken"}, version="3.0.0"))
    finally:
        hub.delete_provisioning_artifact(ProductId=catalog.product, ProvisioningArtifactId=version)

    (error,) = failed["RecordDetail"]["RecordErrors"]
    assert error["Description"].startswith("Broken (AWS::ServiceCatalog::TagOptionAssociation): ")
    assert "tag-unknown not found" in error["Description"]


def test_terminating_deletes_the_stack_and_the_provisioned_product(catalog: Catalog) -> None:
    lead = catalog.as_lead()
    catalog.record(catalog.launch("leaving", {"QueueName": "leaving"}))

    record = lead.terminate_provisioned_product(ProvisionedProductName="leaving")["RecordDetail"]["RecordId"]

    assert catalog.record(record)["RecordDetail"]["Status"] == "SUCCEEDED"
    with pytest.raises(lead.exceptions.ResourceNotFoundException):
        lead.describe_provisioned_product(Name="leaving")
    sqs = catalog.cloud.client("sqs", DEV)
    assert sqs.list_queues(QueueNamePrefix="leaving").get("QueueUrls", []) == []


def test_a_policy_may_limit_a_person_to_their_own_provisioned_products(catalog: Catalog) -> None:
    own_only = {"StringEquals": {"servicecatalog:userLevel": "self"}}
    role = catalog.cloud.role(
        DEV,
        "catalog-colleague",
        [
            {
                "Effect": "Allow",
                "Action": [call for call in ENDUSER_CALLS if "ProvisionedProduct" not in call],
                "Resource": "*",
            },
            {
                "Effect": "Allow",
                "Action": [call for call in ENDUSER_CALLS if "ProvisionedProduct" in call],
                "Resource": "*",
                "Condition": own_only,
            },
        ],
        Path="/people/11-lead/",
    )
    colleague = catalog.cloud.client("servicecatalog", DEV, catalog.cloud.assume(role))
    catalog.record(catalog.launch("private", {"QueueName": "private"}))

    with pytest.raises(ClientError) as refused:
        colleague.terminate_provisioned_product(ProvisionedProductName="private")
    assert error_of(refused.value) == "AccessDeniedException"


def test_what_is_not_emulated_is_refused_by_name(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="servicecatalog:ListServiceActions is not emulated here"):
        cloud.client("servicecatalog", HUB).list_service_actions()


# ---- taking it back -------------------------------------------------------------------------------------------------


def test_a_launch_role_must_exist_where_the_constraint_is_made(cloud: Cloud) -> None:
    stack = hub_template({"1.0.0": "first"})
    stack["Resources"]["LaunchRole"]["Properties"]["LocalRoleName"] = "nowhere"
    stack["Resources"] = {key: stack["Resources"][key] for key in ("Portfolio", "Product", "Association", "LaunchRole")}

    failed = cloud.deploy(HUB, "CatalogWithoutRole", stack)

    assert failed["StackStatus"] == "ROLLBACK_COMPLETE"
    assert any("Launch role nowhere does not exist" in reason for reason in cloud.failures(HUB, "CatalogWithoutRole"))
    names = [
        portfolio["DisplayName"]
        for portfolio in cloud.client("servicecatalog", HUB).list_portfolios()["PortfolioDetails"]
    ]
    assert names.count("Queues") <= 1


def test_a_stack_with_a_shared_portfolio_is_deleted_after_the_share(cloud: Cloud, catalog: Catalog) -> None:
    stack = hub_template({"2.0.0": "only"})
    stack["Resources"] = {key: stack["Resources"][key] for key in ("Portfolio", "Product", "Association", "LaunchRole")}
    del stack["Outputs"]["Versions"]
    created = cloud.deploy(HUB, "CatalogToDelete", stack)
    outputs = {output["OutputKey"]: output["OutputValue"] for output in created["Outputs"]}
    hub, cloudformation = cloud.client("servicecatalog", HUB), cloud.client("cloudformation", HUB)
    share(hub, outputs["PortfolioId"])

    cloudformation.delete_stack(StackName=created["StackId"])
    assert cloud.settled(HUB, created["StackId"])["StackStatus"] == "DELETE_FAILED"
    assert any("shares (1)" in reason for reason in cloud.failures(HUB, created["StackId"]))

    hub.delete_portfolio_share(PortfolioId=outputs["PortfolioId"], OrganizationNode=NODE)
    eventually(
        lambda: (
            not hub.describe_portfolio_shares(PortfolioId=outputs["PortfolioId"], Type="ORGANIZATIONAL_UNIT")[
                "PortfolioShareDetails"
            ]
            or None
        )
    )
    cloudformation.delete_stack(StackName=created["StackId"])
    assert cloud.settled(HUB, created["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    products = hub.search_products_as_admin()["ProductViewDetails"]
    assert outputs["ProductId"] not in [product["ProductViewSummary"]["ProductId"] for product in products]
