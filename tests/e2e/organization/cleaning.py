"""Delete what a walk created, newest first, from the ledger; what cannot be deleted stays in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from tests.e2e.organization.walk import WalkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.e2e.organization.walk import Walk

_TIMEOUT_S: Final = 3600.0
_GONE: Final = ("ResourceNotFound", "ResourceNotFoundException", "NoSuchBucket", "404", "ValidationException")


def clean(walk: Walk) -> list[str]:
    """Delete everything in the ledger.

    Returns:
        A sentence for each thing that is left, with the reason.
    """
    left = []
    for entry in reversed(walk.ledger.entries()):
        what = f"{entry['kind']} {entry['name']}"
        walk.say(f"  deleting {what}")
        try:
            _DELETE[entry["kind"]](walk, entry)
        except (ClientError, WalkError) as err:
            left.append(f"{what} (as {entry['who']}): {err}")
            continue
        walk.ledger.drop(entry)
    return left


def _provisioned_product(walk: Walk, entry: dict[str, str]) -> None:
    client = walk.organization.client("servicecatalog", entry["who"])
    found = [
        p
        for p in client.search_provisioned_products(Filters={"SearchQuery": [f"name:{entry['name']}"]})[
            "ProvisionedProducts"
        ]
        if p["Name"] == entry["name"]
    ]
    for product in found:
        record = client.terminate_provisioned_product(ProvisionedProductId=product["Id"])["RecordDetail"]["RecordId"]

        def ended(record: str = record) -> bool | None:
            detail = client.describe_record(Id=record)["RecordDetail"]
            if detail["Status"] in ("FAILED", "IN_PROGRESS_IN_ERROR"):
                raise WalkError("; ".join(e.get("Description", "") for e in detail.get("RecordErrors", [])))
            return True if detail["Status"] == "SUCCEEDED" else None

        walk.wait(ended, until="the product is terminated", timeout_s=_TIMEOUT_S)


def _project(walk: Walk, entry: dict[str, str]) -> None:
    # People who create projects may not delete them; the account's administrator does.
    owner = {"data_scientist": "dev", "ml_engineer": "hub"}[entry["who"]]
    sagemaker = walk.organization.client("sagemaker", owner)
    if _gone(lambda: sagemaker.delete_project(ProjectName=entry["name"])):
        return

    def ended() -> bool | None:
        try:
            status = sagemaker.describe_project(ProjectName=entry["name"])["ProjectStatus"]
        except ClientError as err:
            if _is_gone(err):
                return True
            raise
        if status == "DeleteFailed":
            raise WalkError(f"project {entry['name']} could not be deleted: see its stack SC-… in CloudFormation")
        return True if status == "DeleteCompleted" else None

    walk.wait(ended, until=f"project {entry['name']} is deleted", timeout_s=_TIMEOUT_S)


def _bucket(walk: Walk, entry: dict[str, str]) -> None:
    client = walk.organization.client("s3", entry["who"])

    def empty() -> None:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=entry["name"]):
            keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
            if keys:
                client.delete_objects(Bucket=entry["name"], Delete={"Objects": keys})
        client.delete_bucket(Bucket=entry["name"])

    _gone(empty)


def _group(walk: Walk, entry: dict[str, str]) -> None:
    client = walk.organization.client("sagemaker", entry["who"])

    def delete() -> None:
        listed = client.list_model_packages(ModelPackageGroupName=entry["name"])["ModelPackageSummaryList"]
        for package in listed:
            client.delete_model_package(ModelPackageName=package["ModelPackageArn"])
        client.delete_model_package_group(ModelPackageGroupName=entry["name"])

    _gone(delete)


def _card(walk: Walk, entry: dict[str, str]) -> None:
    _gone(lambda: walk.organization.client("sagemaker", entry["who"]).delete_model_card(ModelCardName=entry["name"]))


def _gone(call: Callable[[], object]) -> bool:
    """Call; return whether what it works on is gone already."""
    try:
        call()
    except ClientError as err:
        if _is_gone(err):
            return True
        raise
    return False


def _is_gone(err: ClientError) -> bool:
    message = err.response["Error"].get("Message", "")
    code = err.response["Error"]["Code"]
    return code in _GONE and (code != "ValidationException" or "not exist" in message or "not found" in message)


_DELETE: Final[Mapping[str, Callable[[Walk, dict[str, str]], None]]] = {
    "provisioned product": _provisioned_product,
    "project": _project,
    "bucket": _bucket,
    "model card": _card,
    "model package group": _group,
}
