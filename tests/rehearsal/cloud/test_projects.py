"""SageMaker projects: a product of Service Catalog, launched as the data scientist with the project's name and id."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from aws_emulator.tests.harness import DEV2, REGION, AwsClient, eventually
from foundation import boundary
from products.sagemaker_domain.product import SageMakerDomainProduct
from products.shared import names
from tests.products.launches import CATALOG, DOMAIN, launch

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

BUCKET: Final = "project-templates"
ACTIONS: Final = [f"sagemaker:{verb}Project" for verb in ("Create", "Describe", "Update", "Delete")]
LAUNCH: Final = [f"servicecatalog:{verb}" for verb in ("ProvisionProduct", "UpdateProvisionedProduct")]
TERMINATE: Final = "servicecatalog:TerminateProvisionedProduct"


def template(version: str) -> dict[str, Any]:
    """Return a project's template: a parameter of Systems Manager that names the project."""
    name = {"Fn::Sub": "${SageMakerProjectName}-${SageMakerProjectId}"}
    return {
        "Parameters": {
            "SageMakerProjectName": {"Type": "String", "MaxLength": 32},
            "SageMakerProjectId": {"Type": "String", "AllowedPattern": "p-[a-z0-9]{12}"},
            "Label": {"Type": "String", "AllowedPattern": "[a-z]+"},
        },
        "Resources": {
            "Parameter": {
                "Type": "AWS::SSM::Parameter",
                "Properties": {"Name": {"Fn::Sub": "/projects/${SageMakerProjectId}"}, "Type": "String", "Value": name},
            }
        },
        "Outputs": {"Label": {"Value": {"Ref": "Label"}}, "Version": {"Value": version}},
    }


@dataclass
class Projects:
    """A product for projects.

    Attributes:
        product: Its id.
        versions: Ids of its versions by name.
        scientist: Client of SageMaker as a principal that is allowed to create projects.
        cloud: The organisation.
    """

    product: str
    versions: dict[str, str]
    scientist: AwsClient
    cloud: Cloud

    def create(self, name: str, *, version: str | None = None, label: str = "fraud") -> str:
        """Create a project and return its id."""
        details: dict[str, Any] = {
            "ProductId": self.product,
            "ProvisioningParameters": [{"Key": "Label", "Value": label}],
        }
        if version:
            details["ProvisioningArtifactId"] = self.versions[version]
        project: str = self.scientist.create_project(ProjectName=name, ServiceCatalogProvisioningDetails=details)[
            "ProjectId"
        ]
        return project

    def settled(self, name: str) -> dict[str, Any]:
        """Wait until a project is not in progress and return its description."""

        def description() -> dict[str, Any] | None:
            found: dict[str, Any] = self.scientist.describe_project(ProjectName=name)
            return None if found["ProjectStatus"].endswith("InProgress") else found

        return eventually(description)

    def outputs(self, described: dict[str, Any]) -> dict[str, str]:
        """Return the outputs of a project's provisioned product."""
        provisioned = described["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductId"]
        found = self.cloud.client("servicecatalog", DEV2).get_provisioned_product_outputs(
            ProvisionedProductId=provisioned
        )
        return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}


def statement(actions: list[str] | str) -> dict[str, Any]:
    """Return a statement that allows actions."""
    return {"Effect": "Allow", "Action": actions, "Resource": "*"}


@pytest.fixture(scope="module")
def projects(cloud: Cloud) -> Projects:
    """A portfolio in the second dev account, whose product a data scientist is allowed to launch."""
    catalog, s3 = cloud.client("servicecatalog", DEV2), cloud.client("s3", DEV2)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    urls = {}
    for version in ("1.0.0", "1.1.0"):
        s3.put_object(Bucket=BUCKET, Key=f"{version}.json", Body=json.dumps(template(version)))
        urls[version] = f"https://s3.eu-west-1.amazonaws.com/{BUCKET}/{version}.json"
    portfolio = catalog.create_portfolio(DisplayName="Projects", ProviderName="Platform")["PortfolioDetail"]["Id"]
    product = catalog.create_product(
        Name="Project",
        Owner="Platform",
        ProductType="CLOUD_FORMATION_TEMPLATE",
        ProvisioningArtifactParameters={"Name": "1.0.0", "Info": {"LoadTemplateFromURL": urls["1.0.0"]}},
    )
    product_id = product["ProductViewDetail"]["ProductViewSummary"]["ProductId"]
    second = catalog.create_provisioning_artifact(
        ProductId=product_id, Parameters={"Name": "1.1.0", "Info": {"LoadTemplateFromURL": urls["1.1.0"]}}
    )
    catalog.associate_product_with_portfolio(ProductId=product_id, PortfolioId=portfolio)
    cloudformation = ["CreateStack", "UpdateStack", "DeleteStack", "DescribeStacks", "DescribeStackEvents"]
    takes = [*(f"cloudformation:{action}" for action in cloudformation), "ssm:*Parameter*", "ssm:*Tags*"]
    launch = cloud.role(DEV2, "project-launch", [statement(takes)])
    catalog.create_constraint(
        PortfolioId=portfolio, ProductId=product_id, Type="LAUNCH", Parameters=json.dumps({"RoleArn": launch})
    )
    role = cloud.role(DEV2, "scientist", [statement([*ACTIONS, *LAUNCH, TERMINATE])])
    catalog.associate_principal_with_portfolio(PortfolioId=portfolio, PrincipalARN=role, PrincipalType="IAM")
    lurker = cloud.role(DEV2, "lurker", [statement(ACTIONS)])
    catalog.associate_principal_with_portfolio(PortfolioId=portfolio, PrincipalARN=lurker, PrincipalType="IAM")
    return Projects(
        product=product_id,
        versions={
            "1.0.0": product["ProvisioningArtifactDetail"]["Id"],
            "1.1.0": second["ProvisioningArtifactDetail"]["Id"],
        },
        scientist=cloud.client("sagemaker", DEV2, cloud.assume(role)),
        cloud=cloud,
    )


@pytest.fixture(scope="module", autouse=True)
def projects_need_to_be_enabled(cloud: Cloud, projects: Projects) -> None:
    with pytest.raises(ClientError, match="not enabled in this account"):
        projects.create("too-early")
    cloud.client("sagemaker", DEV2).enable_sagemaker_servicecatalog_portfolio()


def test_a_project_launches_the_product_with_its_name_id_and_tags(cloud: Cloud, projects: Projects) -> None:
    project_id = projects.create("churn", version="1.0.0")

    described = projects.settled("churn")

    assert described["ProjectStatus"] == "CreateCompleted", described
    assert projects.outputs(described)["Version"] == "1.0.0"
    parameter = cloud.client("ssm", DEV2).get_parameter(Name=f"/projects/{project_id}")["Parameter"]
    assert parameter["Value"] == f"churn-{project_id}"
    provisioned = described["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductId"]
    (stack,) = cloud.client("cloudformation", DEV2).describe_stacks(StackName=f"SC-{DEV2}-{provisioned}")["Stacks"]
    tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
    assert (tags["sagemaker:project-name"], tags["sagemaker:project-id"]) == ("churn", project_id)


def test_without_a_version_the_newest_is_launched(projects: Projects) -> None:
    projects.create("newest")

    assert projects.outputs(projects.settled("newest"))["Version"] == "1.1.0"


def test_a_project_that_cannot_be_launched_says_why(projects: Projects) -> None:
    projects.create("wrong", label="42")

    described = projects.settled("wrong")

    assert described["ProjectStatus"] == "CreateFailed"
    message = described["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductStatusMessage"]
    assert message == "Parameter 'Label' must match pattern [a-z]+"


def test_creating_a_project_needs_the_permission_to_launch_the_product(cloud: Cloud, projects: Projects) -> None:
    lurker = cloud.client("sagemaker", DEV2, cloud.assume(f"arn:aws:iam::{DEV2}:role/lurker"))

    with pytest.raises(ClientError, match="servicecatalog:ProvisionProduct"):
        lurker.create_project(ProjectName="lurking", ServiceCatalogProvisioningDetails={"ProductId": projects.product})


def test_an_update_keeps_parameters_that_it_does_not_name(projects: Projects) -> None:
    projects.create("moving", version="1.0.0", label="churn")
    projects.settled("moving")

    projects.scientist.update_project(
        ProjectName="moving",
        ServiceCatalogProvisioningUpdateDetails={"ProvisioningArtifactId": projects.versions["1.1.0"]},
    )

    described = projects.settled("moving")
    assert described["ProjectStatus"] == "UpdateCompleted", described
    outputs = projects.outputs(described)
    assert (outputs["Version"], outputs["Label"]) == ("1.1.0", "churn")


def test_deleting_a_project_terminates_its_product(cloud: Cloud, projects: Projects) -> None:
    project_id = projects.create("leaving")
    projects.settled("leaving")

    projects.scientist.delete_project(ProjectName="leaving")

    assert projects.settled("leaving")["ProjectStatus"] == "DeleteCompleted"
    with pytest.raises(ClientError, match="does not exist"):
        projects.scientist.describe_project(ProjectName="leaving")
    ssm = cloud.client("ssm", DEV2)
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name=f"/projects/{project_id}")


# ---- whose project it is --------------------------------------------------------------------------------------------

LEAD, SCIENTIST, _ = names.PERSONAS
AS_LEAD: Final = [{"Key": "ml-platform-acts-as", "Value": LEAD}]


def personas(cloud: Cloud, synth_product: Callable[..., Any]) -> dict[str, str]:
    """Make the roles of a domain's lead and data scientists as the product does, and return their ARNs.

    The account's root can open sessions of them too, where SageMaker does it for Studio.
    """
    run = launch(synth_product(SageMakerDomainProduct), DOMAIN, account=DEV2, region=REGION, stack="SC-domain")
    iam = cloud.client("iam", DEV2)
    text = json.dumps({"Version": "2012-10-17", "Statement": boundary.document(catalog=CATALOG)["Statement"]})
    ceiling = iam.create_policy(
        PolicyName=names.BOUNDARY_POLICY,
        PolicyDocument=text.replace("${AWS::Partition}", "aws").replace("${AWS::AccountId}", DEV2),
    )["Policy"]["Arn"]
    root = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{DEV2}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{DEV2}:root"}},
    }
    made = {}
    for logical_id, role in run.resources("AWS::IAM::Role").items():
        persona = role["Path"].strip("/").rsplit("/", 1)[-1]
        if persona not in (LEAD, SCIENTIST):
            continue
        trust = role["AssumeRolePolicyDocument"]
        name = run.physical_id(logical_id)
        made[persona] = iam.create_role(
            RoleName=name,
            Path=role["Path"],
            AssumeRolePolicyDocument=json.dumps({**trust, "Statement": [*trust["Statement"], root]}),
            PermissionsBoundary=ceiling,
            Tags=role["Tags"],
        )["Role"]["Arn"]
        policy = {"Version": "2012-10-17", "Statement": run.roles()[logical_id]}
        iam.put_role_policy(RoleName=name, PolicyName="Purpose", PolicyDocument=json.dumps(policy))
    return made


def refusal(request: Callable[[], object]) -> str:
    """Return the code of the error with which a request is refused; empty when it is not."""
    try:
        request()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_a_data_scientist_cannot_delete_the_project_of_another_and_the_lead_can(
    cloud: Cloud, projects: Projects, synth_product: Callable[..., Any]
) -> None:
    roles = personas(cloud, synth_product)
    catalog = cloud.client("servicecatalog", DEV2)
    portfolio = catalog.list_portfolios()["PortfolioDetails"][0]["Id"]
    catalog.associate_principal_with_portfolio(
        PortfolioId=portfolio, PrincipalARN=roles[SCIENTIST], PrincipalType="IAM"
    )
    dan, dora, lead = (cloud.assume(roles[persona]) for persona in (SCIENTIST, SCIENTIST, LEAD))
    dans = replace(projects, scientist=cloud.client("sagemaker", DEV2, dan))
    dans.create("of-dan")
    described = dans.settled("of-dan")
    assert described["ProjectStatus"] == "CreateCompleted", described
    product = {
        "ProvisionedProductId": described["ServiceCatalogProvisionedProductDetails"]["ProvisionedProductId"],
        "TerminateToken": "attack",
    }

    for who in (dora, dan, lead):
        sagemaker, service_catalog = (cloud.client(service, DEV2, who) for service in ("sagemaker", "servicecatalog"))
        for request in (
            partial(sagemaker.delete_project, ProjectName="of-dan"),
            partial(service_catalog.terminate_provisioned_product, **product),
        ):
            assert refusal(request) == "AccessDeniedException"
    scientist = {"RoleArn": roles[SCIENTIST], "RoleSessionName": "lead"}
    as_another = [{"Key": "ml-platform-acts-as", "Value": SCIENTIST}]
    for who, tags in ((dora, AS_LEAD), (dora, []), (lead, []), (lead, as_another)):
        assume = partial(cloud.client("sts", DEV2, who).assume_role, **scientist, Tags=tags)
        assert refusal(assume) == "AccessDenied"

    acting = cloud.client("sts", DEV2, lead).assume_role(**scientist, Tags=AS_LEAD)["Credentials"]
    cloud.client("sagemaker", DEV2, acting).delete_project(ProjectName="of-dan")
    assert dans.settled("of-dan")["ProjectStatus"] == "DeleteCompleted"
