"""Launches of the products with ordinary and with the longest values, as tests evaluate them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foundation.baseline_version import BASELINE_VERSION
from products.answers import all_answers
from tests.policy import Launch

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB = "444455556666"
LAKE = "777788889999"
"""Account that owns governed data."""
ACCOUNT, REGION = "111122223333", "eu-west-1"
SSM = {
    "/ml-platform/v1/baseline-version": BASELINE_VERSION,
    "/ml-platform/v1/boundary-arn": "arn:aws:iam::111122223333:policy/ml-platform-boundary",
    "/ml-platform/v1/hub-account-id": HUB,
    "/ml-platform/v1/artifact-bucket": f"ml-platform-artifacts-{HUB}-eu-west-1",
}
CATALOG = "acme-platform/ml-catalog"
"""Repository of the catalog itself."""


def network(account: str, region: str, *, vpc_only: bool = True) -> dict[str, str]:
    """Return what the preflight check finds of an account, with a VpcOnly domain or without: network and data."""
    subnets, groups = (["subnet-1", "subnet-2"], ["sg-1"]) if vpc_only else (["none"], ["none"])
    ec2 = f"arn:aws:ec2:{region}:{account}"
    return {
        "JobSubnetIds": ",".join(subnets),
        "JobSecurityGroupIds": ",".join(groups),
        "JobSubnetArns": ",".join(f"{ec2}:subnet/{id_}" for id_ in subnets),
        "JobSecurityGroupArns": ",".join(f"{ec2}:security-group/{id_}" for id_ in groups),
        "JobsOutsideVpc": "_" if vpc_only else "pipelines-*",
        "CatalogId": LAKE,
        "TargetDatabase": "credit_risk",
    }


ANSWERS = all_answers()
ORDINARY: Mapping[str, dict[str, str]] = {product: dict(found.ordinary) for product, found in ANSWERS.items()}
LONGEST: Mapping[str, dict[str, str]] = {product: dict(found.longest) for product, found in ANSWERS.items()}
DOMAIN, TRAIN = ORDINARY["sagemaker-domain"], ORDINARY["train-s3"]
DEPLOY = {question: answer for question, answer in ORDINARY["deploy-realtime"].items() if question != "ShadowHours"}
BATCH = ORDINARY["deploy-batch"]
CONNECTION = TRAIN["ConnectionArn"]
GROUP, TEST_ACCOUNT, PROD_ACCOUNT = (DEPLOY[q] for q in ("ModelPackageGroup", "TestAccountId", "ProdAccountId"))
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
