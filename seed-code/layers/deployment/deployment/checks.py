"""Checks of rendered templates: cfn-lint, and the rules of the platform in plain functions."""

from __future__ import annotations

from deployment.context import Context
from deployment.render import Rendered


def problems(context: Context, stage: str, rendered: Rendered) -> list[str]:
    """Return what is wrong with a rendered template, one sentence each; empty if nothing is.

    Args:
        context: Of the step.
        stage: Stage for which it was rendered.
        rendered: Template and parameters.
    """
    found = _lint(rendered, context.build.places[stage].region)
    return [f"{rendered.name}: {text}" for text in found]


def _lint(rendered: Rendered, region: str) -> list[str]:
    """Return the findings of cfn-lint, errors and warnings."""
    import cfnlint.api  # half a second, which only rendering has to spend
    import cfnlint.helpers

    regions = [region] if region in cfnlint.helpers.REGIONS else None
    matches = cfnlint.api.lint(rendered.text, regions=regions)
    return [
        f"{'/'.join(map(str, match.path)) or 'template'}: {match.message} (cfn-lint {match.rule.id})"
        for match in matches
        if not match.rule.id.startswith("I")
    ]
