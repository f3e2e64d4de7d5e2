"""CodeBuild: buildspecs really run, as the project's role, and report as CodeBuild does.

Sources: https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html (buildspec),
…/view-build-details-phases.html (transitions), …/sample-build-notifications.html (events).
"""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from aws_emulator.codeconnections.handshake import complete_handshake
from aws_emulator.tests.harness import DEV, REGION, eventually

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

LOGS = {
    "Effect": "Allow",
    "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
    "Resource": "*",
}


def project(cloud: Cloud, name: str, buildspec: str, *statements: dict[str, Any], **options: object) -> None:
    role = cloud.role(DEV, f"build-{name}", [LOGS, *statements])
    cloud.client("codebuild", DEV).create_project(
        name=name,
        serviceRole=role,
        source={"type": "NO_SOURCE", "buildspec": buildspec},
        artifacts={"type": "NO_ARTIFACTS"},
        **{
            "environment": {
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
            },
            **options,
        },
    )


def finished(cloud: Cloud, build_id: str) -> dict[str, Any]:
    client = cloud.client("codebuild", DEV)

    def done() -> dict[str, Any] | None:
        (build,) = client.batch_get_builds(ids=[build_id])["builds"]
        return build if build["buildComplete"] else None

    return eventually(done, timeout_s=30)


def built(cloud: Cloud, name: str, **request: object) -> dict[str, Any]:
    build = cloud.client("codebuild", DEV).start_build(projectName=name, **request)["build"]
    assert build["buildStatus"] == "IN_PROGRESS"
    return finished(cloud, build["id"])


def log(cloud: Cloud, build: dict[str, Any]) -> str:
    names = build["logs"]
    events = cloud.client("logs", DEV).get_log_events(
        logGroupName=names["groupName"], logStreamName=names["streamName"], startFromHead=True
    )["events"]
    return "\n".join(event["message"] for event in events)


def phases(build: dict[str, Any]) -> dict[str, str]:
    return {phase["phaseType"]: phase.get("phaseStatus", "") for phase in build["phases"]}


def test_a_build_runs_its_phases_in_one_shell_and_reports_exported_variables(cloud: Cloud) -> None:
    project(
        cloud,
        "phases",
        """
version: 0.2
env:
  shell: bash
  variables: {PLACE: buildspec, ONLY: here}
  exported-variables: [ANSWER, MISSING]
phases:
  install: {commands: ['mkdir sub', 'cd sub', 'export STEP="one two"']}
  build:
    commands:
      - |
        ( set -e; false; echo not reached )
        echo "status $? in $(basename "$PWD") with $STEP from $PLACE $ONLY"
      - export ANSWER="$(printf 'line 1\\nline 2')"
""",
    )

    build = built(cloud, "phases", environmentVariablesOverride=[{"name": "PLACE", "value": "StartBuild"}])

    assert build["buildStatus"] == "SUCCEEDED", build["phases"]
    exported = {variable["name"]: variable["value"] for variable in build["exportedEnvironmentVariables"]}
    assert exported == {"ANSWER": "line 1\nline 2"}
    assert "status 1 in sub with one two from StartBuild here" in log(cloud, build)


def test_what_of_a_buildspec_is_not_emulated_is_refused_by_name(cloud: Cloud) -> None:
    project(cloud, "kept", "version: 0.2\nphases: {build: {commands: [echo]}}\nartifacts: {files: [x]}")
    build = built(cloud, "kept")
    assert build["buildStatus"] == "FAILED"
    messages = [context["message"] for phase in build["phases"] for context in phase.get("contexts", [])]
    assert "artifacts of a buildspec is not emulated" in messages


def test_a_failed_build_phase_still_runs_post_build_and_names_the_command(cloud: Cloud) -> None:
    project(
        cloud,
        "failing",
        """
version: 0.2
phases:
  build: {commands: ['exit 3', 'echo never']}
  post_build: {commands: ['echo after $CODEBUILD_BUILD_SUCCEEDING']}
""",
    )

    build = built(cloud, "failing")

    assert build["buildStatus"] == "FAILED"
    (failed,) = [phase for phase in build["phases"] if phase.get("phaseStatus") == "FAILED"]
    assert failed["phaseType"] == "BUILD"
    assert failed["contexts"][0]["statusCode"] == "COMMAND_EXECUTION_ERROR"
    assert "exit 3" in failed["contexts"][0]["message"]
    assert log(cloud, build).splitlines() == ["after 0"]


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("aborting", "build: {on-failure: ABORT, commands: ['false']}"),
        ("early", "pre_build: {commands: ['false']}"),
    ],
)
def test_no_phase_follows_one_that_aborts_the_build(cloud: Cloud, name: str, spec: str) -> None:
    project(cloud, name, f"version: 0.2\nphases:\n  {spec}\n  post_build: {{commands: ['echo never']}}\n")

    build = built(cloud, name)

    assert build["buildStatus"] == "FAILED"
    assert "POST_BUILD" not in phases(build)


def test_a_build_acts_with_the_permissions_of_its_role_only(cloud: Cloud) -> None:
    cloud.client("s3", DEV).create_bucket(
        Bucket="build-inputs", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    cloud.client("s3", DEV).put_object(Bucket="build-inputs", Key="open/a.txt", Body=b"content")
    cloud.client("s3", DEV).put_object(Bucket="build-inputs", Key="closed/a.txt", Body=b"secret")
    project(
        cloud,
        "role",
        """
version: 0.2
env: {exported-variables: [GOT, STATUS]}
phases:
  build:
    commands:
      - aws s3 cp --only-show-errors s3://build-inputs/open/a.txt got.txt
      - export GOT="$(cat got.txt)"
      - STATUS=0; aws s3 cp s3://build-inputs/closed/a.txt no.txt || export STATUS=$?
      - 'test -z "$AWS_PROFILE" && test "$HOME" != "/root"'
""",
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::build-inputs/open/*"},
    )

    build = built(cloud, "role")

    exported = {variable["name"]: variable["value"] for variable in build["exportedEnvironmentVariables"]}
    assert build["buildStatus"] == "SUCCEEDED", log(cloud, build)
    assert exported == {"GOT": "content", "STATUS": "1"}


def test_a_role_that_may_not_write_logs_fails_the_build_before_it_runs(cloud: Cloud) -> None:
    role = cloud.role(DEV, "build-silent", [])
    cloud.client("codebuild", DEV).create_project(
        name="silent",
        serviceRole=role,
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {build: {commands: [echo]}}"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
    )

    build = built(cloud, "silent")

    assert build["buildStatus"] == "FAILED"
    (failed,) = [phase for phase in build["phases"] if phase["phaseType"] == "PROVISIONING"]
    assert failed["contexts"][0]["statusCode"] == "ACCESS_DENIED"
    assert "BUILD" not in phases(build)


def test_stopping_ends_a_build_and_everything_it_started(cloud: Cloud) -> None:
    project(cloud, "long", "version: 0.2\nphases: {build: {commands: ['touch /tmp/x-$$; sleep 60 & sleep 60']}}")
    client = cloud.client("codebuild", DEV)
    build_id = client.start_build(projectName="long")["build"]["id"]
    time.sleep(0.5)

    client.stop_build(id=build_id)

    build = finished(cloud, build_id)
    assert build["buildStatus"] == "STOPPED"
    assert build["endTime"].timestamp() - build["startTime"].timestamp() < 20


def test_the_same_token_starts_one_build(cloud: Cloud) -> None:
    project(cloud, "once", "version: 0.2\nphases: {build: {commands: [echo]}}")
    client = cloud.client("codebuild", DEV)

    builds = {client.start_build(projectName="once", idempotencyToken="a")["build"]["id"] for _ in range(2)}

    assert len(builds) == 1
    finished(cloud, builds.pop())


def test_state_changes_reach_the_bus_with_variables_and_exported_variables(cloud: Cloud) -> None:
    events, sqs = cloud.client("events", DEV), cloud.client("sqs", DEV)
    queue = cloud.queue(DEV, "build-events")
    arn = f"arn:aws:sqs:{REGION}:{DEV}:build-events"
    pattern = {"source": ["aws.codebuild"], "detail": {"project-name": ["announced"], "build-status": ["SUCCEEDED"]}}
    events.put_rule(Name="builds", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="builds", Targets=[{"Id": "queue", "Arn": arn}])
    project(
        cloud,
        "announced",
        "version: 0.2\nenv: {exported-variables: [COMMIT]}\nphases: {build: {commands: ['export COMMIT=abc']}}",
    )

    build = built(
        cloud, "announced", environmentVariablesOverride=[{"name": "REQUEST", "value": "7", "type": "PLAINTEXT"}]
    )

    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    event = json.loads(message["Body"])
    assert event["detail-type"] == "CodeBuild Build State Change"
    assert event["resources"] == [build["arn"]]
    assert event["detail"]["build-id"] == build["arn"]
    information = event["detail"]["additional-information"]
    assert {"name": "REQUEST", "value": "7", "type": "PLAINTEXT"} in information["environment"]["environment-variables"]
    assert information["exported-environment-variables"] == [{"name": "COMMIT", "value": "abc"}]
    assert information["build-complete"] is True


def test_git_reaches_a_repository_only_through_a_connection_that_the_role_may_use(cloud: Cloud) -> None:
    repository = cloud.git_root / "team/churn.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(repository)], check=True)
    connections = cloud.client("codeconnections", DEV)
    arn = connections.create_connection(ConnectionName="github", ProviderType="GitHub")["ConnectionArn"]
    assert connections.get_connection(ConnectionArn=arn)["Connection"]["ConnectionStatus"] == "PENDING"
    credentials = boto3.session.Session(aws_access_key_id=DEV, aws_secret_access_key="test").get_credentials()
    assert credentials
    host = f"https://codeconnections.{REGION}.amazonaws.com/git-http"
    url = f"{host}/{DEV}/{REGION}/{arn.rsplit('/', 1)[1]}/team/churn.git"
    spec = f"""
version: 0.2
env: {{exported-variables: [STATUS]}}
phases:
  build:
    commands:
      - STATUS=0; git ls-remote {url} || STATUS=$?
      - export STATUS
"""
    token = {"Effect": "Allow", "Action": "codeconnections:GetConnectionToken", "Resource": arn}
    use = {"Effect": "Allow", "Action": "codeconnections:UseConnection", "Resource": arn}
    churn, other = (
        {**use, "Condition": {"StringEqualsIgnoreCase": {"codeconnections:FullRepositoryId": name}}}
        for name in ("Team/Churn", "team/other")
    )
    project(cloud, "connected", spec, token, use)
    project(cloud, "connected-to-it", spec, token, churn)
    project(cloud, "connected-to-another", spec, token, other)
    project(cloud, "kept-off", spec, token, use, {**churn, "Effect": "Deny"})
    project(cloud, "without-token", spec, use)
    project(cloud, "stranger", spec)

    def status(name: str) -> str:
        (variable,) = built(cloud, name)["exportedEnvironmentVariables"]
        return str(variable["value"])

    assert status("connected") == "128"  # the handshake is not complete
    complete_handshake(cloud.endpoint, REGION, credentials, arn)
    assert connections.get_connection(ConnectionArn=arn)["Connection"]["ConnectionStatus"] == "AVAILABLE"
    assert [name for name in ("connected", "connected-to-it") if status(name) != "0"] == []
    refused = ("connected-to-another", "kept-off", "without-token", "stranger")
    assert [name for name in refused if status(name) != "128"] == []


def test_a_project_whose_role_does_not_trust_codebuild_cannot_build(cloud: Cloud) -> None:
    iam = cloud.client("iam", DEV)
    trust = {
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    }
    role = iam.create_role(RoleName="not-for-builds", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    client = cloud.client("codebuild", DEV)
    client.create_project(
        name="untrusted",
        serviceRole=role,
        source={"type": "NO_SOURCE", "buildspec": "x"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
    )

    with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole"):
        client.start_build(projectName="untrusted")
