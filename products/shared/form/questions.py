"""Questions that the forms of several products ask in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from products.shared import names
from products.shared.form.parameters import TAG_VALUE_PATTERN

if TYPE_CHECKING:
    from products.shared.form.parameters import Form

PROJECT: Final = "Project"
SOURCE: Final = "Source code"
COSTS: Final = "Costs"

# The seed-code check-in accepts the same names.
REPOSITORY_PATTERN: Final = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_.][A-Za-z0-9._-]*){1,5}(?<!\.git)$"
BRANCH_PATTERN: Final = (
    r"^(?!ml-platform/)(?!.*\.\.)(?!.*\.(lock)?(/|$))[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$"
)
SCHEDULE_PATTERN: Final = r"^rate\((1 (hour|day)|([2-9]|[1-9][0-9]+) (hours|days))\)$|^cron\([^ )]+( [^ )]+){5}\)$"


@dataclass(frozen=True, kw_only=True)
class Repository:
    """The repository of a project, as the form was answered.

    Attributes:
        name: ``owner/name``.
        branch: Branch whose commits start the project's pipeline.
        connection_arn: CodeConnection that reaches the repository.
    """

    name: str
    branch: str
    connection_arn: str


def ask_for_project(form: Form) -> None:
    """Ask for ``SageMakerProjectName`` and ``SageMakerProjectId``, which SageMaker fills in."""
    form.ask(
        "SageMakerProjectName",
        group=PROJECT,
        label="Project name",
        description="Name of the SageMaker project; Studio fills it in. E.g. churn.",
        pattern=names.PROJECT_NAME_PATTERN,
        longest=names.PROJECT_NAME_MAX,
        problem=f"1 to {names.PROJECT_NAME_MAX} lower-case letters, digits and inner hyphens, e.g. churn-2 "
        "(SageMaker writes names in lower case into ARNs, so upper case would break permissions)",
    )
    form.ask(
        "SageMakerProjectId",
        group=PROJECT,
        label="Project id",
        description="Id of the SageMaker project; Studio fills it in. E.g. p-abc123def456.",
        pattern=names.PROJECT_ID_PATTERN,
        longest=names.PROJECT_ID_MAX,
        problem=f"p- and 1 to {names.PROJECT_ID_MAX - 2} lower-case letters or digits, e.g. p-abc123def456",
    )


def ask_for_repository(form: Form, *, example: str, commits: str, connection: str) -> Repository:
    """Ask for ``Repository``, ``Branch`` and ``ConnectionArn``.

    Args:
        form: The form.
        example: A repository as an example, e.g. ``acme-ml/churn``.
        commits: What commits on the branch do, e.g. ``train``.
        connection: A sentence about where the default of the connection comes from.
    """
    repository = form.ask(
        "Repository",
        group=SOURCE,
        label="Empty repository",
        description="Repository that receives the seed code, as owner/name. Create it empty, without a README. "
        f"E.g. {example}.",
        pattern=REPOSITORY_PATTERN,
        longest=200,
        problem=f"owner/name as in the address of the repository, without .git, e.g. {example}",
    )
    branch = form.ask(
        "Branch",
        group=SOURCE,
        label="Branch",
        description=f"Branch that is created, and whose commits {commits}. E.g. main.",
        default="main",
        pattern=BRANCH_PATTERN,
        longest=100,
        problem="A branch name of letters, digits and _.- with inner slashes, e.g. main; names that begin with "
        "ml-platform/ are kept for new seed code",
    )
    connection_arn = form.ask(
        "ConnectionArn",
        group=SOURCE,
        label="Connection (SSM parameter)",
        description="Name of the SSM parameter with the ARN of the CodeConnection that reaches the repository. "
        f"{connection}",
        default=names.contract_parameter("connection-arn"),
        type_="AWS::SSM::Parameter::Value<String>",
    )
    return Repository(
        name=repository.value_as_string,
        branch=branch.value_as_string,
        connection_arn=connection_arn.value_as_string,
    )


def ask_for_cost_center(form: Form) -> str:
    """Ask for ``CostCenter`` and return it."""
    return form.ask(
        "CostCenter",
        group=COSTS,
        label="Cost center",
        description="Tag CostCenter of everything that the project makes, e.g. ml-1000.",
        pattern=TAG_VALUE_PATTERN,
        problem="1 to 64 letters, digits, spaces or _.:/=+@- beginning with a letter or digit, e.g. ml-1000",
    ).value_as_string
