"""Deployment project that scores the files of an S3 prefix with the newest approved model of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import aws_cdk as cdk
from aws_cdk import aws_servicecatalog as servicecatalog

from products.shared import names, template
from products.shared.deployment.answers import INSTANCE_PATTERN, Answers, ask_for_approver, ask_for_model_and_places
from products.shared.deployment.project import DeploymentProject
from products.shared.form import questions, s3_uri
from products.shared.form.parameters import Form
from products.shared.spec import ProductSpec

if TYPE_CHECKING:
    from constructs import Construct

    from products.shared.deployment.answers import Place

DATA, RUNS, JOBS = "Data", "When to predict", "Jobs"
SCHEDULE, NEW_DATA = "schedule", "new-data"


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
        form = Form(self)
        places = ask_for_model_and_places(form)
        repository = questions.ask_for_repository(
            form,
            example="acme-ml/churn-batch",
            commits="deploy",
            connection="The baseline of this account wrote the default.",
        )
        choices = self._ask_for_data(form) | self._ask_for_runs(form) | self._ask_for_jobs(form)
        answers = Answers(
            places=places,
            repository=repository,
            approver_email=ask_for_approver(form),
            cost_center=questions.ask_for_cost_center(form),
        )
        project = DeploymentProject(
            self,
            "Project",
            seed_code_template="deploy-batch",
            answers=answers,
            choices=choices,
            test_action="BatchTest",
            test_step="batch-test",
        )
        template.tag_project(self, answers.cost_center)
        project.tell(
            {
                f"{stage.capitalize()}OutputUri": (
                    f"Predictions in the {stage} account, one folder per run",
                    _output_uri(stage, places[stage]),
                )
                for stage in names.STAGES
            }
        )

    @staticmethod
    def _ask_for_data(form: Form) -> dict[str, str]:
        asked = {}
        for stage, where in (("Test", "test"), ("Prod", "production")):
            asked[f"INPUT_URI_{stage.upper()}"] = form.ask(
                f"InputUri{stage}",
                group=DATA,
                label=f"Records in {where} (S3)",
                description=f"Folder with the records to predict in {where}. CSV, JSON lines or Parquet, in the "
                f"account and Region of that stage, with a slash at the end. E.g. s3://sales-lake/churn/{stage.lower()}/.",
                pattern=s3_uri.PATTERN,
                problem=f"s3://bucket/folder/ with 1 to {s3_uri.MAX_DEPTH} folders, ending in a slash, without spaces "
                "or * ? $, and not in the bucket of a project (mlp-p-...), e.g. s3://sales-lake/churn/daily/",
            ).value_as_string
        return asked

    def _ask_for_runs(self, form: Form) -> dict[str, str]:
        trigger = form.ask(
            "Trigger",
            group=RUNS,
            label="Predict",
            description="schedule: at fixed times. new-data: when objects arrive in the folder (its bucket must send "
            "events to EventBridge).",
            default=SCHEDULE,
            choices=[SCHEDULE, NEW_DATA],
        ).value_as_string
        schedule = form.ask(
            "ScheduleExpression",
            group=RUNS,
            label="Schedule",
            description="For schedule only, times in UTC. E.g. rate(1 day), or cron(0 5 * * ? *) for every day at 5.",
            default="rate(1 day)",
            pattern=questions.SCHEDULE_PATTERN,
            problem="A rate in hours or days, e.g. rate(1 day), or a cron with six fields, e.g. cron(0 5 * * ? *)",
        ).value_as_string
        suffix = form.ask(
            "NewDataSuffix",
            group=RUNS,
            label="Only objects ending in (optional)",
            description="For new-data: start only for objects whose name ends like this, e.g. _SUCCESS, which Spark "
            "and Glue write last. Blank starts for every object.",
            default="",
            pattern=r"^[A-Za-z0-9_.=-]{0,64}$",
            problem="Up to 64 letters, digits or _.=-, e.g. _SUCCESS or .parquet",
        ).value_as_string
        cdk.CfnRule(
            self,
            "SuffixNeedsNewData",
            rule_condition=cdk.Fn.condition_not(cdk.Fn.condition_equals(suffix, "")),
            assertions=[
                cdk.CfnRuleAssertion(
                    assert_=cdk.Fn.condition_equals(trigger, NEW_DATA),
                    assert_description="Only objects ending in: this works with Predict = new-data only. Choose "
                    "new-data or leave it blank.",
                )
            ],
        )
        return {"TRIGGER": trigger, "SCHEDULE": schedule, "NEW_DATA_SUFFIX": suffix}

    @staticmethod
    def _ask_for_jobs(form: Form) -> dict[str, str]:
        return {
            "INSTANCE_TYPE": form.ask(
                "InstanceType",
                group=JOBS,
                label="Machine",
                description="Instance type with which the model predicts, e.g. ml.m5.large.",
                default="ml.m5.large",
                pattern=INSTANCE_PATTERN,
                longest=40,
                problem="An instance type of SageMaker batch transform, e.g. ml.m5.large",
            ).value_as_string,
            "INSTANCE_COUNT": form.ask(
                "InstanceCount",
                group=JOBS,
                label="Machines in production",
                description="On how many machines a run in production is spread, e.g. 1. Test uses one.",
                type_="Number",
                default=1,
                bounds=(1, 100),
                problem="A whole number from 1 to 100, e.g. 1",
            ).value_as_string,
            "MAX_BAD_PERCENT": form.ask(
                "MaxBadPercent",
                group=JOBS,
                label="Most records set aside (percent)",
                description="Records that cannot be predicted are set aside with the reason. More of them than this "
                "make a run fail, e.g. 1.",
                type_="Number",
                default=1,
                bounds=(0, 100),
                problem="Percent from 0 to 100, e.g. 1 or 0.5",
            ).value_as_string,
        }


def _output_uri(stage: str, place: Place) -> str:
    bucket = cdk.Fn.join("-", [template.sub(f"mlp-${{SageMakerProjectId}}-{stage}"), place.account_id, place.region])
    return cdk.Fn.join("", ["s3://", bucket, "/batch/"])
