"""A REST API in front of an endpoint: the integration's role invokes it, and its answers are mapped."""

from __future__ import annotations

import contextlib
import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

from aws_emulator.apigateway.mapping_templates import Template, TemplateError
from aws_emulator.tests.harness import DEV, REGION
from aws_emulator.tests.serving_model import container, put_archives

if TYPE_CHECKING:
    from aws_emulator.tests.harness import Cloud

BUCKET: Final = "api-models"
HIDDEN: Final = '{"message": "The model did not answer."}'
TEMPLATE: Final = f"""#set($status = $input.path('$.OriginalStatusCode'))
#if($status && $status < 500)
#set($context.responseOverride.status = 400)
#set($lines = $input.path('$.OriginalMessage').split("\\n"))
#set($message = $util.escapeJavaScript($lines[0]).replaceAll("\\\\'", "'"))
{{"message": "$message"}}
#else
{HIDDEN}
#end"""


@pytest.mark.parametrize(
    ("answer", "text", "status"),
    [
        ({"OriginalStatusCode": 400, "OriginalMessage": 'no "number"'}, '{"message": "no \\"number\\""}', 400),
        (
            {"OriginalStatusCode": 400, "OriginalMessage": "it's a/b\\\nTraceback"},
            '{"message": "it\'s a\\/b\\\\"}',
            400,
        ),
        ({"OriginalStatusCode": 500, "OriginalMessage": "secret"}, HIDDEN, None),
        ({"message": "not found"}, HIDDEN, None),
    ],
)
def test_a_mapping_template_decides_by_the_answer(answer: dict[str, Any], text: str, status: int | None) -> None:
    """How texts are escaped: developer guide, "Mapping template reference"."""
    assert Template(json.dumps(answer)).render(TEMPLATE) == (text, status)


def test_a_mapping_template_that_says_more_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"\$util.toJson"):
        Template("{}").render("#set($x = $util.toJson($y))")


def template(role: str, name: str, api_role: str) -> dict[str, Any]:
    """Return a template of an endpoint with an API in front of it."""
    uri = f"arn:aws:apigateway:{REGION}:runtime.sagemaker:path/endpoints/{name}/invocations"
    variant = {"VariantName": "main", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    header = "request.header.Content-Type"
    integration = {
        "Type": "AWS",
        "IntegrationHttpMethod": "POST",
        "Uri": uri,
        "Credentials": api_role,
        "PassthroughBehavior": "WHEN_NO_TEMPLATES",
        "RequestParameters": {
            f"integration.{header}": f"method.{header}",
            "integration.request.header.Accept": "'text/csv'",
        },
        "IntegrationResponses": [
            {"StatusCode": "502", "ResponseTemplates": {"application/json": TEMPLATE}},
            {"StatusCode": "200", "SelectionPattern": "200"},
        ],
    }
    method = {
        "RestApiId": {"Ref": "Api"},
        "ResourceId": {"Ref": "Path"},
        "HttpMethod": "POST",
        "AuthorizationType": "NONE",
        "RequestParameters": {f"method.{header}": True},
        "MethodResponses": [{"StatusCode": "200"}, {"StatusCode": "400"}, {"StatusCode": "502"}],
        "Integration": integration,
    }
    resources: dict[str, tuple[str, dict[str, Any]]] = {
        "Model": (
            "SageMaker::Model",
            {
                "ModelName": name,
                "PrimaryContainer": container(f"s3://{BUCKET}/models/double.tar.gz"),
                "ExecutionRoleArn": role,
            },
        ),
        "Config": (
            "SageMaker::EndpointConfig",
            {
                "EndpointConfigName": name,
                "ProductionVariants": [{**variant, "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]}}],
            },
        ),
        "Endpoint": (
            "SageMaker::Endpoint",
            {"EndpointName": name, "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}},
        ),
        "Api": ("ApiGateway::RestApi", {"Name": name}),
        "Path": (
            "ApiGateway::Resource",
            {
                "RestApiId": {"Ref": "Api"},
                "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
                "PathPart": "predictions",
            },
        ),
        "Method": ("ApiGateway::Method", method),
        "Copy": ("ApiGateway::Deployment", {"RestApiId": {"Ref": "Api"}}),
        "Stage": (
            "ApiGateway::Stage",
            {"RestApiId": {"Ref": "Api"}, "DeploymentId": {"Ref": "Copy"}, "StageName": "v1"},
        ),
    }
    content: dict[str, Any] = {
        key: {"Type": f"AWS::{kind}", "Properties": value} for key, (kind, value) in resources.items()
    }
    content["Copy"]["DependsOn"] = "Method"
    return {"Resources": content, "Outputs": {"Api": {"Value": {"Ref": "Api"}}}}


def api_role(cloud: Cloud, name: str, endpoint: str, **condition: dict[str, Any]) -> str:
    """Create a role that API Gateway assumes, if it meets a condition, and that may invoke an endpoint."""
    service = {"Service": "apigateway.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": service, "Action": "sts:AssumeRole", "Condition": condition}
    arn = f"arn:aws:sagemaker:{REGION}:{DEV}:endpoint/{endpoint}"
    allow = {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": arn}
    iam = cloud.client("iam", DEV)
    made: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"][
        "Arn"
    ]
    iam.put_role_policy(RoleName=name, PolicyName="Inline", PolicyDocument=json.dumps({"Statement": [allow]}))
    return made


def post(cloud: Cloud, api: str, body: str) -> tuple[int, str]:
    """Send CSV to the API and return status and text of the answer."""
    with contextlib.closing(HTTPConnection(urlsplit(cloud.endpoint).netloc, timeout=30)) as connection:
        connection.request("POST", f"/_aws/execute-api/{api}/v1/predictions", body, {"Content-Type": "text/csv"})
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.mark.rehearsal
def test_an_api_hands_requests_to_the_endpoint_as_its_role(cloud: Cloud) -> None:
    """Integrations of type AWS: developer guide, "API integration types"; patterns match the status of the answer."""
    put_archives(cloud, DEV, BUCKET)
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    role = cloud.role(DEV, "api-endpoint-role", [statement])
    apis = []
    for name, allowed in (("behind-api", "behind-api"), ("behind-locked-api", "something-else")):
        if_sent = {"StringEqualsIfExists": {"aws:SourceAccount": DEV}}
        stack = cloud.deploy(DEV, name, template(role, name, api_role(cloud, f"role-{name}", allowed, **if_sent)))
        assert stack["StackStatus"] == "CREATE_COMPLETE", cloud.failures(DEV, name)
        apis.append(stack["Outputs"][0]["OutputValue"])
    open_api, locked_api = apis

    assert post(cloud, open_api, "1,2\n") == (200, "6\n")
    status, text = post(cloud, open_api, "1,x\n")
    assert (status, "no number" in json.loads(text)["message"]) == (400, True)
    assert post(cloud, open_api, "0\n") == (502, HIDDEN)
    assert post(cloud, locked_api, "1,2\n") == (502, HIDDEN)

    # API Gateway does not say for which account it works when it assumes the role of an integration.
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": DEV}},
    }
    document = json.dumps({"Statement": [trust]})
    cloud.client("iam", DEV).update_assume_role_policy(RoleName="role-behind-api", PolicyDocument=document)
    assert post(cloud, open_api, "1,2\n")[0] == 500
