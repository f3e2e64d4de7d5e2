"""Steps of a deployment to a real-time endpoint, as the pipeline runs them."""

from __future__ import annotations

from collections.abc import Callable

from deployment import common_steps, endpoint_test, monitors, realtime, shadow, smoke_test
from deployment.context import Context
from deployment.errors import DeploymentError

TEMPLATE = realtime.TEMPLATE
SCHEMA = realtime.SCHEMA
refuse = realtime.refuse
parameters = realtime.parameters


def render(context: Context) -> None:
    """Render the newest approved package for test and prod."""
    common_steps.render(context, TEMPLATE, parameters)


def deploy(context: Context) -> None:
    """Deploy what was rendered to this build's stage; a shadow ends with it.

    Raises:
        DeploymentError: The approval was withdrawn, or the stack failed.
    """
    try:
        common_steps.approved_or_stop(context)
    except DeploymentError:
        shadow.drop(context)
        raise
    files = monitors.files(context, context.stage)
    outputs = common_steps.deploy(context, TEMPLATE, files=files, before=shadow.prepare_update)
    print(f"endpoint: {outputs['EndpointName']}" + (f", API: {outputs['ApiUrl']}" if "ApiUrl" in outputs else ""))


STEPS: dict[str, Callable[[Context], None]] = {
    "render": render,
    "deploy": deploy,
    "endpoint-test": endpoint_test.run,
    "smoke-test": smoke_test.run,
    "shadow": shadow.begin,
    "compare": shadow.finish,
}
