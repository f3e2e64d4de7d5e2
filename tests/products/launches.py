"""Launches of the products with ordinary and with the longest values, as tests evaluate them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.policy import Launch

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB = "444455556666"
ACCOUNT, REGION = "111122223333", "eu-west-1"
SSM = {
    "/ml-platform/v1/boundary-arn": "arn:aws:iam::111122223333:policy/ml-platform-boundary",
    "/ml-platform/v1/hub-account-id": HUB,
    "/ml-platform/v1/artifact-bucket": f"ml-platform-artifacts-{HUB}-eu-west-1",
}
CONNECTION = "arn:aws:codeconnections:eu-west-1:111122223333:connection/0a1b2c3d-0000-4000-8000-000000000001"
CATALOG = "acme-platform/ml-catalog"
"""Repository of the catalog itself."""


def network(account: str, region: str, *, vpc_only: bool = True) -> dict[str, str]:
    """Return what the preflight check finds about the network of an account, with a VpcOnly domain or without."""
    subnets, groups = (["subnet-1", "subnet-2"], ["sg-1"]) if vpc_only else (["none"], ["none"])
    ec2 = f"arn:aws:ec2:{region}:{account}"
    return {
        "JobSubnetIds": ",".join(subnets),
        "JobSecurityGroupIds": ",".join(groups),
        "JobSubnetArns": ",".join(f"{ec2}:subnet/{id_}" for id_ in subnets),
        "JobSecurityGroupArns": ",".join(f"{ec2}:security-group/{id_}" for id_ in groups),
        "JobsOutsideVpc": "_" if vpc_only else "pipelines-*",
    }


DOMAIN = {
    "DomainName": "claims-lab",
    "VpcId": "vpc-1",
    "SubnetIds": "subnet-1,subnet-2",
    "CostCenter": "ml-1000",
    "Owner": "claims-analytics",
}
TRAIN = {
    "SageMakerProjectName": "churn",
    "SageMakerProjectId": "p-aaaaaaaaaaaa",
    "DataUri": "s3://sales-lake/churn/2026/",
    "Label": "churned",
    "Repository": "acme-ml/churn",
    "ConnectionArn": CONNECTION,
    "CostCenter": "ml-1000",
}
TEST_ACCOUNT, PROD_ACCOUNT = "222233334444", "333344445555"
GROUP = "churn-p-abc123def456-555566667777"
DEPLOY = {
    "SageMakerProjectName": "churn",
    "SageMakerProjectId": "p-aaaaaaaaaaaa",
    "ModelPackageGroup": GROUP,
    "TestAccountId": TEST_ACCOUNT,
    "ProdAccountId": PROD_ACCOUNT,
    "ProdRegion": "eu-central-1",
    "Repository": "acme-ml/churn-deployment",
    "ConnectionArn": CONNECTION,
    "ApproverEmail": "governance@example.com",
    "CostCenter": "ml-1000",
}
BATCH = DEPLOY | {"InputUriTest": "s3://sales-lake/churn/test/", "InputUriProd": "s3://sales-lake/churn/prod/"}
_LONGEST_PROJECT = {"SageMakerProjectName": "n" * 32, "SageMakerProjectId": "p-" + "a" * 14}
_LONGEST_DEPLOYMENT = _LONGEST_PROJECT | {
    "ModelPackageGroup": "g" * 63,
    "TestRegion": "ap-southeast-1",
    "ProdRegion": "ap-southeast-1",
    "ApproverEmail": f"{'a' * 240}@example.com",
    "CostCenter": "c" * 64,
}
ORDINARY: Mapping[str, Mapping[str, str]] = {
    "sagemaker-domain": DOMAIN,
    "train-s3": TRAIN,
    "deploy-realtime": DEPLOY | {"ShadowHours": "24"},
    "deploy-batch": BATCH,
}
LONGEST: Mapping[str, Mapping[str, str]] = {
    "sagemaker-domain": DOMAIN
    | {
        "DomainName": "d" * 20,
        "SubnetIds": ",".join(f"subnet-{number:017}" for number in range(16)),  # the most that a domain may have
        "Repositories": f"acme-ml/{'r' * 91},acme-ml/{'s' * 92}",
    },
    "train-s3": TRAIN | _LONGEST_PROJECT,
    "deploy-realtime": DEPLOY | _LONGEST_DEPLOYMENT | {"ShadowHours": "336"},
    "deploy-batch": BATCH | _LONGEST_DEPLOYMENT,
}
LONGEST_REGION = "ap-southeast-1"


def launch(
    template: Mapping[str, Any],
    parameters: Mapping[str, str],
    *,
    found: Mapping[str, str] | None = None,
    **overrides: Any,  # noqa: ANN401
) -> Launch:
    """Return a launch with the parameters of this account's SSM, in an account with a VpcOnly domain.

    Args:
        template: The template.
        parameters: Answers to the form.
        found: What the preflight check finds instead, see `network`.
        overrides: Other arguments of `Launch`.
    """
    here = network(overrides.get("account", ACCOUNT), overrides.get("region", REGION))
    return Launch(template, parameters, ssm=SSM, answers={"Custom::Preflight": found or here}, **overrides)
