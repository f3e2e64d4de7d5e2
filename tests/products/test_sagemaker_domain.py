"""The domain product: what each persona may do, how Studio is set up, and what stays when it goes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from products.sagemaker_domain.product import SageMakerDomainProduct
from products.shared import names
from tests.policy import allows
from tests.products.launches import CONNECTION, DOMAIN, launch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.policy import Launch

    Template = dict[str, Any]

ACCOUNT, REGION = "111122223333", "eu-west-1"
LEAD, SCIENTIST, ENGINEER = names.PERSONAS
PENDING = {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}
APPROVED = {"sagemaker:ModelApprovalStatus": "Approved"}
REJECTED = {"sagemaker:ModelApprovalStatus": "Rejected"}
STUDIO = {"sagemaker:DomainId": "d-abc", "sagemaker:UserProfileName": "ana"}


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


GROUP = arn("sagemaker", "model-package-group/churn-p-aaaaaaaaaaaa")
PACKAGE = arn("sagemaker", "model-package/churn-p-aaaaaaaaaaaa/3")
PIPELINE = arn("sagemaker", "pipeline/churn-p-aaaaaaaaaaaa")
EXECUTION = f"{PIPELINE}/execution/abc"
PROJECT_ROLE = f"arn:aws:iam::{ACCOUNT}:role/ml-platform/project/SC-PipelineRole"


@pytest.fixture(scope="module")
def template(synth_product: Callable[[type[Any]], Template]) -> Template:
    return synth_product(SageMakerDomainProduct)


@pytest.fixture(scope="module")
def domain(template: Template) -> Launch:
    return launch(template, DOMAIN)


@pytest.fixture(scope="module")
def may(domain: Launch) -> Callable[..., bool]:
    """Return a function that tells whether a persona may do something."""
    roles = domain.resources("AWS::IAM::Role")
    by_path = {role["Path"]: logical_id for logical_id, role in roles.items()}
    granted = domain.roles()

    def decide(persona: str, action: str, resource: str, context: Mapping[str, str] | None = None) -> bool:
        return allows(granted[by_path[names.persona_role_path(persona)]], action, resource, **(context or {}))

    return decide


def one(run: Launch, type_: str) -> dict[str, Any]:
    (found,) = run.resources(type_).values()
    return found


# ---- models: who registers does not approve -------------------------------------------------------------------------


@pytest.mark.parametrize("decision", [APPROVED, REJECTED])
def test_only_the_lead_decides_on_models(may: Callable[..., bool], decision: dict[str, str]) -> None:
    assert may(LEAD, "sagemaker:UpdateModelPackage", PACKAGE, decision)
    assert not may(SCIENTIST, "sagemaker:UpdateModelPackage", PACKAGE, decision)
    assert not may(ENGINEER, "sagemaker:UpdateModelPackage", PACKAGE, decision)


def test_the_data_scientist_registers_but_cannot_register_as_approved(may: Callable[..., bool]) -> None:
    for resource in (GROUP, PACKAGE):
        assert may(SCIENTIST, "sagemaker:CreateModelPackage", resource, PENDING)
        assert may(SCIENTIST, "sagemaker:CreateModelPackage", resource)  # SageMaker then takes pending
        assert not may(SCIENTIST, "sagemaker:CreateModelPackage", resource, APPROVED)
        assert not may(SCIENTIST, "sagemaker:CreateModelPackage", resource, REJECTED)


@pytest.mark.parametrize("persona", [LEAD, ENGINEER])
def test_who_does_not_build_models_does_not_register_them(may: Callable[..., bool], persona: str) -> None:
    assert not may(persona, "sagemaker:CreateModelPackage", GROUP, PENDING)
    assert not may(persona, "sagemaker:CreateModelPackage", PACKAGE, PENDING)


@pytest.mark.parametrize("persona", names.PERSONAS)
def test_every_persona_reads_models_pipelines_and_results(may: Callable[..., bool], persona: str) -> None:
    assert may(persona, "sagemaker:DescribeModelPackage", PACKAGE)
    assert may(persona, "sagemaker:ListModelPackages", GROUP)
    assert may(persona, "sagemaker:DescribePipeline", PIPELINE)
    assert may(persona, "sagemaker:ListPipelineExecutionSteps", EXECUTION)
    assert may(persona, "s3:GetObject", f"arn:aws:s3:::mlp-p-aaaaaaaaaaaa-{ACCOUNT}-{REGION}/runs/1/evaluation.json")
    assert may(persona, "logs:GetLogEvents", arn("logs", "log-group:/aws/sagemaker/TrainingJobs:log-stream:x"))
    assert may(persona, "codebuild:BatchGetBuilds", arn("codebuild", "project/mlp-p-aaaaaaaaaaaa-build"))


@pytest.mark.parametrize("persona", names.PERSONAS)
def test_nobody_writes_into_the_bucket_of_a_project_or_changes_its_pipeline(
    may: Callable[..., bool], persona: str
) -> None:
    assert not may(persona, "s3:PutObject", f"arn:aws:s3:::mlp-p-aaaaaaaaaaaa-{ACCOUNT}-{REGION}/models/model.tar.gz")
    assert not may(persona, "sagemaker:UpdatePipeline", PIPELINE)
    assert not may(persona, "sagemaker:DeleteModelPackage", PACKAGE)


@pytest.mark.parametrize("persona", names.PERSONAS)
def test_keys_of_projects_are_used_through_s3_and_only_they(may: Callable[..., bool], persona: str) -> None:
    through_s3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    of_project = {"aws:ResourceTag/sagemaker:project-id": "p-aaaaaaaaaaaa"}
    key = arn("kms", "key/of-a-project")
    assert may(persona, "kms:Decrypt", key, through_s3 | of_project)
    assert not may(persona, "kms:Decrypt", key, through_s3)
    assert not may(persona, "kms:Decrypt", key, of_project)
    assert not may(persona, "kms:Encrypt", key, through_s3 | of_project)


# ---- work -----------------------------------------------------------------------------------------------------------


def test_leads_and_data_scientists_run_pipelines_and_engineers_watch(may: Callable[..., bool]) -> None:
    for action, resource in (
        ("sagemaker:StartPipelineExecution", PIPELINE),
        ("sagemaker:StopPipelineExecution", EXECUTION),
        ("codepipeline:StartPipelineExecution", arn("codepipeline", "mlp-p-aaaaaaaaaaaa-build")),
    ):
        assert may(LEAD, action, resource)
        assert may(SCIENTIST, action, resource)
        assert not may(ENGINEER, action, resource)


def test_pipelines_that_belong_to_no_project_are_out_of_reach(may: Callable[..., bool]) -> None:
    assert not may(SCIENTIST, "sagemaker:StartPipelineExecution", arn("sagemaker", "pipeline/payroll"))
    assert not may(SCIENTIST, "codepipeline:StartPipelineExecution", arn("codepipeline", "MlPlatformPipeline"))


def test_the_data_scientist_creates_projects_from_the_catalog(may: Callable[..., bool]) -> None:
    product = f"arn:aws:catalog:{REGION}:444455556666:product/prod-abc"
    assert may(SCIENTIST, "sagemaker:CreateProject", arn("sagemaker", "project/churn"))
    for action in (
        "DescribeProduct",
        "DescribeProvisioningArtifact",
        "DescribeProvisioningParameters",
        "ListLaunchPaths",
        "ProvisionProduct",
    ):
        assert may(SCIENTIST, f"servicecatalog:{action}", product)
        assert may(LEAD, f"servicecatalog:{action}", product)
        assert not may(ENGINEER, f"servicecatalog:{action}", product)
    for action in ("SearchProducts", "DescribeRecord", "GetProvisionedProductOutputs"):
        assert may(SCIENTIST, f"servicecatalog:{action}", "*")
    assert not may(LEAD, "sagemaker:CreateProject", arn("sagemaker", "project/churn"))


def test_a_product_is_changed_only_by_the_role_that_launched_it(may: Callable[..., bool]) -> None:
    for action in ("servicecatalog:TerminateProvisionedProduct", "servicecatalog:UpdateProvisionedProduct"):
        assert may(SCIENTIST, action, "*", {"servicecatalog:roleLevel": "self"})
        assert not may(SCIENTIST, action, "*", {"servicecatalog:accountLevel": "self"})


def test_the_data_scientist_passes_roles_of_projects_to_sagemaker_and_no_others(may: Callable[..., bool]) -> None:
    to_sagemaker = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    assert may(SCIENTIST, "iam:PassRole", PROJECT_ROLE, to_sagemaker)
    assert not may(SCIENTIST, "iam:PassRole", PROJECT_ROLE, {"iam:PassedToService": "lambda.amazonaws.com"})
    for path in ("", "ml-platform/baseline/", "ml-platform/persona/lead-data-scientist/"):
        assert not may(SCIENTIST, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{path}x", to_sagemaker)
    for persona in (LEAD, ENGINEER):
        assert not may(persona, "iam:PassRole", PROJECT_ROLE, to_sagemaker)


def test_builders_use_the_connection_of_the_domain_and_no_other(template: Template) -> None:
    run = launch(template, {**DOMAIN, "ExistingConnectionArn": CONNECTION})
    granted = {run.resources("AWS::IAM::Role")[k]["Path"]: v for k, v in run.roles().items()}
    for persona, expected in ((LEAD, True), (SCIENTIST, True), (ENGINEER, False)):
        role = granted[names.persona_role_path(persona)]
        assert allows(role, "codeconnections:UseConnection", CONNECTION) is expected
        assert not allows(role, "codeconnections:UseConnection", f"{CONNECTION[:-1]}9")


# ---- Studio ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("persona", names.PERSONAS)
def test_people_open_and_stop_only_what_is_their_own(may: Callable[..., bool], persona: str) -> None:
    own = STUDIO | {
        "sagemaker:OwnerUserProfileArn": arn("sagemaker", "user-profile/d-abc/ana"),
        "sagemaker:SpaceSharingType": "Private",
    }
    foreign = own | {"sagemaker:OwnerUserProfileArn": arn("sagemaker", "user-profile/d-abc/bob")}
    app, space = arn("sagemaker", "app/d-abc/x/jupyterlab/default"), arn("sagemaker", "space/d-abc/x")
    for action, resource in (("CreateApp", app), ("DeleteApp", app), ("CreateSpace", space), ("DeleteSpace", space)):
        assert may(persona, f"sagemaker:{action}", resource, own)
        assert not may(persona, f"sagemaker:{action}", resource, foreign)
        assert not may(persona, f"sagemaker:{action}", resource.replace("d-abc", "d-xyz"), own)
    shared = foreign | {"sagemaker:SpaceSharingType": "Shared"}
    assert may(persona, "sagemaker:CreateApp", app, shared)
    assert not may(persona, "sagemaker:DeleteSpace", space, shared)
    assert may(persona, "sagemaker:CreatePresignedDomainUrl", arn("sagemaker", "user-profile/d-abc/ana"), STUDIO)
    assert not may(persona, "sagemaker:CreatePresignedDomainUrl", arn("sagemaker", "user-profile/d-abc/bob"), STUDIO)


def test_everything_stays_in_the_vpc_unless_asked_otherwise(template: Template, domain: Launch) -> None:
    studio = one(domain, "AWS::SageMaker::Domain")
    assert studio["AppNetworkAccessType"] == "VpcOnly"
    assert (studio["VpcId"], studio["SubnetIds"]) == ("vpc-1", ["subnet-1", "subnet-2"])
    open_ = launch(template, {**DOMAIN, "NetworkAccess": "PublicInternetOnly"})
    assert one(open_, "AWS::SageMaker::Domain")["AppNetworkAccessType"] == "PublicInternetOnly"


def test_the_network_comes_from_the_parameters_of_the_account(template: Template) -> None:
    declared = template["Parameters"]
    assert declared["VpcId"]["Type"] == "AWS::SSM::Parameter::Value<AWS::EC2::VPC::Id>"
    assert declared["VpcId"]["Default"] == names.VPC_ID_PARAMETER
    assert declared["SubnetIds"]["Type"] == "AWS::SSM::Parameter::Value<List<AWS::EC2::Subnet::Id>>"
    assert declared["SubnetIds"]["Default"] == names.SUBNET_IDS_PARAMETER


def test_nothing_from_outside_reaches_the_apps(domain: Launch) -> None:
    group = one(domain, "AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group
    assert {(rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupEgress"]} == {(443, 443), (2049, 2049)}
    ingress = one(domain, "AWS::EC2::SecurityGroupIngress")
    assert ingress["SourceSecurityGroupId"] == ingress["GroupId"]


def test_home_directories_spaces_and_bucket_are_encrypted_with_the_domains_key(
    domain: Launch, template: Template
) -> None:
    (key,) = [k for k, v in template["Resources"].items() if v["Type"] == "AWS::KMS::Key"]
    assert one(domain, "AWS::SageMaker::Domain")["KmsKeyId"] == domain.ref(key)
    rule = one(domain, "AWS::S3::Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == domain.attribute(key, "Arn")
    assert one(domain, "AWS::KMS::Key")["EnableKeyRotation"] is True


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("ENABLED", 120)),
        ({"IdleMinutes": "60"}, ("ENABLED", "60")),
        ({"IdleShutdown": "DISABLED"}, ("DISABLED", 120)),
    ],
)
def test_idle_apps_stop_by_default_in_private_and_shared_spaces(
    template: Template, given: dict[str, str], expected: tuple[str, Any]
) -> None:
    studio = one(launch(template, DOMAIN | given), "AWS::SageMaker::Domain")
    settings = [
        studio["DefaultUserSettings"]["JupyterLabAppSettings"],
        studio["DefaultUserSettings"]["CodeEditorAppSettings"],
        studio["DefaultSpaceSettings"]["JupyterLabAppSettings"],
    ]
    for setting in settings:
        idle = setting["AppLifecycleManagement"]["IdleSettings"]
        assert (idle["LifecycleManagement"], idle["IdleTimeoutInMinutes"]) == expected


def test_apps_inherit_the_tags_and_cloudtrail_names_the_person(domain: Launch) -> None:
    studio = one(domain, "AWS::SageMaker::Domain")
    assert studio["TagPropagation"] == "ENABLED"
    assert studio["DomainSettings"]["ExecutionRoleIdentityConfig"] == "USER_PROFILE_NAME"
    for role in domain.resources("AWS::IAM::Role").values():
        actions = [a for s in role["AssumeRolePolicyDocument"]["Statement"] for a in s["Action"]]
        assert "sts:SetSourceIdentity" in actions


def test_a_profile_without_a_persona_gets_no_project_rights(domain: Launch) -> None:
    default = one(domain, "AWS::SageMaker::Domain")["DefaultUserSettings"]["ExecutionRole"]
    (role,) = [k for k in domain.roles() if domain.attribute(k, "Arn") == default]
    granted = domain.roles()[role]
    assert allows(granted, "sagemaker:DescribeDomain", arn("sagemaker", "domain/d-abc"))
    for action, resource in (
        ("sagemaker:StartPipelineExecution", PIPELINE),
        ("sagemaker:DescribeModelPackage", PACKAGE),
        ("servicecatalog:ProvisionProduct", "*"),
    ):
        assert not allows(granted, action, resource)


# ---- people ---------------------------------------------------------------------------------------------------------


def test_with_iam_there_is_a_profile_per_persona_with_its_own_role(domain: Launch) -> None:
    profiles = domain.resources("AWS::SageMaker::UserProfile").values()
    assert {p["UserProfileName"] for p in profiles} == set(names.PERSONAS)
    for profile in profiles:
        assert f":role{names.persona_role_path(profile['UserProfileName'])}" in profile["UserSettings"]["ExecutionRole"]
        assert not profile.keys() & {"SingleSignOnUserValue", "SingleSignOnUserIdentifier"}


def test_with_sso_there_is_a_profile_for_each_named_person(template: Template) -> None:
    run = launch(template, {**DOMAIN, "AuthMode": "SSO", "LeadDataScientistUser": "ana@example.com"})
    profile = one(run, "AWS::SageMaker::UserProfile")
    assert profile["UserProfileName"] == LEAD
    assert (profile["SingleSignOnUserIdentifier"], profile["SingleSignOnUserValue"]) == ("UserName", "ana@example.com")
    assert one(run, "AWS::SageMaker::Domain")["AuthMode"] == "SSO"


def test_the_form_tells_when_users_are_named_without_sso(template: Template) -> None:
    rule = template["Rules"]["UsersNeedSso"]
    for given, fine in (
        ({}, True),
        ({"AuthMode": "SSO", "MlEngineerUser": "max"}, True),
        ({"MlEngineerUser": "max"}, False),
    ):
        run = launch(template, DOMAIN | given)
        asserted = all(run.value(a["Assert"]) for a in rule["Assertions"])
        assert (not run.value(rule["RuleCondition"]) or asserted) is fine


# ---- preflight, connection, projects --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "checks"),
    [
        ({}, ["vpc", "subnets", "domain-name"]),
        ({"AuthMode": "SSO"}, ["vpc", "subnets", "domain-name", "identity-center"]),
        ({"ExistingConnectionArn": CONNECTION}, ["vpc", "subnets", "domain-name", "connection"]),
    ],
)
def test_what_is_checked_follows_from_what_is_asked_for(
    template: Template, given: dict[str, str], checks: list[str]
) -> None:
    check = one(launch(template, DOMAIN | given), "Custom::Preflight")
    assert check["Checks"] == checks
    assert check["NetworkAccess"] == "VpcOnly"
    assert (check["VpcId"], check["SubnetIds"]) == ("vpc-1", ["subnet-1", "subnet-2"])


def test_a_connection_is_created_unless_one_is_given(template: Template, domain: Launch) -> None:
    made = one(domain, "AWS::CodeConnections::Connection")
    assert (made["ConnectionName"], made["ProviderType"]) == ("mlp-d-claims-lab", "GitHub")
    assert one(domain, "Custom::EnableProjects")["ConnectionArn"] == domain.outputs()["ConnectionArn"]
    reuse = launch(template, {**DOMAIN, "ExistingConnectionArn": CONNECTION})
    assert reuse.resources("AWS::CodeConnections::Connection") == {}
    assert reuse.outputs()["ConnectionArn"] == CONNECTION


def test_projects_are_enabled_last_for_the_role_of_every_persona(template: Template, domain: Launch) -> None:
    enabled = one(domain, "Custom::EnableProjects")
    roles = domain.resources("AWS::IAM::Role")
    personas = {domain.attribute(k, "Arn") for k, v in roles.items() if "/persona/" in v["Path"]}
    assert set(enabled["PersonaRoleArns"]) == personas
    (resource,) = [v for v in template["Resources"].values() if v["Type"] == "Custom::EnableProjects"]
    assert "Domain" in resource["DependsOn"]


# ---- what stays -----------------------------------------------------------------------------------------------------


def test_bucket_and_key_stay_when_the_domain_goes_but_not_after_a_failed_launch(template: Template) -> None:
    for resource in template["Resources"].values():
        if resource["Type"] in {"AWS::S3::Bucket", "AWS::KMS::Key"}:
            assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
            assert resource["UpdateReplacePolicy"] == "Retain"


def test_the_bucket_is_emptied_only_when_asked_for(template: Template, domain: Launch) -> None:
    assert domain.resources("Custom::BucketContents") == {}
    empties = launch(template, {**DOMAIN, "BucketOnDeletion": "Empty"})
    assert one(empties, "Custom::BucketContents")["BucketName"] == one(empties, "AWS::S3::Bucket")["BucketName"]


def test_a_later_domain_of_the_same_name_gets_a_bucket_of_its_own(domain: Launch) -> None:
    assert one(domain, "AWS::S3::Bucket")["BucketName"] == f"mlp-d-claims-lab-0a1b2c3d-{ACCOUNT}-{REGION}"


@pytest.mark.parametrize(
    ("parameter", "accepted", "refused"),
    [
        ("DomainName", ["lab", "claims-lab", "d" * 20], ["", "Lab", "-lab", "lab-", "a_b"]),
        ("LeadDataScientistUser", ["", "ana@example.com", "ana"], ["ana lopez", "a/b"]),
        (
            "ExistingConnectionArn",
            ["", CONNECTION, CONNECTION.replace("codeconnections", "codestar-connections")],
            ["abc"],
        ),
        ("Owner", ["claims-analytics"], [""]),
    ],
)
def test_the_form_accepts_what_is_right_and_refuses_what_is_not(
    template: Template, parameter: str, accepted: list[str], refused: list[str]
) -> None:
    declared = template["Parameters"][parameter]
    assert [v for v in accepted if not re.fullmatch(declared["AllowedPattern"], v)] == []
    assert [v for v in refused if re.fullmatch(declared["AllowedPattern"], v)] == []
