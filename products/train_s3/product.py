"""Training project whose data is one S3 prefix of the launching account."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, ClassVar

import aws_cdk as cdk
from aws_cdk import aws_servicecatalog as servicecatalog

from products.shared import custom_resources, names, seed_code, template
from products.shared.delivery import Delivery
from products.shared.form import questions, s3_uri
from products.shared.form.parameters import Form
from products.shared.roles import Grant, through_s3
from products.shared.spec import ProductSpec
from products.shared.storage import ProjectStorage
from products.shared.training.jobs import JobNetwork, PipelineRole
from products.shared.training.model_group import ModelGroup
from products.shared.training.retraining import CHOICES, NEW_DATA, NONE, Retraining

if TYPE_CHECKING:
    from constructs import Construct

DATA, RETRAINING = "Data", "When to train again"


class TrainS3Product(servicecatalog.ProductStack):
    """Seeded repository, SageMaker pipeline, model package group and everything between them."""

    SPEC: ClassVar[ProductSpec] = ProductSpec(
        id="train-s3",
        title="Train on S3 data",
        summary="A repository with a working ML workflow that trains on one S3 prefix and registers the model: "
        "validate, prepare, train, evaluate, gate, register.",
        seed_code="train-s3",
    )

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_, description=f"{self.SPEC.title}: {self.SPEC.summary}")
        form = Form(self)
        questions.ask_for_project(form)
        data_uri, data_key, label, problem_type = self._ask_for_data(form)
        repository = questions.ask_for_repository(
            form,
            example="acme-ml/churn",
            commits="train",
            connection="The domain of this account wrote the default.",
        )
        trigger, schedule, suffix = self._ask_for_retraining(form)
        cost_center = questions.ask_for_cost_center(form)
        checked = custom_resources.preflight(
            self,
            ["connection", "repository", "job-network"],
            {
                "ConnectionArn": repository.connection_arn,
                "Repository": repository.name,
                "ProjectName": cdk.Fn.ref("SageMakerProjectName"),
                "ProjectId": cdk.Fn.ref("SageMakerProjectId"),
                "Version": names.UNRELEASED,  # another version looks at the network of the account again
            },
        )
        network = JobNetwork.found_by(checked)
        storage = ProjectStorage(self, "Storage")
        registry = ModelGroup(self, "Registry", bucket=storage.bucket)
        read_data, look_at_data = self._data_grants(data_uri, data_key)
        pipeline_role = PipelineRole(self, "PipelineRole", storage=storage, data=read_data, network=network)
        archive = hashlib.sha256(seed_code.archive("train-s3")).hexdigest()
        seed = custom_resources.seed_code(
            self,
            connection_arn=repository.connection_arn,
            repository=repository.name,
            branch=repository.branch,
            asset_key=f"assets/{archive}.zip",
        )
        delivery = Delivery(
            self,
            "Delivery",
            storage=storage,
            connection_arn=repository.connection_arn,
            repository=repository.name,
            branch=repository.branch,
            pipeline_role=pipeline_role.role,
            look_at_data=look_at_data,
            environment={
                "DATA_URI": data_uri,
                "LABEL": label,
                "PROBLEM_TYPE": problem_type,
                "REPOSITORY_URL": seed.get_att_string("RepositoryUrl"),
                **network.variables(),
            },
        )
        # CodePipeline starts once when it is created; by then the commit and the group must be there.
        delivery.pipeline.node.add_dependency(seed, registry, pipeline_role)
        retraining = Retraining(
            self,
            "Retraining",
            trigger=trigger,
            schedule=schedule,
            data_bucket=s3_uri.bucket(data_uri),
            data_keys=cdk.Fn.join("", [s3_uri.prefix(data_uri), "*", suffix]),
        )
        # The role of the pipeline and the build wait for the check already, because they name what it found.
        around_build = [part for part in delivery.node.children if part.node.id != "Build"]
        for part in (storage, registry, seed, *around_build, retraining):
            part.node.add_dependency(checked)
        template.tag_project(self, cost_center)
        self._tell(seed, storage, delivery)

    @staticmethod
    def _ask_for_data(form: Form) -> tuple[str, str, str, str]:
        data_uri = form.ask(
            "DataUri",
            group=DATA,
            label="Data set (S3)",
            description="Folder with the CSV or Parquet files of the data set, in this account and Region, with a "
            "slash at the end. E.g. s3://sales-lake/churn/2026/.",
            pattern=s3_uri.PATTERN,
            problem=f"s3://bucket/folder/ with 1 to {s3_uri.MAX_DEPTH} folders, ending in a slash, without spaces "
            "or * ? $, and not in the bucket of another project (mlp-p-...), e.g. s3://sales-lake/churn/2026/",
        )
        key = form.ask(
            "DataKeyArn",
            group=DATA,
            label="KMS key of the data (optional)",
            description="ARN of the customer key that encrypts the data set, as KMS shows it; it ends in e.g. "
            "key/1234abcd-12ab-34cd-56ef-1234567890ab. Leave blank when S3's own keys do.",
            default="",
            pattern=r"^$|^arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,64}$",
            problem="Blank, or the ARN of a KMS key (of the key, not of an alias)",
        )
        label = form.ask(
            "Label",
            group=DATA,
            label="Column to predict",
            description="Header of the column that the model learns to predict, exactly as in the data. E.g. churned.",
            pattern=r"^[^\s,\"'`$\\][^,\"'`$\\]{0,126}$",
            problem="1 to 127 characters that do not begin with a space and hold no comma, quote, backtick, $ or \\",
        )
        problem_type = form.ask(
            "ProblemType",
            group=DATA,
            label="Kind of prediction",
            description="auto finds it out from the label: two values are binary, few are multiclass, many numbers are "
            "regression.",
            default="auto",
            choices=["auto", "binary", "multiclass", "regression"],
        )
        has_key = cdk.CfnCondition(
            key.stack, "HasDataKey", expression=cdk.Fn.condition_not(cdk.Fn.condition_equals(key.value_as_string, ""))
        )
        # Without a key of its own the data needs no KMS rights: the grant then names a key that cannot exist.
        none = template.sub(template.arn("kms", "key/none"))
        data_key = cdk.Fn.condition_if(has_key.logical_id, key.value_as_string, none).to_string()
        return data_uri.value_as_string, data_key, label.value_as_string, problem_type.value_as_string

    def _ask_for_retraining(self, form: Form) -> tuple[str, str, str]:
        trigger = form.ask(
            "Trigger",
            group=RETRAINING,
            label="Train again",
            description="None: on commits only. Schedule: also at fixed times. NewData: also when objects arrive in "
            "the data folder (its bucket must send events to EventBridge).",
            default=NONE,
            choices=[NONE, *CHOICES],
        ).value_as_string
        schedule = form.ask(
            "ScheduleExpression",
            group=RETRAINING,
            label="Schedule",
            description="For Schedule only, times in UTC. E.g. rate(7 days), or cron(0 5 ? * MON *) for Mondays at 5.",
            default="rate(7 days)",
            pattern=questions.SCHEDULE_PATTERN,
            problem="A rate in hours or days, e.g. rate(7 days), or a cron with six fields, e.g. cron(0 5 ? * MON *)",
        ).value_as_string
        suffix = form.ask(
            "NewDataSuffix",
            group=RETRAINING,
            label="Only objects ending in (optional)",
            description="For NewData: start only for objects whose name ends like this, e.g. _SUCCESS, which Spark and "
            "Glue write last. Blank starts for every object.",
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
                    assert_description="Only objects ending in: this works with Train again = NewData only. "
                    "Choose NewData or leave it blank.",
                )
            ],
        )
        return trigger, schedule, suffix

    @staticmethod
    def _data_grants(data_uri: str, data_key: str) -> tuple[list[Grant], list[Grant]]:
        """Return what lets a role read the data, and what lets it see only which files there are."""
        bucket = cdk.Fn.join("", ["arn:", cdk.Aws.PARTITION, ":s3:::", s3_uri.bucket(data_uri)])
        objects = cdk.Fn.join("", ["arn:", cdk.Aws.PARTITION, ":s3:::", s3_uri.bucket_and_prefix(data_uri), "*"])
        prefix = s3_uri.prefix(data_uri)
        look = [
            Grant(
                sid="ListData",
                actions=["s3:ListBucket"],
                resources=[bucket],
                conditions={"StringLike": {"s3:prefix": cdk.Fn.join("", [prefix, "*"])}},
            ),
            Grant(sid="LocateData", actions=["s3:GetBucketLocation"], resources=[bucket]),
        ]
        read = [
            Grant(
                sid="ReadData",
                actions=["s3:GetObject"],
                resources=[objects],
                because="The data set is every object below one prefix; their names are the owner's.",
            ),
            Grant(
                sid="DecryptData",
                actions=["kms:Decrypt"],
                resources=[data_key],
                conditions={"StringEquals": through_s3()},
            ),
        ]
        return [*look, *read], look

    def _tell(self, seed: cdk.CustomResource, storage: ProjectStorage, delivery: Delivery) -> None:
        console = template.Console(self)
        outputs = {
            "RepositoryUrl": ("Repository with the seed code", seed.get_att_string("RepositoryUrl")),
            "CommitId": ("Commit of the seed code", seed.get_att_string("CommitId")),
            "BuildUrl": (
                "CodePipeline that upserts and starts the training",
                console.link(
                    f"codesuite/codepipeline/pipelines/{names.project_resource('build')}/view?region=${{AWS::Region}}"
                ),
            ),
            "BuildPipelineName": ("Name of that CodePipeline", delivery.pipeline.ref),
            "SageMakerPipelineName": ("SageMaker pipeline of the project", template.sub(names.PROJECT_PIPELINE)),
            "ModelPackageGroupName": ("Group of the project's models", template.sub(names.PROJECT_PIPELINE)),
            "ArtifactBucketName": ("Everything that the jobs write", storage.bucket.bucket_name),
            "KeyArn": ("Key of the bucket and of the jobs' volumes", storage.key.key_arn),
            "NextStep": (
                "What to do now",
                template.sub(
                    "The first training starts by itself: watch it in Studio under Pipelines, "
                    f"{names.PROJECT_PIPELINE}. Then clone the repository and read its README."
                ),
            ),
        }
        for name, (description, value) in outputs.items():
            cdk.CfnOutput(self, name, description=description, value=value)
