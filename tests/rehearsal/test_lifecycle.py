"""What happens to a project over its life, in the emulated organisation: many at once, failing, updated, terminated."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from products.shared import names
from rehearsal import domain_steps, launching, training_steps
from rehearsal.organization import DEV, HUB, REGION, Credentials, RehearsalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rehearsal.report import Launched
    from rehearsal.world import World

pytestmark = pytest.mark.rehearsal
LONGEST = "a" + "-longest-allowed-project-name" + "9"
TIMEOUT_S = 120


def git(platform: World, repository: str, *arguments: str) -> str:
    command = ["git", "--git-dir", str(platform.organization.repository(repository)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def launch(platform: World, name: str) -> Launched:
    """Launch a project into an empty repository of its own; its first build is stopped, since nothing here trains."""
    platform.organization.make_repository(f"data-science/{name}")
    launched = training_steps.launch_project(platform, name)
    stop_builds(platform)
    return launched


def stop_builds(platform: World) -> None:
    builds = platform.client("codebuild", Credentials.administrator(DEV))
    for build_id in builds.list_builds()["ids"]:
        (build,) = builds.batch_get_builds(ids=[build_id])["builds"]
        if build["buildStatus"] == "IN_PROGRESS" and build["projectName"].startswith(names.PROJECT_RESOURCE_PREFIX):
            builds.stop_build(id=build_id)


def wait_for(record: dict[str, Any], catalog: Any) -> dict[str, Any]:  # noqa: ANN401 (boto3 client)
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        found: dict[str, Any] = catalog.describe_record(Id=record["RecordId"])["RecordDetail"]
        if found["Status"] in ("SUCCEEDED", "FAILED"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"record {record['RecordId']} was not finished after {TIMEOUT_S} s")


def buckets(platform: World) -> set[str]:
    listed = platform.client("s3", Credentials.administrator(DEV)).list_buckets()["Buckets"]
    return {bucket["Name"] for bucket in listed}


def project_roles(platform: World) -> set[str]:
    pages = platform.client("iam", Credentials.administrator(DEV)).get_paginator("list_roles").paginate()
    return {role["RoleName"] for page in pages for role in page["Roles"] if role["Path"] == names.PROJECT_ROLE_PATH}


@pytest.fixture(scope="module")
def project(platform: World) -> Launched:
    """A project with the longest name that is allowed."""
    assert len(LONGEST) == names.PROJECT_NAME_MAX - 1
    return launch(platform, LONGEST + "1")


def test_two_projects_with_the_longest_names_live_side_by_side(platform: World, project: Launched) -> None:
    other = launch(platform, LONGEST + "2")
    for output in ("ArtifactBucketName", "BuildPipelineName", "KeyArn", "ModelPackageGroupName"):
        assert project.outputs[output] != other.outputs[output]
    assert {project.outputs["ArtifactBucketName"], other.outputs["ArtifactBucketName"]} <= buckets(platform)
    groups = platform.client("sagemaker", platform.data_scientist).list_model_package_groups(MaxResults=100)
    listed = {group["ModelPackageGroupName"] for group in groups["ModelPackageGroupSummaryList"]}
    assert {project.outputs["ModelPackageGroupName"], other.outputs["ModelPackageGroupName"]} <= listed


def test_the_seed_commit_is_the_released_archive(platform: World, project: Launched) -> None:
    archive = launching.newest_release("train-s3").parent / "seed-code.zip"
    with zipfile.ZipFile(archive) as released:
        expected = sorted(released.namelist())
    repository = project.parameters["Repository"]
    assert sorted(git(platform, repository, "ls-tree", "-r", "--name-only", "main").splitlines()) == expected
    assert git(platform, repository, "rev-parse", "main") == project.outputs["CommitId"]


def commit_readme(platform: World, repository: str, *, author: str = "dan@example.com", message: str = "Start") -> None:
    platform.organization.make_repository(repository)
    empty_tree = git(platform, repository, "hash-object", "-w", "-t", "tree", "/dev/null")
    who = ("-c", "user.name=Dan", "-c", f"user.email={author}")
    commit = git(platform, repository, *who, "commit-tree", empty_tree, "-m", message)
    git(platform, repository, "update-ref", "refs/heads/main", commit)


def seed_another_project(platform: World, repository: str) -> None:
    """Commit as the platform does, for another project with the same seed code."""
    archive = launching.newest_release("train-s3").parent / "seed-code.zip"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    message = f"Seed code\n\nSeed-Archive: {digest}\nSeed-Version: 1.0.0\nProject-Id: p-another"
    commit_readme(platform, repository, author="ml-platform@seed.invalid", message=message)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        pytest.param(lambda *_: None, "Create it (empty, without README or licence)", id="missing"),
        pytest.param(commit_readme, "is not empty", id="not-empty"),
        pytest.param(seed_another_project, "belongs to another project", id="other-project"),
    ],
)
def test_a_launch_that_cannot_seed_says_what_to_do_and_leaves_nothing(
    platform: World,
    prepare: Callable[[World, str], None],
    reason: str,
    request: pytest.FixtureRequest,
) -> None:
    name = f"fails-{request.node.callspec.id}"
    repository = f"data-science/{name}"
    prepare(platform, repository)
    buckets_before, roles_before = buckets(platform), project_roles(platform)
    with pytest.raises(RehearsalError, match=re.escape(reason)):
        training_steps.launch_project(platform, name)
    assert buckets(platform) == buckets_before
    assert project_roles(platform) == roles_before


@pytest.mark.parametrize("parameter", ["SageMakerProjectName", "SageMakerProjectId"])
def test_an_update_cannot_rename_a_project_and_leaves_it_as_it_was(
    platform: World, project: Launched, parameter: str
) -> None:
    catalog = platform.client("servicecatalog", platform.data_scientist)
    provisioned = provisioned_product(platform, project)
    before = buckets(platform)
    keys = [k for k in project.parameters if k != parameter]
    record = catalog.update_provisioned_product(
        ProvisionedProductId=provisioned["Id"],
        ProductId=provisioned["ProductId"],
        ProvisioningArtifactId=provisioned["ProvisioningArtifactId"],
        ProvisioningParameters=[
            *({"Key": k, "UsePreviousValue": True} for k in keys),
            {"Key": parameter, "Value": "p-other"},
        ],
        UpdateToken=f"rename-{parameter}",
    )["RecordDetail"]
    ended = wait_for(record, catalog)
    assert ended["Status"] == "FAILED"
    assert f"{parameter} is '{project.parameters[parameter]}' and cannot become 'p-other'" in str(ended["RecordErrors"])
    stacks = platform.client("cloudformation", Credentials.administrator(DEV))
    name = next(s for s in stacks.describe_stacks()["Stacks"] if provisioned["Id"] in s["StackName"])
    assert name["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert buckets(platform) == before


@pytest.fixture
def next_version(platform: World) -> Iterator[dict[str, Any]]:
    """Version 99.0.0 of train-s3, published next to the released ones for one test."""
    version, product_id = publish_next_version(platform)
    yield version
    catalog = platform.client("servicecatalog", Credentials.administrator(HUB))
    catalog.delete_provisioning_artifact(ProductId=product_id, ProvisioningArtifactId=version["Id"])


def test_an_update_offers_the_new_seed_code_as_a_branch_and_leaves_the_users_branch_alone(
    platform: World, project: Launched, next_version: dict[str, Any]
) -> None:
    repository = project.parameters["Repository"]
    main_before = git(platform, repository, "rev-parse", "main")
    catalog = platform.client("servicecatalog", platform.data_scientist)
    provisioned = provisioned_product(platform, project)
    keys = [k for k in project.parameters if k != "CostCenter"]
    record = catalog.update_provisioned_product(
        ProvisionedProductId=provisioned["Id"],
        ProductId=provisioned["ProductId"],
        ProvisioningArtifactId=next_version["Id"],
        ProvisioningParameters=[
            *({"Key": k, "UsePreviousValue": True} for k in keys),
            {"Key": "CostCenter", "Value": "ml-2000"},
        ],
        UpdateToken="update-to-next",
    )["RecordDetail"]
    assert wait_for(record, catalog)["Status"] == "SUCCEEDED"
    assert git(platform, repository, "rev-parse", "main") == main_before
    branch = f"ml-platform/{next_version['Name']}"
    assert git(platform, repository, "merge-base", "main", branch) == main_before
    assert git(platform, repository, "diff", "--name-only", "main", branch) == "README.md"


def publish_next_version(platform: World) -> tuple[dict[str, Any], str]:
    """Publish train-s3 with a changed README in its seed code; return the version and the id of the product."""
    release = launching.newest_release("train-s3")
    buffer = io.BytesIO()
    with zipfile.ZipFile(release.parent / "seed-code.zip") as old, zipfile.ZipFile(buffer, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            new.writestr(item, content + b"\nNews.\n" if item.filename == "README.md" else content)
    archive = buffer.getvalue()
    old_key = f"assets/{hashlib.sha256((release.parent / 'seed-code.zip').read_bytes()).hexdigest()}.zip"
    new_key = f"assets/{hashlib.sha256(archive).hexdigest()}.zip"
    version = json.loads(release.read_text(encoding="utf-8"))["version"]
    text = (release.parent / "template.json").read_text(encoding="utf-8")
    assert old_key in text
    template = text.replace(old_key, new_key).replace(f'"{version}"', '"99.0.0"')
    administrator = Credentials.administrator(HUB)
    bucket, key = names.artifact_bucket(HUB, REGION), "not-in-the-repository/train-s3/99.0.0.json"
    s3 = platform.client("s3", administrator)
    s3.put_object(Bucket=bucket, Key=new_key, Body=archive)
    s3.put_object(Bucket=bucket, Key=key, Body=template.encode())
    catalog = platform.client("servicecatalog", administrator)
    products = catalog.search_products_as_admin()["ProductViewDetails"]
    title = json.loads(release.read_text(encoding="utf-8"))["title"]
    (product,) = (p["ProductViewSummary"] for p in products if p["ProductViewSummary"]["Name"] == title)
    before = [a["Id"] for a in versions(catalog, product["ProductId"])]
    created: dict[str, Any] = catalog.create_provisioning_artifact(
        ProductId=product["ProductId"],
        Parameters={
            "Name": "99.0.0",
            "Type": "CLOUD_FORMATION_TEMPLATE",
            "Info": {"LoadTemplateFromURL": f"https://{bucket}.s3.{REGION}.amazonaws.com/{key}"},
        },
        IdempotencyToken="next",
    )["ProvisioningArtifactDetail"]
    assert [a["Id"] for a in versions(catalog, product["ProductId"])] == [*before, created["Id"]]
    return created, product["ProductId"]


def versions(catalog: Any, product_id: str) -> list[dict[str, Any]]:  # noqa: ANN401 (boto3 client)
    return list(catalog.list_provisioning_artifacts(ProductId=product_id)["ProvisioningArtifactDetails"])


def provisioned_product(platform: World, launched: Launched) -> dict[str, Any]:
    sagemaker = platform.client("sagemaker", platform.data_scientist)
    details = sagemaker.describe_project(ProjectName=launched.name)["ServiceCatalogProvisionedProductDetails"]
    catalog = platform.client("servicecatalog", platform.data_scientist)
    found: dict[str, Any] = catalog.describe_provisioned_product(Id=details["ProvisionedProductId"])[
        "ProvisionedProductDetail"
    ]
    return found


def test_terminating_a_project_empties_its_bucket_and_leaves_models_and_repository(platform: World) -> None:
    launched = launch(platform, "short-lived")
    bucket = launched.outputs["ArtifactBucketName"]
    s3 = platform.client("s3", Credentials.administrator(DEV))
    for body in (b"first", b"second"):
        s3.put_object(Bucket=bucket, Key="models/model.tar.gz", Body=body)
    roles = project_roles(platform)
    sagemaker = platform.client("sagemaker", platform.data_scientist)
    with pytest.raises(ClientError, match="AccessDenied"):
        sagemaker.delete_project(ProjectName=launched.name)
    platform.client("sagemaker", domain_steps.act_as_data_scientist(platform)).delete_project(ProjectName=launched.name)
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end and bucket in buckets(platform):
        time.sleep(0.1)
    with pytest.raises(ClientError, match="404"):
        s3.head_bucket(Bucket=bucket)
    assert len(project_roles(platform)) < len(roles)
    group = launched.outputs["ModelPackageGroupName"]
    assert sagemaker.describe_model_package_group(ModelPackageGroupName=group)["ModelPackageGroupName"] == group
    assert git(platform, launched.parameters["Repository"], "rev-parse", "main") == launched.outputs["CommitId"]


def test_a_package_that_names_what_is_not_its_projects_is_not_promoted(platform: World, project: Launched) -> None:
    """The promotion is allowed to read every project's bucket; a project must not get at another's through it."""
    developer, hub = Credentials.administrator(DEV), Credentials.administrator(HUB)
    group, own = project.outputs["ModelPackageGroupName"], project.outputs["ArtifactBucketName"]
    victim = f"mlp-p-victim-{DEV}-{REGION}"
    s3 = platform.client("s3", developer)
    s3.create_bucket(Bucket=victim, CreateBucketConfiguration={"LocationConstraint": REGION})
    policy = s3.get_bucket_policy(Bucket=own)["Policy"].replace(own, victim)
    s3.put_bucket_policy(Bucket=victim, Policy=policy)
    for bucket in (victim, own):
        s3.put_object(Bucket=bucket, Key="models/model.tar.gz", Body=b"a model")

    def approved(bucket: str) -> str:
        container = {
            "Image": f"141502667606.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:3.2-0",
            "ModelDataUrl": f"s3://{bucket}/models/model.tar.gz",
        }
        request = {"ModelPackageGroupName": group, "InferenceSpecification": {"Containers": [container]}}
        sagemaker = platform.client("sagemaker", developer)
        return str(sagemaker.create_model_package(**request, ModelApprovalStatus="Approved")["ModelPackageArn"])

    logs, registry = platform.client("logs", hub), platform.client("s3", hub)
    names_of_logs = [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]]
    (promotion,) = [name for name in names_of_logs if "Promotion" in name]

    def keys() -> list[str]:
        listed = registry.list_objects_v2(Bucket=names.registry_bucket(HUB, REGION), Prefix=f"packages/{group}-{DEV}/")
        return [entry["Key"] for entry in listed.get("Contents", [])]

    attack = approved(victim)
    refusal = f"{attack} names what does not belong to its project"
    _eventually(lambda: any(refusal in e["message"] for e in logs.filter_log_events(logGroupName=promotion)["events"]))
    assert keys() == []
    approved(own)
    _eventually(lambda: [key for key in keys() if key.endswith("/models/model.tar.gz")])
    sqs = platform.client("sqs", hub)
    for url in sqs.list_queues()["QueueUrls"]:
        if "Decisions" in url:
            sqs.purge_queue(QueueUrl=url)  # the refused one would come again for two hours
    assert [key.split("/")[-1] for key in keys()] == ["model.tar.gz"]


def _eventually(holds: Callable[[], object]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < end, f"it did not come to pass within {TIMEOUT_S} s"
        time.sleep(0.2)
