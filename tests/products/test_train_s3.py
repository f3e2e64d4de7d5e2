"""The training product: who may do what, what is encrypted, what starts when, and that projects keep apart."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from lambdas.preflight.core import NO_JOB as NO_JOB_FOUND
from products.shared import names, seed_code
from products.shared.training.jobs import NO_JOB
from products.train_s3.product import TrainS3Product
from tests.policy import allows, existing, requested
from tests.products.launches import CONNECTION, HUB, TRAIN, launch, network
from tests.products.test_every_product import waits_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.policy import Launch

    Template = dict[str, Any]

ACCOUNT, REGION = "111122223333", "eu-west-1"
HUB_ROOT = f"arn:aws:iam::{HUB}:root"
PENDING = {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}
APPROVED = {"sagemaker:ModelApprovalStatus": "Approved"}
OTHER = {
    **TRAIN,
    "SageMakerProjectName": "fraud",
    "SageMakerProjectId": "p-bbbbbbbbbbbb",
    "DataUri": "s3://lake/fraud/",
}


@pytest.fixture(scope="module")
def template(synth_product: Callable[[type[Any]], Template]) -> Template:
    return synth_product(TrainS3Product)


@pytest.fixture(scope="module")
def project(template: Template) -> Launch:
    return launch(template, TRAIN, stack="SC-1")


@pytest.fixture(scope="module")
def other(template: Template) -> Launch:
    return launch(template, OTHER, stack="SC-2")


def role_of(project: Launch, service: str) -> str:
    """Return the logical id of the role that a service assumes."""
    (found,) = [
        logical_id
        for logical_id, role in project.resources("AWS::IAM::Role").items()
        if role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"] == f"{service}.amazonaws.com"
    ]
    return found


def one(project: Launch, type_: str) -> dict[str, Any]:
    (found,) = project.resources(type_).values()
    return found


def only_id(template: Template, type_: str) -> str:
    (found,) = [str(k) for k, v in template["Resources"].items() if v["Type"] == type_]
    return found


def sagemaker_arn(resource: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{resource}"


# ---- who may read ---------------------------------------------------------------------------------------------------


def test_nobody_but_promoting_roles_of_the_hub_are_let_into_the_bucket_from_outside_and_only_to_read(
    project: Launch,
) -> None:
    bucket = one(project, "AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    allowed = [s for s in bucket if s["Effect"] == "Allow"]
    assert {s["Principal"]["AWS"] for s in allowed} == {HUB_ROOT}
    objects = f"arn:aws:s3:::mlp-p-aaaaaaaaaaaa-{ACCOUNT}-{REGION}"
    model = f"{objects}/churn-p-aaaaaaaaaaaa/model.tar.gz"
    promoting, other = ({"aws:PrincipalArn": f"arn:aws:iam::{HUB}:role{p}copy"} for p in (names.HUB_ROLE_PATH, "/"))
    for kind in ("", "Attributes", "Tagging", "Version", "VersionAttributes", "VersionTagging"):
        assert allows(allowed, f"s3:GetObject{kind}", model, **promoting), kind
        assert not allows(allowed, f"s3:GetObject{kind}", model, **other), kind
    for verb in ("GetBucketLocation", "ListBucket", "ListBucketVersions"):
        assert allows(allowed, f"s3:{verb}", objects, **promoting)
        assert not allows(allowed, f"s3:{verb}", objects, **other)
    actions = {a for s in allowed for a in s["Action"]}
    assert {a for a in actions if not re.match(r"s3:(Get|List)", a)} == set()


def test_the_bucket_refuses_what_is_not_tls(project: Launch) -> None:
    statements = one(project, "AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    (deny,) = [s for s in statements if s["Effect"] == "Deny"]
    assert deny["Principal"] == {"AWS": "*"}
    assert deny["Action"] == "s3:*"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_promoting_roles_of_the_hub_may_decrypt_objects_with_the_key_and_nothing_else(project: Launch) -> None:
    policy = one(project, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (hub,) = [s for s in policy if s["Principal"].get("AWS") == HUB_ROOT]
    role = {"aws:PrincipalArn": f"arn:aws:iam::{HUB}:role{names.HUB_ROLE_PATH}copy"}
    through = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    assert allows([hub], "kms:Decrypt", "*", **role, **through)
    assert not allows([hub], "kms:Decrypt", "*", **role)
    assert not allows([hub], "kms:Decrypt", "*", **through, **{"aws:PrincipalArn": f"arn:aws:iam::{HUB}:role/other"})
    for action in ("Encrypt", "GenerateDataKey", "CreateGrant", "DescribeKey"):
        assert not allows([hub], f"kms:{action}", "*", **role, **through)


def test_the_hub_may_read_the_models_of_this_group_and_change_none(project: Launch) -> None:
    group = one(project, "AWS::SageMaker::ModelPackageGroup")
    (statement,) = group["ModelPackageGroupPolicy"]["Statement"]
    assert statement["Principal"] == {"AWS": HUB_ROOT}
    assert statement["Resource"] == [
        sagemaker_arn("model-package-group/churn-p-aaaaaaaaaaaa"),
        sagemaker_arn("model-package/churn-p-aaaaaaaaaaaa/*"),
    ]
    assert all(re.match(r"sagemaker:(Describe|List)", action) for action in statement["Action"])


# ---- encryption -----------------------------------------------------------------------------------------------------


def test_bucket_build_log_and_pipeline_are_encrypted_with_the_projects_key(project: Launch, template: Template) -> None:
    key_arn = project.attribute(only_id(template, "AWS::KMS::Key"), "Arn")
    rule = one(project, "AWS::S3::Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_arn}
    assert one(project, "AWS::Logs::LogGroup")["KmsKeyId"] == key_arn
    assert one(project, "AWS::CodeBuild::Project")["EncryptionKey"] == key_arn
    assert one(project, "AWS::CodePipeline::Pipeline")["ArtifactStore"]["EncryptionKey"]["Id"] == key_arn
    assert one(project, "AWS::KMS::Key")["EnableKeyRotation"] is True


def test_cloudwatch_logs_may_use_the_key_for_this_log_group_only(project: Launch) -> None:
    policy = one(project, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (logs,) = [s for s in policy if "Service" in s["Principal"]]
    assert logs["Principal"]["Service"] == f"logs.{REGION}.amazonaws.com"
    group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{one(project, 'AWS::Logs::LogGroup')['LogGroupName']}"
    assert logs["Condition"] == {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": group}}


def test_the_bucket_is_private_and_versioned(project: Launch) -> None:
    bucket = one(project, "AWS::S3::Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


# ---- the pipeline role ----------------------------------------------------------------------------------------------


def test_the_pipeline_registers_pending_models_and_can_neither_register_nor_make_an_approved_one(
    project: Launch,
) -> None:
    role = project.roles()[role_of(project, "sagemaker")]
    group = sagemaker_arn("model-package-group/churn-p-aaaaaaaaaaaa")
    package = sagemaker_arn("model-package/churn-p-aaaaaaaaaaaa/1")
    for resource in (group, package):
        assert allows(role, "sagemaker:CreateModelPackage", resource)
        assert allows(role, "sagemaker:CreateModelPackage", resource, **PENDING)
        assert not allows(role, "sagemaker:CreateModelPackage", resource, **APPROVED)
        assert not allows(role, "sagemaker:UpdateModelPackage", resource, **APPROVED)
        assert not allows(role, "sagemaker:UpdateModelPackage", resource)


@pytest.mark.parametrize(
    ("uri", "inside", "outside"),
    [
        ("s3://lake/churn/", "churn/a.csv", "churn-secret/a.csv"),
        ("s3://lake/churn/2026/", "churn/2026/part/a.csv", "churn/2025/a.csv"),
        ("s3://lake/a/b/c/d/e/f/g/h=1/", "a/b/c/d/e/f/g/h=1/x", "a/b/c/d/e/f/g/h=2/x"),
    ],
)
def test_jobs_read_the_data_prefix_and_nothing_beside_it(
    template: Template, uri: str, inside: str, outside: str
) -> None:
    run = launch(template, {**TRAIN, "DataUri": uri})
    role = run.roles()[role_of(run, "sagemaker")]
    assert allows(role, "s3:GetObject", f"arn:aws:s3:::lake/{inside}")
    assert not allows(role, "s3:GetObject", f"arn:aws:s3:::lake/{outside}")
    assert not allows(role, "s3:PutObject", f"arn:aws:s3:::lake/{inside}")
    prefix = uri.removeprefix("s3://lake/")
    for asked, expected in ((prefix, True), (inside, True), (outside, False), ("", False)):
        assert allows(role, "s3:ListBucket", "arn:aws:s3:::lake", **{"s3:prefix": asked}) is expected, asked
    assert not allows(role, "s3:ListBucket", "arn:aws:s3:::lake")


def test_the_key_of_the_data_may_be_used_when_it_is_given_and_no_other(template: Template) -> None:
    key, foreign = (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{name}" for name in ("data", "foreign"))
    given = launch(template, {**TRAIN, "DataKeyArn": key})
    role = given.roles()[role_of(given, "sagemaker")]
    through_s3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    assert allows(role, "kms:Decrypt", key, **through_s3)
    assert not allows(role, "kms:Decrypt", key)
    assert not allows(role, "kms:Encrypt", key, **through_s3)
    assert not allows(role, "kms:Decrypt", foreign, **through_s3)
    without = launch(template, TRAIN)
    assert not allows(without.roles()[role_of(without, "sagemaker")], "kms:Decrypt", key, **through_s3)


def test_a_pipeline_passes_its_own_role_to_sagemaker_only(project: Launch) -> None:
    logical_id = role_of(project, "sagemaker")
    role, arn = project.roles()[logical_id], project.attribute(logical_id, "Arn")
    assert allows(role, "iam:PassRole", arn, **{"iam:PassedToService": "sagemaker.amazonaws.com"})
    assert not allows(role, "iam:PassRole", arn, **{"iam:PassedToService": "lambda.amazonaws.com"})


# ---- jobs -----------------------------------------------------------------------------------------------------------

JOBS = [(kind, sagemaker_arn(f"{kind.lower()}-job/pipelines-abc-step-xyz")) for kind in ("Processing", "Training")]
OWN, FOREIGN = {"sagemaker:project-id": "p-aaaaaaaaaaaa"}, {"sagemaker:project-id": "p-bbbbbbbbbbbb"}
IN_VPC: dict[str, Any] = {
    "sagemaker:VpcSubnets": ["subnet-1", "subnet-2"],
    "sagemaker:VpcSecurityGroupIds": ["sg-1"],
}


@pytest.mark.parametrize(("kind", "job"), JOBS)
@pytest.mark.parametrize(
    ("vpc", "expected"),
    [
        (IN_VPC, True),
        (IN_VPC | {"sagemaker:VpcSubnets": ["subnet-2"]}, True),
        ({}, False),
        (IN_VPC | {"sagemaker:VpcSubnets": ["subnet-1", "subnet-public"]}, False),
        (IN_VPC | {"sagemaker:VpcSecurityGroupIds": ["sg-open"]}, False),
        ({"sagemaker:VpcSubnets": ["subnet-1"]}, False),
        ({"sagemaker:VpcSecurityGroupIds": ["sg-1"]}, False),
    ],
)
def test_in_an_account_with_a_vpc_only_domain_no_job_runs_outside_of_its_network(
    project: Launch, kind: str, job: str, vpc: dict[str, Any], expected: bool
) -> None:
    for role, granted in project.roles().items():
        may = allows(granted, f"sagemaker:Create{kind}Job", job, **requested(OWN), **vpc)
        assert may is (expected and role == role_of(project, "sagemaker")), role


@pytest.mark.parametrize(("kind", "job"), JOBS)
def test_without_a_vpc_only_domain_jobs_run_in_sagemakers_own_network(template: Template, kind: str, job: str) -> None:
    run = launch(template, TRAIN, found=network(ACCOUNT, REGION, vpc_only=False))
    granted = run.roles()[role_of(run, "sagemaker")]
    assert allows(granted, f"sagemaker:Create{kind}Job", job, **requested(OWN))
    assert not allows(granted, f"sagemaker:Create{kind}Job", job)
    interface = f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/eni-1"
    subnet = f"arn:aws:ec2:{REGION}:{ACCOUNT}:subnet/subnet-1"
    assert not allows(granted, "ec2:CreateNetworkInterface", interface, **{"ec2:Subnet": subnet})


def test_what_stands_for_no_job_is_not_the_name_of_one_and_the_same_on_both_sides() -> None:
    assert NO_JOB == NO_JOB_FOUND
    assert not re.match(r"[a-zA-Z0-9]", NO_JOB)  # API reference, CreateTrainingJob: TrainingJobName


def test_jobs_join_the_network_of_the_account_and_no_other(project: Launch) -> None:
    granted = project.roles()[role_of(project, "sagemaker")]
    ec2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
    mine, foreign = ({"ec2:Subnet": f"{ec2}:subnet/{name}"} for name in ("subnet-2", "subnet-9"))
    for verb in ("Create", "Delete"):
        for what in ("", "Permission"):
            action = f"ec2:{verb}NetworkInterface{what}"
            assert allows(granted, action, f"{ec2}:network-interface/eni-1", **mine)
            assert not allows(granted, action, f"{ec2}:network-interface/eni-1", **foreign)
    for kind, known, unknown in (("subnet", "subnet-1", "subnet-9"), ("security-group", "sg-1", "sg-9")):
        assert allows(granted, "ec2:CreateNetworkInterface", f"{ec2}:{kind}/{known}")
        assert not allows(granted, "ec2:CreateNetworkInterface", f"{ec2}:{kind}/{unknown}")


@pytest.mark.parametrize(("kind", "job"), JOBS)
def test_a_project_neither_stops_nor_takes_over_the_jobs_of_another(project: Launch, kind: str, job: str) -> None:
    granted = project.roles()[role_of(project, "sagemaker")]
    for action in (f"sagemaker:Stop{kind}Job", f"sagemaker:Describe{kind}Job"):
        assert allows(granted, action, job, **existing(OWN))
        assert not allows(granted, action, job, **existing(FOREIGN))
        assert not allows(granted, action, job)
    assert allows(granted, "sagemaker:AddTags", job, **requested(OWN))  # while the job is created
    assert not allows(granted, "sagemaker:AddTags", job, **requested(OWN), **existing(FOREIGN))
    assert not allows(granted, "sagemaker:AddTags", job, **requested(FOREIGN), **existing(OWN))
    assert not allows(granted, f"sagemaker:Create{kind}Job", job, **requested(FOREIGN), **IN_VPC)


# ---- projects keep apart --------------------------------------------------------------------------------------------


def test_no_role_of_a_project_reaches_into_another(template: Template) -> None:
    project = launch(template, {**TRAIN, "Trigger": "schedule"}, stack="SC-1")
    other = launch(template, {**OTHER, "Trigger": "schedule"}, stack="SC-2")
    bucket = f"arn:aws:s3:::mlp-p-bbbbbbbbbbbb-{ACCOUNT}-{REGION}"
    name = "fraud-p-bbbbbbbbbbbb"
    key = other.attribute(only_id(template, "AWS::KMS::Key"), "Arn")
    build = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/mlp-p-bbbbbbbbbbbb-build"
    codepipeline = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:mlp-p-bbbbbbbbbbbb-build"
    log_group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/codebuild/mlp-p-bbbbbbbbbbbb-build:x"
    requests = [
        *((f"s3:{verb}", f"{bucket}/key") for verb in ("GetObject", "PutObject", "DeleteObject")),
        ("s3:ListBucket", bucket),
        *((f"kms:{verb}", key) for verb in ("Decrypt", "GenerateDataKey", "CreateGrant")),
        *(
            (f"sagemaker:{verb}Pipeline", sagemaker_arn(f"pipeline/{name}"))
            for verb in ("Create", "Update", "Describe")
        ),
        ("sagemaker:StartPipelineExecution", sagemaker_arn(f"pipeline/{name}")),
        *(
            (f"sagemaker:{verb}", sagemaker_arn(resource))
            for verb in ("CreateModelPackage", "UpdateModelPackage", "DescribeModelPackage", "ListModelPackages")
            for resource in (f"model-package-group/{name}", f"model-package/{name}/1")
        ),
        ("codebuild:StartBuild", build),
        ("codepipeline:StartPipelineExecution", codepipeline),
        ("logs:PutLogEvents", log_group),
        ("s3:GetObject", "arn:aws:s3:::lake/fraud/data.csv"),
        *(("iam:PassRole", other.attribute(role, "Arn")) for role in other.roles()),
    ]
    context = {
        "iam:PassedToService": "sagemaker.amazonaws.com",
        "kms:GrantIsForAWSResource": "true",
        "s3:prefix": "fraud/",
    }
    granted = {
        (role, action, resource)
        for role, statements in project.roles().items()
        for action, resource in requests
        if allows(statements, action, resource, **context)
    }
    assert granted == set()
    # The same requests are not simply impossible: some role of the other project may make nearly each of them.
    possible = {
        request for request in requests for granted in other.roles().values() if allows(granted, *request, **context)
    }
    assert set(requests) - possible == {
        ("s3:DeleteObject", f"{bucket}/key"),
        *(
            ("sagemaker:UpdateModelPackage", sagemaker_arn(r))
            for r in (f"model-package-group/{name}", f"model-package/{name}/1")
        ),
        *(
            ("iam:PassRole", other.attribute(role, "Arn"))
            for role in other.roles()
            if role != role_of(other, "sagemaker")
        ),
    }


# ---- build and source -----------------------------------------------------------------------------------------------


def test_the_build_tells_the_seed_code_what_the_contract_promises(project: Launch, template: Template) -> None:
    variables = {
        v["Name"]: v["Value"] for v in one(project, "AWS::CodeBuild::Project")["Environment"]["EnvironmentVariables"]
    }
    assert variables == {
        "PROJECT_NAME": "churn",
        "PROJECT_ID": "p-aaaaaaaaaaaa",
        "PIPELINE_NAME": "churn-p-aaaaaaaaaaaa",
        "MODEL_PACKAGE_GROUP": "churn-p-aaaaaaaaaaaa",
        "ARTIFACT_BUCKET": f"mlp-p-aaaaaaaaaaaa-{ACCOUNT}-{REGION}",
        "KMS_KEY_ARN": project.attribute(only_id(template, "AWS::KMS::Key"), "Arn"),
        "PIPELINE_ROLE_ARN": project.attribute(role_of(project, "sagemaker"), "Arn"),
        "DATA_URI": TRAIN["DataUri"],
        "LABEL": "churned",
        "PROBLEM_TYPE": "auto",
        "REPOSITORY_URL": project.attribute(only_id(template, "Custom::SeedCode"), "RepositoryUrl"),
        "JOB_SUBNET_IDS": "subnet-1,subnet-2",
        "JOB_SECURITY_GROUP_IDS": "sg-1",
    }


def test_the_build_upserts_and_starts_its_own_pipeline_and_runs_no_job_itself(project: Launch) -> None:
    build = project.roles()[role_of(project, "codebuild")]
    pipeline = sagemaker_arn("pipeline/churn-p-aaaaaaaaaaaa")
    for action in ("CreatePipeline", "UpdatePipeline", "DescribePipeline", "StartPipelineExecution"):
        assert allows(build, f"sagemaker:{action}", pipeline)
    for action in ("CreateTrainingJob", "CreateProcessingJob", "CreateModelPackage", "DescribePipelineExecution"):
        assert not allows(build, f"sagemaker:{action}", sagemaker_arn("training-job/pipelines-1"))
    assert one(project, "AWS::CodeBuild::Project")["TimeoutInMinutes"] <= 30


def test_the_build_sees_whether_the_data_changed_but_does_not_read_it(project: Launch) -> None:
    build = project.roles()[role_of(project, "codebuild")]
    assert allows(build, "s3:ListBucket", "arn:aws:s3:::sales-lake", **{"s3:prefix": "churn/2026/"})
    assert not allows(build, "s3:ListBucket", "arn:aws:s3:::sales-lake", **{"s3:prefix": "hr/"})
    assert not allows(build, "s3:GetObject", "arn:aws:s3:::sales-lake/churn/2026/a.csv")


def test_the_build_which_has_the_internet_reads_nothing_that_jobs_made_of_the_data(project: Launch) -> None:
    build = project.roles()[role_of(project, "codebuild")]
    bucket = f"arn:aws:s3:::mlp-p-aaaaaaaaaaaa-{ACCOUNT}-{REGION}"
    name = "churn-p-aaaaaaaaaaaa"
    for key in ("mlp-p-aaaaaaaaaaaa-b/Source/abc", f"{name}/code/train-1/input/code/train.py", name):
        assert allows(build, "s3:GetObject", f"{bucket}/{key}")
    for key in (f"{name}/runs/1/prepare/train/part-0.parquet", f"{name}/models/model.tar.gz", f"{name}/codes"):
        assert not allows(build, "s3:GetObject", f"{bucket}/{key}")


def test_the_source_is_the_branch_of_the_repository_over_the_connection(project: Launch) -> None:
    source, build = (s["Actions"][0] for s in one(project, "AWS::CodePipeline::Pipeline")["Stages"])
    assert source["ActionTypeId"]["Provider"] == "CodeStarSourceConnection"
    assert source["Configuration"] == {
        "ConnectionArn": CONNECTION,
        "FullRepositoryId": "acme-ml/churn",
        "BranchName": "main",
        "OutputArtifactFormat": "CODE_ZIP",
        "DetectChanges": "true",
    }
    assert build["Configuration"] == {"ProjectName": "mlp-p-aaaaaaaaaaaa-build"}
    assert build["InputArtifacts"] == source["OutputArtifacts"]
    role = project.roles()[role_of(project, "codepipeline")]
    for service in ("codeconnections", "codestar-connections"):
        mine, foreign = ({f"{service}:FullRepositoryId": name} for name in ("acme-ml/churn", "acme-hr/salaries"))
        assert allows(role, f"{service}:UseConnection", CONNECTION, **mine)
        assert not allows(role, f"{service}:UseConnection", CONNECTION, **foreign)
        assert not allows(role, f"{service}:UseConnection", f"{CONNECTION[:-1]}2", **mine)


def test_codepipeline_writes_below_its_own_folder_only(project: Launch) -> None:
    role = project.roles()[role_of(project, "codepipeline")]
    bucket = f"arn:aws:s3:::mlp-p-aaaaaaaaaaaa-{ACCOUNT}-{REGION}"
    folder = one(project, "AWS::CodePipeline::Pipeline")["Name"][:20]
    assert allows(role, "s3:PutObject", f"{bucket}/{folder}/Source/abc")
    assert not allows(role, "s3:PutObject", f"{bucket}/churn-p-aaaaaaaaaaaa/models/model.tar.gz")
    (expiring,) = [
        r for r in one(project, "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in r
    ]
    assert folder.startswith(expiring["Prefix"])
    assert not "churn-p-aaaaaaaaaaaa/models".startswith(expiring["Prefix"])


def test_the_seed_code_is_the_archive_of_this_tree(project: Launch) -> None:
    seed = one(project, "Custom::SeedCode")
    assert seed["AssetKey"] == f"assets/{hashlib.sha256(seed_code.archive('train-s3')).hexdigest()}.zip"
    assert seed["AssetBucket"] == f"ml-platform-artifacts-{HUB}-eu-west-1"
    assert seed["Repository"] == "acme-ml/churn"
    assert seed["ProjectId"] == "p-aaaaaaaaaaaa"


# ---- order ----------------------------------------------------------------------------------------------------------


def test_the_first_run_finds_the_seed_code_the_group_and_working_roles(template: Template) -> None:
    before = waits_for(template, only_id(template, "AWS::CodePipeline::Pipeline"))
    types = {template["Resources"][k]["Type"] for k in before}
    assert {"Custom::SeedCode", "AWS::SageMaker::ModelPackageGroup", "AWS::IAM::Policy"} <= types


def test_on_termination_writers_go_first_then_the_contents_then_the_bucket(template: Template) -> None:
    # CloudFormation deletes in the reverse order of creation.
    contents = only_id(template, "Custom::BucketContents")
    assert only_id(template, "AWS::S3::Bucket") in waits_for(template, contents)
    for type_ in ("AWS::CodePipeline::Pipeline", "AWS::CodeBuild::Project"):
        assert contents in waits_for(template, only_id(template, type_))
    assert template["Resources"][only_id(template, "AWS::S3::Bucket")]["DeletionPolicy"] == "Delete"


def test_registered_models_outlive_the_project_but_a_failed_launch_leaves_no_group(template: Template) -> None:
    group = template["Resources"][only_id(template, "AWS::SageMaker::ModelPackageGroup")]
    assert group["DeletionPolicy"] == "RetainExceptOnCreate"


def test_a_launch_with_the_id_of_another_project_ends_before_it_has_a_group_with_that_id(template: Template) -> None:
    """Promotion copies from the bucket of the id in the group's name; the name of the bucket is taken already."""
    group = only_id(template, "AWS::SageMaker::ModelPackageGroup")
    assert only_id(template, "AWS::S3::Bucket") in waits_for(template, group)


# ---- training again -------------------------------------------------------------------------------------------------


def test_without_a_trigger_there_is_neither_rule_nor_role_nor_queue(project: Launch) -> None:
    assert project.resources("AWS::Events::Rule", "AWS::SQS::Queue", "AWS::SQS::QueuePolicy") == {}
    services = [
        r["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
        for r in project.resources("AWS::IAM::Role").values()
    ]
    assert "events.amazonaws.com" not in services


def test_a_schedule_starts_the_build_with_a_role_that_can_do_only_that(template: Template) -> None:
    run = launch(template, {**TRAIN, "Trigger": "schedule", "ScheduleExpression": "cron(0 5 ? * MON *)"})
    rule = one(run, "AWS::Events::Rule")
    assert rule["ScheduleExpression"] == "cron(0 5 ? * MON *)"
    (target,) = rule["Targets"]
    build = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:mlp-p-aaaaaaaaaaaa-build"
    assert target["Arn"] == build
    role = role_of(run, "events")
    assert target["RoleArn"] == run.attribute(role, "Arn")
    (statement,) = run.roles()[role]
    assert (statement["Action"], statement["Resource"]) == ("codepipeline:StartPipelineExecution", build)


def test_a_start_that_fails_is_kept_in_a_queue_that_only_this_projects_rules_may_write_to(template: Template) -> None:
    run = launch(template, {**TRAIN, "Trigger": "schedule"})
    (target,) = one(run, "AWS::Events::Rule")["Targets"]
    assert target["DeadLetterConfig"]["Arn"] == f"arn:aws:sqs:{REGION}:{ACCOUNT}:mlp-p-aaaaaaaaaaaa-missed-starts"
    policy = one(run, "AWS::SQS::QueuePolicy")["PolicyDocument"]["Statement"]
    (allow,) = [s for s in policy if s["Effect"] == "Allow"]
    assert allow["Condition"]["ArnLike"]["aws:SourceArn"].endswith(":rule/mlp-p-aaaaaaaaaaaa-*")
    assert any(s["Effect"] == "Deny" and s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} for s in policy)


@pytest.mark.parametrize(("suffix", "wildcard"), [("", "churn/2026/*"), ("_SUCCESS", "churn/2026/*_SUCCESS")])
def test_new_data_starts_for_objects_below_the_prefix_with_the_suffix(
    template: Template, suffix: str, wildcard: str
) -> None:
    run = launch(template, {**TRAIN, "Trigger": "new-data", "NewDataSuffix": suffix})
    assert one(run, "AWS::Events::Rule")["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": ["sales-lake"]}, "object": {"key": [{"wildcard": wildcard}]}},
    }


def test_the_form_tells_when_a_suffix_is_given_without_new_data(template: Template) -> None:
    rule = template["Rules"]["SuffixNeedsNewData"]
    for trigger, suffix, fine in (("none", "", True), ("new-data", "_SUCCESS", True), ("schedule", "_SUCCESS", False)):
        run = launch(template, {**TRAIN, "Trigger": trigger, "NewDataSuffix": suffix})
        asserted = all(run.value(a["Assert"]) for a in rule["Assertions"])
        assert (not run.value(rule["RuleCondition"]) or asserted) is fine


# ---- the form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "accepted", "refused"),
    [
        ("SageMakerProjectName", ["a", "churn-2", "a" * 32], ["Churn", "-a", "a-", "a_b", ""]),
        ("SageMakerProjectId", ["p-abc123def456", "p-" + "a" * 14], ["abc", "p-", "P-abc", "d-abc"]),
        (
            "DataUri",
            ["s3://lake/churn/", "s3://my.lake-1/a/b/year=2026/"],
            [
                *("s3://lake/", "s3://lake/churn", "lake/churn/", "s3://lake/a*/", "s3://lake//a/", "s3://lake/a b/"),
                "s3://mlp-p-bbbbbbbbbbbb-111122223333-eu-west-1/fraud-p-bbbbbbbbbbbb/",
            ],
        ),
        ("Label", ["churned", "Will churn?", "größe"], ["", " churned", "a,b", 'a"b', "$HOME"]),
        ("Repository", ["acme-ml/churn", "group/sub/name"], ["churn", "/churn", "acme/churn.git", "a b/c", "-a/b"]),
        (
            "Branch",
            ["main", "feature/x", "release-1.2"],
            ["", "-x", "a..b", "/main", "ml-platform/1.0.0", "a.lock", "a./b", "a."],
        ),
        (
            "ScheduleExpression",
            ["rate(1 day)", "rate(7 days)", "cron(0 5 ? * MON *)"],
            ["", "rate(1 days)", "cron(1)", "rate(5 minutes)"],
        ),
        ("NewDataSuffix", ["", "_SUCCESS", ".parquet"], ["*", "a/b", "a b"]),
        (
            "DataKeyArn",
            ["", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd"],
            [f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/x", "1234abcd"],
        ),
        ("CostCenter", ["ml-1000", "Team 7"], ["", " ml"]),
    ],
)
def test_the_form_accepts_what_is_right_and_refuses_what_is_not(
    template: Template, parameter: str, accepted: list[str], refused: list[str]
) -> None:
    declared = template["Parameters"][parameter]
    assert [v for v in accepted if not re.fullmatch(declared["AllowedPattern"], v)] == []
    assert [v for v in refused if re.fullmatch(declared["AllowedPattern"], v)] == []


def test_what_a_person_needs_next_is_in_the_outputs(project: Launch) -> None:
    outputs = project.outputs()
    assert outputs["SageMakerPipelineName"] == outputs["ModelPackageGroupName"] == "churn-p-aaaaaaaaaaaa"
    assert outputs["ArtifactBucketName"] == f"mlp-p-aaaaaaaaaaaa-{ACCOUNT}-{REGION}"
    assert outputs["BuildUrl"] == (
        f"https://{REGION}.console.aws.amazon.com/codesuite/codepipeline/pipelines/mlp-p-aaaaaaaaaaaa-build/view?region={REGION}"
    )
