"""The names on which accounts, products and the baselines agree, each built and length-checked in this one place.

Those that functions need come from below, because a function's zip holds lambdas/ only: `lambdas.shared.product_names`,
and `lambdas.model_promotion.names` for what concerns models. ``tests/test_repeated_names.py`` compares with them what
has to be repeated in other languages: seed code, policies, build commands, documentation.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from lambdas.shared import product_names

CONTRACT: Final = 1
"""Contract version between the workload baseline and released templates (docs/architecture.md)."""

UNRELEASED: Final = "0.0.0-unreleased"
"""What a template says where it states its own version (e.g. `Version` of ``Custom::SeedCode``, a version tag).

`portfolio release` puts the version that it releases in its place; a product never knows its version.
"""

PREFIX: Final = "ml-platform"
PIPELINE_STACK: Final = "MlPlatformPipeline"
"""Stack of the catalog's own pipeline; names that CloudFormation generates in it begin with its name."""

LAUNCH_ROLE: Final = "ml-platform-launch"
BOUNDARY_POLICY: Final = "ml-platform-boundary"
PROJECT_ROLE_PATH: Final = product_names.PROJECT_ROLE_PATH
BASELINE_ROLE_PATH: Final = "/ml-platform/baseline/"
HUB_ROLE_PATH: Final = "/ml-platform/hub/"
"""Path of the hub's roles that read what projects register; released templates admit roles below it and no others."""

DEPLOYMENT_ROLE_PATH: Final = "/ml-platform/deployment/"
"""Path of the roles that a deployment has in the test and production accounts."""

DATA_POLICY_PATH: Final = "/ml-platform/data/"
"""Path of the policies with which data-access products open files to people."""

STUDIO_ROLE_PATH: Final = f"{product_names.PERSONA_ROLE_PATH}none/"
"""Path of a domain's execution role, with which profiles without a persona open Studio; no job gets it."""

LEAD: Final = "lead-data-scientist"
DATA_SCIENTIST: Final = "data-scientist"
ML_ENGINEER: Final = "ml-engineer"
PERSONAS: Final = (LEAD, DATA_SCIENTIST, ML_ENGINEER)

SEED_CHECKIN_FUNCTION: Final = "ml-platform-seed-checkin"
SEED_CHECKIN_COMPLETION_FUNCTION: Final = "ml-platform-seed-checkin-completion"
SEED_CHECKIN_BUILD: Final = "ml-platform-seed-checkin"
BUCKET_EMPTIER_FUNCTION: Final = product_names.BUCKET_EMPTIER_FUNCTION
ENABLE_PROJECTS_FUNCTION: Final = "ml-platform-enable-projects"
PREFLIGHT_FUNCTION: Final = "ml-platform-preflight"
DATA_PERMISSIONS_FUNCTION: Final = "ml-platform-data-permissions"
DATA_LAKE_ADMINISTRATOR_FUNCTION: Final = "ml-platform-data-lake-administrator"
MODEL_PROMOTION_FUNCTION: Final = "ml-platform-model-promotion"

DEPLOYMENT_FUNCTION: Final = "ml-platform-deployment"
"""Function of the hub behind ``Custom::Deployment``: takes a stage's stacks down when its project is deleted."""

DEPLOY_ROLE: Final = product_names.DEPLOY_ROLE
"""Role of a deployment account that the stages of deployment projects assume, each tagged with `DEPLOYMENT_TAG`."""

DEPLOYMENT_BOUNDARY_POLICY: Final = "ml-platform-deployment-boundary"

COMPONENT_TAG: Final = "ml-platform:component"
BASELINE_COMPONENT: Final = "baseline"
HUB_COMPONENT: Final = "hub"
"""Tag of the platform's own resources, and its values: everything in a baseline, and the other keys of the hub."""

DEPLOYMENT_TAG: Final = product_names.DEPLOYMENT_TAG
"""Tag of roles and sessions that says which stage of which project they work for, e.g. ``p-abc123-prod``.

Policies of deployment accounts let a role touch what carries this value in its name, and nothing else.
"""

GROUP_TAG: Final = "ml-platform-group"
"""Tag of the roles and sessions of a deployment project that names the group of the central registry it deploys."""

SHARED_WITH_TAG: Final = "ml-platform-shared-with"
"""Tag with which the owner of a bucket in a deployment account opens it to stages: ``p-abc123-test p-abc123-prod``."""

ACTS_AS_TAG: Final = "ml-platform-acts-as"
"""Tag of a session of the data scientists' role that the lead opened; its value is the lead's persona.

The role itself says ``data-scientist``, so that no tag of the stack gets there, and SageMaker may not tag the sessions
that it opens for Studio.
"""

PORTFOLIO_TAG: Final = "ml-platform:portfolio"
"""Tag of everything that is launched: id of the portfolio it was launched from."""

COST_CENTER_TAG: Final = "CostCenter"
PROJECT_NAME_TAG: Final = "sagemaker:project-name"
PROJECT_ID_TAG: Final = "sagemaker:project-id"
"""Tags of everything that belongs to a project; the last one also says whose a job is."""

BASE_STACK_SUFFIX: Final = product_names.BASE_STACK_SUFFIX
SEED_BRANCHES: Final = product_names.SEED_BRANCHES

STAGES: Final = product_names.STAGES

REPORTS_PREFIX: Final = "reports/"
"""Where builds leave reports in the bucket of a deployment project, by execution of its pipeline."""

DRIFT_SOURCE: Final = "ml-platform"
DRIFT_EVENT: Final = "Model drift detected"
"""Source and detail type of the event on the hub's bus that a monitor raises."""

DRIFT_TOPIC: Final = "ml-platform-model-drift"
"""SNS topic of the hub that tells people and functions of drift."""

WORKLOAD_STACK_SET: Final = "ml-platform-baseline"
DEPLOYMENT_STACK_SET: Final = "ml-platform-deployment-baseline"
"""StackSets with the baselines, in every region of the hub."""

HUB_EVENT_BUS: Final = "ml-platform"
"""Bus of the hub to which the accounts of the workloads OU forward what happens to their models."""

MODEL_REPOSITORY: Final = "ml-platform-models"
"""ECR repository of the hub with the copies of images that models were registered with."""

AUDIT_DATABASE: Final = "ml_platform"
AUDIT_TABLE: Final = "decisions"
"""Glue database and table over the records of decisions about models."""

ARTIFACT_KEY_ALIAS: Final = "alias/ml-platform-artifacts"
"""Alias of the key of the hub's artifact bucket; the pipeline's permissions name the key by it."""

ContractValue: TypeAlias = Literal[
    "hub-account-id", "artifact-bucket", "boundary-arn", "baseline-version", "connection-arn"
]
"""What an account tells the products launched in it, each in a parameter of its own (`contract_parameter`)."""

BASELINE_NEEDED: Final = "BaselineNeeded"
"""Property of ``Custom::Preflight`` with the least version of the baseline; `portfolio release` records it."""

VPC_ID_PARAMETER: Final = "/ml-platform/network/vpc-id"
SUBNET_IDS_PARAMETER: Final = "/ml-platform/network/subnet-ids"

PROJECT_NAME_MAX: Final = 32
PROJECT_ID_MAX: Final = 16
DOMAIN_NAME_MAX: Final = 20


def contract_parameter(name: ContractValue, *, contract: int = CONTRACT) -> str:
    """Return the name of a contract parameter, e.g. ``/ml-platform/v1/boundary-arn``."""
    return f"/{PREFIX}/v{contract}/{name}"


def persona_role_path(persona: str) -> str:
    """Return the IAM path of a persona's roles, e.g. ``/ml-platform/persona/data-scientist/``.

    Raises:
        ValueError: The persona is not one of `PERSONAS`.
    """
    if persona not in PERSONAS:
        raise ValueError(f"persona {persona!r} is unknown: use one of {', '.join(PERSONAS)}")
    return f"{product_names.PERSONA_ROLE_PATH}{persona}/"


def artifact_bucket(hub_account_id: str, region: str) -> str:
    """Return the name of the hub's artifact bucket in a region (at most 63 characters, S3's limit)."""
    return checked_bucket_name(f"{PREFIX}-artifacts-{hub_account_id}-{region}")


def registry_bucket(hub_account_id: str, region: str) -> str:
    """Return the name of the hub's bucket with the artifacts of promoted models in a region."""
    return checked_bucket_name(f"{PREFIX}-registry-{hub_account_id}-{region}")


def audit_bucket(hub_account_id: str, region: str) -> str:
    """Return the name of the hub's bucket with the records of decisions about models in a region."""
    return checked_bucket_name(f"{PREFIX}-audit-{hub_account_id}-{region}")


def checked_bucket_name(name: str) -> str:
    """Return `name`, or raise ValueError when it is longer than the 63 characters that S3 allows."""
    if len(name) > 63:
        raise ValueError(f"bucket name {name!r} has {len(name)} characters; S3 allows 63")
    return name


# ---- names inside templates: text for Fn::Sub ----

PROJECT_RESOURCE_PREFIX: Final = product_names.PRODUCT_PREFIX
"""Prefix of every named resource that a product makes, so that the launch role can be scoped to it."""

PROJECTS_PREFIX: Final = f"{PROJECT_RESOURCE_PREFIX}p-"
"""Prefix of what projects make, whose ids begin with ``p-``; what domains make begins with ``mlp-d-``."""

DOMAIN_BUCKET: Final = "mlp-d-${DomainName}-${Unique}-${AWS::AccountId}-${AWS::Region}"
"""Bucket of a domain: at most 6 + 20 + 1 + 8 + 1 + 12 + 1 + 14 = 63 characters. `Unique` is part of the stack id."""

PROJECT_NAME_PATTERN: Final = r"^[a-z0-9](-*[a-z0-9]){0,31}$"
"""Project names: SageMaker's pattern in lower case, because SageMaker writes names in lower case into ARNs."""

PROJECT_ID_PATTERN: Final = f"^{product_names.PROJECT_ID}$"
"""Project ids as SageMaker makes them, at most `PROJECT_ID_MAX` characters so that every derived name fits."""

DOMAIN_NAME_PATTERN: Final = r"^[a-z0-9](-*[a-z0-9]){0,19}$"
"""Domain names: part of a bucket name, so lower case and at most `DOMAIN_NAME_MAX` characters."""

PROJECT_BUCKET: Final = "mlp-${SageMakerProjectId}-${AWS::AccountId}-${AWS::Region}"
"""Artifact bucket of a project: at most 4 + 16 + 1 + 12 + 1 + 14 = 48 characters."""

ATHENA_PREFIX: Final = "athena/"
"""Where the results of a project's queries are in its bucket; only the project's roles and its people read them."""

link_database = product_names.link_database

PROJECT_PIPELINE: Final = "${SageMakerProjectName}-${SageMakerProjectId}"
"""SageMaker pipeline and model package group of a project: at most 32 + 1 + 16 = 49 characters."""

DOMAIN_CONNECTION: Final = "mlp-d-${DomainName}"
"""CodeConnection of a domain: at most 26 of the 32 characters that CodeConnections allows."""


def project_resource(purpose: str) -> str:
    """Return the name of a project's resource as text for ``Fn::Sub``, e.g. ``mlp-${SageMakerProjectId}-build``."""
    return f"{PROJECT_RESOURCE_PREFIX}${{SageMakerProjectId}}-{purpose}"


_WORK_GROUP: Final = "athena"

PROJECT_WORK_GROUP: Final = project_resource(_WORK_GROUP)
"""Athena work group of a project."""

PROJECT_WORK_GROUPS: Final = f"{PROJECTS_PREFIX}*-{_WORK_GROUP}"
"""Athena work groups of all projects of an account."""
