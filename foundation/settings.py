"""What differs between hubs: the ``hub`` key of the context in cdk.json, read once in app.py."""

from __future__ import annotations

import importlib.util
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from portfolios.catalog import PORTFOLIOS

if TYPE_CHECKING:
    from aws_cdk import App

SAMPLE: Final[dict[str, Any]] = {
    "account_id": "111122223333",
    "regions": ["eu-west-1"],
    "organization_id": "o-exampleorgid",
    "root_id": "r-exmp",
    "workloads_ou_id": "ou-exmp-workloads1",
    "workloads_ou_path": "o-exampleorgid/r-exmp/ou-exmp-workloads1/",
    "deployment_ou_id": "ou-exmp-deployment1",
    "deployment_account_ids": ["444455556666", "777788889999"],
    "source": {"provider": "GitHub", "repository": "example-owner/ml-platform-catalog", "branch": "main"},
    "connection_arn": None,
    "principals": {},
    "notification_emails": ["ml-platform@example.com"],
    "support": {"email": "ml-platform@example.com", "url": "https://example.com/ml-platform/support"},
    "tags": {"ml-platform:owner": "ml-platform-team"},
}
"""The settings committed in cdk.json. They synthesise and describe an organisation that does not exist."""

_MAY_STAY: Final = frozenset({"regions", "source.provider", "source.branch", "connection_arn", "principals", "tags"})
"""Keys of the sample whose value may be right for a real hub; every other one has to be replaced."""

_EXAMPLES: Final[dict[str, object]] = {
    "connection_arn": "arn:aws:codeconnections:eu-west-1:111122223333:connection/aEXAMPLE-8aad-4d5d-8878-dfcab0bc441f",
    "principals": {"ml-admin": ["aws-reserved/sso.amazonaws.com/*AWSReservedSSO_MLLead_*"]},
}
"""Examples of right values where the sample has none to show."""

_PATTERNS_MAX: Final = 10  # IAM_PATTERN principals per portfolio: AssociatePrincipalWithPortfolio's documentation
_OU_ID: Final = r"^ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}$"  # Organizations API reference, OrganizationalUnit$Id
_EMAIL: Final = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"


class SettingsError(Exception):
    """The settings cannot be used; the message names every key that is wrong."""


@cache
def _regions() -> frozenset[str]:
    """Return the regions that botocore knows, from its data file: importing botocore takes half a second."""
    spec = importlib.util.find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("botocore is not installed, so regions cannot be checked: run `make environments`.")
    path = Path(spec.submodule_search_locations[0]) / "data/partitions.json"
    partitions = json.loads(path.read_text(encoding="utf-8"))["partitions"]
    return frozenset(region for partition in partitions for region in partition["regions"])


def _known_region(region: str) -> str:
    if region not in _regions():
        raise ValueError("there is no such region")
    return region


def _narrow_pattern(pattern: str) -> str:
    """Refuse patterns that match roles nobody thought of, e.g. ``*sagemaker*``."""
    if pattern.startswith(("arn:", "/", "role/")):
        raise ValueError("must be the role's path and name only, without arn:, role/ or a slash in front")
    if len(re.split(r"[*?]", pattern, maxsplit=1)[0]) < 8:
        raise ValueError("must begin with at least 8 characters that are not wildcards, or it matches foreign roles")
    return pattern


AccountId = Annotated[str, Field(pattern=r"^\d{12}$")]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$"), AfterValidator(_known_region)]
RolePattern = Annotated[str, Field(pattern=r"^[\w+=,.@/*?-]+$"), AfterValidator(_narrow_pattern)]
Email = Annotated[str, Field(pattern=_EMAIL)]
TagKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_ .:/=+@-]+$", max_length=128)]
TagValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9_ .:/=+@-]+$", max_length=256)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Settings):
    """The repository whose pushes run the pipeline.

    Attributes:
        provider: Type of the connection when the pipeline creates one (AWS::CodeConnections::Connection).
        repository: ``owner/name``; groups may nest on GitLab.
        branch: Branch that is published.
    """

    provider: Literal["GitHub", "GitLab", "Bitbucket"]
    repository: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)+$")]
    branch: Annotated[str, Field(pattern=r"^[^\s~^:?*\[\\]+$")] = "main"


class Support(_Settings):
    """Whom a person asks; shown with every product in Service Catalog."""

    email: Annotated[str, Field(pattern=_EMAIL, max_length=254)]
    url: Annotated[str, Field(pattern=r"^https://\S+$", max_length=2083)]


class HubSettings(_Settings):
    """What differs between hubs.

    Attributes:
        account_id: The hub (ML shared services account), 12 digits.
        regions: Regions in which the catalog is published; the first one is home, where the pipeline lives.
        organization_id: Id of the organisation.
        root_id: Id of the organisation's root.
        workloads_ou_id: The unit of the accounts in which products are launched.
        workloads_ou_path: The same unit as ``aws:PrincipalOrgPaths`` shows it: organisation, root and every unit down
            to it, with a slash at the end. Units below it are included.
        deployment_ou_id: The unit of the test and production accounts.
        deployment_account_ids: Those of its accounts that may read the central model registry, whose policies name
            accounts and no units. Default: none.
        source: The repository of this catalog.
        connection_arn: CodeConnections connection to `source` that exists. None: the pipeline creates one.
        principals: For each portfolio id, patterns of role names (with path, without account) that may launch from it
            in addition to the roles of its personas. Default: the personas only.
        notification_emails: Who hears of a failed pipeline.
        support: Whom users ask.
        tags: Tags on every resource of the hub that can carry them. Default: none.
    """

    account_id: AccountId
    regions: Annotated[tuple[Region, ...], Field(min_length=1)]
    organization_id: Annotated[str, Field(pattern=r"^o-[a-z0-9]{10,32}$")]
    root_id: Annotated[str, Field(pattern=r"^r-[0-9a-z]{4,32}$")]
    workloads_ou_id: Annotated[str, Field(pattern=_OU_ID)]
    workloads_ou_path: Annotated[str, Field(pattern=r"^o-[a-z0-9]{10,32}/r-[0-9a-z]{4,32}/(ou-[0-9a-z-]+/)+$")]
    deployment_ou_id: Annotated[str, Field(pattern=_OU_ID)]
    deployment_account_ids: tuple[AccountId, ...] = ()
    source: Source
    connection_arn: (
        Annotated[
            str, Field(pattern=r"^arn:[\w-]+:(codeconnections|codestar-connections):[\w-]+:\d{12}:connection/[\w-]+$")
        ]
        | None
    ) = None
    principals: dict[str, tuple[RolePattern, ...]] = {}
    notification_emails: Annotated[tuple[Email, ...], Field(min_length=1)]
    support: Support
    tags: dict[TagKey, TagValue] = {}

    @property
    def home_region(self) -> str:
        """The region of the pipeline."""
        return self.regions[0]

    @property
    def partition(self) -> str:
        """The partition of the home region: ``aws``, ``aws-cn`` or ``aws-us-gov``."""
        return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(self.home_region.rsplit("-", 2)[0], "aws")

    @property
    def deployment_ou_paths(self) -> tuple[str, str]:
        """Patterns of ``aws:PrincipalOrgPaths`` of the accounts below the deployment OU, wherever it is in the tree.

        An OU's id is unique in its organisation, so a path that has it as one of its parts leads through that OU.
        """
        above = f"{self.organization_id}/{self.root_id}/"
        return f"{above}{self.deployment_ou_id}/*", f"{above}*/{self.deployment_ou_id}/*"

    @field_validator("regions")
    @classmethod
    def _each_region_once(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(regions)) < len(regions):
            raise ValueError("names a region twice")
        return regions

    @field_validator("workloads_ou_path")
    @classmethod
    def _path_leads_to_the_unit(cls, path: str, info: ValidationInfo) -> str:
        # The keys it must agree with are declared before it; `data` lacks those that are wrong themselves.
        organization, root = info.data.get("organization_id"), info.data.get("root_id")
        unit = info.data.get("workloads_ou_id")
        if organization and root and not path.startswith(f"{organization}/{root}/"):
            raise ValueError(f"must begin with organization_id and root_id: {organization}/{root}/")
        if unit and not path.endswith(f"/{unit}/"):
            raise ValueError(f"must end with workloads_ou_id: /{unit}/")
        return path

    @field_validator("principals")
    @classmethod
    def _portfolios_exist(cls, principals: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        personas = {portfolio.id: len(portfolio.personas) for portfolio in PORTFOLIOS}
        unknown = sorted(set(principals) - set(personas))
        if unknown:
            raise ValueError(f"names unknown portfolios {', '.join(unknown)}; there are {', '.join(personas)}")
        for portfolio_id, patterns in principals.items():
            if len(patterns) + personas[portfolio_id] > _PATTERNS_MAX:
                raise ValueError(
                    f"gives {portfolio_id} {len(patterns)} patterns; with its personas Service Catalog "
                    f"allows {_PATTERNS_MAX} a portfolio"
                )
        return principals

    @classmethod
    def from_app(cls, app: App) -> Self:
        """Return the settings of an app: context key ``hub``, an object, or its JSON text as given with ``-c hub=…``.

        Raises:
            SettingsError: They are not usable.
        """
        return cls.parse(app.node.try_get_context("hub"))

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return the settings that a JSON object or its text describes.

        Raises:
            SettingsError: They are not usable; the message names every wrong key with the value found and an example.
        """
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as err:
                raise SettingsError(
                    f"context key \"hub\" is not JSON: {err}. Give an object, e.g. -c hub='{json.dumps(SAMPLE)}'"
                ) from err
        if not isinstance(value, dict):
            raise SettingsError(
                f'cdk.json has no object under the context key "hub" (found {value!r}): nothing says which account and '
                f"organisation to deploy to. Example: {json.dumps(SAMPLE)}"
            )
        try:
            return cls.model_validate(value)
        except ValidationError as err:
            raise SettingsError(_explain(err)) from None

    def sample_values(self) -> list[str]:
        """Return a line for each setting that still has the committed sample's value, e.g. ``account_id: '1111…'``."""
        mine, sample = _leaves(self.model_dump(mode="json")), _leaves(SAMPLE)
        return [
            f"{key}: {json.dumps(value)}"
            for key, value in sample.items()
            if key not in _MAY_STAY and mine.get(key) == value
        ]


def _leaves(value: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """Return the settings by dotted key; lists, and objects whose keys are free, count as one value."""
    leaves: dict[str, object] = {}
    for key, entry in value.items():
        name = f"{prefix}{key}"
        if isinstance(entry, dict) and name in ("source", "support"):
            leaves |= _leaves(entry, f"{name}.")
        else:
            leaves[name] = entry
    return leaves


def _explain(err: ValidationError) -> str:
    """Return one message with a line for each wrong key: where, what was found, what is wrong, what would be right."""
    examples = _leaves(SAMPLE) | _EXAMPLES
    problems = err.errors()
    lines = []
    for problem in problems:
        place = problem["loc"]
        if any(p["loc"][: len(place)] == place and len(p["loc"]) > len(place) for p in problems):
            continue  # a list is called too short because its entries are wrong: the lines about those say it better
        where = [str(part) for part in place]
        example = next((examples[k] for n in (len(where), 2, 1) if (k := ".".join(where[:n])) in examples), None)
        found = "missing" if problem["type"] == "missing" else f"found {json.dumps(problem['input'], default=str)}"
        advice = "remove it" if problem["type"] == "extra_forbidden" else f"example: {json.dumps(example)}"
        lines.append(f"  hub.{'.'.join(where)}: {found}; {_words(problem['type'], problem['msg'])}; {advice}")
    return (
        f'cdk.json: the context key "hub" has {len(lines)} wrong setting(s), so nothing was synthesised. Correct:\n'
        + "\n".join(lines)
    )


def _words(kind: str, message: str) -> str:
    """Return what is wrong in words for a person rather than for a programmer."""
    return {
        "missing": "it is required",
        "extra_forbidden": "there is no such setting",
        "string_pattern_mismatch": "it has the wrong form",
    }.get(kind, message.removeprefix("Value error, "))
