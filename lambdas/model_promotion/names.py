"""Names on which the function agrees with the stack around it and with those who read its buckets.

Seed code and permission sets repeat some of them, which tests/test_repeated_names.py compares. The table over the audit
records has the fields of `audit.Verdict` as its columns.
"""

from __future__ import annotations

from typing import Final

MODEL_SOURCE: Final = "aws.sagemaker"
MODEL_EVENT: Final = "SageMaker Model Package State Change"
"""Source and detail type of the event that a model package changed."""

APPROVAL_SOURCE: Final = "aws.codepipeline"
APPROVAL_EVENT: Final = "CodePipeline Action Execution State Change"
"""Source and detail type of the event that somebody answered the approval of a deployment pipeline."""

RENDER_STAGE: Final = "Render"
PACKAGE_VARIABLE: Final = "PACKAGE_ARN"
"""First stage of a deployment pipeline, and the variable with which its build says which model is deployed."""

APPROVAL_STAGE: Final = "Approve"
APPROVAL_ACTION: Final = "GovernanceApproval"
"""Where a deployment pipeline asks the governance officer; their permission set opens this action only."""

APPROVED: Final = "Approved"
REJECTED: Final = "Rejected"
PENDING: Final = "PendingManualApproval"
"""Values of ``ModelApprovalStatus``."""

DECISIONS: Final = (APPROVED, REJECTED)
"""Those that are somebody's decision."""

PACKAGES_PREFIX: Final = "packages/"
"""Where the copies of artifacts are in the registry bucket, by group of the hub."""

PROMOTED_PREFIX: Final = "promoted/"
"""Where it says, by group and version of the hub, what was promoted; deployments compare packages with that."""

PROGRESS_PREFIX: Final = "promotions/"
"""Where the function keeps in that bucket how far each promotion has come."""

AUDIT_PREFIX: Final = "decisions/"
"""Where the records are in the audit bucket: ``decisions/year=2026/month=05/day=01/<name>.json``, one in a file."""

FOLDER_KEY: Final = "source_folder"
DIGEST_KEY: Final = "source_digest"
SOURCE_KEY: Final = "source_package"
"""Customer metadata of the hub's packages: where the artifacts are, the SHA-256 over images and artifacts, the origin.
The ML engineer's policy denies changes of these and of `decisions.Decision.metadata`."""

LINEAGE_PREFIX: Final = "data_"
"""Keys of customer metadata that name the training data begin with it; data stays where it is, whatever its size."""
