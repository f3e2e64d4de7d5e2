"""What a stage of a deployment project is, and what the end of its teardown means for the person who deletes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lambdas.shared.custom_resource import Address, CustomResourceError, Failure, Success
from lambdas.shared.product_names import (
    BASE_STACK_SUFFIX,
    BUCKET_EMPTIER_FUNCTION,
    DEPLOY_ROLE,
    PRODUCT_PREFIX,
    PROJECT_ID,
    STAGES,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from lambdas.shared.builds import BuildOutcome
    from lambdas.shared.custom_resource import Request

_PROJECT_ID: Final = re.compile(PROJECT_ID)
_ACCOUNT_ID: Final = re.compile(r"\d{12}")
_REGION: Final = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_PHYSICAL_ID: Final = re.compile(
    rf"(?P<project_id>{_PROJECT_ID.pattern})-(?P<stage>{'|'.join(STAGES)})"
    rf"/(?P<account_id>{_ACCOUNT_ID.pattern})/(?P<region>{_REGION.pattern})"
)

_RETAIN: Final = (
    "If the account is gone for good, or what runs there is to stay, delete again and keep this resource: Service "
    "Catalog > Provisioned products > Terminate with the option to retain resources, or CloudFormation > Delete stack "
    "with this resource retained."
)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of one project, in one account and region.

    Attributes:
        project_id: Id of the SageMaker project, e.g. ``p-abc123``.
        stage: ``test`` or ``prod``.
        account_id: Account in which it is deployed, 12 digits.
        region: Region in which it is deployed.
    """

    project_id: str
    stage: str
    account_id: str
    region: str

    @property
    def tag(self) -> str:
        """Value of the tag that opens the deploy role for this stage only, e.g. ``p-abc123-prod``."""
        return f"{self.project_id}-{self.stage}"

    @property
    def physical_id(self) -> str:
        """``p-abc123-prod/<account>/<region>``, from which a deletion knows what to take down."""
        return f"{self.tag}/{self.account_id}/{self.region}"

    @property
    def place(self) -> str:
        """Account and region in words."""
        return f"account {self.account_id}, region {self.region}"

    @property
    def builds(self) -> str:
        """The hub's CodeBuild project that deploys this stage."""
        return f"{PRODUCT_PREFIX}{self.tag}"

    @property
    def stacks(self) -> tuple[str, ...]:
        """Names of the stage's stacks in its account, in the order in which they are taken down."""
        return f"{PRODUCT_PREFIX}{self.tag}", f"{PRODUCT_PREFIX}{self.tag}{BASE_STACK_SUFFIX}"


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A Delete whose answer waits for the teardown.

    Attributes:
        address: Where the answer goes.
        stage: What is taken down.
    """

    address: Address
    stage: Stage


def load_pending(fields: dict[str, Any]) -> Pending:
    """Return a request from the object that JSON made of it."""
    return Pending(address=Address(**fields["address"]), stage=Stage(**fields["stage"]))


def parse_stage(request: Request, regions: Collection[str]) -> Stage:
    """Read and check the properties of ``Custom::Deployment``.

    Args:
        request: The request of CloudFormation.
        regions: Regions of the hub, the only ones with a deployment baseline.

    Raises:
        CustomResourceError: Properties are missing or not usable; the text names each of them.
    """
    stage = Stage(
        project_id=request.text("ProjectId"),
        stage=request.text("Stage"),
        account_id=request.text("AccountId"),
        region=request.text("Region"),
    )
    problems = [
        f"{name} is {value!r}; it must be {expected}."
        for name, value, ok, expected in (
            (
                "ProjectId",
                stage.project_id,
                _PROJECT_ID.fullmatch(stage.project_id),
                "p- and up to 14 lower-case letters and digits, as SageMaker makes it",
            ),
            ("Stage", stage.stage, stage.stage in STAGES, " or ".join(STAGES)),
            ("AccountId", stage.account_id, _ACCOUNT_ID.fullmatch(stage.account_id), "12 digits"),
            (
                "Region",
                stage.region,
                stage.region in regions,
                (
                    f"a region of the hub ({', '.join(sorted(regions))}), because only these have the deployment "
                    "baseline; your platform team can add one"
                ),
            ),
        )
        if not ok
    ]
    if problems:
        raise CustomResourceError("Nothing can be deployed like this. " + " ".join(problems))
    return stage


def stage_of(physical_id: str) -> Stage:
    """Return the stage that a physical id names: the one that was checked when the resource was created.

    Raises:
        CustomResourceError: It names none.
    """
    match = _PHYSICAL_ID.fullmatch(physical_id)
    if match is None:
        raise CustomResourceError(
            f"{physical_id!r} is not the id of a stage (<project>-<stage>/<account>/<region>), so it is not known what "
            f"to take down, and nothing was. {_RETAIN}"
        )
    return Stage(**match.groupdict())


def require_same(stage: Stage, physical_id: str) -> None:
    """Refuse an update that names another stage or place: CloudFormation would take the live one down for it.

    Raises:
        CustomResourceError: It does; the text names each change.
    """
    former = stage_of(physical_id)
    changes = [
        f"{what} from {old} to {new}"
        for what, old, new in (
            ("the project id", former.project_id, stage.project_id),
            ("the stage", former.stage, stage.stage),
            (f"the account of {former.stage}", former.account_id, stage.account_id),
            (f"the Region of {former.stage}", former.region, stage.region),
        )
        if old != new
    ]
    if changes:
        raise CustomResourceError(
            f"An update cannot change {', '.join(changes)}: what is deployed would be deleted first, with its data. "
            f"Nothing was changed. Enter the former values again. To move, launch a new project for the new place, "
            f"and delete this one once the new one answers."
        )


def claimed(stage: Stage, regions: Collection[str], *, leaving: bool) -> str:
    """Return what to say when other regions of the hub have builds of the same stage.

    Args:
        stage: The stage.
        regions: Those regions.
        leaving: Whether the stage is being taken down.
    """
    cause = (
        f"Stage {stage.tag} belongs to a deployment project that was launched in region {', '.join(sorted(regions))} "
        f"of the hub: build {stage.builds} is there. An id belongs to one project in all regions."
    )
    if leaving:
        return (
            f"{cause} So it is not known whose stage this is, and nothing was taken down. Have your platform team find "
            f"out which of the two projects SageMaker made, and delete the other one. {_RETAIN}"
        )
    return (
        f"{cause} Nothing of it was touched. Launch from Studio, which fills in the id of the new project, or enter an "
        f"id that is not in use."
    )


def occupied(stage: Stage, stacks: Collection[str]) -> str:
    """Return what to say when a new project finds its stage deployed already.

    Args:
        stage: The stage.
        stacks: Names of the stacks that are there.
    """
    return (
        f"{stage.place} has {' and '.join(stacks)} already: another project with the id {stage.project_id} left its "
        f"stage there when it was deleted. Nothing of it was touched. Launch from Studio, which fills in the id of the "
        f"new project, or have your platform team delete the stacks first."
    )


def role_arn(stage: Stage, partition: str) -> str:
    """Return the ARN of the deploy role of a stage's account."""
    return f"arn:{partition}:iam::{stage.account_id}:role/{DEPLOY_ROLE}"


def unreachable(stage: Stage, *, leaving: bool, detail: str) -> str:
    """Return what to say when the deploy role of a stage's account cannot be assumed.

    Args:
        stage: The stage.
        leaving: Whether the stage is being taken down.
        detail: What AWS said.
    """
    cause = (
        f"Account {stage.account_id} does not let the platform in (role {DEPLOY_ROLE}): it has no deployment baseline, "
        f"or no longer exists. AWS said: {detail}"
    )
    if leaving:
        return (
            f"{cause} So the stacks {' and '.join(stage.stacks)} in region {stage.region} were not deleted "
            f"and may go on costing money. Have your platform team bring the account back below the deployment OU, "
            f"then delete again. {_RETAIN}"
        )
    return (
        f"{cause} So stage {stage.stage} cannot be deployed there. Check the account id; accounts below the deployment "
        f"OU get the baseline within minutes. Then launch again."
    )


def no_baseline_in_region(stage: Stage) -> str:
    """Return what to say when a stage's account has no baseline in the stage's region."""
    return (
        f"There is no function {BUCKET_EMPTIER_FUNCTION} in {stage.place}: the deployment baseline has not been "
        f"rolled out there, so what is deployed could not be removed again. Ask your platform team to look at the "
        f"StackSet ml-platform-deployment-baseline, then launch again."
    )


def build_variables(stage: Stage, partition: str) -> dict[str, str]:
    """Return the environment of the build (the buildspec is foundation/deployment_teardown_buildspec.yml)."""
    return {"ROLE_ARN": role_arn(stage, partition), "TAG": stage.tag, "TARGET_REGION": stage.region}


def judge(pending: Pending, build: BuildOutcome) -> Success | Failure:
    """Return what CloudFormation is told about a finished teardown."""
    stage = pending.stage
    status = build.exported.get("TEARDOWN_STATUS", "")
    if build.status == "SUCCEEDED" and status == "ok":
        return Success(physical_id=stage.physical_id)
    detail = build.exported.get("TEARDOWN_REASON", "")
    log = f"Log: {build.log_link}" if build.log_link else f"Log: build {build.build_id} in CodeBuild."
    return Failure(physical_id=stage.physical_id, reason=f"{_remedy(stage, build, status, detail)} {log}")


def _remedy(stage: Stage, build: BuildOutcome, status: str, detail: str) -> str:
    if build.status == "SUCCEEDED" and status == "unreachable":
        return unreachable(stage, leaving=True, detail=detail)
    if build.status == "SUCCEEDED" and status == "failed":
        return (
            f"Stage {stage.stage} could not be removed completely from {stage.place}: {detail} Fix that, then delete "
            f"again; what is gone already is skipped. {_RETAIN}"
        )
    phase = f" in phase {build.failed_phase}" if build.failed_phase else ""
    what = f"The build that takes stage {stage.stage} down in {stage.place}"
    return {
        "STOPPED": f"{what} was stopped by somebody. Delete again.",
        "TIMED_OUT": f"{what} took too long{phase}; CloudFormation may still be deleting there. Look at the stacks "
        f"{' and '.join(stage.stacks)} in that account, then delete again, which goes on from there.",
        "FAULT": f"CodeBuild could not run the build that takes stage {stage.stage} down{phase}. This is usually "
        f"passing: delete again.",
    }.get(build.status, f"{what} failed{phase}. Look at the log, fix the cause, then delete again.")
