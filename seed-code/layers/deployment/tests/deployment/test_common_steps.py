from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from deployment import common_steps, packages
from deployment.context import ROOT, Context
from deployment.errors import DeploymentError
from deployment.packages import ModelPackage
from deployment.settings import read_build

from .conftest import NOW, VARIABLES, Aws, Bucket, RefusedError
from .test_stacks import CloudFormation

QUEUE = """
Parameters:
  Stage: {Type: String}
  ProjectId: {Type: String}
  Depth: {Type: String}
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub mlp-${ProjectId}-${Stage}-queue
      SqsManagedSseEnabled: true
      Tags: [{Key: Depth, Value: !Ref Depth}]
"""


def parameters(context: Context, stage: str, package: ModelPackage) -> Mapping[str, str]:
    return {"Depth": "1"}


@pytest.fixture
def project(context: Context) -> Context:
    """A repository with the base template and another one."""
    shutil.copytree(ROOT / "templates", context.root / "templates")
    (context.root / "templates" / "queue.yaml").write_text(QUEUE)
    return context


def register(aws: Aws, package: dict[str, Any] | None) -> None:
    summary = {"CreationTime": NOW, "ModelPackageStatus": "Completed"}
    found = [{**summary, "ModelPackageArn": package["ModelPackageArn"]}] if package else []
    aws.answers["sagemaker", "ListModelPackages"] = lambda given: {"ModelPackageSummaryList": found}
    aws.answers["sagemaker", "DescribeModelPackage"] = lambda given: dict(package or {})
    if package:
        aws.answers |= promoted(package).answers


def promoted(package: dict[str, Any]) -> Bucket:
    """Return the registry's bucket with the files of a package and the record of its promotion."""
    store = Bucket()
    found = packages.parse(package)
    store.add(str(found.containers[0].model_data))
    for uri in found.baselines.values():
        store.add(uri)
    for name in ("records.jsonl", "payload.tar.gz"):
        store.add(f"{found.samples}/{name}")
    store.promote(package)
    return store


def test_the_newest_approved_package_is_rendered_for_both_stages(
    project: Context, aws: Aws, package: dict[str, Any]
) -> None:
    register(aws, package)
    common_steps.render(project, "queue", parameters)
    files = {path.relative_to(project.rendered).as_posix() for path in project.rendered.rglob("*.json")}
    assert files == {
        f"{stage}/{name}.{kind}.json"
        for stage in ("test", "prod")
        for name in ("base", "queue")
        for kind in ("template", "parameters")
    }
    given = json.loads((project.rendered / "prod" / "queue.parameters.json").read_text())
    assert given == {"Stage": "prod", "ProjectId": project.build.project_id, "Depth": "1"}
    exported = (project.root / "variables.env").read_text()
    assert f"PACKAGE_ARN={package['ModelPackageArn']}\n" in exported
    assert "PACKAGE_VERSION=7\n" in exported


def test_without_an_approval_the_execution_ends_without_failing(project: Context, aws: Aws) -> None:
    register(aws, None)
    aws.answers["codepipeline", "StopPipelineExecution"] = lambda given: {}
    common_steps.render(project, "queue", parameters)
    (request,) = aws.called("StopPipelineExecution")
    assert request["pipelineName"] == project.build.pipeline_name
    assert request["pipelineExecutionId"] == project.build.execution_id
    assert request["abandon"] is True
    assert "is approved yet" in request["reason"]
    assert len(request["reason"]) <= 200
    assert not project.rendered.exists()


def test_a_parameter_that_no_template_declares_is_named(project: Context, aws: Aws, package: dict[str, Any]) -> None:
    register(aws, package)
    with pytest.raises(DeploymentError, match="test: no template declares the parameters Typo"):
        common_steps.render(project, "queue", lambda *given: {"Depth": "1", "Typo": "2"})


def test_everything_that_is_wrong_is_listed_and_no_package_is_handed_on(
    project: Context, aws: Aws, package: dict[str, Any]
) -> None:
    register(aws, package)
    text = QUEUE.replace("mlp-${ProjectId}", "other").replace("      SqsManagedSseEnabled: true\n", "")
    (project.root / "templates" / "queue.yaml").write_text(text)
    with pytest.raises(DeploymentError) as raised:
        common_steps.render(project, "queue", parameters)
    for stage in ("test", "prod"):
        assert f"- {stage}: queue: Queue: QueueName 'other-{stage}-queue' does not hold" in str(raised.value)
        assert f"- {stage}: queue: Queue is not encrypted" in str(raised.value)
    assert not (project.root / "variables.env").exists()


def deployable(project: Context, aws: Aws, package: dict[str, Any]) -> None:
    """Prepare the answers for the deployment of the chosen package."""
    register(aws, package)
    CloudFormation(aws)
    assert project.package.objects


def test_a_deployment_makes_the_base_first_and_copies_before_the_rest(
    project: Context, aws: Aws, package: dict[str, Any]
) -> None:
    deployable(project, aws, package)
    aws.calls.clear()
    order: list[str] = []
    common_steps.deploy(
        project,
        "queue",
        parameters,
        files={"code/1/monitor.py": b"1"},
        before=lambda given: order.extend(name for _, name, _ in aws.calls),
        pause=lambda seconds: None,
    )
    first, second = aws.called("CreateChangeSet")
    build = project.build
    assert first["StackName"] == f"mlp-{build.tag('test')}-base"
    assert "RoleARN" not in first
    assert second["StackName"] == f"mlp-{build.tag('test')}"
    assert second["RoleARN"].endswith(f":role/ml-platform/deployment/mlp-{build.tag('test')}-execution")
    assert {"Key": "ml-platform-deployment", "Value": build.tag("test")} in second["Tags"]
    assert order[0] == "DescribeModelPackage"
    assert order.index("CreateChangeSet") < order.index("CopyObject") < order.index("PutObject")
    assert order.count("CreateChangeSet") == 1


def test_what_the_base_puts_out_goes_into_the_parameters_of_the_rest(
    project: Context, aws: Aws, package: dict[str, Any]
) -> None:
    text = QUEUE.replace("  Depth: {Type: String}", "  Depth: {Type: String}\n  KeyArn: {Type: String}")
    (project.root / "templates" / "queue.yaml").write_text(text.replace("!Ref Depth", '!Sub "${Depth}${KeyArn}"'))
    register(aws, package)
    common_steps.render(project, "queue", lambda *given: {"Depth": "1", "KeyArn": "not known yet"})
    CloudFormation(aws, status="CREATE_COMPLETE", then=("UPDATE_COMPLETE",))
    common_steps.deploy_stack(project, "queue", pause=lambda seconds: None)
    (request,) = aws.called("CreateChangeSet")
    assert {"ParameterKey": "KeyArn", "ParameterValue": "key"} in request["Parameters"]


def test_a_deployment_renders_its_own_stage_whatever_lies_there(
    project: Context, aws: Aws, package: dict[str, Any]
) -> None:
    deployable(project, aws, package)
    for kind in ("template", "parameters"):
        for name in ("base", "queue"):
            path = project.rendered / "prod" / f"{name}.{kind}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")  # e.g. committed by mistake
    prod = Context(
        read_build({**VARIABLES, "STAGE": "prod"}),
        {},
        root=project.root,
        session=aws,
        assume=lambda build, stage, hub: replace(project.target(), stage=stage),
    )
    common_steps.deploy(prod, "queue", parameters, pause=lambda seconds: None)
    given = {entry["ParameterKey"]: entry["ParameterValue"] for entry in aws.called("CreateChangeSet")[1]["Parameters"]}
    assert given["Stage"] == "prod"
    assert [path.name for path in project.rendered.iterdir()] == ["prod"]


def test_the_package_of_the_execution_is_deployed_though_a_newer_one_is_approved(
    project: Context, aws: Aws, package: dict[str, Any]
) -> None:
    deployable(project, aws, package)
    newer = package["ModelPackageArn"].removesuffix("/7") + "/8"
    aws.answers["sagemaker", "ListModelPackages"] = lambda given: {
        "ModelPackageSummaryList": [{"ModelPackageArn": newer, "CreationTime": NOW, "ModelPackageStatus": "Completed"}]
    }
    common_steps.deploy(project, "queue", parameters, pause=lambda seconds: None)
    assert {given["ModelPackageName"] for given in aws.called("DescribeModelPackage")} == {package["ModelPackageArn"]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("churn-p-abc123-111122223333/7", "churn-p-abc123-111122223333-2/7"),
        ("111122223333:model-package", "999999999999:model-package"),
        ("ap-southeast-1", "eu-west-1"),
    ],
)
def test_a_package_of_another_group_is_not_even_read(
    project: Context, aws: Aws, package: dict[str, Any], before: str, after: str
) -> None:
    deployable(project, aws, package)
    arn = package["ModelPackageArn"].replace(before, after)
    foreign = Context(
        read_build({**VARIABLES, "PACKAGE_ARN": arn}), {}, root=project.root, session=aws, assume=lambda *_, **__: None
    )
    aws.calls.clear()
    with pytest.raises(DeploymentError, match=f"PACKAGE_ARN is {arn}, which is not a version in arn:aws:"):
        common_steps.deploy(foreign, "queue", parameters, pause=lambda seconds: None)
    assert aws.calls == []


def test_without_a_chosen_package_nothing_is_deployed(project: Context, aws: Aws) -> None:
    variables = {name: value for name, value in VARIABLES.items() if name != "PACKAGE_ARN"}
    context = Context(read_build(variables), {}, root=project.root, session=aws)
    with pytest.raises(DeploymentError, match="The variable PACKAGE_ARN is not set"):
        common_steps.deploy(context, "queue", parameters, pause=lambda seconds: None)


def test_what_the_checks_find_is_found_before_anything_is_changed(
    project: Context, aws: Aws, package: dict[str, Any]
) -> None:
    deployable(project, aws, package)
    text = (project.root / "templates" / "queue.yaml").read_text()
    (project.root / "templates" / "queue.yaml").write_text(text.replace("mlp-${ProjectId}", "other"))
    with pytest.raises(DeploymentError, match="- test: queue: Queue: QueueName 'other-test-queue' does not hold"):
        common_steps.deploy(project, "queue", parameters, pause=lambda seconds: None)
    assert {name for _, name, _ in aws.calls} == {"DescribeModelPackage", "GetObject"}


def test_a_withdrawn_approval_stops_before_anything_is_changed(
    project: Context, aws: Aws, package: dict[str, Any]
) -> None:
    deployable(project, aws, package)
    package["ModelApprovalStatus"] = "Rejected"
    aws.calls.clear()
    with pytest.raises(DeploymentError, match="no longer approved"):
        common_steps.deploy(project, "queue", parameters, pause=lambda seconds: None)
    assert {name for _, name, _ in aws.calls} == {"DescribeModelPackage"}


@pytest.mark.parametrize("stage", ["test", "prod"])
def test_a_package_that_was_changed_while_it_was_approved_is_refused_by_every_step(
    project: Context, aws: Aws, package: dict[str, Any], stage: str
) -> None:
    register(aws, package)
    container = package["InferenceSpecification"]["Containers"][0]
    swapped = {**container, "ModelDataUrl": container["ModelDataUrl"].replace("/7-", "/6-")}
    package["InferenceSpecification"] = {**package["InferenceSpecification"], "Containers": [swapped]}
    aws.answers["sagemaker", "DescribeModelPackage"] = lambda given: package
    step = Context(read_build({**VARIABLES, "STAGE": stage}), {}, root=project.root, session=aws)
    steps = [
        lambda: common_steps.render(project, "queue", parameters),
        lambda: common_steps.deploy(step, "queue", parameters, pause=lambda seconds: None),
        lambda: common_steps.approved_or_stop(step),
        lambda: common_steps.export_card(step),
    ]
    for attack in steps:
        with pytest.raises(DeploymentError, match="no longer what was promoted: containers differ"):
            attack()
    assert not {"CreateChangeSet", "CopyObject", "CreateModelCardExportJob"} & {name for _, name, _ in aws.calls}


def test_a_build_without_stage_changes_nothing(project: Context, aws: Aws, package: dict[str, Any]) -> None:
    deployable(project, aws, package)
    variables = {name: value for name, value in VARIABLES.items() if name != "STAGE"}
    context = Context(read_build(variables), {}, root=project.root, session=aws)
    with pytest.raises(DeploymentError, match="The variable STAGE is not set"):
        common_steps.deploy(context, "queue", parameters, pause=lambda seconds: None)
    assert aws.called("CreateChangeSet") == []


class Cards:
    """The model card of a group, whose export takes two looks."""

    def __init__(self, aws: Aws, last: dict[str, Any]) -> None:
        self._answers = iter([{"Status": "InProgress"}])
        self._last = last
        for name in ("DescribeModelCard", "CreateModelCardExportJob", "DescribeModelCardExportJob"):
            aws.answers["sagemaker", name] = getattr(self, name)

    def DescribeModelCard(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {
            "ModelCardArn": "arn",
            "ModelCardName": given["ModelCardName"],
            "ModelCardVersion": 3,
            "Content": "{}",
            "ModelCardStatus": "Approved",
            "CreationTime": NOW,
            "CreatedBy": {},
        }

    def CreateModelCardExportJob(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"ModelCardExportJobArn": "arn:aws:sagemaker:eu-west-1:111122223333:model-card/a/export-job/b"}

    def DescribeModelCardExportJob(self, given: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {
            "ModelCardExportJobName": "a",
            "ModelCardExportJobArn": given["ModelCardExportJobArn"],
            "ModelCardName": "a",
            "ModelCardVersion": 3,
            "OutputConfig": {"S3OutputPath": "s3://b"},
            "CreatedAt": NOW,
            "LastModifiedAt": NOW,
            **next(self._answers, self._last),
        }


def test_the_newest_version_of_the_model_card_is_exported(project: Context, aws: Aws, package: dict[str, Any]) -> None:
    deployable(project, aws, package)
    Cards(aws, {"Status": "Completed", "ExportArtifacts": {"S3ExportArtifacts": "s3://b/card.pdf"}})
    assert common_steps.export_card(project, pause=lambda seconds: None) == "s3://b/card.pdf"
    (request,) = aws.called("CreateModelCardExportJob")
    assert request["ModelCardName"] == package["ModelPackageGroupName"]
    assert request["ModelCardVersion"] == 3
    prefix = f"s3://{project.build.artifact_bucket}/reports/{project.build.execution_id}/"
    assert request["OutputConfig"]["S3OutputPath"].startswith(prefix)


@pytest.mark.parametrize("last", [{"Status": "Failed", "FailureReason": "no access"}, {"Status": "InProgress"}])
def test_an_export_that_fails_or_never_ends_is_reported(
    project: Context, aws: Aws, package: dict[str, Any], last: dict[str, Any]
) -> None:
    deployable(project, aws, package)
    Cards(aws, last)
    with pytest.raises(DeploymentError, match="was not exported: the job is"):
        common_steps.export_card(project, pause=lambda seconds: None)


def test_a_registry_that_cannot_be_read_is_no_missing_approval(
    project: Context, aws: Aws, package: dict[str, Any]
) -> None:
    def refuse(given: dict[str, Any]) -> dict[str, Any]:
        raise RefusedError("AccessDeniedException", "not allowed", 403)

    aws.answers["sagemaker", "ListModelPackages"] = refuse
    client = project.hub("sagemaker")
    with pytest.raises(client.exceptions.ClientError, match="not allowed"):
        common_steps.render(project, "queue", parameters)
    assert aws.called("StopPipelineExecution") == []
