"""Starting and ending: one loopback endpoint, nothing inherited, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rehearsal.cloud.harness import DEV, HUB, PYTHON, ROOT, configuration, eventually, free_port, start

if TYPE_CHECKING:
    from tests.rehearsal.cloud.harness import Cloud

pytestmark = pytest.mark.rehearsal


def test_every_account_of_the_organisation_answers_on_the_one_endpoint(cloud: Cloud) -> None:
    for account in (HUB, DEV):
        assert cloud.client("sts", account).get_caller_identity()["Account"] == account


def test_bridged_services_keep_accounts_apart(cloud: Cloud) -> None:
    cloud.client("sagemaker", DEV).create_model_package_group(ModelPackageGroupName="apart")

    (group,) = cloud.client("sagemaker", DEV).list_model_package_groups(NameContains="apart")[
        "ModelPackageGroupSummaryList"
    ]
    assert group["ModelPackageGroupArn"].split(":")[4] == DEV
    assert cloud.client("sagemaker", HUB).list_model_package_groups()["ModelPackageGroupSummaryList"] == []


def test_it_ends_when_its_input_closes_even_if_the_driver_was_killed(tmp_path: Path) -> None:
    config = configuration(tmp_path, free_port())
    driver = subprocess.Popen(
        [
            str(PYTHON),
            "-c",
            f"""
import subprocess, sys, time
cloud = subprocess.Popen([sys.executable, "-m", "rehearsal.cloud", {str(config)!r}], stdin=subprocess.PIPE)
print(cloud.pid, flush=True)
time.sleep(60)
""",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with driver:
        assert driver.stdout
        pid = int(driver.stdout.readline())
        assert json.loads(driver.stdout.readline())["ready"]

        driver.send_signal(signal.SIGKILL)

        assert eventually(lambda: not Path(f"/proc/{pid}").exists() if Path("/proc").exists() else not _alive(pid))


def test_a_port_in_use_is_refused_with_the_remedy(cloud: Cloud, tmp_path: Path) -> None:
    taken = int(cloud.endpoint.rsplit(":", 1)[1])

    with start(configuration(tmp_path, taken), stderr=subprocess.PIPE) as process:
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 1
    assert f"port {taken} of 127.0.0.1 is not free" in errors
    assert "Choose another port" in errors


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
