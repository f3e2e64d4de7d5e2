"""A deployment project in the emulated hub: its own roles take a model from its approval through every stage.

The custom resources, whose functions the hub's baseline brings, are stood in for; the repository holds small steps that
also try what the build of their stage must not be able to do.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from aws_emulator.codeconnections.handshake import complete_handshake
from aws_emulator.tests.harness import HUB, REGION, eventually
from aws_emulator.tests.test_codepipeline import commit
from foundation import boundary
from products.deploy_realtime.product import DeployRealtimeProduct
from tests.products.launches import CATALOG, DEPLOY, GROUP
from tests.rehearsal.cloud.harness import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aws_emulator.tests.harness import Cloud

pytestmark = pytest.mark.rehearsal

PIPELINE = "mlp-p-aaaaaaaaaaaa-deploy"
BUCKET = f"mlp-p-aaaaaaaaaaaa-{HUB}-{REGION}"
BUILDSPEC = """
version: 0.2
env: {exported-variables: [PACKAGE_ARN, PACKAGE_VERSION, SUMMARY, REPORT_URL]}
phases:
  build:
    commands:
      - sh step.sh
      - test "$STEP" != render || export PACKAGE_ARN=arn:package/7 PACKAGE_VERSION=7
      - export SUMMARY="$STEP went well" REPORT_URL=https://example.com/7
"""
STEP = f"""
set -e
test ! -e left-over; touch left-over
if [ "$STEP" = render ]; then
  test -z "$STAGE$PACKAGE_ARN"
else
  test "$PACKAGE_ARN" = arn:package/7
  aws s3 cp step.sh "s3://$ARTIFACT_BUCKET/reports/$PIPELINE_EXECUTION_ID/$STAGE-$STEP.txt"
fi
SOURCE=s3://$ARTIFACT_BUCKET/{PIPELINE[:20]}/Source/hijacked
if aws s3 cp step.sh "$SOURCE"; then echo "the step $STEP wrote what production is deployed from"; exit 9; fi
"""


@dataclass(frozen=True)
class Project:
    """The launched project.

    Attributes:
        cloud: The organisation.
        messages: Returns and removes what the topic sent so far.
    """

    cloud: Cloud
    messages: Callable[[], list[str]]

    def client(self, service: str) -> Any:  # noqa: ANN401 (boto3 client)
        return self.cloud.client(service, HUB)

    def executions(self) -> list[dict[str, Any]]:
        """Return the executions, newest first."""
        found = self.client("codepipeline").list_pipeline_executions(pipelineName=PIPELINE)
        return list(found["pipelineExecutionSummaries"])

    def answer(self, stage: str, status: str) -> None:
        """Wait for an approval and answer it."""
        client = self.client("codepipeline")

        def asked() -> dict[str, Any] | None:
            states = client.get_pipeline_state(name=PIPELINE)["stageStates"]
            actions = [a for s in states if s["stageName"] == stage for a in s["actionStates"]]
            return next((a for a in actions if a.get("latestExecution", {}).get("token")), None)

        action = eventually(asked, timeout_s=30)
        client.put_approval_result(
            pipelineName=PIPELINE,
            stageName=stage,
            actionName=action["actionName"],
            token=action["latestExecution"]["token"],
            result={"status": status, "summary": "decided in a test"},
        )

    def ended(self, count: int) -> dict[str, Any]:
        """Wait until the newest of so many executions is done, and return it."""

        def done() -> dict[str, Any] | None:
            found = self.executions()
            return found[0] if len(found) >= count and found[0]["status"] != "InProgress" else None

        return eventually(done, timeout_s=30)

    def actions(self, execution: str) -> dict[str, str]:
        """Return the status of every action of an execution."""
        details = self.client("codepipeline").list_action_executions(
            pipelineName=PIPELINE, filter={"pipelineExecutionId": execution}
        )["actionExecutionDetails"]
        return {f"{d['stageName']}/{d['actionName']}": d["status"] for d in reversed(details)}


def stood_in(template: dict[str, Any]) -> dict[str, Any]:
    """Replace custom resources by parameters of SSM, which anybody can make."""
    custom = {k for k, v in template["Resources"].items() if v["Type"].startswith("Custom::")}

    def without(node: Any) -> Any:  # noqa: ANN401 (JSON)
        if isinstance(node, list):
            return [without(item) for item in node]
        if not isinstance(node, dict):
            return node
        if node.get("Fn::GetAtt", [None])[0] in custom:
            return "https://example.com/stood-in"
        return {key: without(value) for key, value in node.items()}

    replaced: dict[str, Any] = without(template)
    for logical_id in custom:
        replaced["Resources"][logical_id] = {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Type": "String", "Value": "stood in", "Name": f"/stood-in/{logical_id}"},
            "DependsOn": template["Resources"][logical_id].get("DependsOn", []),
        }
    return replaced


def connect(cloud: Cloud) -> str:
    """Return the ARN of a connection whose handshake is complete."""
    arn: str = cloud.client("codeconnections", HUB).create_connection(ConnectionName="hub", ProviderType="GitHub")[
        "ConnectionArn"
    ]
    credentials = boto3.session.Session(aws_access_key_id=HUB, aws_secret_access_key="test").get_credentials()
    assert credentials
    complete_handshake(cloud.endpoint, REGION, credentials, arn)
    return arn


def prepare(cloud: Cloud, connection: str) -> None:
    """Make what the hub's baseline brings: the boundary, as it is, and the parameters of the contract."""
    text = (
        json.dumps(boundary.document(catalog=CATALOG))
        .replace("${AWS::Partition}", "aws")
        .replace("${AWS::AccountId}", HUB)
    )
    policy = cloud.client("iam", HUB).create_policy(PolicyName="ml-platform-boundary", PolicyDocument=text)["Policy"]
    contract = {"boundary-arn": policy["Arn"], "artifact-bucket": "unused", "connection-arn": connection}
    for name, value in contract.items():
        cloud.client("ssm", HUB).put_parameter(Name=f"/ml-platform/v1/{name}", Value=value, Type="String")


def launch(cloud: Cloud, template: dict[str, Any]) -> str:
    """Launch the product with a shadow period and return the ARN of its topic."""
    storage, cloudformation = cloud.client("s3", HUB), cloud.client("cloudformation", HUB)
    storage.create_bucket(Bucket="templates", CreateBucketConfiguration={"LocationConstraint": REGION})
    storage.put_object(Bucket="templates", Key="template.json", Body=json.dumps(template).encode())
    values = {k: v for k, v in DEPLOY.items() if k != "ConnectionArn"} | {"ShadowHours": "24"}
    cloudformation.create_stack(
        StackName="SC-1",
        TemplateURL=f"https://s3.{REGION}.amazonaws.com/templates/template.json",
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
    )
    stack = cloud.settled(HUB, "SC-1")
    assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(HUB, "SC-1")
    return next(str(o["OutputValue"]) for o in stack["Outputs"] if o["OutputKey"] == "TopicArn")


def listen(cloud: Cloud, topic: str) -> Callable[[], list[str]]:
    """Subscribe a queue to the topic and return what takes its messages."""
    sqs, arn = cloud.client("sqs", HUB), f"arn:aws:sqs:{REGION}:{HUB}:mails"
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**allow, "Resource": arn}]})
    url = sqs.create_queue(QueueName="mails", Attributes={"Policy": policy})["QueueUrl"]
    cloud.client("sns", HUB).subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def take() -> list[str]:
        taken = []
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                taken.append(str(json.loads(message["Body"])["Message"]))
        return taken

    return take


@pytest.fixture(scope="module")
def project(
    synth_product: Callable[[type[Any]], dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A launched project, whose first execution waits for its approver."""
    folder = tmp_path_factory.mktemp("hub")
    with running(folder) as cloud:
        bare, checkout = cloud.git_root / f"{DEPLOY['Repository']}.git", folder / "checkout"
        subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
        subprocess.run(["git", "clone", "--quiet", str(bare), str(checkout)], check=True, capture_output=True)
        commit(checkout, "steps", buildspec__yml=BUILDSPEC, step__sh=STEP)
        prepare(cloud, connect(cloud))
        topic = launch(cloud, stood_in(synth_product(DeployRealtimeProduct)))
        yield Project(cloud, listen(cloud, topic))


def test_the_roles_of_the_project_suffice_for_every_stage_and_not_for_more(project: Project) -> None:
    project.answer("Approve", "Approved")
    project.answer("Shadow", "Approved")
    execution = project.ended(1)["pipelineExecutionId"]
    assert project.actions(execution) == dict.fromkeys(
        [
            "Source/Source",
            "Render/Render",
            "Test/Deploy",
            "Test/EndpointTest",
            "Approve/GovernanceApproval",
            "Shadow/Deploy",
            "Shadow/Period",
            "Prod/Deploy",
            "Prod/SmokeTest",
        ],
        "Succeeded",
    )
    found = project.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="reports/")["Contents"]
    steps = ("prod-deploy", "prod-shadow", "prod-smoke-test", "test-deploy", "test-endpoint-test")
    assert [o["Key"] for o in found] == [f"reports/{execution}/{step}.txt" for step in steps]


def test_an_approved_model_starts_a_deployment_that_the_approver_may_refuse(project: Project) -> None:
    sagemaker, before = project.client("sagemaker"), len(project.executions())
    project.messages()
    sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    image = f"141502667606.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:3.0-5"
    container = {"Image": image, "ModelDataUrl": "s3://models/model.tar.gz"}
    sagemaker.create_model_package(
        ModelPackageGroupName=GROUP,
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )
    project.answer("Approve", "Rejected")
    execution = project.ended(before + 1)
    assert execution["status"] == "Failed"
    assert "Prod/Deploy" not in project.actions(execution["pipelineExecutionId"])
    mails: list[str] = []

    def told() -> list[str]:
        mails.extend(project.messages())
        return [mail for mail in mails if "ended as FAILED and goes no further" in mail]

    failed, *_ = eventually(told)
    assert execution["pipelineExecutionId"] in failed
    (asked,) = [mail for mail in mails if "approvalReviewLink" in mail]
    for part in ("Deploy version 7 of ", "endpoint-test went well", "https://example.com/7"):
        assert part in asked
