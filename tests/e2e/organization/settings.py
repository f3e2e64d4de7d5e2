"""What the owner of a test organisation says about it, and how the suite gets its clients."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

AwsClient = Any
"""A boto3 client: its operations are made from service models at run time."""

PEOPLE: Final[Mapping[str, str]] = {
    "hub": "administrator of the hub",
    "dev": "administrator of the workload account",
    "test": "administrator of the test account",
    "prod": "administrator of the production account",
    "lead": "lead data scientist, in the workload account",
    "data_scientist": "a role of the workload account that `principals` of sagemaker-projects in cdk.json names",
    "ml_engineer": "ML engineer, in the hub",
    "governance_officer": "governance officer, in the hub",
}
"""Whose credentials the suite needs, each a profile of the AWS configuration."""


class SettingsError(Exception):
    """The settings cannot be used; the message names every problem."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A test organisation.

    Attributes:
        region: Home region of the hub.
        profiles: AWS profile of each of `PEOPLE`.
        repository: Empty repository ``owner/name`` for the training project.
        deployment_repository: Empty repository ``owner/name`` for the deployment project.
        data: A CSV file to train on, below 100 MB.
        label: Its column to predict.
        approver_email: Who is asked about production.
        cost_center: Value of the tag ``CostCenter``. Default: ``e2e``.
        model: Package group of the workload account with a registered model, so that nothing is trained. Default: none.
        deployment: Name of a deployment project whose pipeline is looked at in place of a new one. Default: none.
    """

    region: str
    profiles: Mapping[str, str]
    repository: str
    deployment_repository: str
    data: Path
    label: str
    approver_email: str
    cost_center: str = "e2e"
    model: str = ""
    deployment: str = ""

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read a TOML file like organization.toml.example.

        Raises:
            SettingsError: The file cannot be used.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as err:
            raise SettingsError(
                f"{path} cannot be read ({err}), so nothing was started. Copy tests/e2e/organization.toml.example."
            ) from err
        required = {entry.name for entry in fields(cls) if entry.name not in {"cost_center", "model", "deployment"}}
        known = {entry.name for entry in fields(cls)}
        problems = [f"{name} is missing" for name in sorted(required - values.keys())]
        problems += [f"{name} is not a setting" for name in sorted(values.keys() - known)]
        profiles = values.get("profiles", {})
        problems += [f"profiles.{who} is missing ({PEOPLE[who]})" for who in PEOPLE if who not in profiles]
        data = path.parent / values.get("data", "")
        if "data" in values and not data.is_file():
            problems.append(f"data: there is no file {data}")
        if problems:
            raise SettingsError(f"{path}: {'; '.join(problems)}. Nothing was started.")
        return cls(**{**values, "data": data})


@dataclass
class Organization:
    """The organisation and who acts in it.

    Attributes:
        settings: What its owner says about it.
        client: Returns a client for a service as one of `PEOPLE`.
        poll_s: Pause between two looks, in seconds.
        is_aws: Whether it is real: what no emulator can tell is asked only then.
    """

    settings: Settings
    client: Callable[[str, str], AwsClient]
    poll_s: float = 15.0
    is_aws: bool = True
    _accounts: dict[str, str] = field(default_factory=dict)

    def account(self, who: str) -> str:
        """Return the account id of one of `PEOPLE`, 12 digits."""
        if who not in self._accounts:
            self._accounts[who] = str(self.client("sts", who).get_caller_identity()["Account"])
        return self._accounts[who]


def of_aws(settings: Settings) -> Organization:
    """Return the real organisation, asked with the profiles of the settings."""
    import boto3  # noqa: PLC0415 - the plan is printed without it

    sessions = {
        who: boto3.session.Session(profile_name=profile, region_name=settings.region)
        for who, profile in settings.profiles.items()
    }
    return Organization(settings, lambda service, who: sessions[who].client(service))
