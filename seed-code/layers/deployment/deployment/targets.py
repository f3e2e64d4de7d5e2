"""The account and region of a stage, and the session with which this build works there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import CredentialProvider, RefreshableCredentials
from botocore.exceptions import ClientError

from deployment.errors import DeploymentError
from deployment.settings import Build

DEPLOY_ROLE = "ml-platform-deploy"
TAG = "ml-platform-deployment"
GROUP_TAG = "ml-platform-group"  # says whose models the session may read
# A role that another role assumes gives sessions of at most an hour, whatever the role allows (IAM user guide, "Roles
# terms and concepts", role chaining). botocore asks for a new one in good time.
_SESSION_S = 3600
CONFIG = Config(retries={"mode": "standard", "max_attempts": 8})


@dataclass(frozen=True)
class Target:
    """Where a stage lives.

    Attributes:
        stage: ``test`` or ``prod``.
        account: Its account.
        region: Its region.
        session: Session there; may be used for as long as the build runs.
    """

    stage: str
    account: str
    region: str
    session: Any

    def client(self, service: str) -> Any:
        """Return a client of a service in the stage's account and region."""
        return self.session.client(service, region_name=self.region, config=CONFIG)


def assume(build: Build, stage: str, *, hub: Any) -> Target:
    """Return a stage's target; asks for the role at once, so that a missing one is noticed first.

    Args:
        build: What the build knows.
        stage: The stage.
        hub: Session of the build's own role.

    Raises:
        DeploymentError: The role cannot be assumed.
    """
    place = build.places[stage]
    sts = hub.client("sts", region_name=build.hub_region, config=CONFIG)

    def credentials() -> dict[str, str]:
        answer = sts.assume_role(
            RoleArn=f"arn:{build.partition}:iam::{place.account}:role/{DEPLOY_ROLE}",
            RoleSessionName=f"{build.tag(stage)}-{build.execution_id}"[:64],
            DurationSeconds=_SESSION_S,
            Tags=[
                {"Key": TAG, "Value": build.tag(stage)},
                {"Key": GROUP_TAG, "Value": build.model_package_group},
            ],
        )["Credentials"]
        return {
            "access_key": answer["AccessKeyId"],
            "secret_key": answer["SecretAccessKey"],
            "token": answer["SessionToken"],
            "expiry_time": answer["Expiration"].isoformat(),
        }

    try:
        first = credentials()
    except ClientError as err:
        raise DeploymentError(
            f"Stage {stage}: role {DEPLOY_ROLE} of account {place.account} cannot be assumed, so nothing there is "
            f"changed: {err}. Either the account is not a deployment account of the platform (ask your platform "
            f"team), or this build works for another stage than {stage}."
        ) from err
    core = botocore.session.Session()
    provider = _Provider(first, credentials)
    core.get_component("credential_provider").providers.insert(0, provider)
    return Target(stage, place.account, place.region, boto3.Session(botocore_session=core, region_name=place.region))


class _Provider(CredentialProvider):
    """Credentials of an assumed role that are asked for again before they expire."""

    METHOD = "deploy-role"

    def __init__(self, first: dict[str, str], refresh: Callable[[], dict[str, str]]) -> None:
        super().__init__()
        self._first = first
        self._refresh = refresh

    def load(self) -> RefreshableCredentials:
        return RefreshableCredentials.create_from_metadata(
            metadata=self._first, refresh_using=self._refresh, method=self.METHOD
        )
