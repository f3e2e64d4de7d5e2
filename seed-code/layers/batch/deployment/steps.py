"""Steps of a deployment of batch predictions, as the pipeline runs them."""

from __future__ import annotations

import time
from collections.abc import Callable

from deployment import batch, batch_check, common_steps
from deployment.context import Context
from deployment.errors import DeploymentError

TEMPLATE = batch.TEMPLATE
SCHEMA = batch.SCHEMA
refuse = batch.refuse
parameters = batch.parameters


def render(context: Context) -> None:
    """Choose the newest approved package, and see whether it can be deployed to test and prod."""
    common_steps.render(context, TEMPLATE, parameters)


def deploy(context: Context) -> None:
    """Render the package for this build's stage and deploy it; what starts runs is switched on with it."""
    common_steps.deploy(context, TEMPLATE, parameters, files=batch.files(context, context.stage))


def test(context: Context, *, pause: Callable[[float], None] = time.sleep) -> None:
    """Run the pipeline on held-out records with some bad ones among them, and compare the predictions."""
    common_steps.approved_or_stop(context)
    batch_check.run(context, name="batch-test", bad_rows=True, pause=pause)


def smoke_test(context: Context, *, pause: Callable[[float], None] = time.sleep) -> None:
    """Run the pipeline on a few held-out records, and export the model card.

    Raises:
        DeploymentError: The run failed, or its predictions are not what they have to be.
    """
    try:
        batch_check.run(context, name="smoke-test", bad_rows=False, pause=pause)
    except DeploymentError as err:
        raise DeploymentError(
            f"{err}\n{context.package.arn} is deployed all the same, and runs start with it. To go back: reject the "
            f"package in the registry and start the pipeline again, which deploys the newest one that is approved."
        ) from err
    common_steps.export_card(context, pause=pause)


STEPS: dict[str, Callable[[Context], None]] = {
    "render": render,
    "deploy": deploy,
    "batch-test": test,
    "smoke-test": smoke_test,
}
