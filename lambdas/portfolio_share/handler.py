"""Custom::PortfolioShare and Custom::ProductVersions: what CloudFormation's own Service Catalog resources leave out.

Sharing takes from seconds to many minutes. The function never waits: it starts the operation, looks once, and if that
was too early puts the task into a queue whose delay brings it back. Whichever invocation sees the end answers.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from lambdas.portfolio_share import core
from lambdas.portfolio_share.catalog import Later, ServiceCatalog, StillBusyError
from lambdas.portfolio_share.environment import PublisherEnvironment
from lambdas.shared.custom_resource import (
    CustomResourceError,
    Failure,
    LambdaContext,
    Request,
    Success,
    answer,
    respond,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the function uses."""

    catalog: ServiceCatalog
    later: Later


@cache
def services() -> Services:
    """Return the function's services, made once per execution environment."""
    environment = PublisherEnvironment.read()
    return Services(catalog=ServiceCatalog(environment.hub_account_id), later=Later(environment.queue_url))


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> None:
    """Take a request of CloudFormation, or a task that comes back from the queue.

    Raises:
        AnswerError: An answer could not be delivered. Lambda, or the queue, repeats the invocation.
    """
    for record in event.get("Records", ()):
        _finish(core.Task.read(record["body"]), services())
    if "Records" not in event:
        respond(event, context, lambda request: carry_out(request, services()))


def carry_out(request: Request, use: Services) -> Success | None:
    """Carry out a request; None means that it was answered here, or will be by a later invocation.

    Raises:
        CustomResourceError: The request cannot be carried out, and nothing was started.
    """
    if request.resource_type == "Custom::ProductVersions":
        return _set_versions(request, use.catalog)
    if request.resource_type != "Custom::PortfolioShare":
        raise CustomResourceError(
            f"{request.resource_type} is not for this function, which does Custom::PortfolioShare and "
            f"Custom::ProductVersions. Correct the ServiceToken or the type."
        )
    exists = request.kind == "Update" and use.catalog.options(core.Share.wanted(request)) is not None
    task = core.first_task(request, exists=exists, now=time.time())
    if task is None:
        return Success(physical_id=str(request.physical_id))
    _finish(task, use)
    return None


def _finish(task: core.Task, use: Services) -> None:
    """Take a task as far as it goes now, and answer CloudFormation or have the task delivered again."""
    run = _Run(task, use.catalog)
    outcome: Success | Failure | None
    try:
        outcome = run.advance()
        if outcome is None:
            use.later.put(run.task.looked())
    except CustomResourceError as err:
        outcome = Failure(physical_id=run.task.physical_id, reason=str(err))
    except Exception as err:
        logger.exception("task %s failed", run.task.deduplication_id)
        outcome = Failure(physical_id=run.task.physical_id, reason=f"{type(err).__name__}: {err}")
    if outcome is not None:
        answer(task.address, outcome)


class _Run:
    """A task on its way; `task` says at any time, also after an exception, how far it has come."""

    def __init__(self, task: core.Task, catalog: ServiceCatalog) -> None:
        self.task = task
        self._catalog = catalog

    def advance(self) -> Success | None:
        """Return the answer, or None when it is too early for one."""
        while True:
            complete = self._operation_is_complete()
            if complete and self._options_are_right():
                return Success(physical_id=self.task.share.physical_id)
            if not complete:
                return None
            self.task = self.task.then("update")

    def _operation_is_complete(self) -> bool:
        if self.task.token is None:
            try:
                token = self._catalog.start(self.task)
            except StillBusyError:
                return core.is_complete(self.task, core.Progress(status="NOT_STARTED"), now=time.time())
            if token is None:
                return True
            self.task = self.task.started(token)
        return core.is_complete(self.task, self._catalog.progress(str(self.task.token)), now=time.time())

    def _options_are_right(self) -> bool:
        """Return whether nothing is left to do: CreatePortfolioShare leaves an existing share's options as they are."""
        if self.task.operation != "share":
            return True
        current = self._catalog.options(self.task.share)
        return current is None or core.options_agree(self.task.share, current)


def _set_versions(request: Request, catalog: ServiceCatalog) -> Success:
    """Give each version of a product its guidance and visibility; a Delete leaves the product to CloudFormation."""
    if request.kind == "Delete":
        return Success(physical_id=str(request.physical_id))
    product_id = request.text("ProductId")
    wanted = core.wanted_versions(request)
    for artifact_id, version in core.changes(wanted, catalog.artifacts(product_id), product_id):
        catalog.update_artifact(product_id, artifact_id, version)
        logger.info("version %s of %s is now %s", version.name, product_id, version)
    return Success(physical_id=f"{product_id}/versions")
