"""Steps of a deployment to a real-time endpoint, as the pipeline runs them."""

from __future__ import annotations

from collections.abc import Callable

from deployment import common_steps, endpoint_check, monitors, packages, realtime, shadow, smoke_check
from deployment.context import Context
from deployment.errors import DeploymentError

TEMPLATE = realtime.TEMPLATE
SCHEMA = realtime.SCHEMA
refuse = realtime.refuse
parameters = realtime.parameters


def render(context: Context) -> None:
    """Choose the newest approved package, and see whether it can be deployed to test and prod."""
    common_steps.render(context, TEMPLATE, parameters)


def deploy(context: Context) -> None:
    """Render the package for this build's stage and deploy it; a shadow ends with it.

    Raises:
        DeploymentError: The approval was withdrawn, or the stack failed.
    """
    try:
        packages.require_approved(context.hub("sagemaker"), context.package)
    except DeploymentError:
        shadow.drop(context)
        raise
    files = monitors.files(context, context.stage)
    outputs = common_steps.deploy(context, TEMPLATE, parameters, files=files, before=shadow.prepare_update)
    print(f"endpoint: {outputs['EndpointName']}" + (f", API: {outputs['ApiUrl']}" if "ApiUrl" in outputs else ""))


STEPS: dict[str, Callable[[Context], None]] = {
    "render": render,
    "deploy": deploy,
    "endpoint-test": endpoint_check.run,
    "smoke-test": smoke_check.run,
    "shadow": shadow.begin,
    "compare": shadow.finish,
}
