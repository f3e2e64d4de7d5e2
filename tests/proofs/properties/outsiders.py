"""Administrators of other accounts: their own policies refuse them nothing, the platform's resource policies do."""

from __future__ import annotations

from typing import Final

from products.shared import names
from tests.proofs.properties.vocabulary import (
    NOT_THROUGH_S3,
    READS_OBJECTS,
    WRITES_OBJECTS,
    Property,
    any_with,
    both,
    except_,
    having,
    having_key,
    having_other,
    lacking_key,
    not_on,
    on,
)
from tests.proofs.world import ATTACKER, DEPLOYMENT, DEV, HUB, REGION, VICTIM

_REGISTRY: Final = names.registry_bucket(HUB, REGION)
_AUDIT: Final = names.audit_bucket(HUB, REGION)
_ARTIFACTS: Final = f"ml-platform-artifacts-{HUB}-{REGION}"
_BUS: Final = f"event-bus/{names.HUB_EVENT_BUS}"


def _whole(*buckets: str) -> tuple[str, ...]:
    return tuple(f"{bucket}{rest}" for bucket in buckets for rest in ("", "/*"))


_anybody = having("administrator")
_foreign = any_with("colleague", "stranger")
_dev = having("administrator", "dev")
_deployment = having("administrator", "deployment")
_stranger = having("administrator", "stranger")
_KEYS: Final = ("key/ml-platform-artifacts-*", "key/ml-platform-registry-*", "key/ml-platform-hub-baseline-*")
_HUB_BUCKETS: Final = (_REGISTRY, _AUDIT, _ARTIFACTS)

PROPERTIES: Final = (
    Property(
        says="No administrator of another account writes into a bucket of the hub",
        who=_anybody,
        may=(*WRITES_OBJECTS, "s3:PutBucket*", "s3:DeleteBucket*", "s3:Put*Configuration"),
        closed=True,
        where=on(*_whole(_REGISTRY, _ARTIFACTS)),
        owners=(HUB,),
    ),
    Property(
        says="No administrator of another account reads or writes the audit trail",
        who=_anybody,
        may=("s3:*",),
        closed=True,
        where=on(*_whole(_AUDIT)),
        owners=(HUB,),
        kinds=("bucket", "object"),
    ),
    Property(
        says="No administrator of an account outside the OUs reads anything of the hub",
        who=_foreign,
        may=READS_OBJECTS,
        where=on(*_whole(*_HUB_BUCKETS)),
        owners=(HUB,),
    ),
    Property(
        says="Administrators of development accounts read releases and seed code of the hub and nothing else",
        who=_dev,
        may=READS_OBJECTS,
        where=both(on(*_whole(*_HUB_BUCKETS)), not_on(f"{_ARTIFACTS}/releases/*", f"{_ARTIFACTS}/assets/*")),
        owners=(HUB,),
        kinds=("object",),
    ),
    Property(
        says="Administrators of deployment accounts read promoted packages and code of functions and nothing else",
        who=_deployment,
        may=READS_OBJECTS,
        where=both(on(*_whole(*_HUB_BUCKETS)), not_on(f"{_ARTIFACTS}/assets/*", f"{_REGISTRY}/packages/*")),
        owners=(HUB,),
        kinds=("object",),
    ),
    Property(
        says="No administrator of another account touches a deployment project's bucket in the hub",
        who=_anybody,
        may=(*READS_OBJECTS, *WRITES_OBJECTS),
        closed=True,
        where=on(*_whole(f"mlp-{VICTIM}-{HUB}-{REGION}")),
        owners=(HUB,),
    ),
    Property(
        says="No administrator of another account touches the bucket of a training project",
        who=any_with("colleague", "stranger", "deployment"),
        may=(*READS_OBJECTS, *WRITES_OBJECTS),
        closed=True,
        where=on(*_whole(f"mlp-{VICTIM}-{DEV}-{REGION}")),
        owners=(DEV,),
    ),
    Property(
        says="No administrator of another account touches the bucket of a stage",
        who=any_with("colleague", "stranger", "dev"),
        may=(*READS_OBJECTS, *WRITES_OBJECTS),
        closed=True,
        where=on(*(w for stage in names.STAGES for w in _whole(f"mlp-{VICTIM}-{stage}-{DEPLOYMENT}-{REGION}"))),
        owners=(DEPLOYMENT,),
    ),
    Property(
        says="No administrator of another account uses a key of the hub but through S3",
        who=_anybody,
        may=("kms:*",),
        closed=True,
        where=both(on(*_KEYS), NOT_THROUGH_S3),
        owners=(HUB,),
        kinds=("key",),
    ),
    Property(
        says="No administrator of another account encrypts with, changes or grants a key of the hub",
        who=_anybody,
        may=("kms:*", "!kms:Decrypt"),
        closed=True,
        where=on(*_KEYS),
        owners=(HUB,),
        kinds=("key",),
    ),
    Property(
        says="No administrator outside the OUs uses a key of the hub at all",
        who=_foreign,
        may=("kms:*",),
        closed=True,
        where=on(*_KEYS),
        owners=(HUB,),
        kinds=("key",),
    ),
    Property(
        says="No administrator of another account reads what is encrypted with the key of the audit trail",
        who=_anybody,
        may=("kms:*",),
        closed=True,
        where=on("key/ml-platform-registry-AuditKey*"),
        owners=(HUB,),
        kinds=("key",),
    ),
    Property(
        says="No administrator outside the organisation puts an event on the hub's bus",
        who=_foreign,
        may=("events:PutEvents",),
        closed=True,
        where=on(_BUS),
        owners=(HUB,),
    ),
    Property(
        says="Administrators of development accounts tell the hub of model packages and alarms only",
        who=_dev,
        may=("events:PutEvents",),
        closed=True,
        where=both(
            on(_BUS),
            having_key("events:source"),
            except_(having_key("events:source", "aws.sagemaker", "aws.cloudwatch")),
        ),
        owners=(HUB,),
    ),
    Property(
        says="Administrators of development accounts tell the hub of no drift",
        who=_dev,
        may=("events:PutEvents",),
        closed=True,
        where=both(on(_BUS), having_key("events:detail-type", "Model drift detected")),
        owners=(HUB,),
    ),
    Property(
        says="Administrators of deployment accounts tell the hub of no decision about a model",
        who=_deployment,
        may=("events:PutEvents",),
        closed=True,
        where=both(on(_BUS), having_key("events:detail-type", "SageMaker Model Package State Change")),
        owners=(HUB,),
    ),
    Property(
        says="No administrator of another account tells the hub of an approval of production",
        who=_anybody,
        may=("events:PutEvents",),
        closed=True,
        where=both(on(_BUS), having_key("events:detail-type", "CodePipeline*")),
        owners=(HUB,),
    ),
    Property(
        says="No administrator of another account changes the hub's bus or who may use it",
        who=_anybody,
        may=("events:*", "!events:PutEvents"),
        closed=True,
        where=on(_BUS),
        owners=(HUB,),
        kinds=("event-bus",),
    ),
    Property(
        says="No administrator of another account enters a role of the hub",
        who=_anybody,
        may=("sts:AssumeRole", "sts:TagSession"),
        closed=True,
        where=on(
            f"role/{names.LAUNCH_ROLE}",
            "role/ml-platform/hub/ml-platform-registry-PromotionRole*",
            "role/ml-platform/baseline/ml-platform-deployment-*",
            f"role/ml-platform/project/SC-{HUB}-pp-{VICTIM}-deploy-realtime-Project*",
        ),
        owners=(HUB,),
    ),
    Property(
        says="No administrator of another account enters a deployment account, the hub's apart",
        who=any_with("dev", "colleague", "stranger"),
        may=("sts:AssumeRole", "sts:TagSession"),
        closed=True,
        where=on(f"role/{names.DEPLOY_ROLE}"),
        owners=(DEPLOYMENT,),
    ),
    Property(
        says="Not even an administrator of a deployment account enters the deploy role there",
        who=_deployment,
        may=("sts:AssumeRole",),
        closed=True,
        where=on(f"role/{names.DEPLOY_ROLE}"),
        owners=(DEPLOYMENT,),
    ),
    Property(
        says="No administrator of another account enters a role of a project in development",
        who=any_with("deployment", "colleague", "stranger"),
        may=("sts:AssumeRole", "sts:TagSession"),
        closed=True,
        where=on(f"role/ml-platform/project/SC-{DEV}-pp-{VICTIM}-train-s3-*", f"role/{names.LAUNCH_ROLE}"),
        owners=(DEV,),
    ),
    Property(
        says="No administrator of another account pushes an image or changes who pulls",
        who=_anybody,
        may=("ecr:*", "!ecr:BatchGetImage", "!ecr:BatchCheckLayerAvailability", "!ecr:GetDownloadUrlForLayer"),
        closed=True,
        where=on(f"repository/{names.MODEL_REPOSITORY}"),
        owners=(HUB,),
        kinds=("repository",),
    ),
    Property(
        says="Only deployment accounts pull promoted images",
        who=any_with("dev", "colleague", "stranger"),
        may=("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
        closed=True,
        where=on(f"repository/{names.MODEL_REPOSITORY}"),
        owners=(HUB,),
    ),
    Property(
        says="No administrator of another account sends to or reads from a queue of the hub",
        who=_anybody,
        may=("sqs:*",),
        closed=True,
        where=on("ml-platform-registry-Decisions*", "ml-platform-registry-Lost*", f"mlp-{VICTIM}-missed-starts"),
        owners=(HUB,),
    ),
    Property(
        says="No administrator of another account publishes to or subscribes to a topic of the hub",
        who=_anybody,
        may=("sns:*",),
        closed=True,
        where=on("ml-platform-model-drift", "ml-platform-registry-AlertsTopic*", f"mlp-{VICTIM}-notices"),
        owners=(HUB,),
        kinds=("topic",),
    ),
    Property(
        says="Nobody outside development touches the group of a training project, the hub's functions apart",
        who=any_with("deployment", "colleague", "stranger"),
        may=("sagemaker:*",),
        closed=True,
        where=on(f"model-package-group/nameb-{VICTIM}", f"model-package/nameb-{VICTIM}/*"),
        owners=(DEV,),
        kinds=("model-package", "model-package-group"),
    ),
    Property(
        says="No administrator of another account uses the key of a project",
        who=any_with("deployment", "colleague", "stranger"),
        may=("kms:*",),
        closed=True,
        where=on(f"key/SC-{DEV}-pp-{VICTIM}-*", f"key/SC-{HUB}-pp-{VICTIM}-*"),
        owners=(DEV, HUB),
        kinds=("key",),
    ),
    Property(
        says="No administrator of another account uses the key of a stage",
        who=any_with("dev", "colleague", "stranger"),
        may=("kms:*",),
        closed=True,
        where=on(f"key/mlp-{VICTIM}-*-base-Key*"),
        owners=(DEPLOYMENT,),
        kinds=("key",),
    ),
    Property(
        says="No stranger reads or writes anything in a bucket of the catalog's pipeline",
        who=_stranger,
        may=("s3:*",),
        closed=True,
        where=on(*_whole(f"mlp-{ATTACKER}-{HUB}-{REGION}", _ARTIFACTS, _REGISTRY)),
        owners=(HUB,),
        kinds=("bucket", "object"),
    ),
    Property(
        says="Administrators of deployment accounts read packages as the deploy role only",
        who=_deployment,
        may=READS_OBJECTS,
        where=both(
            on(*_whole(_REGISTRY)),
            lacking_key("aws:PrincipalArn", f"arn:aws:iam::{DEPLOYMENT}:role/{names.DEPLOY_ROLE}"),
        ),
        owners=(HUB,),
        closed=True,
    ),
    Property(
        says="Administrators of deployment accounts list packages of the registry only",
        who=_deployment,
        may=("s3:ListBucket*",),
        where=both(on(_REGISTRY), lacking_key("s3:prefix", "packages/*")),
        owners=(HUB,),
        closed=True,
    ),
    Property(
        says="Administrators of deployment accounts decrypt models as the deploy role only",
        who=_deployment,
        may=("kms:*",),
        where=both(
            on("key/ml-platform-registry-*"),
            lacking_key("aws:PrincipalArn", f"arn:aws:iam::{DEPLOYMENT}:role/{names.DEPLOY_ROLE}"),
        ),
        owners=(HUB,),
        kinds=("key",),
        closed=True,
    ),
    Property(
        says="Administrators of deployment accounts tell the hub of drift and alarms only",
        who=_deployment,
        may=("events:PutEvents",),
        where=both(on(_BUS), having_other("events:source", "ml-platform", "aws.cloudwatch")),
        owners=(HUB,),
        closed=True,
    ),
)
