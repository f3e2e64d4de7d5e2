"""The templates that deployment projects bring along: the emulator knows every resource type in them."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Final

import pytest

from aws_emulator.tests.harness import PYTHON, ROOT

pytestmark = pytest.mark.rehearsal

_TYPE: Final = re.compile(r"\bType: (AWS::[\w:]+)$", re.MULTILINE)
_CUSTOM: Final = ("Custom::", "AWS::CloudFormation::")
_HANDLERS: Final = """
import json
import aws_emulator.cloudformation.stacks
import aws_emulator.sagemaker.autoscaling
import aws_emulator.sagemaker.resources
from ministack.services.cloudformation import provisioners
complete = {name for name, handler in provisioners._RESOURCE_HANDLERS.items() if {"create", "delete"} <= set(handler)}
print(json.dumps(sorted(complete)))
"""


def test_every_resource_type_of_the_deployment_templates_can_be_created_and_deleted() -> None:
    output = subprocess.run([str(PYTHON), "-c", _HANDLERS], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    known = set(json.loads(output.splitlines()[-1]))
    templates = sorted(ROOT.glob("seed-code/layers/*/templates/*.yaml"))
    wanted = {
        (path.relative_to(ROOT).as_posix(), kind) for path in templates for kind in _TYPE.findall(path.read_text())
    }
    assert len(wanted) > 20
    assert [(path, kind) for path, kind in sorted(wanted) if kind not in known and not kind.startswith(_CUSTOM)] == []
