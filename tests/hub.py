"""The hub's app, synthesised once per test run."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import app
from foundation.settings import SAMPLE

ACCOUNT: Final = "210987654321"
REGION: Final = "eu-central-1"
OTHER_REGION: Final = "us-east-1"
ORGANIZATION: Final = "o-tests012345"
OU: Final = "ou-te01-workload1"
DEPLOYMENT_OU: Final = "ou-te01-deployme"
DEPLOYMENT_ACCOUNTS: Final = ("321098765432", "432109876543")
OU_PATH: Final = f"{ORGANIZATION}/r-te01/ou-te01-parent01/{OU}/"

SETTINGS: Final[dict[str, Any]] = {
    **SAMPLE,
    "account_id": ACCOUNT,
    "regions": [REGION],
    "organization_id": ORGANIZATION,
    "root_id": "r-te01",
    "workloads_ou_id": OU,
    "workloads_ou_path": OU_PATH,
    "deployment_ou_id": DEPLOYMENT_OU,
    "deployment_account_ids": list(DEPLOYMENT_ACCOUNTS),
    "source": {"provider": "GitHub", "repository": "a-team/catalog", "branch": "main"},
    "principals": {
        "ml-admin": ["aws-reserved/sso.amazonaws.com/*AWSReservedSSO_MLLead_*"],
        "ml-deployment": ["aws-reserved/sso.amazonaws.com/*AWSReservedSSO_MLEngineer_*"],
    },
    "notification_emails": ["platform@tests.invalid", "second@tests.invalid"],
    "support": {"email": "help@tests.invalid", "url": "https://tests.invalid/help"},
}
"""Settings of a hub that is not the sample."""

TWO_REGIONS: Final = {**SETTINGS, "regions": [REGION, OTHER_REGION]}
"""The same with two regions."""

CONNECTION: Final = f"arn:aws:codeconnections:{REGION}:{ACCOUNT}:connection/11111111-2222-3333-4444-555555555555"
"""A connection to Git that exists before the hub."""


@dataclass(frozen=True)
class Assembly:
    """A synthesised app.

    Attributes:
        folder: The cloud assembly.
        templates: Template of each stack by stack name, those of the stages included.
        report: The validation report.
    """

    folder: Path
    templates: dict[str, dict[str, Any]]
    report: dict[str, Any]


@cache
def hub_assembly() -> Assembly:
    """Return the assembly of a hub with one region."""
    return synthesise(SETTINGS)


@cache
def two_region_assembly() -> Assembly:
    """Return the assembly of a hub with two regions."""
    return synthesise(TWO_REGIONS)


@cache
def connected_assembly() -> Assembly:
    """Return the assembly of a hub with two regions that is given its connection to Git."""
    return synthesise({**TWO_REGIONS, "connection_arn": CONNECTION})


def synthesise(settings: dict[str, Any]) -> Assembly:
    """Return the assembly for some settings."""
    folder = Path(tempfile.mkdtemp(prefix="hub-assembly-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    app.build(hub=settings, outdir=str(folder)).synth()
    templates = {}
    for manifest in (folder / "manifest.json", *sorted(folder.glob("assembly-*/manifest.json"))):
        for artifact in json.loads(manifest.read_text())["artifacts"].values():
            if artifact["type"] == "aws:cloudformation:stack":
                region = artifact["environment"].rsplit("/", 1)[-1]
                name = artifact["properties"].get("stackName") or artifact["displayName"]
                template = json.loads((manifest.parent / artifact["properties"]["templateFile"]).read_text())
                templates[name if region == settings["regions"][0] else f"{name} in {region}"] = template
    report = json.loads((folder / "validation-report.json").read_text())
    return Assembly(folder=folder, templates=templates, report=report)


def resources(template: dict[str, Any], type_: str) -> dict[str, dict[str, Any]]:
    """Return the properties of the resources of a type, unresolved, by logical id."""
    return {
        id_: resource.get("Properties", {})
        for id_, resource in template["Resources"].items()
        if resource["Type"] == type_
    }
