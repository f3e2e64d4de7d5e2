"""What the baseline promises to released products and to people, asked for in the emulated organisation as they ask."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from products.answers import all_answers
from products.catalog import PRODUCTS
from products.releases import load_catalog
from products.shared import names
from rehearsal import domain_steps, launching, training_steps
from rehearsal.organization import DEV, HUB, REGION, ROOT, Credentials, RehearsalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from products.releases import Release
    from rehearsal.report import Launched
    from rehearsal.world import World

pytestmark = pytest.mark.rehearsal
TIMEOUT_S = 120
DECIDED = {"ModelApprovalStatus": "Approved"}


def administrator(platform: World, service: str, account: str = DEV) -> Any:  # noqa: ANN401 (boto3 client)
    return platform.client(service, Credentials.administrator(account))


def refused(request: Callable[[], object]) -> bool:
    """Return whether IAM refuses a request; whatever else it fails with is an error of the test."""
    try:
        request()
    except ClientError as err:
        if err.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}:
            return True
        raise
    return False


ANSWERS = all_answers()


# ---- every supported release launches on the current baseline -------------------------------------------------------


def release(product_id: str, which: str) -> Release:
    """Return the oldest or the newest release that can still be launched."""
    launchable = sorted(load_catalog(ROOT).products[product_id].launchable, key=lambda found: found.version)
    return launchable[0 if which == "oldest" else -1]


def provision(platform: World, wanted: Release, name: str) -> Launched:
    repository = launching.answers(platform, wanted.product, name).get("Repository")
    if repository:
        platform.organization.make_repository(repository)
    launched = launching.launch(
        platform, person(platform, wanted.product), wanted.product, name, version=str(wanted.version)
    )
    stop_builds(platform)
    return launched


def person(platform: World, product: str) -> Credentials:
    """Return who launches a product."""
    people = {
        "lead-data-scientist": platform.lead,
        "data-scientist": platform.data_scientist,
        "ml-engineer": platform.ml_engineer,
    }
    return people[ANSWERS[product].launched_by]


def succeeded(catalog: Any, record_id: str) -> dict[str, str]:  # noqa: ANN401 (boto3 client)
    """Wait for a record of Service Catalog, which must succeed, and return its outputs."""
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        found = catalog.describe_record(Id=record_id)
        if found["RecordDetail"]["Status"] == "SUCCEEDED":
            return {o["OutputKey"]: o["OutputValue"] for o in found.get("RecordOutputs", [])}
        assert found["RecordDetail"]["Status"] != "FAILED", found["RecordDetail"]["RecordErrors"]
        time.sleep(0.1)
    raise AssertionError(f"record {record_id} was not finished after {TIMEOUT_S} s")


def stop_builds(platform: World) -> None:
    """Stop the first builds of projects: nothing here trains."""
    builds = administrator(platform, "codebuild")
    for build_id in builds.list_builds()["ids"]:
        (build,) = builds.batch_get_builds(ids=[build_id])["builds"]
        if build["buildStatus"] == "IN_PROGRESS" and build["projectName"].startswith(names.PROJECT_RESOURCE_PREFIX):
            builds.stop_build(id=build_id)


RELEASES = [
    # Those that deploy are launched in whole walks, too, and from code by tests/products/test_deployments_run.py.
    pytest.param(id_, which, marks=[pytest.mark.prove] if which == "oldest" or id_.startswith("deploy-") else [])
    for id_ in (product.SPEC.id for product in PRODUCTS)
    for which in ("oldest", "newest")
]


@pytest.mark.parametrize(("product_id", "which"), RELEASES)
def test_supported_releases_launch_and_terminate_on_the_current_baseline(
    platform: World, product_id: str, which: str
) -> None:
    wanted = release(product_id, which)
    assert wanted.contract <= names.CONTRACT
    launched = provision(platform, wanted, which + product_id.rpartition("-")[2])
    promised = {name for name, output in wanted.template()["Outputs"].items() if "Condition" not in output}
    assert promised <= launched.outputs.keys()
    who = person(platform, product_id)
    ends = domain_steps.act_as_data_scientist(platform) if who == platform.data_scientist else who
    catalog = platform.client("servicecatalog", ends)
    record = catalog.terminate_provisioned_product(
        ProvisionedProductId=launched.id, TerminateToken=f"end-{launched.id}"
    )["RecordDetail"]
    succeeded(catalog, record["RecordId"])


# ---- projects and people --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Project:
    """A launched project and the sessions of its roles, as its jobs and builds have them."""

    id: str
    name: str
    bucket: str
    group: str
    pipeline_role_arn: str
    jobs: Credentials
    build: Credentials


def let_in(platform: World, role_arn: str, account: str = DEV) -> Credentials:
    """Return a session of a role that only services assume: the account's administrator opens its trust for it."""
    path_and_name = role_arn.split(":role", 1)[1]
    iam = administrator(platform, "iam", account)
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    iam.update_assume_role_policy(
        RoleName=path_and_name.rsplit("/", 1)[1],
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    owner = Credentials.administrator(account)
    return platform.organization.assume(account, path_and_name, session="test", caller=owner)


def project(platform: World, name: str) -> Project:
    platform.organization.make_repository(f"data-science/{name}")
    launched = training_steps.launch_project(platform, name)
    stop_builds(platform)
    (build,) = administrator(platform, "codebuild").batch_get_projects(names=[launched.outputs["BuildPipelineName"]])[
        "projects"
    ]
    variables = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
    bucket = launched.outputs["ArtifactBucketName"]
    administrator(platform, "s3").put_object(Bucket=bucket, Key=f"{name}/model.tar.gz", Body=b"a model" * 100)
    return Project(
        id=launched.parameters["SageMakerProjectId"],
        name=name,
        bucket=bucket,
        group=launched.outputs["ModelPackageGroupName"],
        pipeline_role_arn=variables["PIPELINE_ROLE_ARN"],
        jobs=let_in(platform, variables["PIPELINE_ROLE_ARN"]),
        build=let_in(platform, build["serviceRole"]),
    )


@pytest.fixture(scope="module")
def projects(platform: World) -> tuple[Project, Project]:
    return project(platform, "apart-one"), project(platform, "apart-two")


def register(platform: World, who: Credentials, owner: Project, **more: str) -> str:
    """Register a model of a project and return the ARN of its package."""
    made = platform.client("sagemaker", who).create_model_package(
        ModelPackageGroupName=owner.group,
        InferenceSpecification={
            "Containers": [
                {
                    "Image": f"111111111111.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:3.0",
                    "ModelDataUrl": f"s3://{owner.bucket}/{owner.name}/model.tar.gz",
                }
            ],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
        **more,
    )
    return str(made["ModelPackageArn"])


def lead_in_studio(platform: World) -> Credentials:
    """Open Studio as the lead data scientist."""
    assert platform.lead is not None
    return platform.organization.open_studio(
        platform.domain.outputs["DomainId"], "lead-data-scientist", caller=platform.lead
    )


def test_the_lead_decides_on_a_model_and_the_data_scientist_who_registered_it_cannot(
    platform: World, projects: tuple[Project, Project]
) -> None:
    mine, _ = projects
    package = register(platform, platform.data_scientist, mine)
    scientist, lead = (platform.client("sagemaker", who) for who in (platform.data_scientist, lead_in_studio(platform)))
    assert refused(lambda: scientist.update_model_package(ModelPackageArn=package, **DECIDED))
    lead.update_model_package(ModelPackageArn=package, **DECIDED)
    described = scientist.describe_model_package(ModelPackageName=package)
    assert described["ModelApprovalStatus"] == "Approved"


def test_nobody_who_builds_models_registers_one_that_is_approved_already(
    platform: World, projects: tuple[Project, Project]
) -> None:
    mine, _ = projects
    for who in (platform.data_scientist, mine.jobs, mine.build):
        assert refused(partial(register, platform, who, mine, **DECIDED))
    package = register(platform, mine.jobs, mine)
    for who in (mine.jobs, mine.build):
        sagemaker = platform.client("sagemaker", who)
        assert refused(partial(sagemaker.update_model_package, ModelPackageArn=package, **DECIDED))


def test_the_roles_of_a_project_reach_its_own_work_and_nothing_of_another(
    platform: World, projects: tuple[Project, Project]
) -> None:
    mine, other = projects
    for who in (mine.jobs, mine.build):
        s3, sagemaker = (platform.client(service, who) for service in ("s3", "sagemaker"))
        model = partial(s3.get_object, Bucket=mine.bucket, Key=f"{mine.name}/model.tar.gz")
        assert refused(model) is (who is mine.build)  # a build, which has the internet, reads nothing that jobs made
        key, group = f"{other.name}/model.tar.gz", other.group
        requests: dict[str, Callable[[], object]] = {
            "read": partial(s3.get_object, Bucket=other.bucket, Key=key),
            "list": partial(s3.list_objects_v2, Bucket=other.bucket),
            "write": partial(s3.put_object, Bucket=other.bucket, Key="x", Body=b""),
            "delete": partial(s3.delete_object, Bucket=other.bucket, Key=key),
            "models": partial(sagemaker.list_model_packages, ModelPackageGroupName=group),
            "group": partial(sagemaker.describe_model_package_group, ModelPackageGroupName=group),
            "start": partial(sagemaker.start_pipeline_execution, PipelineName=group),
            "register": partial(register, platform, who, other),
        }
        assert [name for name, request in requests.items() if not refused(request)] == []


# What a data scientist can make the build of a project do: its buildspec and its pipeline definition are theirs.
ESCALATIONS: dict[str, Callable[[World, Credentials, Project], object]] = {
    "runs its pipeline with the role of another project": lambda p, who, other: p.client(
        "sagemaker", who
    ).create_pipeline(
        PipelineName=other.group, PipelineDefinition="{}", ClientRequestToken="x" * 32, RoleArn=other.pipeline_role_arn
    ),
    "makes a role": lambda p, who, _: p.client("iam", who).create_role(RoleName="mine", AssumeRolePolicyDocument="{}"),
    "widens a role": lambda p, who, other: p.client("iam", who).put_role_policy(
        RoleName=other.pipeline_role_arn.rsplit("/", 1)[1], PolicyName="Wider", PolicyDocument="{}"
    ),
    "widens the boundary": lambda p, who, _: p.client("iam", who).create_policy_version(
        PolicyArn=f"arn:aws:iam::{DEV}:policy/{names.BOUNDARY_POLICY}", PolicyDocument="{}", SetAsDefault=True
    ),
    "launches as the launch role": lambda p, who, _: p.client("sts", who).assume_role(
        RoleArn=f"arn:aws:iam::{DEV}:role/{names.LAUNCH_ROLE}", RoleSessionName="mine"
    ),
    "runs the seed check-in with commands of its own": lambda p, who, _: p.client("codebuild", who).start_build(
        projectName=names.SEED_CHECKIN_BUILD, buildspecOverride="version: 0.2"
    ),
    "runs its own build with another role": lambda p, who, other: p.client("codebuild", who).start_build(
        projectName=f"mlp-{other.id}-build", serviceRoleOverride=other.pipeline_role_arn
    ),
    "asks the check-in to push into a repository": lambda p, who, _: p.client("lambda", who).invoke(
        FunctionName=names.SEED_CHECKIN_FUNCTION, Payload=b"{}"
    ),
    "empties a bucket through the emptier": lambda p, who, _: p.client("lambda", who).invoke(
        FunctionName=names.BUCKET_EMPTIER_FUNCTION, Payload=b"{}"
    ),
    "names another artifact bucket": lambda p, who, _: p.client("ssm", who).put_parameter(
        Name=names.contract_parameter("artifact-bucket"), Value="mine", Type="String", Overwrite=True
    ),
    "reads the connection of the account": lambda p, who, _: p.client("ssm", who).get_parameter(
        Name=names.contract_parameter("connection-arn")
    ),
    "reads the released templates' bucket": lambda p, who, _: p.client("s3", who).list_objects_v2(
        Bucket=names.artifact_bucket(HUB, REGION)
    ),
    "launches products": lambda p, who, _: p.client("servicecatalog", who).search_products(),
    "makes itself a project": lambda p, who, _: p.client("sagemaker", who).create_project(
        ProjectName="mine", ServiceCatalogProvisioningDetails={"ProductId": "prod-aaaaaaaaaaaaa"}
    ),
}


@pytest.mark.parametrize("attempt", ESCALATIONS)
@pytest.mark.parametrize("role", ["build", "jobs"])
def test_code_of_a_project_does_not_get_beyond_the_project(
    platform: World, projects: tuple[Project, Project], role: str, attempt: str
) -> None:
    mine, other = projects
    who = mine.build if role == "build" else mine.jobs
    assert refused(lambda: ESCALATIONS[attempt](platform, who, other)), f"the {role} role {attempt}"


def test_data_of_another_project_is_refused_in_the_form(
    platform: World, projects: tuple[Project, Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, other = projects
    platform.organization.make_repository("data-science/curious")
    monkeypatch.setitem(platform.known, "data-uri", f"s3://{other.bucket}/{other.name}/")
    with pytest.raises((RehearsalError, ClientError), match="not in the bucket of another project"):
        training_steps.launch_project(platform, "curious")


# ---- what a promotion by the hub needs ------------------------------------------------------------------------------


def hub_role(platform: World, path: str, name: str) -> Credentials:
    """Make a role of the hub whose own policies allow to read every project."""
    allow = {
        "Effect": "Allow",
        "Action": ["s3:GetObject*", "s3:ListBucket*", "s3:PutObject", "kms:Decrypt", "sagemaker:Describe*"],
        "Resource": "*",
    }
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{HUB}:root"}, "Action": "sts:AssumeRole"}
    iam = administrator(platform, "iam", HUB)
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.create_role(
        RoleName=name,
        Path=path,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    iam.put_role_policy(RoleName=name, PolicyName="Read", PolicyDocument=document)
    return platform.organization.assume(HUB, f"{path}{name}", session="copy", caller=Credentials.administrator(HUB))


def test_a_role_of_the_hub_below_its_path_reads_models_pinned_to_a_version_and_others_do_not(
    platform: World, projects: tuple[Project, Project]
) -> None:
    mine, _ = projects
    key = f"{mine.name}/model.tar.gz"
    package = register(platform, mine.jobs, mine)
    promoting = hub_role(platform, names.HUB_ROLE_PATH, "copy-models")
    s3, sagemaker = (platform.client(service, promoting) for service in ("s3", "sagemaker"))
    described = sagemaker.describe_model_package(ModelPackageName=package)
    url = described["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    assert url == f"s3://{mine.bucket}/{key}"
    version = s3.head_object(Bucket=mine.bucket, Key=key)["VersionId"]
    assert s3.get_object(Bucket=mine.bucket, Key=key, VersionId=version)["Body"].read() == b"a model" * 100
    assert s3.list_objects_v2(Bucket=mine.bucket, Prefix=f"{mine.name}/")["KeyCount"] == 1
    assert refused(lambda: s3.put_object(Bucket=mine.bucket, Key="x", Body=b""))
    other = platform.client("s3", hub_role(platform, "/", "somebody-in-the-hub"))
    assert refused(lambda: other.get_object(Bucket=mine.bucket, Key=key))
    assert refused(lambda: other.list_objects_v2(Bucket=mine.bucket))
