"""What the builds of CodePipelines have in common, in training and in deployment projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import aws_codebuild as codebuild

from products.shared import template
from products.shared.roles import Grant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_logs as logs
    from constructs import Construct

BUILD_IMAGE: Final = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
"""Pinned image with Python 3.12 (https://docs.aws.amazon.com/codebuild/latest/userguide/available-runtimes.html)."""

# Connections made before mid-2024 are decided under their old service prefix.
_CONNECTIONS: Final = {"codeconnections": "Connection", "codestar-connections": "OldConnection"}
_QUEUE_MINUTES: Final = 60


def use_repository(connection_arn: str, repository: str) -> list[Grant]:
    """Return the grants to read one repository of those that a connection reaches.

    The key is there only when a repository is named ("UseConnection" in
    https://docs.aws.amazon.com/dtconsole/latest/userguide/security-iam.html); hence ``IfExists``.
    """
    return [
        Grant(
            sid=f"Use{name}",
            actions=[f"{service}:UseConnection"],
            resources=[connection_arn],
            conditions={"StringEqualsIfExists": {f"{service}:FullRepositoryId": repository}},
        )
        for service, name in _CONNECTIONS.items()
    ]


def pipeline_build(
    scope: Construct,
    *,
    name: str,
    description: str,
    role: iam.IRole,
    key: kms.IKey,
    log_group: logs.CfnLogGroup,
    variables: Mapping[str, str],
    minutes: int,
) -> codebuild.CfnProject:
    """Add the CodeBuild project ``Build`` of an action in a CodePipeline.

    Args:
        scope: Where it belongs.
        name: Its name, as text for ``Fn::Sub``.
        description: What it does, as text for ``Fn::Sub``.
        role: What it may do.
        key: Key of its artifacts.
        log_group: Where it writes.
        variables: Its environment variables.
        minutes: Longest run.
    """
    project = codebuild.CfnProject
    return project(
        scope,
        "Build",
        name=template.sub(name),
        description=template.sub(description),
        service_role=role.role_arn,
        encryption_key=key.key_arn,
        artifacts=project.ArtifactsProperty(type="CODEPIPELINE"),
        source=project.SourceProperty(type="CODEPIPELINE"),
        environment=project.EnvironmentProperty(
            type="LINUX_CONTAINER",
            compute_type="BUILD_GENERAL1_SMALL",
            image=BUILD_IMAGE,
            privileged_mode=False,
            environment_variables=[
                project.EnvironmentVariableProperty(name=variable, value=value) for variable, value in variables.items()
            ],
        ),
        logs_config=project.LogsConfigProperty(
            cloud_watch_logs=project.CloudWatchLogsConfigProperty(status="ENABLED", group_name=log_group.ref)
        ),
        timeout_in_minutes=minutes,
        queued_timeout_in_minutes=_QUEUE_MINUTES,
    )
