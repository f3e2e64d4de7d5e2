"""SageMaker's Studio domains, user profiles and the switch that shows Service Catalog's projects in Studio.

They are records: no file system, network interface or application is created.
"""

from __future__ import annotations

import base64
import json
from typing import Final

from botocore.exceptions import ClientError
from ministack.core.responses import get_region

from aws_emulator import core
from aws_emulator.bridge import overlay
from aws_emulator.clock import random_id
from aws_emulator.core import Json, Records, ServiceError
from aws_emulator.iam.callers import assume_as_service, authorize_pass_role
from aws_emulator.sagemaker.store import PRINCIPAL, SERVICE, table

DOMAINS: Final = table(
    noun="Domain",
    key=("DomainId",),
    code="ResourceNotFound",
    missing="Domain {key} does not exist.",
    taken_code="ResourceInUse",
    taken="Domain {key} already exists.",
    newest_first=False,
).answers("Describe", "List")
PROFILES: Final = table(
    noun="UserProfile",
    key=("DomainId", "UserProfileName"),
    code="ResourceNotFound",
    missing="UserProfile {key} does not exist.",
    taken_code="ResourceInUse",
    taken="UserProfile {key} already exists.",
    newest_first=False,
).answers("Describe", "List", "Update", "Delete")
_portfolio_enabled: Final = Records()


# ---- domains --------------------------------------------------------------------------------------------------------


@overlay(SERVICE, "CreateDomain")
def create_domain(request: Json) -> Json:
    """Create a domain, for a caller who is allowed to pass its execution role, in a network that exists."""
    settings = request["DefaultUserSettings"]
    if settings.get("ExecutionRole"):
        authorize_pass_role(settings["ExecutionRole"], PRINCIPAL)
    # "Required when the CreateDomain.AppNetworkAccessType parameter is set to VpcOnly" (API reference, UserSettings).
    if request.get("AppNetworkAccessType") == "VpcOnly" and not settings.get("SecurityGroups"):
        raise ServiceError("ValidationException", "SecurityGroups are required when AppNetworkAccessType is VpcOnly.")
    if request.get("SubnetIds"):
        _check_subnets(request["SubnetIds"], request.get("VpcId"))
    domain_id = f"d-{random_id(12)}"
    return DOMAINS.add(
        {"AppNetworkAccessType": "PublicInternetOnly", **request},
        DomainId=domain_id,
        Url=f"https://{domain_id}.studio.{get_region()}.sagemaker.aws",
        HomeEfsFileSystemId=f"fs-{random_id(17)}",
        SecurityGroupIdForDomainBoundary=f"sg-{random_id(17)}",
        Status="InService",
    )


def _check_subnets(subnet_ids: list[str], vpc_id: str | None) -> None:
    try:
        subnets = core.client("ec2").describe_subnets(SubnetIds=subnet_ids)["Subnets"]
    except ClientError as error:
        raise ServiceError("ValidationException", error.response["Error"]["Message"]) from error
    elsewhere = [subnet["SubnetId"] for subnet in subnets if vpc_id not in (None, subnet["VpcId"])]
    if elsewhere:
        raise ServiceError("ValidationException", f"Subnets {', '.join(elsewhere)} are not in VPC {vpc_id}.")


@overlay(SERVICE, "UpdateDomain")
def update_domain(request: Json) -> Json:
    """Change settings of a domain; those of its own have another name in requests."""
    return DOMAINS.update({**request, "DomainSettings": request.get("DomainSettingsForUpdate", {})})


@overlay(SERVICE, "DeleteDomain")
def delete_domain(request: Json) -> Json:
    """Delete a domain without user profiles.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/gs-studio-delete-domain.html
    """
    domain_id = request["DomainId"]
    profiles = [profile["UserProfileName"] for profile in PROFILES.records.values() if profile["DomainId"] == domain_id]
    if profiles:
        raise ServiceError(
            "ResourceInUse",
            f"Unable to delete Domain {domain_id} because UserProfile(s) are associated with it: "
            f"{', '.join(profiles)}.",
        )
    return DOMAINS.delete(request)


# ---- user profiles --------------------------------------------------------------------------------------------------


@overlay(SERVICE, "CreateUserProfile")
def create_user_profile(request: Json) -> Json:
    """Create a user profile of a domain whose sign-on it fits, for a caller who can pass its execution role."""
    domain = DOMAINS.find(request)
    PROFILES.require_free(request)
    if bool(request.get("SingleSignOnUserValue")) != (domain["AuthMode"] == "SSO"):
        raise ServiceError(
            "ValidationException",
            f"SingleSignOnUserIdentifier and SingleSignOnUserValue belong to domains with AuthMode SSO, which need "
            f"them; this one has {domain['AuthMode']}.",
        )
    role = request.get("UserSettings", {}).get("ExecutionRole")
    if role:
        authorize_pass_role(role, PRINCIPAL)
    return PROFILES.add(request, HomeEfsFileSystemUid=str(200_000 + len(PROFILES.records)), Status="InService")


@overlay(SERVICE, "CreatePresignedDomainUrl")
def create_presigned_domain_url(request: Json) -> Json:
    """Return a link into Studio.

    On AWS the token opens Studio, whose applications run as the execution role of the profile. No Studio runs here: the
    token is that role's session itself, as JSON in base64, for the driver to act as the person would inside of Studio.
    """
    profile, domain = PROFILES.find(request), DOMAINS.find(request)
    role = profile.get("UserSettings", {}).get("ExecutionRole") or domain["DefaultUserSettings"]["ExecutionRole"]
    session = assume_as_service(role, PRINCIPAL, "SageMaker")
    token = base64.urlsafe_b64encode(json.dumps(session.environment()).encode()).decode()
    return {"AuthorizedUrl": f"{domain['Url']}/auth?token={token}"}


# ---- projects in Studio ---------------------------------------------------------------------------------------------


@overlay(SERVICE, "EnableSagemakerServicecatalogPortfolio")
def enable_portfolio(request: Json) -> Json:
    """Let Studio show the projects of Service Catalog, in this account and region."""
    _portfolio_enabled["enabled"] = True
    return {}


@overlay(SERVICE, "GetSagemakerServicecatalogPortfolioStatus")
def portfolio_status(request: Json) -> Json:
    """Return whether Studio shows projects."""
    return {"Status": "Enabled" if is_portfolio_enabled() else "Disabled"}


def is_portfolio_enabled() -> bool:
    """Return whether projects can be used in the current account and region."""
    return bool(_portfolio_enabled.get("enabled"))
