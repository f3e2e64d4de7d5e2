"""Steps of the deployment. The project's builds run them; `check` is for your own machine.

python -m deployment check                  render a made-up model for both stages and check the templates, without AWS
python -m deployment check package.json     the same with a package that the registry describes (DescribeModelPackage)
python -m deployment render                 what the build does first; needs the variables of the project's build
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from deployment import common_steps, local, packages
from deployment.context import ROOT, Context
from deployment.errors import DeploymentError
from deployment.settings import read_build, read_environments


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step and return its exit code: 0, or 1 with one plain message on standard error."""
    from deployment import steps  # comes with the kind of deployment; --help of a broken one must still say why

    parser = argparse.ArgumentParser(
        prog="python -m deployment", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "step", choices=["check", *steps.STEPS], metavar="STEP", help=", ".join(["check", *steps.STEPS])
    )
    parser.add_argument("package", nargs="?", type=Path, help="for check: answer of DescribeModelPackage as JSON")
    options = parser.parse_args(arguments)
    try:
        if options.step == "check":
            check(options.package)
        else:
            steps.STEPS[options.step](make_context(os.environ))
    except DeploymentError as err:
        print(f"ERROR: {err}", file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as err:
        last = traceback.extract_tb(err.__traceback__)
        place = next(
            (f"{Path(frame.filename).name}, line {frame.lineno}" for frame in last[::-1] if _is_own(frame)), ""
        )
        print(f"ERROR: AWS did not do what the step {options.step} asked for ({place}): {err}", file=sys.stderr)
        return 1
    return 0


def make_context(variables: Mapping[str, str], root: Path = ROOT) -> Context:
    """Return the context of a step.

    Raises:
        DeploymentError: A variable of the build or a setting cannot be used.
    """
    from deployment import steps

    build = read_build(variables)
    path = root / "environments.yaml"
    return Context(build, read_environments(path, build.choices, steps.SCHEMA, steps.refuse), root=root)


def check(package: Path | None, root: Path = ROOT) -> None:
    """Render a package for both stages and check the result, without AWS.

    Args:
        package: Answer of DescribeModelPackage as JSON. Default: a made-up one.
        root: Folder of the repository.

    Raises:
        DeploymentError: The text lists everything that was found.
    """
    from deployment import steps

    try:
        answer = json.loads(package.read_text(encoding="utf-8")) if package else local.PACKAGE
    except (OSError, ValueError) as err:
        raise DeploymentError(f"{package} cannot be read as JSON: {err}") from err
    if not isinstance(answer, dict) or "ModelPackageArn" not in answer:
        raise DeploymentError(
            f"{package} is not an answer of DescribeModelPackage: it has no ModelPackageArn. Make it with: "
            f"aws sagemaker describe-model-package --model-package-name ARN > {package}"
        )
    context = make_context({**local.VARIABLES, **local.choices(root), **_given()}, root)
    common_steps.render_package(context, packages.parse(answer), steps.TEMPLATE, steps.parameters)


def _is_own(frame: traceback.FrameSummary) -> bool:
    return Path(frame.filename).is_relative_to(ROOT / "deployment")


def _given() -> dict[str, str]:
    """Return the variables of the build that are set here."""
    return {name: value for name, value in os.environ.items() if name in local.VARIABLES and value}
