"""A training project: everything but where its data come from, which a `DataSource` says."""

from __future__ import annotations

import abc
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import aws_cdk as cdk
from aws_cdk import aws_servicecatalog as servicecatalog

from lambdas.shared.artifact_bucket import archive_key
from products.shared import custom_resources, names, seed_code, template
from products.shared.form import patterns, questions
from products.shared.form.parameters import Form, Question
from products.shared.storage import ProjectStorage
from products.shared.training.delivery import Delivery
from products.shared.training.jobs import JobNetwork, PipelineRole
from products.shared.training.model_group import ModelGroup
from products.shared.training.retraining import NONE, Retraining

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aws_cdk import aws_iam as iam
    from constructs import Construct, IConstruct

    from products.shared.roles import Grant
    from products.shared.spec import ProductSpec

DATA: Final = "Data"
RETRAINING: Final = "When to train again"
"""Headings of the form under which a source asks its questions."""

LABEL: Final = (
    Question(
        id="Label",
        group=DATA,
        label="Column to predict",
        description="Header of the column that the model learns to predict, exactly as in the data. E.g. churned.",
        pattern=r"^[^\s,\"'`$\\][^,\"'`$\\]{0,126}$",
        problem="1 to 127 characters that do not begin with a space and hold no comma, quote, backtick, $ or \\",
    ),
    Question(
        id="ProblemType",
        group=DATA,
        label="Kind of prediction",
        description="auto detects it from the label: two values are binary, few are multiclass, many numbers are "
        "regression.",
        default="auto",
        choices=("auto", "binary", "multiclass", "regression"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class NewData:
    """How a source says that there is new data.

    Attributes:
        means: When a training starts, for the form, e.g. ``objects arrive in the data folder``.
        questions: What the form asks about it, under `RETRAINING`. Default: nothing.
    """

    means: str
    questions: tuple[Question, ...] = ()


class DataSource(abc.ABC):
    """Where the data of training projects come from.

    Its counterpart in the generated repository is a layer of the seed code with ``ml_pipelines/data_source.py``.

    Args:
        form: The answered form.

    Attributes:
        QUESTIONS: What the form asks about the data, under `DATA`.
        MORE_QUESTIONS: What it asks under headings of the source's own, before those about costs. Default: nothing.
        NEW_DATA: How it says that there is new data. None: it does not, and only commits and schedules train.
    """

    QUESTIONS: ClassVar[tuple[Question, ...]]
    MORE_QUESTIONS: ClassVar[tuple[Question, ...]] = ()
    NEW_DATA: ClassVar[NewData | None] = None

    @abc.abstractmethod
    def __init__(self, form: Form) -> None: ...

    @property
    def checks(self) -> Mapping[str, Mapping[str, Any]]:
        """More checks of ``Custom::Preflight``, each with the properties that it needs. Default: none."""
        return {}

    def make(self, scope: Construct, *, checked: cdk.CustomResource, storage: ProjectStorage) -> Sequence[IConstruct]:
        """Make what the source has of its own, before anything else is asked of it. Default: nothing.

        Args:
            scope: Where it belongs.
            checked: ``Custom::Preflight``, with the attributes that `checks` find.
            storage: Bucket and key of the project.

        Returns:
            What was made; it waits for the check, and the first training waits for it.
        """
        return ()

    def admit(self, scope: Construct, roles: Sequence[iam.IRole]) -> Sequence[IConstruct]:
        """Have roles admitted to the data by whoever decides about it besides IAM. Default: nobody does.

        Args:
            scope: Where it belongs.
            roles: Those of the pipeline's jobs and of the build.

        Returns:
            What was made; the first training waits for it.
        """
        return ()

    @property
    @abc.abstractmethod
    def environment(self) -> Mapping[str, str]:
        """What the build tells the seed code about the data, by name of the variable."""

    @property
    @abc.abstractmethod
    def look(self) -> Sequence[Grant]:
        """What lets the build and the jobs see whether the data changed, without reading it."""

    @property
    @abc.abstractmethod
    def read(self) -> Sequence[Grant]:
        """What lets the jobs read the data, besides `look`."""

    @property
    def new_data(self) -> Mapping[str, Any] | None:
        """Pattern of the events that mean new data; None without `NEW_DATA`."""
        return None


class TrainingProject(servicecatalog.ProductStack):
    """Base of the training products: seeded repository, SageMaker pipeline, model package group, retraining.

    Attributes:
        SPEC: What the product is; it has a seed code.
        SOURCE: Where the data come from.
    """

    SPEC: ClassVar[ProductSpec]
    SOURCE: ClassVar[type[DataSource]]

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_, description=f"{self.SPEC.title}: {self.SPEC.summary}")
        if self.SPEC.seed_code is None:
            raise TypeError(f"{self.SPEC.id} has no seed code: a training product names a template in its SPEC.")
        form = Form(self, _questions(self.SOURCE))
        repository = questions.Repository.answered(form)
        source = self.SOURCE(form)
        checked = custom_resources.preflight(
            self,
            ["connection", "repository", "job-network", *source.checks],
            {
                "ConnectionArn": repository.connection_arn,
                "Repository": repository.name,
                "ProjectName": cdk.Fn.ref("SageMakerProjectName"),
                "ProjectId": cdk.Fn.ref("SageMakerProjectId"),
                "Version": names.UNRELEASED,  # another version looks at the network of the account again
                **{name: value for asked in source.checks.values() for name, value in asked.items()},
            },
        )
        network = JobNetwork.found_by(checked)
        storage = ProjectStorage(self, "Storage")
        own = source.make(self, checked=checked, storage=storage)
        registry = ModelGroup(self, "Registry", bucket=storage.bucket)
        data = [*source.look, *source.read]
        pipeline_role = PipelineRole(self, "PipelineRole", storage=storage, data=data, network=network)
        archive = hashlib.sha256(seed_code.archive(self.SPEC.seed_code)).hexdigest()
        seed = custom_resources.seed_code(
            self,
            connection_arn=repository.connection_arn,
            repository=repository.name,
            branch=repository.branch,
            asset_key=archive_key(archive),
        )
        delivery = Delivery(
            self,
            "Delivery",
            storage=storage,
            connection_arn=repository.connection_arn,
            repository=repository.name,
            branch=repository.branch,
            pipeline_role=pipeline_role.role,
            look_at_data=source.look,
            environment={
                **source.environment,
                "LABEL": form["Label"],
                "PROBLEM_TYPE": form["ProblemType"],
                "REPOSITORY_URL": seed.get_att_string("RepositoryUrl"),
                **network.variables(),
            },
        )
        admitted = source.admit(self, [pipeline_role.role, delivery.build_role])
        # CodePipeline starts once when it is created; by then the commit and the group must be there.
        delivery.pipeline.node.add_dependency(seed, registry, pipeline_role, *own, *admitted)
        retraining = Retraining(
            self,
            "Retraining",
            trigger=form["Trigger"],
            schedule=form["ScheduleExpression"],
            new_data=source.new_data,
        )
        # The role of the pipeline and the build wait for the check already, because they name what it found.
        named = {"Build", "BuildRole"} if source.checks else {"Build"}
        around_build = [part for part in delivery.node.children if part.node.id not in named]
        for part in (storage, registry, seed, *around_build, retraining, *own):
            part.node.add_dependency(checked)
        template.tag_project(self, form["CostCenter"])
        self._write_outputs(seed, storage, delivery)

    def _write_outputs(self, seed: cdk.CustomResource, storage: ProjectStorage, delivery: Delivery) -> None:
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


def _questions(source: type[DataSource]) -> tuple[Question, ...]:
    """Return the whole form, in the order in which the console shows it."""
    return (
        *questions.PROJECT,
        *source.QUESTIONS,
        *LABEL,
        *questions.repository(
            example="acme-ml/churn", commits="train", connection="The domain of this account wrote the default."
        ),
        Question(
            id="Trigger",
            group=RETRAINING,
            label="Train again",
            description="none: on commits only. schedule: also at fixed times."
            + (f" new-data: also when {source.NEW_DATA.means}." if source.NEW_DATA else ""),
            default=NONE,
            choices=(NONE, questions.SCHEDULE, *((questions.NEW_DATA,) if source.NEW_DATA else ())),
        ),
        Question(
            id="ScheduleExpression",
            group=RETRAINING,
            label="Schedule",
            description="For schedule only, times in UTC. E.g. rate(7 days), or cron(0 5 ? * MON *) for Mondays at 5.",
            default="rate(7 days)",
            pattern=patterns.SCHEDULE,
            problem="A rate in hours or days, e.g. rate(7 days), or a cron with six fields, e.g. cron(0 5 ? * MON *)",
        ),
        *(source.NEW_DATA.questions if source.NEW_DATA else ()),
        *source.MORE_QUESTIONS,
        questions.COST_CENTER,
    )
