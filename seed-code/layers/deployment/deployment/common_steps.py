"""Steps that every kind of deployment has: render, check that the approval stands, deploy, export the model card.

Each step renders what it needs itself, from the commit and the package of the execution: a later execution, whose code
may be another, cannot change what an earlier one deploys after its approval.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deployment import checks, copying, packages, stacks
from deployment import render as rendering
from deployment.context import Context
from deployment.errors import DeploymentError
from deployment.packages import ModelPackage
from deployment.settings import STAGES

Parameters = Callable[[Context, str, ModelPackage], Mapping[str, str]]
"""Returns values of template parameters for a stage and a package whose URIs are in the stage's bucket."""

_CARD_POLL_S = 10.0
_CARD_WAIT_S = 900.0


def render(context: Context, template: str, parameters: Parameters) -> None:
    """Choose the newest approved package of the group, and see whether it can be deployed to both stages.

    Ends the pipeline's execution if nothing is approved.

    Args:
        context: Of the step.
        template: Name of a file in templates/, without ``.yaml``.
        parameters: Values of the template's own parameters.
    """
    build = context.build
    package = context.newest_approved()
    if package is None:
        reason = f"No package of group {build.model_package_group} is approved yet; an approval starts the pipeline."
        print(reason)
        context.hub("codepipeline").stop_pipeline_execution(
            pipelineName=build.pipeline_name,
            pipelineExecutionId=build.execution_id,
            abandon=True,
            reason=reason[:200],
        )
        return
    render_package(context, package, template, parameters)
    context.export(PACKAGE_ARN=package.arn, PACKAGE_VERSION=str(package.version))


def render_package(
    context: Context,
    package: ModelPackage,
    template: str,
    parameters: Parameters,
    stages: Sequence[str] = STAGES,
    *,
    lint: bool = True,
) -> None:
    """Render a package into rendered/, and check the result.

    Args:
        context: Of the step.
        package: With URIs in the registry of the hub.
        template: Name of a file in templates/, without ``.yaml``.
        parameters: Values of the template's own parameters.
        stages: Stages to render for. Default: all.
        lint: Whether cfn-lint looks at the templates, besides the rules of the platform. Default: yes.

    Raises:
        DeploymentError: A template or a setting cannot be used; the text lists everything that was found.
    """
    build = context.build
    problems: list[str] = []
    for stage in stages:
        place = build.places[stage]
        located = copying.located(package, build.bucket(stage))
        own = {key: str(value) for key, value in parameters(context, stage, located).items()}
        values = {**common_parameters(context, stage, located), **own}
        containers = rendering.containers_of(located, place.region, registered_in=build.hub_region)
        declared: set[str] = set()
        for name in ("base", template):
            content = rendering.load(context.root / "templates" / f"{name}.yaml")
            declared |= set(content.get("Parameters", {}))
            result = rendering.render(name, content, values, containers)
            result.write(context.rendered / stage)
            problems += [f"{stage}: {text}" for text in checks.problems(context, stage, result, lint=lint)]
        unknown = sorted(set(own) - declared)
        if unknown:
            problems.append(
                f"{stage}: no template declares the parameters {', '.join(unknown)} of deployment/steps.py."
            )
    if problems:
        raise DeploymentError("The templates cannot be deployed:\n" + "\n".join(f"- {text}" for text in problems))
    print(f"rendered {package.arn} for {' and '.join(stages)}")


def common_parameters(context: Context, stage: str, package: ModelPackage) -> dict[str, str]:
    """Return the values of parameters that any template may declare; those of the layer go before these."""
    build = context.build
    return {
        "ProjectName": build.project_name,
        "ProjectId": build.project_id,
        "Stage": stage,
        "CostCenter": build.cost_center,
        "HubAccountId": build.hub_account,
        "HubBusArn": build.hub_bus_arn,
        "PackageArn": package.arn,
        "PackageVersion": str(package.version),
        "PackageKey": package.key,
        "ReplicaKeyArn": "",
    }


def approved_or_stop(context: Context) -> None:
    """Check that the chosen package is still approved in the hub's registry.

    Raises:
        DeploymentError: It is not; nothing may be deployed.
    """
    packages.require_approved(context.hub("sagemaker"), context.package)
    print(f"{context.package.arn} is approved")


def deploy(
    context: Context,
    template: str,
    parameters: Parameters,
    *,
    files: Mapping[str, Path | bytes] | None = None,
    before: Callable[[Context], None] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, str]:
    """Render the chosen package for this build's stage, deploy it, and return the outputs of the stack.

    Args:
        context: Of the step.
        template: Name of a file in templates/, without ``.yaml``.
        parameters: Values of the template's own parameters.
        files: Files for the stage's bucket by key, e.g. code of jobs (`copying.code_files`).
        before: Called when bucket, roles and files are there, before the stack is changed.
        pause: Waits for some seconds.

    Raises:
        DeploymentError: The approval was withdrawn, a check found something, or a stack failed.
    """
    approved_or_stop(context)
    # The step `render` of this execution had the same source, package and settings, so cfn-lint saw the same templates.
    render_package(context, context.package, template, parameters, [context.stage], lint=False)
    deploy_base(context, files=files, pause=pause)
    if before is not None:
        before(context)
    return deploy_stack(context, template, pause=pause)


def deploy_base(
    context: Context,
    *,
    files: Mapping[str, Path | bytes] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, str]:
    """Create or update bucket, key and roles of the stage as rendered, copy the package, and return the outputs."""
    build, stage, target = context.build, context.stage, context.target()
    base = rendering.Rendered.read(context.rendered / stage, "base")
    name = build.base_stack(stage)
    print(f"{name} in account {target.account}, region {target.region}")
    outputs = stacks.apply(
        target,
        stacks.Stack(name=name, template=base.text, parameters=base.parameters, tags=build.tags(stage)),
        pause=pause,
    )
    bucket, key_arn = build.bucket(stage), outputs["KeyArn"]
    copying.copy_package(context.package, target, bucket, key_arn=key_arn, source_region=build.hub_region)
    copying.put(target, bucket, files or {}, key_arn=key_arn)
    return outputs


def deploy_stack(context: Context, template: str, *, pause: Callable[[float], None] = time.sleep) -> dict[str, str]:
    """Create or update the stack of the stage with a rendered template and return its outputs."""
    build, stage, target = context.build, context.stage, context.target()
    rendered = rendering.Rendered.read(context.rendered / stage, template)
    base = stacks.outputs(target, build.base_stack(stage))
    name = build.stack(stage)
    print(f"{name} in account {target.account}, region {target.region}")
    return stacks.apply(
        target,
        stacks.Stack(
            name=name,
            template=rendered.text,
            # Parameters named like an output of the first stack get its value, e.g. KeyArn: nobody knows it before.
            parameters={
                **rendered.parameters,
                **{key: value for key, value in base.items() if key in rendered.template.get("Parameters", {})},
            },
            tags=build.tags(stage),
            role_arn=build.role_arn(stage, "execution"),
            bucket=build.bucket(stage),
            key_arn=base["KeyArn"],
        ),
        pause=pause,
    )


def export_card(context: Context, *, pause: Callable[[float], None] = time.sleep) -> str:
    """Export the model card of the package as PDF into the project's bucket and return its URI.

    Raises:
        DeploymentError: SageMaker could not export it.
    """
    build = context.build
    client = context.hub("sagemaker")
    card = client.describe_model_card(ModelCardName=context.package.card)
    folder = f"s3://{build.artifact_bucket}/reports/{build.execution_id}/model-card"
    arn = client.create_model_card_export_job(
        ModelCardName=context.package.card,
        ModelCardVersion=card["ModelCardVersion"],
        ModelCardExportJobName=f"mlp-{build.project_id}-{int(time.time())}",
        OutputConfig={"S3OutputPath": folder},
    )["ModelCardExportJobArn"]
    waited = 0.0
    while True:
        job = client.describe_model_card_export_job(ModelCardExportJobArn=arn)
        if job["Status"] == "Completed":
            uri = str(job["ExportArtifacts"]["S3ExportArtifacts"])
            print(f"model card: {uri}")
            return uri
        if job["Status"] == "Failed" or waited >= _CARD_WAIT_S:
            raise DeploymentError(
                f"The model card {context.package.card} was not exported: the job is {job['Status']} "
                f"({job.get('FailureReason', f'for {waited:.0f} s')}). What is deployed works; run this step again."
            )
        pause(_CARD_POLL_S)
        waited += _CARD_POLL_S
