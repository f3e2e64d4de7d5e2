"""What differs between hubs: the ``hub`` key of the context in cdk.json, read once in app.py."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from portfolios.catalog import PORTFOLIOS
from products.shared import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
def _partitions() -> dict[str, str]:
    """Return the partition of each region that botocore knows; its data file, as importing it takes half a second."""
    spec = importlib.util.find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("botocore is not installed, so regions cannot be checked: run `make environments`.")
    path = Path(spec.submodule_search_locations[0]) / "data/partitions.json"
    partitions = json.loads(path.read_text(encoding="utf-8"))["partitions"]
    return {region: partition["id"] for partition in partitions for region in partition["regions"]}


def _known_region(region: str) -> str:
    if region not in _partitions():
        raise ValueError("there is no such region")
    return region


def _narrow_pattern(pattern: str) -> str:
    """Refuse patterns that match roles nobody thought of, e.g. ``*sagemaker*``."""
    if pattern.startswith(("arn:", "/", "role/")):
        raise ValueError("must be the role's path and name only, without arn:, role/ or a slash in front")
    if len(re.split(r"[*?]", pattern, maxsplit=1)[0]) < 8:
        raise ValueError("must begin with at least 8 characters that are not wildcards, or it matches foreign roles")
    return pattern


def _branch_name(branch: str) -> str:
    """Refuse what git takes for no branch (git-check-ref-format), and full names of refs, which no source action finds.

    https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodestarConnectionSource.html
    """
    if branch.startswith("refs/"):
        raise ValueError("must be the name of the branch alone, without refs/heads/ in front")
    if re.search(r"^[-/.]|[/.]$|\.\.|//|/\.|@\{|\.lock(/|$)|[\x00-\x20~^:?*\[\\\x7f]", branch):
        raise ValueError("git has no branches with such names")
    return branch


def _repository_name(repository: str) -> str:
    if repository.endswith(".git"):
        raise ValueError("must be owner/name as the provider shows it, without .git")
    return repository


def _free_for_tags(text: str) -> str:
    """Refuse what AWS keeps for itself, in keys and in values: the rules for tagging of the IAM user guide."""
    if text.lower().startswith("aws:"):
        raise ValueError("AWS keeps what begins with aws: for itself")
    return text


AccountId = Annotated[str, Field(pattern=r"^\d{12}$")]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$"), AfterValidator(_known_region)]
RolePattern = Annotated[str, Field(pattern=r"^[\w+=,.@/*?-]+$"), AfterValidator(_narrow_pattern)]
Email = Annotated[str, Field(pattern=_EMAIL)]
TagKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_ .:/=+@-]+$", max_length=128), AfterValidator(_free_for_tags)]
TagValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9_ .:/=+@-]+$", max_length=256), AfterValidator(_free_for_tags)]


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
    repository: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)+$"), AfterValidator(_repository_name)]
    branch: Annotated[str, Field(min_length=1), AfterValidator(_branch_name)] = "main"


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
            settings, lines = cls.model_validate(value), []
        except ValidationError as err:
            settings, lines = None, _wrong_values(err)
        wrong = {line.removeprefix("  hub.").split(":")[0] for line in lines}
        lines += _contradictions(
            {
                key: entry
                for key, entry in _leaves({**_DEFAULTS, **value}).items()
                if not any(name == key or name.startswith(f"{key}.") for name in wrong)
            }
        )
        if settings is None or lines:
            raise SettingsError(
                f'cdk.json: the context key "hub" has {len(lines)} wrong setting(s), so nothing was synthesised. '
                "Correct:\n" + "\n".join(lines)
            )
        return settings

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


def _wrong_values(err: ValidationError) -> list[str]:
    """Return a line for each wrong key: where, what was found, what is wrong, what would be right."""
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
    return lines


def _words(kind: str, message: str) -> str:
    """Return what is wrong in words for a person rather than for a programmer."""
    return {
        "missing": "it is required",
        "extra_forbidden": "there is no such setting",
        "string_pattern_mismatch": "it has the wrong form",
    }.get(kind, message.removeprefix("Value error, "))


# ---- settings that are right one by one, but not together ------------------------------------------------------------

_DEFAULTS: Final[dict[str, Any]] = {"deployment_account_ids": [], "connection_arn": None, "principals": {}, "tags": {}}


@dataclass(frozen=True)
class _Relation:
    """What has to hold between settings.

    Attributes:
        keys: Whose settings.
        broken: Gets their values and returns what is wrong and what to do, or None.
    """

    keys: tuple[str, ...]
    broken: Callable[..., str | None]


def _contradictions(settings: Mapping[str, Any]) -> list[str]:
    """Return a line with keys and values for each relation that does not hold.

    Args:
        settings: The settings by dotted key, without those that are wrong themselves.
    """
    lines = []
    for relation in _RELATIONS:
        if set(relation.keys) <= settings.keys():
            values = [settings[key] for key in relation.keys]
            found = ", ".join(
                f"hub.{key} is {json.dumps(value)}" for key, value in zip(relation.keys, values, strict=True)
            )
            if problem := relation.broken(*values):
                lines.append(f"  {found}: {problem}")
    return lines


def _twice(entries: Iterable[str]) -> str | None:
    seen = [entry.lower() for entry in entries]
    twice = next((entry for entry in entries if seen.count(entry.lower()) > 1), None)
    return f"names {twice!r} twice; remove one of them" if twice else None


def _begins(path: str, organization: str, root: str) -> str | None:
    wanted = f"{organization}/{root}/"
    return None if path.startswith(wanted) else f"the path must begin with organization_id and root_id: {wanted}"


def _ends(path: str, unit: str) -> str | None:
    return None if path.endswith(f"/{unit}/") else f"the path must end with workloads_ou_id: /{unit}/"


def _of_root(unit: str, root: str) -> str | None:
    # Organizations API reference, OrganizationalUnit$Id: ou-, the root's own characters, a hyphen, the unit's own.
    belongs = unit.startswith(f"ou-{root.removeprefix('r-')}-")
    return None if belongs else "the unit belongs to another root; enter ids of one organisation"


def _units_of_root(path: str, root: str) -> str | None:
    others = [unit for unit in path.split("/")[2:-2] if _of_root(unit, root)]
    return f"{others[0]} belongs to another root; enter the path of one organisation" if others else None


def _apart(workloads: str, deployment: str) -> str | None:
    if workloads != deployment:
        return None
    return "accounts of one unit would get both baselines; data scientists and production need a unit each"


def _not_below(path: str, deployment: str) -> str | None:
    if deployment not in path.split("/")[2:-2]:
        return None
    return "the workloads would be below the deployment unit and get both baselines; choose units beside each other"


def _hub_deploys_elsewhere(hub: str, accounts: list[str]) -> str | None:
    if hub not in accounts:
        return None
    return "the hub is no test or production account; remove it from deployment_account_ids"


def _one_partition(regions: list[str]) -> str | None:
    partitions = sorted({_partitions()[region] for region in regions})
    if len(partitions) == 1:
        return None
    return f"an account has regions of one partition only, and these are of {' and '.join(partitions)}"


def _connection_is_here(arn: str | None, account: str, regions: list[str]) -> str | None:
    if arn is None:
        return None
    _, partition, _, region, owner, _ = arn.split(":", 5)
    wrong = [
        f"{what} {found}, but the pipeline is in {wanted}"
        for what, found, wanted in (
            ("partition", partition, _partitions()[regions[0]]),
            ("region", region, regions[0]),
            ("account", owner, account),
        )
        if found != wanted
    ]
    return f"the connection is in {'; '.join(wrong)}. Enter one of the hub's home region, or null" if wrong else None


def _owner_and_name(provider: str, repository: str) -> str | None:
    if provider == "GitLab" or repository.count("/") == 1:
        return None
    return f"{provider} has no groups below an owner: enter owner/name, without the host"


def _tags_of_others(tags: dict[str, str]) -> str | None:
    ours = [key for key in tags if key in _OWN_TAGS or key.lower().startswith("sagemaker:")]
    return f"permissions depend on {ours[0]!r}, which the platform sets itself; choose another key" if ours else None


_OWN_TAGS: Final = frozenset(
    {
        names.ACTS_AS_TAG,
        names.COMPONENT_TAG,
        names.DEPLOYMENT_TAG,
        names.GROUP_TAG,
        names.PORTFOLIO_TAG,
        names.SHARED_WITH_TAG,
    }
)
_RELATIONS: Final = (
    _Relation(("regions",), _twice),
    _Relation(("regions",), _one_partition),
    _Relation(("account_id", "deployment_account_ids"), _hub_deploys_elsewhere),
    _Relation(("deployment_account_ids",), _twice),
    _Relation(("workloads_ou_id", "root_id"), _of_root),
    _Relation(("deployment_ou_id", "root_id"), _of_root),
    _Relation(("workloads_ou_id", "deployment_ou_id"), _apart),
    _Relation(("workloads_ou_path", "organization_id", "root_id"), _begins),
    _Relation(("workloads_ou_path", "root_id"), _units_of_root),
    _Relation(("workloads_ou_path", "workloads_ou_id"), _ends),
    _Relation(("workloads_ou_path", "deployment_ou_id"), _not_below),
    _Relation(("source.provider", "source.repository"), _owner_and_name),
    _Relation(("connection_arn", "account_id", "regions"), _connection_is_here),
    _Relation(("notification_emails",), _twice),
    _Relation(("tags",), _twice),  # to IAM, keys that differ in case are one
    _Relation(("tags",), _tags_of_others),
)
