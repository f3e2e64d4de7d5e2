"""SageMaker projects: a product of Service Catalog, launched as the caller with the project's name and id.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-projects-templates-custom.html
"""

from __future__ import annotations

from typing import Final

from rehearsal.cloud import core, servicecatalog_launch
from rehearsal.cloud.callers import authorize
from rehearsal.cloud.clock import clock, random_id
from rehearsal.cloud.core import Json, Records, ServiceError, overlay
from rehearsal.cloud.sagemaker import is_portfolio_enabled
from rehearsal.cloud.sagemaker_store import SERVICE, drop_tags, page, set_tags, sort, user_context
from rehearsal.cloud.shapes import refuse_others

_STATUS: Final = {"PROVISION_PRODUCT": "Create", "UPDATE_PROVISIONED_PRODUCT": "Update"}
_OPEN: Final = ("CREATED", "IN_PROGRESS", "IN_PROGRESS_IN_ERROR")
_projects: Final = Records()


def _own_tags(name: str, project_id: str) -> list[Json]:
    """Return the tags that SageMaker gives a project's provisioned product and all that it creates."""
    return [{"Key": "sagemaker:project-name", "Value": name}, {"Key": "sagemaker:project-id", "Value": project_id}]


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
    if name in _projects:
        raise ServiceError("ValidationException", f"Project already exists: {name}")
    details = request["ServiceCatalogProvisioningDetails"]
    authorize(
        "servicecatalog:ProvisionProduct",
        core.arn("catalog", f"product/{details['ProductId']}"),
    )
    project_id = f"p-{random_id(12)}"
    arn = core.arn(SERVICE, f"project/{name}")
    own = {"SageMakerProjectName": name, "SageMakerProjectId": project_id}
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
            "Tags": [*_own_tags(name, project_id), *request.get("Tags", [])],
            "ProvisionToken": project_id,
        }
    )["RecordDetail"]
    _projects[name] = {
        "ProjectArn": arn,
        "ProjectName": name,
        "ProjectId": project_id,
        **({"ProjectDescription": request["ProjectDescription"]} if "ProjectDescription" in request else {}),
        "ServiceCatalogProvisioningDetails": details,
        "CreatedBy": user_context(),
        "CreationTime": clock.now(),
        "record": launched["RecordId"],
        "provisioned": launched["ProvisionedProductId"],
    }
    set_tags(arn, [*_own_tags(name, project_id), *request.get("Tags", [])])
    return {"ProjectArn": arn, "ProjectId": project_id}


def _newest_version(product_id: str) -> str:
    described = core.call("servicecatalog", "DescribeProduct", {"Id": product_id})
    newest: str = max(described["ProvisioningArtifacts"], key=lambda version: version["CreatedTime"])["Id"]
    return newest


def _find(name: str) -> Json:
    project: Json | None = _projects.get(name)
    if project is None:
        raise ServiceError("ValidationException", f"Project {name} does not exist.")
    return project


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
    described = {key: value for key, value in project.items() if key not in ("record", "provisioned")}
    described["ProjectStatus"] = status
    described["ServiceCatalogProvisionedProductDetails"] = {
        "ProvisionedProductId": project["provisioned"],
        **({"ProvisionedProductStatusMessage": message} if message else {}),
    }
    return described


@overlay(SERVICE, "DescribeProject")
def describe_project(request: Json) -> Json:
    """Describe a project; one whose deletion has ended is gone."""
    project = _find(request["ProjectName"])
    described = _described(project)
    if described["ProjectStatus"] == "DeleteCompleted":
        _forget(project)
    return described


def _forget(project: Json) -> None:
    del _projects[project["ProjectName"]]
    drop_tags(project["ProjectArn"])


@overlay(SERVICE, "ListProjects")
def list_projects(request: Json) -> Json:
    """List the account's projects."""
    keys = ("ProjectName", "ProjectDescription", "ProjectArn", "ProjectId", "CreationTime", "ProjectStatus")
    described = [_described(project) for project in list(_projects.values())]
    found = [
        {key: project[key] for key in keys if key in project}
        for project in described
        if request.get("NameContains", "") in project["ProjectName"]
    ]
    fields = {"CreationTime": "CreationTime", "Name": "ProjectName"}
    return page(request, "ProjectSummaryList", sort(request, found, fields))


@overlay(SERVICE, "UpdateProject")
def update_project(request: Json) -> Json:
    """Update a project to another version or other parameters; parameters that are not named keep their values."""
    project = _find(request["ProjectName"])
    _require_idle(project)
    if "ProjectDescription" in request:
        project["ProjectDescription"] = request["ProjectDescription"]
    if "ServiceCatalogProvisioningUpdateDetails" in request:
        _authorize("UpdateProvisionedProduct", project)
        details = request["ServiceCatalogProvisioningUpdateDetails"]
        changes = {item["Key"]: item for item in details.get("ProvisioningParameters", [])}
        kept = servicecatalog_launch.PROVISIONED[project["provisioned"]].parameters
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
    return {"ProjectArn": project["ProjectArn"]}


@overlay(SERVICE, "DeleteProject")
def delete_project(request: Json) -> Json:
    """Delete a project: terminate its provisioned product."""
    project = _find(request["ProjectName"])
    _require_idle(project)
    _authorize("TerminateProvisionedProduct", project)
    project["record"] = servicecatalog_launch.terminate_provisioned_product(
        {"ProvisionedProductId": project["provisioned"], "TerminateToken": random_id(32)}
    )["RecordDetail"]["RecordId"]
    return {}


def _authorize(operation: str, project: Json) -> None:
    """Check that the caller may do something with the project's provisioned product."""
    keys = servicecatalog_launch.level_keys({"ProvisionedProductId": project["provisioned"]})
    authorize(f"servicecatalog:{operation}", "*", context=keys)


def _require_idle(project: Json) -> None:
    record = servicecatalog_launch.describe_record({"Id": project["record"]})["RecordDetail"]
    if record["Status"] in _OPEN:
        raise ServiceError(
            "ConflictException", f"Project {project['ProjectName']} is being changed: wait until that has ended."
        )


def install() -> None:
    """Refuse operations on what is kept here that are not emulated."""
    refuse_others(SERVICE, "Domain", "UserProfile", "ModelPackage", "Pipeline", "Project", "Search")
