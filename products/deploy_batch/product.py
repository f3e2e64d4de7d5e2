"""Deployment project that scores the files of an S3 prefix with the newest approved model of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import aws_cdk as cdk
from aws_cdk import aws_servicecatalog as servicecatalog

from products.shared import names, template
from products.shared.deployment.answers import INSTANCE_PATTERN, Answers, questions_of, variable
from products.shared.deployment.project import DeploymentProject
from products.shared.form import patterns, questions
from products.shared.form.parameters import Form, Question
from products.shared.form.questions import NEW_DATA, SCHEDULE
from products.shared.spec import ProductSpec

if TYPE_CHECKING:
    from constructs import Construct

    from products.shared.deployment.answers import Place

DATA, RUNS, JOBS = "Data", "When to predict", "Jobs"

DATA_QUESTIONS: Final = tuple(
    Question(
        id=f"InputUri{stage}",
        group=DATA,
        label=f"Records in {where} (S3)",
        description=f"Folder with the records to predict in {where}. CSV, JSON lines or Parquet, in the "
        f"account and Region of that stage, with a slash at the end. E.g. s3://sales-lake/churn/{stage.lower()}/.",
        pattern=patterns.S3_FOLDER,
        problem=f"s3://bucket/folder/ with 1 to {patterns.S3_DEPTH} folders, ending in a slash, without spaces "
        "or * ? $, and not in the bucket of a project (mlp-p-...), e.g. s3://sales-lake/churn/daily/",
    )
    for stage, where in (("Test", "test"), ("Prod", "production"))
)
RUN_QUESTIONS: Final = (
    Question(
        id="Trigger",
        group=RUNS,
        label="Predict",
        description="schedule: at fixed times. new-data: when objects arrive in the folder (its bucket must send "
        "events to EventBridge).",
        default=SCHEDULE,
        choices=(
            SCHEDULE,
            NEW_DATA,
        ),
    ),
    Question(
        id="ScheduleExpression",
        group=RUNS,
        label="Schedule",
        description="For schedule only, times in UTC. E.g. rate(1 day), or cron(0 5 * * ? *) for every day at 5.",
        default="rate(1 day)",
        pattern=patterns.SCHEDULE,
        problem="A rate in hours or days, e.g. rate(1 day), or a cron with six fields, e.g. cron(0 5 * * ? *)",
    ),
    Question(
        id="NewDataSuffix",
        group=RUNS,
        label="Only objects ending in (optional)",
        description="For new-data: start only for objects whose name ends like this, e.g. _SUCCESS, which Spark "
        "and Glue write last. Blank starts for every object.",
        default="",
        pattern=questions.SUFFIX_PATTERN,
        problem="Up to 64 letters, digits or _.=-, e.g. _SUCCESS or .parquet",
    ),
)
JOB_QUESTIONS: Final = (
    Question(
        id="InstanceType",
        group=JOBS,
        label="Machine",
        description="Instance type with which the model predicts, e.g. ml.m5.large.",
        default="ml.m5.large",
        pattern=INSTANCE_PATTERN,
        longest=40,
        problem="An instance type of SageMaker batch transform, e.g. ml.m5.large",
    ),
    Question(
        id="InstanceCount",
        group=JOBS,
        label="Machines in production",
        description="On how many machines a run in production is spread, e.g. 1. Test uses one.",
        default="1",
        pattern=patterns.whole(1, 100),
        problem="A whole number from 1 to 100, e.g. 1",
    ),
    Question(
        id="MaxBadPercent",
        group=JOBS,
        label="Most records set aside (percent)",
        description="Records that cannot be predicted are set aside with the reason. More of them than this "
        "make a run fail, e.g. 1.",
        type="Number",
        default=1,
        bounds=(0, 100),
        problem="Percent from 0 to 100, e.g. 1 or 0.5",
    ),
)
CHOICES: Final = (*DATA_QUESTIONS, *RUN_QUESTIONS, *JOB_QUESTIONS)
"""What the form asks besides what every deployment product asks; the build gets each answer as a variable."""

_VARIABLES: Final = {"ScheduleExpression": "SCHEDULE"}


class DeployBatchProduct(servicecatalog.ProductStack):
    """Seeded repository and pipeline: approved model, run in test, approval, scheduled or data-driven production."""

    SPEC: ClassVar[ProductSpec] = ProductSpec(
        id="deploy-batch",
        title="Deploy batch predictions",
        summary="A repository and a pipeline that bring the newest approved model of a group to a batch run in test, "
        "check it, ask the governance officer, and then predict in production on a schedule or when data arrives.",
        seed_code="deploy-batch",
    )

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_, description=f"{self.SPEC.title}: {self.SPEC.summary}")
        form = Form(self, questions_of(CHOICES, example="acme-ml/churn-batch"))
        answers = Answers.read(form)
        form.refuse(
            "SuffixNeedsNewData",
            when=form.is_not("NewDataSuffix", ""),
            unless=[form.is_("Trigger", NEW_DATA)],
            problem="Only objects ending in: this works with Predict = new-data only. Choose new-data or leave it "
            "blank.",
        )
        project = DeploymentProject(
            self,
            "Project",
            seed_code_template="deploy-batch",
            answers=answers,
            choices={_VARIABLES.get(q.id, variable(q.id)): form[q.id] for q in CHOICES},
            test_action="BatchTest",
            test_step="batch-test",
        )
        template.tag_project(self, answers.cost_center)
        project.add_outputs(
            {
                f"{stage.capitalize()}OutputUri": (
                    f"Predictions in the {stage} account, one folder per run",
                    _output_uri(stage, answers.places[stage]),
                )
                for stage in names.STAGES
            }
        )


def _output_uri(stage: str, place: Place) -> str:
    bucket = cdk.Fn.join("-", [template.sub(names.project_resource(stage)), place.account_id, place.region])
    return cdk.Fn.join("", ["s3://", bucket, "/batch/"])
