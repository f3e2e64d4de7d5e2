"""Names that another language has to repeat: seed code, policies and build commands say what the code says.

Each pattern finds every place of its kind in a file, so a name that changes on either side is found here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from lambdas.model_promotion import names as promotion
from products.shared import names

ROOT: Final = Path(__file__).resolve().parent.parent
SETS: Final = "foundation/organization/permission_sets"
LAYERS: Final = "seed-code/layers"
REGISTRY: Final = names.registry_bucket("HUB", "REGION").removesuffix("-HUB-REGION")
AUDIT: Final = names.audit_bucket("HUB", "REGION").removesuffix("-HUB-REGION")

REPEATED: Final = {
    "where deployments find what was promoted": (
        f"{LAYERS}/deployment/deployment/packages.py",
        r'f"([a-z]+/)\{package\.group',
        {promotion.PROMOTED_PREFIX},
    ),
    "where the sample of a deployment repository has its model": (
        f"{LAYERS}/deployment/deployment/local.py",
        r"s3://(ml-platform-[a-z]+)-\d{12}-[a-z0-9-]+/([a-z]+/)\{_GROUP\}",
        {(REGISTRY, promotion.PACKAGES_PREFIX)},
    ),
    "the event of a monitor": (
        f"{LAYERS}/monitoring/jobs/monitor/monitoring/publish.py",
        r'SOURCE, DETAIL_TYPE = "([^"]+)", "([^"]+)"',
        {(names.DRIFT_SOURCE, names.DRIFT_EVENT)},
    ),
    "what the governance officer answers": (
        f"{SETS}/governance-officer.json",
        r":codepipeline:[^\"]*:([a-z]+-)p-\*-deploy/(\w+)/(\w+)\"",
        {(names.PROJECT_RESOURCE_PREFIX, promotion.APPROVAL_STAGE, promotion.APPROVAL_ACTION)},
    ),
    "the audit records that the governance officer reads": (
        f"{SETS}/governance-officer.json",
        r":s3:::(ml-platform-[a-z]+)-\$\{aws:PrincipalAccount\}-\$\{aws:RequestedRegion\}/([a-z]+/)",
        {(AUDIT, promotion.AUDIT_PREFIX)},
    ),
    "the reports that the ML engineer reads": (
        f"{SETS}/ml-engineer.json",
        r":s3:::(ml-platform-[a-z]+)-\$\{aws:PrincipalAccount\}-\$\{aws:RequestedRegion\}/([a-z]+/)",
        {(REGISTRY, promotion.PACKAGES_PREFIX)},
    ),
    "the folders that the ML engineer lists": (
        f"{SETS}/ml-engineer.json",
        r'"s3:prefix": \["([a-z]+/)\*"',
        {promotion.PACKAGES_PREFIX},
    ),
    "the decisions of the ML engineer": (
        f"{SETS}/ml-engineer.json",
        r'"sagemaker:ModelApprovalStatus": \["(\w+)", "(\w+)"\]',
        {promotion.DECISIONS},
    ),
    "the stacks that a teardown removes": (
        "foundation/deployment_teardown_buildspec.yml",
        r'remove "([a-z]+-)\$TAG',
        {names.PROJECT_RESOURCE_PREFIX},
    ),
}


@pytest.mark.parametrize("what", REPEATED)
def test_what_another_language_repeats_is_what_the_code_says(what: str) -> None:
    path, pattern, values = REPEATED[what]
    found = set(re.findall(pattern, (ROOT / path).read_text(encoding="utf-8")))
    assert found == values, f"{path} and the code differ in {what}: change both, or neither"
