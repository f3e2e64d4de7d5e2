"""What the stack around the function tells it."""

from __future__ import annotations

from dataclasses import dataclass

from lambdas.shared.environment import Environment


@dataclass(frozen=True, kw_only=True)
class PromotionEnvironment(Environment):
    """Environment of the function.

    Attributes:
        artifact_bucket: The registry bucket.
        artifact_key_arn: Its KMS key.
        audit_bucket: Bucket with a record per decision.
        hub_account_id: Account of the registry.
        queue_url: Queue that feeds the function.
        reader_account_ids: Deployment accounts that read the registry, with commas between them.
        registry_repository: ECR repository of copied images.
    """

    artifact_bucket: str
    artifact_key_arn: str
    audit_bucket: str
    hub_account_id: str
    queue_url: str
    reader_account_ids: str
    registry_repository: str
