"""SageMaker and IAM: which project asks, and whose the roles are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import boto3

from lambdas.shared.clients import CONFIG
from lambdas.shared.custom_resource import CustomResourceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lambdas.data_permissions.core import Ask
    from lambdas.shared.custom_resource import Request

PROJECT_ID_TAG: Final = "sagemaker:project-id"


class Projects:
    """SageMaker projects of this account and Region."""

    def __init__(self) -> None:
        self._sagemaker = boto3.client("sagemaker", config=CONFIG)
        self._iam = boto3.client("iam", config=CONFIG)
        self._tags: dict[str, frozenset[str]] = {}

    def require(self, ask: Ask, request: Request) -> None:
        """Check that a request comes from the stack of the project that it names, for roles of that project.

        The id in a request is what somebody typed who launched the product. The stack of a provisioned product is named
        by Service Catalog, and SageMaker knows which one is the project's.

        Raises:
            CustomResourceError: It does not.
        """
        project = self._find(ask.project_id)
        if project is None:
            raise CustomResourceError(
                f"There is no SageMaker project with the id {ask.project_id} in this account and Region, so it gets no "
                f"data: create the project in SageMaker Studio instead of launching the product by hand."
            )
        described = self._sagemaker.describe_project(ProjectName=project["ProjectName"])
        provisioned = described.get("ServiceCatalogProvisionedProductDetails", {}).get("ProvisionedProductId")
        _, _, _, _, account_id, stack_path = request.address.stack_id.split(":", 5)
        stack = stack_path.split("/")[1]
        launching = described["ProjectStatus"] in ("Pending", "CreateInProgress")
        # SageMaker may not have noted the product yet while it is being launched.
        if stack != f"SC-{account_id}-{provisioned}" and not (launching and provisioned is None):
            raise CustomResourceError(
                f"Stack {stack} is not the one of project {ask.project_id} ({provisioned}), so it gets none of its "
                f"data: update the project in SageMaker Studio."
            )
        for role in ask.roles:
            tags = self._iam.list_role_tags(RoleName=role.rpartition("/")[2])["Tags"]
            if {"Key": PROJECT_ID_TAG, "Value": ask.project_id} not in tags:
                raise CustomResourceError(
                    f"{role} is not tagged as a role of project {ask.project_id} ({PROJECT_ID_TAG}), so it gets none "
                    f"of its data: name the project's own roles."
                )

    def tags(self, project_id: str) -> frozenset[str]:
        """Return the tags of a project as ``key=value``; none when there is no such project."""
        if project_id not in self._tags:
            project = self._find(project_id)
            pages: Iterable[dict[str, Any]] = (
                self._sagemaker.get_paginator("list_tags").paginate(ResourceArn=project["ProjectArn"])
                if project
                else ()
            )
            self._tags[project_id] = frozenset(f"{t['Key']}={t['Value']}" for page in pages for t in page["Tags"])
        return self._tags[project_id]

    def _find(self, project_id: str) -> dict[str, Any] | None:
        token: dict[str, str] = {}
        while True:
            page = self._sagemaker.list_projects(MaxResults=100, **token)
            for project in page["ProjectSummaryList"]:
                if project["ProjectId"] == project_id:
                    found: dict[str, Any] = project
                    # SageMaker lists projects for a while after their end.
                    return None if project["ProjectStatus"] == "DeleteCompleted" else found
            if not page.get("NextToken"):
                return None
            token = {"NextToken": page["NextToken"]}
