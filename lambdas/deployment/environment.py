"""What the stack around the functions tells them."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.shared.environment import Environment


@dataclass(frozen=True, kw_only=True)
class CompletionEnvironment(Environment):
    """Environment of the function that answers when a teardown has ended.

    Attributes:
        build_project: CodeBuild project that takes stages down.
        requests_table: DynamoDB table of the requests that wait for it.
    """

    build_project: str
    requests_table: str


@dataclass(frozen=True, kw_only=True)
class DeploymentEnvironment(CompletionEnvironment):
    """Environment of the function behind the custom resource.

    Attributes:
        partition: Partition of the hub, e.g. ``aws``.
        regions: Regions of the hub, with commas between them.
    """

    partition: str
    regions: str
