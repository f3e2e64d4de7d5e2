"""Lake Formation, Glue, DynamoDB, SageMaker and IAM of one account, as far as the functions use them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.lambdas.aws import client_error

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNT, OWNER, TABLE = "111122223333", "444455556666", "ledger"
PROJECT = "p-abc123"


class Account:
    """The account, with a SageMaker project of the stack in `tests.lambdas.cloudformation`.

    Attributes:
        granted: Permissions by principal and resource; a grant on columns by table, and only as long as it has columns.
        opted_in: Principals and resources.
        links: Databases of the account with the targets of links.
        items: The ledger.
        refused: Resources (as JSON) on which the owner lets this account grant nothing.
        busy: How many of the next calls of Lake Formation collide with others.
    """

    def __init__(self) -> None:
        self.granted: dict[tuple[str, str], set[str]] = {}
        self.opted_in: set[tuple[str, str]] = set()
        self.links: dict[str, dict[str, str] | None] = {"default": None}
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        self.refused: set[str] = set()
        self.busy = 0
        self.project: dict[str, Any] | None = {
            "ProjectName": "claims",
            "ProjectId": PROJECT,
            "ProjectArn": f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:project/claims",
            "ProjectStatus": "CreateInProgress",
        }
        self.provisioned: str | None = "pp-abc"
        self.project_tags: dict[str, str] = {}
        self.role_tags = {"sagemaker:project-id": PROJECT}

    def answers(self) -> dict[str, Any]:
        """What the account answers, for `tests.lambdas.aws.answering`."""
        return {
            "lakeformation:GrantPermissions": self._colliding(self._grant),
            "lakeformation:RevokePermissions": self._colliding(self._revoke),
            "lakeformation:ListPermissions": self._list,
            "lakeformation:CreateLakeFormationOptIn": self._colliding(self._opt_in),
            "lakeformation:DeleteLakeFormationOptIn": self._colliding(self._opt_out),
            "lakeformation:ListLakeFormationOptIns": self._list_opt_ins,
            "glue:CreateDatabase": self._create_database,
            "glue:GetDatabase": self._get_database,
            "glue:DeleteDatabase": self._delete_database,
            "dynamodb:PutItem": self._put,
            "dynamodb:GetItem": lambda p: {"Item": i} if (i := self.items.get(_key(p["Key"]))) else {},
            "dynamodb:DeleteItem": self._delete,
            "dynamodb:Query": lambda _: {"Items": [i for (kind, _), i in self.items.items() if kind == "owner"]},
            "sagemaker:ListProjects": lambda _: {"ProjectSummaryList": [self.project] if self.project else []},
            "sagemaker:DescribeProject": self._describe_project,
            "sagemaker:ListTags": lambda _: {"Tags": [{"Key": k, "Value": v} for k, v in self.project_tags.items()]},
            "iam:ListRoleTags": lambda _: {"Tags": [{"Key": k, "Value": v} for k, v in self.role_tags.items()]},
        }

    def of(self, role: str) -> dict[str, set[str]]:
        """Return what a role may do with data: permissions by what they are on, without the links and `default`."""
        return {
            resource: permissions
            for (principal, resource), permissions in self.granted.items()
            if principal == role and permissions and OWNER in resource
        }

    def _colliding(self, operation: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        def call(parameters: dict[str, Any]) -> Any:  # noqa: ANN401 - an answer
            if self.busy:
                self.busy -= 1
                raise client_error("ConcurrentModificationException")
            return operation(parameters)

        return call

    def _grant(self, parameters: dict[str, Any]) -> dict[str, Any]:
        principal = parameters["Principal"]["DataLakePrincipalIdentifier"]
        for resource in _resources(parameters["Resource"]):
            if any(resource.startswith(refused) for refused in self.refused):
                raise client_error("AccessDeniedException", message="Insufficient Lake Formation permission(s)")
            self.granted.setdefault((principal, resource), set()).update(parameters["Permissions"])
        return {}

    def _revoke(self, parameters: dict[str, Any]) -> dict[str, Any]:
        principal = parameters["Principal"]["DataLakePrincipalIdentifier"]
        found = [self.granted.get((principal, r), set()) for r in _resources(parameters["Resource"])]
        if not all(set(parameters["Permissions"]) <= has for has in found):
            raise client_error("InvalidInputException", message="No permissions revoked.")
        for has in found:
            has.difference_update(parameters["Permissions"])
        return {}

    def _list(self, parameters: dict[str, Any]) -> dict[str, Any]:
        principal = parameters["Principal"]["DataLakePrincipalIdentifier"]
        (name,) = _resources(parameters["Resource"])
        entries = []
        for (whose, resource), permissions in self.granted.items():
            table, _, column = resource.partition("#")
            if whose == principal and table == name and permissions:
                columns = {"TableWithColumns": {"ColumnNames": [column]}} if column else json.loads(table)
                entries.append({"Resource": columns, "Permissions": sorted(permissions)})
        return {"PrincipalResourcePermissions": entries}

    def _opt_in(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self.opted_in.add((parameters["Principal"]["DataLakePrincipalIdentifier"], _dump(parameters["Resource"])))
        return {}

    def _opt_out(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self.opted_in.remove((parameters["Principal"]["DataLakePrincipalIdentifier"], _dump(parameters["Resource"])))
        return {}

    def _list_opt_ins(self, parameters: dict[str, Any]) -> dict[str, Any]:
        wanted = (parameters["Principal"]["DataLakePrincipalIdentifier"], _dump(parameters["Resource"]))
        return {"LakeFormationOptInsInfoList": [{}] if wanted in self.opted_in else []}

    def _create_database(self, parameters: dict[str, Any]) -> dict[str, Any]:
        name = parameters["DatabaseInput"]["Name"]
        if name in self.links:
            raise client_error("AlreadyExistsException")
        self.links[name] = parameters["DatabaseInput"]["TargetDatabase"]
        return {}

    def _get_database(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if parameters["Name"] not in self.links:
            raise client_error("EntityNotFoundException")
        target = self.links[parameters["Name"]]
        return {"Database": {"Name": parameters["Name"], **({"TargetDatabase": target} if target else {})}}

    def _delete_database(self, parameters: dict[str, Any]) -> dict[str, Any]:
        if self.links.pop(parameters["Name"], None) is None:
            raise client_error("EntityNotFoundException")
        return {}

    def _put(self, parameters: dict[str, Any]) -> dict[str, Any]:
        key, now = _key(parameters["Item"]), parameters.get("ExpressionAttributeValues", {}).get(":now")
        lock = self.items.get(key)
        if now and lock and int(lock["Until"]["N"]) > int(now["N"]):
            raise client_error("ConditionalCheckFailedException")
        self.items[key] = parameters["Item"]
        return {}

    def _delete(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self.items.pop(_key(parameters["Key"]), None)
        return {}

    def _describe_project(self, _: dict[str, Any]) -> dict[str, Any]:
        details = {"ServiceCatalogProvisionedProductDetails": {"ProvisionedProductId": self.provisioned}}
        return {**(self.project or {}), **(details if self.provisioned else {})}


def _key(item: dict[str, Any]) -> tuple[str, str]:
    return item["Kind"]["S"], item["Id"]["S"]


def _dump(resource: dict[str, Any]) -> str:
    return json.dumps(resource, sort_keys=True)


def _resources(resource: dict[str, Any]) -> list[str]:
    """Return a resource as text; columns of a table one by one, behind a hash."""
    table = dict(resource.get("TableWithColumns", {}))
    columns = table.pop("ColumnNames", [])
    return [f"{_dump({'Table': table})}#{column}" for column in columns] if columns else [_dump(resource)]
