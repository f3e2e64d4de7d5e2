"""The domain product: what each persona may do, how Studio is set up, and what stays when it goes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from foundation import boundary
from products.sagemaker_domain.product import SageMakerDomainProduct
from products.shared import names
from tests.policy import allows, assumes, existing, principal, requested
from tests.products.launches import CATALOG, CONNECTION, DOMAIN, launch

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
    action = "servicecatalog:UpdateProvisionedProduct"
    for persona in (LEAD, SCIENTIST):
        assert may(persona, action, "*", {"servicecatalog:roleLevel": "self"})
        assert not may(persona, action, "*", {"servicecatalog:accountLevel": "self"})


# Service Catalog knows the role of whoever launched a project and the name of the session. Both are the same for all
# data scientists of a domain, so one of them could delete the project of another.
DELETIONS = [
    ("sagemaker:DeleteProject", arn("sagemaker", "project/churn"), {}),
    ("servicecatalog:TerminateProvisionedProduct", "*", {"servicecatalog:roleLevel": "self"}),
]
ACTS_AS_LEAD = {"ml-platform-acts-as": LEAD}


@pytest.mark.parametrize(("action", "resource", "context"), DELETIONS)
def test_no_data_scientist_deletes_a_project_and_the_lead_acting_as_one_does(
    may: Callable[..., bool], action: str, resource: str, context: dict[str, Any]
) -> None:
    assert not may(SCIENTIST, action, resource, context)
    for value in ("", "data-scientist", "p-abc"):
        assert not may(SCIENTIST, action, resource, context | principal({"ml-platform-acts-as": value}))
    assert may(SCIENTIST, action, resource, context | principal(ACTS_AS_LEAD))
    assert not may(ENGINEER, action, resource, context | principal(ACTS_AS_LEAD))


def test_the_lead_deletes_only_what_the_roles_of_the_domain_launched(may: Callable[..., bool]) -> None:
    action = "servicecatalog:TerminateProvisionedProduct"
    assert not may(SCIENTIST, action, "*", {"servicecatalog:accountLevel": "self"} | principal(ACTS_AS_LEAD))
    assert not may(LEAD, action, "*", {"servicecatalog:accountLevel": "self"})
    assert not may(LEAD, "sagemaker:DeleteProject", arn("sagemaker", "project/churn"))


def test_only_a_lead_opens_a_session_of_the_data_scientists_role_and_never_without_saying_so(domain: Launch) -> None:
    role = next(r for r in domain.resources("AWS::IAM::Role").values() if "/data-scientist/" in r["Path"])
    trust = role["AssumeRolePolicyDocument"]
    path = f"arn:aws:iam::{ACCOUNT}:role/ml-platform/persona"
    lead, scientist = f"{path}/{LEAD}/SC-1", f"{path}/{SCIENTIST}/SC-1"
    assert assumes(trust, caller=lead, caller_tags={}, session_tags=ACTS_AS_LEAD)
    assert not assumes(trust, caller=lead, caller_tags={}, session_tags={})
    assert not assumes(trust, caller=lead, caller_tags={}, session_tags={"ml-platform-acts-as": SCIENTIST})
    for caller in (scientist, f"arn:aws:iam::{ACCOUNT}:role/admin", f"arn:aws:iam::999988887777:role/persona/{LEAD}/x"):
        assert not assumes(trust, caller=caller, caller_tags={}, session_tags=ACTS_AS_LEAD)
    # SageMaker opens Studio without tags, and a tag of the stack does not get to the role.
    by_service = [s for s in trust["Statement"] if "Service" in s["Principal"]]
    assert {action for s in by_service for action in s["Action"]} == {"sts:AssumeRole", "sts:SetSourceIdentity"}
    assert {"Key": "ml-platform-acts-as", "Value": "data-scientist"} in role["Tags"]


def test_the_lead_acts_as_the_data_scientists_of_this_domain_and_of_no_other(
    domain: Launch, may: Callable[..., bool]
) -> None:
    (own,) = [k for k, r in domain.resources("AWS::IAM::Role").items() if "/data-scientist/" in r["Path"]]
    other = f"arn:aws:iam::{ACCOUNT}:role/ml-platform/persona/data-scientist/SC-other"
    for action in ("sts:AssumeRole", "sts:TagSession"):
        assert may(LEAD, action, domain.attribute(own, "Arn"), requested(ACTS_AS_LEAD))
        assert not may(LEAD, action, domain.attribute(own, "Arn"))
        assert not may(LEAD, action, other, requested(ACTS_AS_LEAD))
        assert not may(SCIENTIST, action, domain.attribute(own, "Arn"), requested(ACTS_AS_LEAD))


# ---- jobs by hand ---------------------------------------------------------------------------------------------------

JOBS = [(kind, arn("sagemaker", f"{kind.lower()}-job/mine")) for kind in ("Processing", "Training")]
OF_PROJECT = {"sagemaker:project-id": "p-aaaaaaaaaaaa"}


@pytest.mark.parametrize(("kind", "job"), JOBS)
def test_with_vpc_only_no_job_by_hand_leaves_the_network_of_the_domain(
    template: Template, domain: Launch, kind: str, job: str
) -> None:
    group = domain.ref("SecurityGroup")
    inside: dict[str, Any] = {
        "sagemaker:VpcSubnets": ["subnet-1"],
        "sagemaker:VpcSecurityGroupIds": [f"{group}.GroupId"],
    }
    outside = [
        {},
        inside | {"sagemaker:VpcSubnets": ["subnet-9"]},
        inside | {"sagemaker:VpcSecurityGroupIds": ["sg-9"]},
    ]
    open_ = launch(template, {**DOMAIN, "NetworkAccess": "PublicInternetOnly"})
    for run, beyond in ((domain, False), (open_, True)):
        (role,) = [k for k, r in run.resources("AWS::IAM::Role").items() if "/data-scientist/" in r["Path"]]
        granted = run.roles()[role]
        assert allows(granted, f"sagemaker:Create{kind}Job", job, **requested(OF_PROJECT), **inside)
        for network in outside:
            asked = allows(granted, f"sagemaker:Create{kind}Job", job, **requested(OF_PROJECT), **network)
            assert asked is beyond


@pytest.mark.parametrize(("kind", "job"), JOBS)
def test_people_start_and_stop_jobs_of_projects_and_no_others(
    may: Callable[..., bool], domain: Launch, kind: str, job: str
) -> None:
    inside = {
        "sagemaker:VpcSubnets": ["subnet-1"],
        "sagemaker:VpcSecurityGroupIds": [f"{domain.ref('SecurityGroup')}.GroupId"],
    }
    payroll = {"sagemaker:project-id": "payroll"}
    assert may(SCIENTIST, f"sagemaker:Stop{kind}Job", job, existing(OF_PROJECT))
    assert not may(SCIENTIST, f"sagemaker:Stop{kind}Job", job, existing(payroll))
    assert not may(SCIENTIST, f"sagemaker:Stop{kind}Job", job)
    assert not may(SCIENTIST, f"sagemaker:Create{kind}Job", job, inside)
    assert not may(SCIENTIST, f"sagemaker:Create{kind}Job", job, inside | requested(payroll))
    assert not may(SCIENTIST, "sagemaker:AddTags", job, requested(OF_PROJECT) | existing(payroll))


def test_the_data_scientist_passes_roles_of_projects_to_sagemaker_and_no_others(may: Callable[..., bool]) -> None:
    to_sagemaker = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    assert may(SCIENTIST, "iam:PassRole", PROJECT_ROLE, to_sagemaker)
    assert not may(SCIENTIST, "iam:PassRole", PROJECT_ROLE, {"iam:PassedToService": "lambda.amazonaws.com"})
    # The execution role of another domain would open its bucket.
    others = ("", "ml-platform/baseline/", "ml-platform/persona/lead-data-scientist/", names.STUDIO_ROLE_PATH[1:])
    for path in others:
        assert not may(SCIENTIST, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{path}x", to_sagemaker)
    for persona in (LEAD, ENGINEER):
        assert not may(persona, "iam:PassRole", PROJECT_ROLE, to_sagemaker)


SERVICES = ("codeconnections", "codestar-connections")


def by_persona(run: Launch) -> dict[str, Any]:
    return {run.resources("AWS::IAM::Role")[k]["Path"]: v for k, v in run.roles().items()}


@pytest.mark.parametrize("service", SERVICES)
def test_builders_reach_the_repositories_of_the_team_through_the_connection_of_the_domain(
    template: Template, service: str
) -> None:
    team = {"Repositories": "acme-ml/claims-*,acme-ml/notebooks", "ExistingConnectionArn": CONNECTION}
    granted = by_persona(launch(template, DOMAIN | team))
    for persona, expected in ((LEAD, True), (SCIENTIST, True), (ENGINEER, False)):
        role = granted[names.persona_role_path(persona)]
        for name in ("acme-ml/claims-fraud", "acme-ml/notebooks"):
            asked = {f"{service}:FullRepositoryId": name}
            assert allows(role, f"{service}:UseConnection", CONNECTION, **asked) is expected
            assert not allows(role, f"{service}:UseConnection", f"{CONNECTION[:-1]}9", **asked)
        for name in ("acme-hr/salaries", "acme-ml/other", CATALOG):
            assert not allows(role, f"{service}:UseConnection", CONNECTION, **{f"{service}:FullRepositoryId": name})
        assert not allows(role, f"{service}:UseConnection", CONNECTION)


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_gets_a_token_of_the_connection_whose_repositories_no_condition_could_name(
    template: Template, service: str
) -> None:
    run = launch(template, {**DOMAIN, "Repositories": "acme-ml/*", "ExistingConnectionArn": CONNECTION})
    for granted in run.roles().values():
        assert not allows(granted, f"{service}:GetConnectionToken", CONNECTION)
    assert not allows(boundary.document(catalog=CATALOG)["Statement"], f"{service}:GetConnectionToken", CONNECTION)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("name", [CATALOG, CATALOG.upper(), f"{CATALOG}.git", CATALOG.replace("-", "-").title()])
def test_the_boundary_keeps_everybody_off_the_catalog_whatever_their_own_policies_say(service: str, name: str) -> None:
    # As released in 1.0.0: every repository that the connection reaches.
    released = [{"Effect": "Allow", "Action": f"{service}:UseConnection", "Resource": CONNECTION}]
    ceiling = boundary.document(catalog=CATALOG)["Statement"]
    asked = {f"{service}:FullRepositoryId": name}
    assert allows(released, f"{service}:UseConnection", CONNECTION, **asked)
    assert not allows(ceiling, f"{service}:UseConnection", CONNECTION, **asked)
    other = {f"{service}:FullRepositoryId": f"{CATALOG}-tests"}
    assert allows(ceiling, f"{service}:UseConnection", CONNECTION, **other)


def test_without_repositories_in_the_form_nobody_uses_the_connection_by_hand(template: Template) -> None:
    granted = by_persona(launch(template, {**DOMAIN, "ExistingConnectionArn": CONNECTION}))
    for persona in names.PERSONAS:
        for asked in ({"codeconnections:FullRepositoryId": "acme-ml/churn"}, {}):
            role = granted[names.persona_role_path(persona)]
            assert not allows(role, "codeconnections:UseConnection", CONNECTION, **asked)


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
        ({}, ("ENABLED", "120")),
        ({"IdleMinutes": "60"}, ("ENABLED", "60")),
        ({"IdleShutdown": "DISABLED"}, ("DISABLED", "120")),
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
        allowed = role["AssumeRolePolicyDocument"]["Statement"]
        assert "sts:SetSourceIdentity" in [a for s in allowed if "Service" in s["Principal"] for a in s["Action"]]


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
    paths = [names.persona_role_path(persona) for persona in names.PERSONAS]
    personas = {domain.attribute(k, "Arn") for k, v in roles.items() if v["Path"] in paths}
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
        ("Repositories", ["", "acme-ml/*", "acme-ml/claims-*", "group/sub/name"], ["*", "*/*", "acme", "a b/c", "/x"]),
    ],
)
def test_the_form_accepts_what_is_right_and_refuses_what_is_not(
    template: Template, parameter: str, accepted: list[str], refused: list[str]
) -> None:
    declared = template["Parameters"][parameter]
    assert [v for v in accepted if not re.fullmatch(declared["AllowedPattern"], v)] == []
    assert [v for v in refused if re.fullmatch(declared["AllowedPattern"], v)] == []
