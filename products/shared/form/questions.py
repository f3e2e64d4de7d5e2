"""Questions that the forms of several products ask in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from products.shared import names
from products.shared.form import patterns
from products.shared.form.parameters import Question

if TYPE_CHECKING:
    from products.shared.form.parameters import Form

PROJECT_GROUP: Final = "Project"
SOURCE_GROUP: Final = "Source code"
COSTS_GROUP: Final = "Costs"

# The seed-code check-in accepts the same names.
REPOSITORY_PATTERN: Final = r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_.][A-Za-z0-9._-]*){1,5}(?<!\.git)$"
BRANCH_PATTERN: Final = (
    rf"^(?!{names.SEED_BRANCHES})(?!.*\.\.)(?!.*\.(lock)?(/|$))"
    r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$"
)
SUFFIX_PATTERN: Final = r"^[A-Za-z0-9_.=-]{0,64}$"

SCHEDULE: Final = "schedule"
NEW_DATA: Final = "new-data"
"""What starts a training, or a prediction, by itself."""

PROJECT: Final = (
    Question(
        id="SageMakerProjectName",
        group=PROJECT_GROUP,
        label="Project name",
        description="Name of the SageMaker project; Studio fills it in. E.g. churn.",
        pattern=names.PROJECT_NAME_PATTERN,
        longest=names.PROJECT_NAME_MAX,
        problem=f"1 to {names.PROJECT_NAME_MAX} lower-case letters, digits and inner hyphens, e.g. churn-2 "
        "(SageMaker writes names in lower case into ARNs, so upper case would break permissions)",
    ),
    Question(
        id="SageMakerProjectId",
        group=PROJECT_GROUP,
        label="Project id",
        description="Id of the SageMaker project; Studio fills it in. E.g. p-abc123def456.",
        pattern=names.PROJECT_ID_PATTERN,
        longest=names.PROJECT_ID_MAX,
        problem=f"p- and 1 to {names.PROJECT_ID_MAX - 2} lower-case letters or digits, e.g. p-abc123def456",
    ),
)
"""Name and id of the project, which SageMaker fills in."""

COST_CENTER: Final = Question(
    id="CostCenter",
    group=COSTS_GROUP,
    label="Cost center",
    description="Tag CostCenter of everything that the project makes, e.g. ml-1000.",
    pattern=patterns.TAG_VALUE,
    problem="1 to 64 letters, digits, spaces or _.:/=+@- beginning with a letter or digit, and not with aws:, e.g. "
    "ml-1000",
)


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

    @classmethod
    def answered(cls, form: Form) -> Repository:
        """Return the answers to `repository`."""
        return cls(name=form["Repository"], branch=form["Branch"], connection_arn=form["ConnectionArn"])


def repository(*, example: str, commits: str, connection: str) -> tuple[Question, ...]:
    """Return the questions for repository, branch and connection.

    Args:
        example: A repository as an example, e.g. ``acme-ml/churn``.
        commits: What commits on the branch do, e.g. ``train``.
        connection: A sentence about where the default of the connection comes from.
    """
    return (
        Question(
            id="Repository",
            group=SOURCE_GROUP,
            label="Empty repository",
            description="Repository that receives the seed code, as owner/name. Create it empty, without a README. "
            f"E.g. {example}.",
            pattern=REPOSITORY_PATTERN,
            longest=200,
            problem=f"owner/name as in the address of the repository, without .git, e.g. {example}",
        ),
        Question(
            id="Branch",
            group=SOURCE_GROUP,
            label="Branch",
            description=f"Branch that is created, and whose commits {commits}. E.g. main.",
            default="main",
            pattern=BRANCH_PATTERN,
            longest=100,
            problem="A branch name of letters, digits and _.- with inner slashes, e.g. main; names that begin with "
            f"{names.SEED_BRANCHES} are kept for new seed code",
        ),
        Question(
            id="ConnectionArn",
            group=SOURCE_GROUP,
            label="Connection (SSM parameter)",
            description="Name of the SSM parameter with the ARN of the CodeConnection that reaches the repository. "
            f"{connection}",
            default=names.contract_parameter("connection-arn"),
            type="AWS::SSM::Parameter::Value<String>",
        ),
    )
