"""Entry point of the CDK: reads the settings, creates the pipeline, synthesises."""

import json
import sys
from pathlib import Path

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from foundation.settings import HubSettings, SettingsError
from pipeline.stack import PipelineStack
from products.shared import names

ROOT = Path(__file__).resolve().parent


def build(*, hub: object = None, outdir: str | None = None, checks: bool = True) -> App:
    """Return the app, not yet synthesised.

    Args:
        hub: Settings to use instead of those in the context (cdk.json, ``-c hub=…`` or ``CDK_CONTEXT_JSON``).
        outdir: Folder for the cloud assembly. Default: the CDK's own choice.
        checks: Whether cdk-nag looks at every stack, which takes two thirds of the synthesis. Default: yes.

    Raises:
        SettingsError: The settings are not usable.
    """
    # The CDK command line passes the same context; without it (python app.py, tests) the feature flags come from here.
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = App(context=context, outdir=outdir, tree_metadata=False, analytics_reporting=False)
    if checks:
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    settings = HubSettings.from_app(app) if hub is None else HubSettings.parse(hub)
    PipelineStack(app, names.PIPELINE_STACK, settings=settings, root=ROOT)
    return app


if __name__ == "__main__":
    try:
        build().synth()
    except SettingsError as err:
        sys.exit(str(err))
