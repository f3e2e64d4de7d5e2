"""SageMaker projects: a product of Service Catalog, launched as the caller with the project's name and id.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-projects-templates-custom.html
"""

from __future__ import annotations

from typing import Final

from aws_emulator import bridge, core
from aws_emulator.bridge import overlay
from aws_emulator.clock import clock, random_id
from aws_emulator.core import Json, ServiceError
from aws_emulator.iam.callers import authorize
from aws_emulator.records import tag_list
from aws_emulator.sagemaker.store import SERVICE, table, user_context
from aws_emulator.sagemaker.studio import is_portfolio_enabled
from aws_emulator.servicecatalog import launch as servicecatalog_launch

_STATUS: Final = {"PROVISION_PRODUCT": "Create", "UPDATE_PROVISIONED_PRODUCT": "Update"}
_OPEN: Final = ("CREATED", "IN_PROGRESS", "IN_PROGRESS_IN_ERROR")
_PROJECTS: Final = table(
    noun="Project",
    missing="Project {key} does not exist.",
    taken="Project already exists: {key}",
    newest_first=False,
)
"""Projects; under ``provisioned`` is the id of the provisioned product, under ``record`` that of its last operation."""


@overlay(SERVICE, "CreateProject")
def create_project(request: Json) -> Json:
    """Create a project; Service Catalog is asked with the caller's permissions.

    The product gets the parameters ``SageMakerProjectName`` and ``SageMakerProjectId``; without a version the newest
    active one is launched.
    """
    name = request["ProjectName"]
    if not is_portfolio_enabled():
        raise ServiceError(
            "ValidationException",
            "SageMaker projects are not enabled in this account: call EnableSagemakerServicecatalogPortfolio first.",
        )
    _PROJECTS.require_free(request)
    details = request["ServiceCatalogProvisioningDetails"]
    authorize("servicecatalog:ProvisionProduct", core.arn("catalog", f"product/{details['ProductId']}"))
    project_id = f"p-{random_id(12)}"
    own = {"SageMakerProjectName": name, "SageMakerProjectId": project_id}
    # SageMaker gives these tags to a project's provisioned product and all that it creates.
    tags = [*tag_list({"sagemaker:project-name": name, "sagemaker:project-id": project_id}), *request.get("Tags", [])]
    launched = servicecatalog_launch.provision_product(
        {
            "ProductId": details["ProductId"],
            "ProvisioningArtifactId": details.get("ProvisioningArtifactId") or _newest_version(details["ProductId"]),
            **({"PathId": details["PathId"]} if details.get("PathId") else {}),
            "ProvisionedProductName": f"{name}-{project_id}",
            "ProvisioningParameters": [
                *({"Key": key, "Value": value} for key, value in own.items()),
                *details.get("ProvisioningParameters", []),
            ],
            "Tags": tags,
            "ProvisionToken": project_id,
        }
    )["RecordDetail"]
    return _PROJECTS.add(
        {**request, "Tags": tags},
        ProjectId=project_id,
        CreatedBy=user_context(),
        record=launched["RecordId"],
        provisioned=launched["ProvisionedProductId"],
    )


def _newest_version(product_id: str) -> str:
    described = bridge.call("servicecatalog", "DescribeProduct", {"Id": product_id})
    newest: str = max(described["ProvisioningArtifacts"], key=lambda version: version["CreatedTime"])["Id"]
    return newest


def _described(project: Json) -> Json:
    """Return a project as the API does, its status being that of the last operation on its provisioned product."""
    answer = servicecatalog_launch.describe_record({"Id": project["record"]})["RecordDetail"]
    if answer["RecordType"] == "TERMINATE_PROVISIONED_PRODUCT":
        ended = {"SUCCEEDED": "DeleteCompleted", "FAILED": "DeleteFailed"}
        status = ended.get(answer["Status"], "DeleteInProgress")
    else:
        ended = {"SUCCEEDED": "Completed", "FAILED": "Failed"}
        status = _STATUS[answer["RecordType"]] + ended.get(answer["Status"], "InProgress")
    message = " ".join(error["Description"] for error in answer["RecordErrors"])
    described = {**project, "ProjectStatus": status}
    described["ServiceCatalogProvisionedProductDetails"] = {
        "ProvisionedProductId": project["provisioned"],
        "ProvisionedProductStatusMessage": message or None,
    }
    return described


@overlay(SERVICE, "DescribeProject")
def describe_project(request: Json) -> Json:
    """Describe a project; one whose deletion has ended is gone."""
    described = _described(_PROJECTS.find(request))
    if described["ProjectStatus"] == "DeleteCompleted":
        _PROJECTS.delete(request)
    return described


@overlay(SERVICE, "ListProjects")
def list_projects(request: Json) -> Json:
    """List the account's projects."""
    return _PROJECTS.list_of("ListProjects", request, [_described(p) for p in list(_PROJECTS.records.values())])


@overlay(SERVICE, "UpdateProject")
def update_project(request: Json) -> Json:
    """Update a project to another version or other parameters; parameters that are not named keep their values."""
    project = _PROJECTS.find(request)
    _require_idle(project)
    if "ProjectDescription" in request:
        project["ProjectDescription"] = request["ProjectDescription"]
    if "ServiceCatalogProvisioningUpdateDetails" in request:
        _authorize("UpdateProvisionedProduct", project)
        details = request["ServiceCatalogProvisioningUpdateDetails"]
        changes = {item["Key"]: item for item in details.get("ProvisioningParameters", [])}
        kept = servicecatalog_launch.PROVISIONED.records[project["provisioned"]]["parameters"]
        changes = {key: {"Key": key, "UsePreviousValue": True} for key in kept} | changes
        version = details.get("ProvisioningArtifactId")
        project["record"] = servicecatalog_launch.update_provisioned_product(
            {
                "ProvisionedProductId": project["provisioned"],
                **({"ProvisioningArtifactId": version} if version else {}),
                "ProvisioningParameters": list(changes.values()),
                "UpdateToken": random_id(32),
            }
        )["RecordDetail"]["RecordId"]
    project["LastModifiedTime"], project["LastModifiedBy"] = clock.now(), user_context()
    return project


@overlay(SERVICE, "DeleteProject")
def delete_project(request: Json) -> Json:
    """Delete a project: terminate its provisioned product."""
    project = _PROJECTS.find(request)
    _require_idle(project)
    _authorize("TerminateProvisionedProduct", project)
    project["record"] = servicecatalog_launch.terminate_provisioned_product(
        {"ProvisionedProductId": project["provisioned"], "TerminateToken": random_id(32)}
    )["RecordDetail"]["RecordId"]
    return {}


def _authorize(operation: str, project: Json) -> None:
    """Check that the caller is allowed an action on the project's provisioned product."""
    keys = servicecatalog_launch.level_keys({"ProvisionedProductId": project["provisioned"]})
    authorize(f"servicecatalog:{operation}", "*", context=keys)


def _require_idle(project: Json) -> None:
    record = servicecatalog_launch.describe_record({"Id": project["record"]})["RecordDetail"]
    if record["Status"] in _OPEN:
        raise ServiceError(
            "ConflictException", f"Project {project['ProjectName']} is being changed: wait until that has ended."
        )
