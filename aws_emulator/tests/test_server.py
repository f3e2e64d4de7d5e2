"""Starting and ending: one loopback endpoint, nothing inherited, nothing left behind."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import zipfile
from pathlib import Path

import pytest

from aws_emulator.tests.harness import DEV, HUB, PYTHON, ROOT, Cloud, configuration, eventually, free_port, start

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
cloud = subprocess.Popen([sys.executable, "-m", "aws_emulator", {str(config)!r}], stdin=subprocess.PIPE)
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


def test_builds_do_not_outlive_a_killed_emulator(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    with start(configuration(tmp_path, port := free_port())) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["ready"]
        cloud = Cloud(f"http://127.0.0.1:{port}", tmp_path / "work", tmp_path / "git")
        logs = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
        client = cloud.client("codebuild", DEV)
        client.create_project(
            name="endless",
            serviceRole=cloud.role(DEV, "endless", [logs]),
            source={
                "type": "NO_SOURCE",
                "buildspec": f"version: 0.2\nphases: {{build: {{commands: ['echo $$ > {marker}; sleep 600']}}}}",
            },
            artifacts={"type": "NO_ARTIFACTS"},
            environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
        )
        client.start_build(projectName="endless")
        build = eventually(lambda: marker.read_text() if marker.exists() else None)

        process.kill()

        assert eventually(lambda: not _alive(int(build)))


def test_it_listens_on_one_loopback_address_only(cloud: Cloud) -> None:
    port = int(cloud.endpoint.rsplit(":", 1)[1])

    # What listens on every address would answer on this one as well; where it does not exist, connecting fails too.
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", port)) != 0


def test_functions_get_no_variable_of_the_person_who_started_it(cloud: Cloud) -> None:
    """The harness starts the emulator with AWS_SECRET_ACCESS_KEY=must-not-be-inherited."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", "import os\ndef handler(event, context): return dict(os.environ)\n")
    client = cloud.client("lambda", DEV)
    client.create_function(
        FunctionName="environment",
        Runtime="python3.13",
        Handler="index.handler",
        Role=cloud.role(DEV, "environment", []),
        Code={"ZipFile": code.getvalue()},
    )

    environment = json.loads(client.invoke(FunctionName="environment")["Payload"].read())

    assert "must-not-be-inherited" not in environment.values()
    assert environment["AWS_ENDPOINT_URL"].startswith("http://")
    assert environment["HOME"].startswith(str(cloud.work_dir))


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
