"""What the stack around the functions tells them."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.shared.environment import Environment


@dataclass(frozen=True, kw_only=True)
class CompletionEnvironment(Environment):
    """Environment of the function that answers when a check-in has ended.

    Attributes:
        build_project: CodeBuild project that checks seed code in.
        ledger_table: DynamoDB table of pending requests and of what was checked in.
    """

    build_project: str
    ledger_table: str


@dataclass(frozen=True, kw_only=True)
class SeedCheckinEnvironment(Environment):
    """Environment of the function behind the custom resource.

    Attributes:
        artifact_bucket: The hub's artifact bucket, which holds the seed code.
        build_project: CodeBuild project that checks seed code in.
        ledger_table: DynamoDB table of pending requests and of what was checked in.
        url_suffix: Domain of the partition, e.g. ``amazonaws.com``.
    """

    artifact_bucket: str
    build_project: str
    ledger_table: str
    url_suffix: str
