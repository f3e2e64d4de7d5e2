"""Steps of a deployment of batch predictions, as the pipeline runs them."""

from __future__ import annotations

from collections.abc import Callable

from deployment import batch, batch_test, common_steps
from deployment.context import Context

TEMPLATE = batch.TEMPLATE
SCHEMA = batch.SCHEMA
refuse = batch.refuse
parameters = batch.parameters


def render(context: Context) -> None:
    """Render the newest approved package for both stages, and check the templates."""
    common_steps.render(context, TEMPLATE, parameters)


def deploy(context: Context) -> None:
    """Deploy what was rendered to this build's stage; what starts runs is switched on with it."""
    common_steps.deploy(context, TEMPLATE, files=batch.files(context, context.stage))


def test(context: Context) -> None:
    """Run the pipeline on held-out records with some bad ones among them, and compare the predictions."""
    batch_test.run(context, name="batch-test", bad_rows=True)


def smoke_test(context: Context) -> None:
    """Run the pipeline on a few held-out records, and export the model card."""
    batch_test.run(context, name="smoke-test", bad_rows=False)
    common_steps.export_card(context)


STEPS: dict[str, Callable[[Context], None]] = {
    "render": render,
    "deploy": deploy,
    "batch-test": test,
    "smoke-test": smoke_test,
}
