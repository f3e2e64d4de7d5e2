"""Writes the configuration with which taskcat launches the newest release of every product in a real account.

Run as ``python -m tests.e2e.taskcat FILE``; ``make e2e`` does.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from products.answers import all_answers
from products.releases import TEMPLATE, load_catalog

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
REGION: Final = "eu-west-1"
NAME: Final = "e2e"

FROM_ACCOUNT: Final = "$[taskcat_ssm_/ml-platform/e2e/{}]"
"""How taskcat looks an answer up in the account's SSM parameters."""

_CHOSEN: Final = {"project-name": NAME, "model-package-group": NAME}
_LEAVES_NOTHING: Final = {"sagemaker-domain": {"BucketOnDeletion": "Empty"}}
"""Answers with which nothing stays when a stack is deleted."""


def configuration(root: Path = ROOT) -> dict[str, Any]:
    """Return the configuration: paths are relative to ``products/``, so that nothing else is uploaded.

    Args:
        root: The repository. Default: this one.
    """
    products = load_catalog(root).products
    tests = {}
    for id_, example in all_answers(root / "products").items():
        if id_ in products:
            template = products[id_].newest.path / TEMPLATE
            chosen = _CHOSEN | {"project-id": f"p-{id_.replace('-', '')[:14]}"}
            given = example.given(partial(_known, chosen))
            tests[id_] = {
                "template": template.relative_to(root / "products").as_posix(),
                "parameters": given | _LEAVES_NOTHING.get(id_, {}),
            }
    return {"project": {"name": "ml-platform-catalog-e2e", "regions": [REGION]}, "tests": tests}


def _known(chosen: Mapping[str, str], what: str) -> str:
    return chosen.get(what) or FROM_ACCOUNT.format(what)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(configuration(), sort_keys=False), encoding="utf-8")
