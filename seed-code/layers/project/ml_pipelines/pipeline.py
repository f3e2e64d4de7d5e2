"""The pipeline: validate, prepare, train, evaluate, and register the model when the gate lets it pass.

Nothing here depends on the time, the machine or the folder of the checkout: the same commit and configuration always
give the same definition, so that SageMaker's step cache recognises what it has done before.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ml_pipelines import sdk  # before any other part of the SDK

# isort: split
from sagemaker.core import image_uris
from sagemaker.core.drift_check_baselines import DriftCheckBaselines
from sagemaker.core.metadata_properties import MetadataProperties
from sagemaker.core.model_metrics import MetricsSource, ModelMetrics
from sagemaker.core.network import NetworkConfig
from sagemaker.core.processing import FrameworkProcessor
from sagemaker.core.shapes import (
    ModelPackageModelCard,
    OutputDataConfig,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
    Tag,
)
from sagemaker.core.workflow import (
    ConditionEquals,
    ExecutionVariables,
    Join,
    JsonGet,
    ParameterInteger,
    ParameterString,
    PropertyFile,
)
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow import (
    CacheConfig,
    ConditionStep,
    FailStep,
    ModelStep,
    Pipeline,
    ProcessingStep,
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
    TrainingStep,
)
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, MetricDefinition, Networking, SourceCode, StoppingCondition

from ml_pipelines.config import SOURCE, JobConfig, ProjectConfig
from ml_pipelines.source_job import SourceJob
from tabular.config import METRICS

XGBOOST_VERSION = "3.2-0"
CONTENT_TYPES = ["text/csv", "application/json", "application/jsonlines"]  # src/inference.py
TASKS = {"binary": "CLASSIFICATION", "multiclass": "CLASSIFICATION", "regression": "REGRESSION", "auto": "OTHER"}
EVALUATION = PropertyFile(name="Evaluation", output_name="evaluation", path="evaluation.json")


@dataclass(frozen=True)
class _Parameters:
    """What can be chosen anew for every execution."""

    data: dict[str, ParameterString]
    data_version: ParameterString
    processing_instance_type: ParameterString
    processing_instance_count: ParameterInteger
    training_instance_type: ParameterString

    def all(self) -> list[Any]:
        return [
            *self.data.values(),
            self.data_version,
            self.processing_instance_type,
            self.processing_instance_count,
            self.training_instance_type,
        ]


def definition(config: ProjectConfig, session: PipelineSession) -> str:
    """Return the definition of the pipeline as JSON; code that the jobs run is uploaded too."""
    with build_pipeline(config, session) as pipeline:
        return json.dumps(json.loads(pipeline.definition()), indent=2)


@contextlib.contextmanager
def build_pipeline(config: ProjectConfig, session: PipelineSession) -> Iterator[Pipeline]:
    """Define the pipeline. Publish it, or ask for its definition, within the context: the SDK uploads code only then.

    Args:
        config: What to build.
        session: Session of the SDK; its default bucket receives the code of the jobs.
    """
    machines = config.machines
    parameters = _Parameters(
        data=config.source.parameters(),
        # Without a default on purpose: SageMaker compares the place of an input, not what is there, so without it an
        # execution after new data arrived would take yesterday's result from the step cache.
        data_version=ParameterString("DataVersion"),
        processing_instance_type=ParameterString(
            "ProcessingInstanceType", default_value=machines.processing_instance_type
        ),
        processing_instance_count=ParameterInteger(
            "ProcessingInstanceCount", default_value=machines.processing_instance_count
        ),
        training_instance_type=ParameterString("TrainingInstanceType", default_value=machines.training_instance_type),
    )
    with tempfile.TemporaryDirectory() as folder:
        steps = _Steps(config, session, parameters, Path(folder))
        with sdk.pinned_names(f"train-{steps.training_code.digest}"):
            yield Pipeline(
                name=config.pipeline_name,
                parameters=parameters.all(),
                steps=steps.all(),
                sagemaker_session=session,
                pipeline_experiment_config=None,
            )


class _Code:
    """A copy of ``src/`` with the configuration for one job.

    Each job gets only the settings that it uses. A changed hyperparameter then leaves the code of the steps before the
    training as it was, and they are taken from the cache.
    """

    def __init__(self, folder: Path, config: JobConfig) -> None:
        self.folder = folder
        shutil.copytree(SOURCE, folder, ignore=_left_over)
        config.save(folder / "config.json")
        self.digest = sdk.digest(folder)


class _SourceCode:
    """A copy of the code of a job of the data source, with its settings: a change of ``src/`` leaves it as it is."""

    def __init__(self, folder: Path, job: SourceJob) -> None:
        self.folder = folder
        shutil.copytree(job.code, folder, ignore=_left_over)
        settings = json.dumps(job.settings, indent=2, sort_keys=True) + "\n"
        (folder / "settings.json").write_text(settings, encoding="utf-8")
        self.digest = sdk.digest(folder)


class _Steps:
    """The steps, in the order in which they run."""

    def __init__(self, config: ProjectConfig, session: PipelineSession, parameters: _Parameters, work: Path) -> None:
        self._config = config
        self._session = session
        self._parameters = parameters
        self._image = image_uris.retrieve("xgboost", session.boto_region_name, version=XGBOOST_VERSION)
        self._cache = (
            CacheConfig(enable_caching=True, expire_after=f"P{config.machines.cache_days}D")
            if config.machines.cache_days
            else None
        )
        job, nothing = config.job, JobConfig(label=config.job.label)
        ungated = replace(job, threshold=nothing.threshold, champion_tolerance=nothing.champion_tolerance)
        data_only = replace(
            ungated,
            metric=nothing.metric,
            hyperparameters=nothing.hyperparameters,
            balance_classes=nothing.balance_classes,
            in_memory_mib=nothing.in_memory_mib,
        )
        self._data_code = _Code(work / "data", data_only)
        self.training_code = _Code(work / "training", ungated)
        self._evaluation_code = _Code(work / "evaluation", job)

        jobs = config.source.jobs(
            config, version=parameters.data_version, instances=parameters.processing_instance_count
        )
        self._source_steps = [self._source_step(job, work) for job in jobs]
        self.validate = self._validate()
        self.prepare = self._prepare()
        self.train = self._train()
        self.evaluate = self._evaluate()
        self.register = self._register()
        self.gate = self._gate()

    def all(self) -> list[Any]:
        """Return the steps of the outermost level."""
        return [*self._source_steps, self.validate, self.prepare, self.train, self.evaluate, self.gate]

    def _source_step(self, job: SourceJob, work: Path) -> ProcessingStep:
        results = [PropertyFile(name=job.name, output_name=job.outputs[0], path=job.results)] if job.results else None
        return self._processing(
            job.name,
            job.description,
            _SourceCode(work / job.name.lower(), job),
            inputs=[],
            outputs=list(job.outputs),
            environment=dict(job.variables),
            instance_type=job.instance_type,
            property_files=results,
        )

    def _validate(self) -> ProcessingStep:
        return self._processing(
            "Validate",
            "Check the data and find its schema",
            self._data_code,
            inputs=self._data(shard=False),
            outputs=["schema"],
            environment={"DATA_VERSION": self._parameters.data_version},  # part of what the step cache compares
        )

    def _prepare(self) -> ProcessingStep:
        return self._processing(
            "Prepare",
            "Divide the records into training, validation and test",
            self._data_code,
            inputs=[
                *self._data(shard=True),
                _input("schema", _output_of(self.validate, "schema")),
            ],
            outputs=["train", "validation", "test"],
            instance_count=self._config.source.instances(self._parameters.processing_instance_count),
        )

    def _train(self) -> TrainingStep:
        config = self._config
        machines = config.machines
        trainer = ModelTrainer(
            training_image=self._image,
            role=config.role_arn,
            sagemaker_session=self._session,
            base_job_name=f"{config.pipeline_name}/code",  # the prefix of its code; jobs are named by the pipeline,
            source_code=SourceCode(source_dir=str(self.training_code.folder), entry_script="train.py"),
            compute=Compute(
                instance_type=self._parameters.training_instance_type,
                instance_count=1,
                volume_size_in_gb=machines.volume_gib,
                **({"volume_kms_key_id": config.kms_key_arn} if config.kms_key_arn else {}),
            ),
            networking=Networking(subnets=list(config.subnet_ids), security_group_ids=list(config.security_group_ids))
            if config.subnet_ids
            else None,
            stopping_condition=StoppingCondition(max_runtime_in_seconds=machines.max_runtime_minutes * 60),
            output_data_config=OutputDataConfig(
                s3_output_path=f"s3://{config.bucket}/{config.pipeline_name}/models",
                **({"kms_key_id": config.kms_key_arn} if config.kms_key_arn else {}),
            ),
            hyperparameters=dict(vars(config.job.hyperparameters)),
            tags=[Tag(key=key, value=value) for key, value in config.tags.items()] or None,
        )
        # train.py prints "validation:<metric>=<value>"; SageMaker keeps what these find with the job.
        metrics = [
            MetricDefinition(name=f"validation:{name}", regex=f"validation:{name}=([0-9.eE+-]+)")
            for name in dict.fromkeys(name for names in METRICS.values() for name in names)
        ]
        trainer = trainer.with_metric_definitions(metrics)
        channels = {
            "train": (_output_of(self.prepare, "train"), "application/x-parquet"),
            "validation": (_output_of(self.prepare, "validation"), "application/x-parquet"),
            "schema": (_output_of(self.validate, "schema"), "application/json"),
        }
        return TrainingStep(
            name="Train",
            description="Fit the encoders and the model on the training records",
            step_args=trainer.train(
                input_data_config=[
                    InputData(channel_name=name, data_source=uri, content_type=content_type)
                    for name, (uri, content_type) in channels.items()
                ]
            ),
            cache_config=self._cache,
            retry_policies=_job_retries(),
        )

    def _evaluate(self) -> ProcessingStep:
        splits = [_input(split, _output_of(self.prepare, split)) for split in ("train", "validation", "test")]
        return self._processing(
            "Evaluate",
            "Measure the model on records it has not seen, and compare it with the approved one",
            self._evaluation_code,
            inputs=[_input("model", self._model_data), *splits],
            outputs=["evaluation", "baseline", "samples"],
            arguments=["--model-package-group", self._config.model_package_group]
            if self._config.has_registry
            else None,
            property_files=[EVALUATION],
            cached=False,  # the approved model may have changed since
        )

    def _gate(self) -> ConditionStep:
        failed = FailStep(
            "GateFailed",
            description="Say which number missed",
            error_message=Join(on="", values=["The model is not registered: ", self._evaluated("gate.reason")]),
        )
        return ConditionStep(
            "Gate",
            description="Is the model good enough to be registered?",
            conditions=[ConditionEquals(left=self._evaluated("gate.passed"), right=1)],
            if_steps=[self.register],
            else_steps=[failed],
        )

    def _register(self) -> ModelStep:
        config = self._config
        evaluation, baseline = (_output_of(self.evaluate, name) for name in ("evaluation", "baseline"))
        quality = {
            "model_statistics": _json_file(evaluation, "evaluation.json"),
            "model_constraints": _json_file(baseline, "model_quality_constraints.json"),
            "model_data_statistics": _json_file(baseline, "statistics.json"),
            "model_data_constraints": _json_file(baseline, "constraints.json"),
        }
        explanation = _json_file(baseline, "analysis.json")
        builder = ModelBuilder(
            image_uri=self._image,
            s3_model_data_url=self._model_data,
            role_arn=config.role_arn,
            sagemaker_session=self._session,
            # The model archive brings its own inference code, so SageMaker has nothing to add to it. The container
            # installs that folder with pip, which must not ask the internet for build tools: endpoints may have none.
            env_vars={
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
                "PIP_NO_BUILD_ISOLATION": "0",
                "PIP_NO_INDEX": "1",
            },
            log_level=40,
        )
        request = builder.register(
            model_package_group_name=config.model_package_group,
            description=self._description(),
            content_types=CONTENT_TYPES,
            response_types=CONTENT_TYPES,
            inference_instances=list(config.machines.inference_instance_types),
            transform_instances=list(config.machines.transform_instance_types),
            approval_status="PendingManualApproval",
            domain="MACHINE_LEARNING",
            task=TASKS[config.job.problem_type],
            sample_payload_url=_file(_output_of(self.evaluate, "samples"), "payload.tar.gz"),
            model_metrics=ModelMetrics(**quality, explainability=explanation),
            drift_check_baselines=DriftCheckBaselines(**quality, explainability_constraints=explanation),
            metadata_properties=MetadataProperties(
                commit_id=config.commit,
                repository=config.repository,
                generated_by=ExecutionVariables.PIPELINE_EXECUTION_ARN,
                project_id=config.project_id,
            ),
            customer_metadata_properties=self._customer_metadata(),
            model_card=ModelPackageModelCard(model_card_content=self._model_card(), model_card_status="Draft"),
        )
        return ModelStep(
            "Register",
            description="Offer the model for approval",
            step_args=request,
            retry_policies=[_call_retry()],
        )

    def _data(self, *, shard: bool) -> list[ProcessingInput]:
        return self._config.source.inputs(self._parameters.data, self._source_steps, shard=shard)

    @property
    def _lineage(self) -> dict[str, Any]:
        """What the registry keeps about the data and its version."""
        return self._config.source.lineage(self._parameters.data) | {"data_version": self._parameters.data_version}

    @property
    def _model_data(self) -> Any:
        return self.train.properties.ModelArtifacts.S3ModelArtifacts

    def _evaluated(self, path: str) -> JsonGet:
        """Return a value of evaluation.json, known once the step Evaluate is done."""
        return JsonGet(step_name="Evaluate", property_file=EVALUATION, json_path=path)

    def _description(self) -> Join:
        """Return what lists of models show: what it predicts, and how well."""
        label = re.sub(r"\s", " ", self._config.job.label)[:256]  # the registry refuses line breaks and tabs
        return Join(on="", values=[f"Predicts {label}; on test records ", self._evaluated("gate.reason")])

    def _customer_metadata(self) -> dict[str, Any]:
        """Return what a person wants to see beside the model without opening a report."""
        job = self._config.job
        return {
            "label": _metadata_text(job.label),
            "problem_type": self._evaluated("problem_type"),
            "metric": self._evaluated("gate.metric"),
            "metric_value": _text(self._evaluated("gate.value")),
            "metric_without_model": _text(self._evaluated("gate.baseline")),
            "threshold": "none" if job.threshold is None else str(job.threshold),
            "commit": self._config.commit,
            **self._lineage,
            "pipeline_execution": ExecutionVariables.PIPELINE_EXECUTION_ARN,
            "samples": _output_of(self.evaluate, "samples"),
        }

    def _model_card(self) -> Join:
        """Return the content of the model card: JSON in which the results of the execution are filled in."""
        *data, data_version = self._lineage.values()
        label = self._config.job.label
        card = {
            "model_overview": {"model_creator": self._config.project_name or self._config.pipeline_name},
            "intended_uses": {"purpose_of_model": f"Predict {label} from the other columns of a record."},
            "training_details": {
                "objective_function": {
                    "notes": "Gradient boosted trees (XGBoost), stopped early on validation records."
                },
                "training_observations": _Slot(
                    "Data: ", *(part for value in data for part in (value, ", ")), "version ", data_version
                ),
            },
            "evaluation_details": [
                {
                    "name": "Test records",
                    "evaluation_observation": _Slot(
                        "Records that took no part in training; the gate let the model pass. Approved model: ",
                        self._evaluated("champion.note"),
                        ".",
                    ),
                    "metric_groups": [
                        {
                            "name": "Gate",
                            "metric_data": [
                                {
                                    "name": _Slot(self._evaluated("gate.metric")),
                                    "type": "number",
                                    "value": _Slot(self._evaluated("gate.value"), is_text=False),
                                }
                            ],
                        }
                    ],
                }
            ],
            "additional_information": {
                "custom_details": {
                    "commit": self._config.commit,
                    "pipeline execution": _Slot(ExecutionVariables.PIPELINE_EXECUTION_ARN),
                }
            },
        }
        return Join(on="", values=_fill_in(card))

    def _processing(
        self,
        name: str,
        description: str,
        code: _Code | _SourceCode,
        *,
        inputs: list[ProcessingInput],
        outputs: list[str],
        arguments: list[Any] | None = None,
        environment: dict[str, Any] | None = None,
        instance_count: Any = 1,
        instance_type: str | None = None,
        property_files: list[PropertyFile] | None = None,
        cached: bool = True,
    ) -> ProcessingStep:
        """Return a step that runs ``<name in lower case>.py`` of its code."""
        config = self._config
        machines = config.machines
        script = f"{name.lower()}.py"
        processor = FrameworkProcessor(
            image_uri=self._image,
            command=["python3"],
            role=config.role_arn,
            instance_count=instance_count,
            instance_type=instance_type or self._parameters.processing_instance_type,
            volume_size_in_gb=machines.volume_gib,
            volume_kms_key=config.kms_key_arn,
            output_kms_key=config.kms_key_arn,
            max_runtime_in_seconds=machines.max_runtime_minutes * 60,
            env=environment,
            tags=[{"Key": key, "Value": value} for key, value in config.tags.items()] or None,
            network_config=NetworkConfig(
                subnets=list(config.subnet_ids), security_group_ids=list(config.security_group_ids)
            )
            if config.subnet_ids
            else None,
            sagemaker_session=self._session,
        )
        return ProcessingStep(
            name,
            description=description,
            step_args=processor.run(
                code=script,
                source_dir=str(code.folder),
                inputs=inputs,
                outputs=[self._output(name, output) for output in outputs],
                arguments=arguments,
                # The prefix of its code, which must depend on nothing but the code; jobs are named by the pipeline.
                job_name=f"{config.pipeline_name}/code/{name.lower()}-{code.digest}",
            ),
            property_files=property_files,
            cache_config=self._cache if cached else None,
            retry_policies=_job_retries(),
        )

    def _output(self, step: str, name: str) -> ProcessingOutput:
        prefix = f"s3://{self._config.bucket}/{self._config.pipeline_name}/runs"
        return ProcessingOutput(
            output_name=name,
            s3_output=ProcessingS3Output(
                s3_uri=Join(on="/", values=[prefix, ExecutionVariables.PIPELINE_EXECUTION_ID, step.lower(), name]),
                local_path=f"/opt/ml/processing/output/{name}",
                s3_upload_mode="EndOfJob",
            ),
        )


class _Slot:
    """A place in JSON that is filled in during the execution, from texts and pipeline variables."""

    def __init__(self, *parts: Any, is_text: bool = True) -> None:
        self.parts = parts
        self.is_text = is_text


def _fill_in(content: Any) -> list[Any]:
    """Return JSON as a list to be joined: pieces of text, and pipeline variables in place of the slots."""
    slots: list[_Slot] = []

    def mark(value: Any) -> str:
        slots.append(value)
        return f"\0{len(slots) - 1}\0"

    pieces: list[Any] = []
    for number, piece in enumerate(json.dumps(content, default=mark).split('"\\u0000')):
        if number == 0:
            pieces.append(piece)
            continue
        index, rest = piece.split('\\u0000"', 1)
        slot = slots[int(index)]
        quote = '"' if slot.is_text else ""
        pieces += [quote, *slot.parts, quote + rest] if slot.is_text else [*slot.parts, rest]
    return pieces


def _input(name: str, uri: Any) -> ProcessingInput:
    return ProcessingInput(
        input_name=name,
        s3_input=ProcessingS3Input(
            s3_uri=uri,
            local_path=f"/opt/ml/processing/input/{name}",
            s3_data_type="S3Prefix",
            s3_input_mode="File",
        ),
    )


def _output_of(step: ProcessingStep, name: str) -> Any:
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def _file(folder: Any, name: str) -> Join:
    return Join(on="/", values=[folder, name])


def _json_file(folder: Any, name: str) -> MetricsSource:
    return MetricsSource(content_type="application/json", s3_uri=_file(folder, name))


def _text(number: JsonGet) -> Join:
    """Return a number as text: metadata of a model package is text only."""
    return Join(on="", values=[number])


def _metadata_text(text: str) -> str:
    """Return a text as the metadata of a model package may hold it; CreateModelPackage refuses other characters."""
    return re.sub(r"[^\w .:/=+@-]", "_", text)[:256]


def _call_retry() -> StepRetryPolicy:
    """Retry calls that SageMaker throttled or could not answer."""
    return StepRetryPolicy(
        exception_types=[StepExceptionTypeEnum.THROTTLING, StepExceptionTypeEnum.SERVICE_FAULT],
        interval_seconds=10,
        backoff_rate=2.0,
        max_attempts=5,
    )


def _job_retries() -> list[Any]:
    """Retry jobs for which there was no machine, for about an hour, besides calls that failed."""
    capacity = SageMakerJobStepRetryPolicy(
        exception_types=[SageMakerJobExceptionTypeEnum.CAPACITY_ERROR, SageMakerJobExceptionTypeEnum.INTERNAL_ERROR],
        interval_seconds=120,
        backoff_rate=2.0,
        max_attempts=5,
    )
    return [_call_retry(), capacity]


def _left_over(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if sdk.is_left_over(Path(name))]
