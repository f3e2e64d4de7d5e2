"""What the forms of all deployment products ask: which model, where to, who approves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aws_cdk as cdk

from products.shared import names
from products.shared.form import questions
from products.shared.form.parameters import Question

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from products.shared.form.parameters import Form

MODEL: Final = "Model"
PLACES: Final = "Where to"
APPROVAL: Final = "Approval"

# SageMaker's pattern for names of groups in lower case, because SageMaker writes names in lower case into ARNs.
GROUP_PATTERN: Final = r"^[a-z0-9](-*[a-z0-9]){0,62}$"
ACCOUNT_PATTERN: Final = r"^[0-9]{12}$"
REGION_PATTERN: Final = r"^$|^[a-z]{2}(-[a-z]+)+-[0-9]$"
EMAIL_PATTERN: Final = r"^[^@\s\"]+@[^@\s\"]+\.[^@\s\"]+$"
INSTANCE_PATTERN: Final = r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a stage is.

    Attributes:
        account_id: The form's parameter with the account.
        region: The Region; that of the project when the form was left blank.
    """

    account_id: str
    region: str


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What every deployment project knows from its form.

    Attributes:
        places: Test and prod, by stage.
        repository: The repository.
        approver_email: Who is asked before production, and notified of failures.
        cost_center: Value of the tag ``CostCenter``.
    """

    places: Mapping[str, Place]
    repository: questions.Repository
    approver_email: str
    cost_center: str

    @classmethod
    def read(cls, form: Form) -> Answers:
        """Return the answers to the questions that every deployment product asks (`questions_of`)."""
        return cls(
            places={stage: _place(form, stage.capitalize()) for stage in names.STAGES},
            repository=questions.Repository.answered(form),
            approver_email=form["ApproverEmail"],
            cost_center=form["CostCenter"],
        )


def questions_of(choices: Iterable[Question], *, example: str) -> tuple[Question, ...]:
    """Return the form of a deployment product.

    Args:
        choices: What the product asks beyond the model, the places, the repository, the approver and the costs.
        example: A repository as an example, e.g. ``acme-ml/churn-deployment``.
    """
    return (
        *questions.PROJECT,
        _GROUP,
        *_place_questions("Test", "a copy of the endpoint or job is tried with real records"),
        *_place_questions("Prod", "production runs; the account of the test is possible"),
        *questions.repository(
            example=example, commits="deploy", connection="The baseline of this account wrote the default."
        ),
        *choices,
        _APPROVER,
        questions.COST_CENTER,
    )


def variable(question: str) -> str:
    """Return the name under which the build gets an answer, e.g. ``MAX_LATENCY_MS`` for ``MaxLatencyMs``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", question).upper()


_GROUP: Final = Question(
    id="ModelPackageGroup",
    group=MODEL,
    label="Model package group",
    description="Group of the central registry (in this account) whose newest approved model is deployed. "
    "Promotion names it after the training project and its account, e.g. churn-p-abc123def456-<account id>.",
    pattern=GROUP_PATTERN,
    longest=63,
    problem="1 to 63 lower-case letters, digits and inner hyphens, as SageMaker lists the group, e.g. "
    "churn-p-abc123def456 and a hyphen and an account id",
)

_APPROVER: Final = Question(
    id="ApproverEmail",
    group=APPROVAL,
    label="E-mail of the approver",
    description="Address of the governance officer (or their group), who is asked before production and notified of "
    "failures. E.g. model-governance@example.com.",
    pattern=EMAIL_PATTERN,
    longest=254,
    problem="One e-mail address without spaces or quotes, e.g. model-governance@example.com",
)


def _place_questions(stage: str, what: str) -> tuple[Question, ...]:
    return (
        Question(
            id=f"{stage}AccountId",
            group=PLACES,
            label=f"{stage} account",
            description=f"Id of the account in which {what}. It belongs to the deployment OU. 12 digits, e.g. as the "
            "console shows them at the top right, without hyphens.",
            pattern=ACCOUNT_PATTERN,
            problem="The 12 digits of an account id without spaces or hyphens",
        ),
        Question(
            id=f"{stage}Region",
            group=PLACES,
            label=f"{stage} Region (optional)",
            description="Code of that Region, e.g. as shown beside the Region's name in the console's list. "
            "Blank: the Region of this project.",
            default="",
            pattern=REGION_PATTERN,
            longest=32,
            problem="Blank, or the code of a Region (not its name), as shown in the console's list of Regions",
        ),
    )


def _place(form: Form, stage: str) -> Place:
    region = f"{stage}Region"
    same = cdk.CfnCondition(form.stack, f"{stage}InRegionOfProject", expression=form.is_(region, ""))
    chosen = cdk.Fn.condition_if(same.logical_id, cdk.Aws.REGION, form[region]).to_string()
    return Place(account_id=form[f"{stage}AccountId"], region=chosen)
