"""Data of a lake: who grants them, who decides who grants, and that whoever grants does not read."""

from __future__ import annotations

from typing import Final

from products.shared import names
from tests.proofs.properties.vocabulary import (
    READS_OBJECTS,
    Property,
    but,
    everybody,
    having,
    not_on,
    on,
)
from tests.proofs.world import DEV, HUB

_granting = having("DataPermissionsRole")
_GRANTS: Final = (
    "lakeformation:*GrantPermissions",
    "lakeformation:*RevokePermissions",
    "lakeformation:CreateLakeFormationOptIn",
    "lakeformation:DeleteLakeFormationOptIn",
)

PROPERTIES: Final = (
    Property(
        says="People query in work groups of projects only, and change none",
        who=having("studio"),
        may=("athena:*",),
        where=not_on("workgroup/mlp-p-*-athena"),
    ),
    Property(
        says="People change nothing in a catalog",
        who=having("person"),
        may=("glue:*", "!glue:Get*", "!glue:BatchGet*", "!glue:List*", "!glue:Search*", "!glue:PutResourcePolicy"),
    ),
    Property(
        says="Nobody but the function that grants data grants, revokes or opts in: no project, person or launch role",
        who=but(everybody, "DataPermissionsRole"),
        may=_GRANTS,
    ),
    Property(
        says="Nobody but one function of the baseline makes data lake administrators",
        who=but(everybody, "DataLakeAdministratorRole"),
        may=("lakeformation:PutDataLakeSettings",),
    ),
    Property(
        says="Only launch roles and the preflight invoke the function that grants data",
        who=but(everybody, "LaunchRole", "PreflightRole", "bootstrap"),
        may=("lambda:Invoke*",),
        where=on(f"function:{names.DATA_PERMISSIONS_FUNCTION}"),
        owners=(DEV, HUB),
    ),
    Property(
        says="Nobody but CloudFormation invokes the function that makes data lake administrators",
        who=but(everybody, "bootstrap"),
        may=("lambda:Invoke*",),
        where=on(f"function:{names.DATA_LAKE_ADMINISTRATOR_FUNCTION}"),
        owners=(DEV, HUB),
    ),
    Property(
        says="The function that grants data reads none",
        who=_granting,
        may=(*READS_OBJECTS, "athena:*", "lakeformation:GetDataAccess", "lakeformation:GetTemporary*"),
    ),
    Property(
        says="The function that grants data makes and deletes databases named like links, and changes no table",
        who=_granting,
        may=("glue:*", "!glue:Get*"),
        where=not_on("catalog", "database/*_????????", "table/*_????????/*", "userDefinedFunction/*_????????/*"),
    ),
)
