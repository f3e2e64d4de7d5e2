"""Service Catalog, as far as this function uses it, and the queue that brings a task back later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from lambdas.portfolio_share.core import (
    Artifact,
    Operation,
    Progress,
    RefusedError,
    Share,
    ShareError,
    ShareOptions,
    Task,
    Version,
    refusal,
)
from lambdas.shared.clients import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class ServiceCatalog:
    """The hub's side of Service Catalog.

    Args:
        hub_account_id: Account this runs in, for messages.
        client: A boto3 client. Default: a new one.
    """

    def __init__(self, hub_account_id: str, client: Any = None) -> None:  # noqa: ANN401 (boto3 client)
        self._hub_account_id = hub_account_id
        self._client: Any = client or boto3.client("servicecatalog", config=CONFIG)

    def start(self, task: Task) -> str | None:
        """Start a task's operation and return its token; None when there is nothing to do or to wait for.

        Raises:
            RefusedError: Service Catalog does not do it.
            StillBusyError: Another operation on the same share is under way.
        """
        share = task.share
        node = {"Type": "ORGANIZATIONAL_UNIT", "Value": share.ou_id}
        options = {"SharePrincipals": share.principals, "ShareTagOptions": share.tag_options}
        calls: dict[Operation, Callable[[], dict[str, Any]]] = {
            "share": lambda: self._client.create_portfolio_share(
                PortfolioId=share.portfolio_id, OrganizationNode=node, **options
            ),
            "update": lambda: self._client.update_portfolio_share(
                PortfolioId=share.portfolio_id, OrganizationNode=node, **options
            ),
            "unshare": lambda: self._client.delete_portfolio_share(
                PortfolioId=share.portfolio_id, OrganizationNode=node
            ),
        }
        try:
            token = calls[task.operation]().get("PortfolioShareToken")
        except ClientError as err:
            code, message = err.response["Error"]["Code"], err.response["Error"].get("Message", "")
            if task.operation == "unshare" and code == "ResourceNotFoundException":
                return None  # the share, or the whole portfolio, is gone already
            if code == "InvalidStateException":
                raise StillBusyError(message) from err
            raise RefusedError(refusal(task, code, message, self._hub_account_id)) from err
        return str(token) if token else None

    def progress(self, token: str) -> Progress:
        """Return where an operation stands."""
        found = self._client.describe_portfolio_share_status(PortfolioShareToken=token)
        details = found.get("ShareDetails") or {}
        return Progress(
            status=found["Status"],
            successes=tuple(details.get("SuccessfulShares", ())),
            errors=tuple(
                ShareError(
                    accounts=tuple(e.get("Accounts", ())), error=e.get("Error", ""), message=e.get("Message", "")
                )
                for e in details.get("ShareErrors", ())
            ),
        )

    def options(self, share: Share) -> ShareOptions | None:
        """Return the options a portfolio is shared with a unit with; None when it is not shared with it."""
        pages = self._pages(
            self._client.describe_portfolio_shares,
            "PortfolioShareDetails",
            PortfolioId=share.portfolio_id,
            Type="ORGANIZATIONAL_UNIT",
        )
        for found in pages:
            if found["PrincipalId"].rsplit("/", 1)[-1] == share.ou_id:  # an id, or the ARN that ends in it
                return ShareOptions(
                    principals=found.get("SharePrincipals", False), tag_options=found.get("ShareTagOptions", False)
                )
        return None

    def artifacts(self, product_id: str) -> list[Artifact]:
        """Return every version of a product."""
        pages = self._pages(
            self._client.list_provisioning_artifacts, "ProvisioningArtifactDetails", ProductId=product_id
        )
        return [
            Artifact(
                id=found["Id"],
                version=Version(
                    name=found["Name"],
                    guidance=found.get("Guidance", "DEFAULT"),
                    active=found.get("Active", True),
                ),
            )
            for found in pages
        ]

    def update_artifact(self, product_id: str, artifact_id: str, version: Version) -> None:
        """Set the guidance of a version and whether users see it."""
        self._client.update_provisioning_artifact(
            ProductId=product_id,
            ProvisioningArtifactId=artifact_id,
            Guidance=version.guidance,
            Active=version.active,
        )

    def _pages(self, call: Callable[..., dict[str, Any]], key: str, **arguments: str) -> Iterator[dict[str, Any]]:
        # ListProvisioningArtifacts pages in its answer but takes no page token (botocore's model): one page is all.
        page = call(**arguments)
        yield from page.get(key, ())
        while page.get("NextPageToken") and key == "PortfolioShareDetails":
            page = call(**arguments, PageToken=page["NextPageToken"])
            yield from page.get(key, ())


class StillBusyError(Exception):
    """Service Catalog is still at work on the share; the operation can be started later."""


class Later:
    """The FIFO queue that delivers a task again after its delay.

    Args:
        queue_url: URL of the queue.
        client: A boto3 client. Default: a new one.
    """

    def __init__(self, queue_url: str, client: Any = None) -> None:  # noqa: ANN401 (boto3 client)
        self._queue_url = queue_url
        self._client: Any = client or boto3.client("sqs", config=CONFIG)

    def put(self, task: Task) -> None:
        """Have a task delivered again; putting it twice within five minutes delivers it once."""
        self._client.send_message(
            QueueUrl=self._queue_url,
            MessageBody=task.message,
            MessageGroupId=task.address.request_id,
            MessageDeduplicationId=task.deduplication_id,
        )
