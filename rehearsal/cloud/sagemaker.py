"""SageMaker's Studio domains, user profiles and the switch that shows Service Catalog's projects in Studio.

They are records: no file system, network interface or application is created.
"""

from __future__ import annotations

import base64
import json
from typing import Final

from botocore.exceptions import ClientError
from ministack.core.responses import get_region

from rehearsal.cloud import core
from rehearsal.cloud.callers import assume_as_service, authorize_pass_role, require_trust
from rehearsal.cloud.clock import clock, random_id
from rehearsal.cloud.core import Json, Records, ServiceError, overlay
from rehearsal.cloud.sagemaker_store import SERVICE, drop_tags, page, set_tags, sort

PRINCIPAL: Final = "sagemaker.amazonaws.com"

_domains: Final = Records()
_profiles: Final = Records()
_portfolio_enabled: Final = Records()


# ---- domains --------------------------------------------------------------------------------------------------------

_DOMAIN_FIELDS: Final = (
    "DomainName",
    "AuthMode",
    "DefaultUserSettings",
    "DomainSettings",
    "SubnetIds",
    "VpcId",
    "KmsKeyId",
    "AppNetworkAccessType",
    "AppSecurityGroupManagement",
    "TagPropagation",
    "DefaultSpaceSettings",
)


@overlay(SERVICE, "CreateDomain")
def create_domain(request: Json) -> Json:
    """Create a domain, for a caller who may pass its execution role."""
    role = request["DefaultUserSettings"].get("ExecutionRole")
    if role:
        authorize_pass_role(role, PRINCIPAL)
    return new_domain(request)


def new_domain(request: Json) -> Json:
    """Create a domain.

    Raises:
        ServiceError: The role, the network or the security groups are not usable.
    """
    settings = request["DefaultUserSettings"]
    if settings.get("ExecutionRole"):
        require_trust(settings["ExecutionRole"], PRINCIPAL)
    # "Required when the CreateDomain.AppNetworkAccessType parameter is set to VpcOnly" (API reference, UserSettings).
    if request.get("AppNetworkAccessType") == "VpcOnly" and not settings.get("SecurityGroups"):
        raise ServiceError("ValidationException", "SecurityGroups are required when AppNetworkAccessType is VpcOnly.")
    if request.get("SubnetIds"):
        _check_subnets(request["SubnetIds"], request.get("VpcId"))
    domain_id = f"d-{random_id(12)}"
    arn = core.arn(SERVICE, f"domain/{domain_id}")
    domain: Json = {
        "AppNetworkAccessType": "PublicInternetOnly",
        **{key: request[key] for key in _DOMAIN_FIELDS if key in request},
        "DomainId": domain_id,
        "DomainArn": arn,
        "Url": f"https://{domain_id}.studio.{get_region()}.sagemaker.aws",
        "HomeEfsFileSystemId": f"fs-{random_id(17)}",
        "SecurityGroupIdForDomainBoundary": f"sg-{random_id(17)}",
        "Status": "InService",
        "CreationTime": clock.now(),
        "LastModifiedTime": clock.now(),
    }
    _domains[domain_id] = domain
    set_tags(arn, request.get("Tags"))
    return {key: domain[key] for key in ("DomainArn", "DomainId", "Url")}


def _check_subnets(subnet_ids: list[str], vpc_id: str | None) -> None:
    try:
        subnets = core.client("ec2").describe_subnets(SubnetIds=subnet_ids)["Subnets"]
    except ClientError as error:
        raise ServiceError("ValidationException", error.response["Error"]["Message"]) from error
    elsewhere = [subnet["SubnetId"] for subnet in subnets if vpc_id not in (None, subnet["VpcId"])]
    if elsewhere:
        raise ServiceError("ValidationException", f"Subnets {', '.join(elsewhere)} are not in VPC {vpc_id}.")


def find_domain(domain_id: str) -> Json:
    """Return a domain of the current account.

    Raises:
        ServiceError: There is none with this id.
    """
    domain: Json | None = _domains.get(domain_id)
    if domain is None:
        raise ServiceError("ResourceNotFound", f"Domain {domain_id} does not exist.")
    return domain


@overlay(SERVICE, "DescribeDomain")
def describe_domain(request: Json) -> Json:
    """Describe a domain."""
    return find_domain(request["DomainId"])


@overlay(SERVICE, "UpdateDomain")
def update_domain(request: Json) -> Json:
    """Change settings of a domain; sections of the user settings that are not named stay."""
    domain = find_domain(request["DomainId"])
    for key in ("DefaultUserSettings", "DefaultSpaceSettings"):
        if key in request:
            domain[key] = domain.get(key, {}) | request[key]
    if "DomainSettingsForUpdate" in request:
        domain["DomainSettings"] = domain.get("DomainSettings", {}) | request["DomainSettingsForUpdate"]
    for key in ("SubnetIds", "VpcId", "AppNetworkAccessType", "AppSecurityGroupManagement", "TagPropagation"):
        domain[key] = request.get(key, domain.get(key))
    domain["LastModifiedTime"] = clock.now()
    return {"DomainArn": domain["DomainArn"]}


@overlay(SERVICE, "DeleteDomain")
def delete_domain(request: Json) -> Json:
    """Delete a domain without user profiles.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/gs-studio-delete-domain.html
    """
    domain = find_domain(request["DomainId"])
    profiles = [name for domain_id, name in _profiles if domain_id == domain["DomainId"]]
    if profiles:
        raise ServiceError(
            "ResourceInUse",
            f"Unable to delete Domain {domain['DomainId']} because UserProfile(s) are associated with it: "
            f"{', '.join(profiles)}.",
        )
    del _domains[domain["DomainId"]]
    drop_tags(domain["DomainArn"])
    return {}


@overlay(SERVICE, "ListDomains")
def list_domains(request: Json) -> Json:
    """List the account's domains."""
    keys = ("DomainArn", "DomainId", "DomainName", "Status", "CreationTime", "LastModifiedTime", "Url")
    return page(request, "Domains", [{key: domain[key] for key in keys} for domain in _domains.values()])


# ---- user profiles --------------------------------------------------------------------------------------------------


@overlay(SERVICE, "CreateUserProfile")
def create_user_profile(request: Json) -> Json:
    """Create a user profile, for a caller who may pass its execution role."""
    role = request.get("UserSettings", {}).get("ExecutionRole")
    if role:
        authorize_pass_role(role, PRINCIPAL)
    return new_user_profile(request)


def new_user_profile(request: Json) -> Json:
    """Create a user profile.

    Raises:
        ServiceError: The domain is not there, the name is taken, or the role or sign-on does not fit the domain.
    """
    domain = find_domain(request["DomainId"])
    key = (domain["DomainId"], request["UserProfileName"])
    if key in _profiles:
        raise ServiceError("ResourceInUse", f"UserProfile {key[1]} already exists in domain {key[0]}.")
    if bool(request.get("SingleSignOnUserValue")) != (domain["AuthMode"] == "SSO"):
        raise ServiceError(
            "ValidationException",
            f"SingleSignOnUserIdentifier and SingleSignOnUserValue belong to domains with AuthMode SSO, which need "
            f"them; this one has {domain['AuthMode']}.",
        )
    role = request.get("UserSettings", {}).get("ExecutionRole")
    if role:
        require_trust(role, PRINCIPAL)
    arn = core.arn(SERVICE, f"user-profile/{key[0]}/{key[1]}")
    fields = ("DomainId", "UserProfileName", "SingleSignOnUserIdentifier", "SingleSignOnUserValue", "UserSettings")
    _profiles[key] = {
        **{name: request[name] for name in fields if name in request},
        "UserProfileArn": arn,
        "HomeEfsFileSystemUid": str(200_000 + len(_profiles)),
        "Status": "InService",
        "CreationTime": clock.now(),
        "LastModifiedTime": clock.now(),
    }
    set_tags(arn, request.get("Tags"))
    return {"UserProfileArn": arn}


def _find_profile(request: Json) -> Json:
    profile: Json | None = _profiles.get((request["DomainId"], request["UserProfileName"]))
    if profile is None:
        raise ServiceError(
            "ResourceNotFound", f"UserProfile {request['UserProfileName']} does not exist in {request['DomainId']}."
        )
    return profile


@overlay(SERVICE, "DescribeUserProfile")
def describe_user_profile(request: Json) -> Json:
    """Describe a user profile."""
    return _find_profile(request)


@overlay(SERVICE, "UpdateUserProfile")
def update_user_profile(request: Json) -> Json:
    """Change settings of a user profile; sections that are not named stay."""
    profile = _find_profile(request)
    profile["UserSettings"] = profile.get("UserSettings", {}) | request.get("UserSettings", {})
    profile["LastModifiedTime"] = clock.now()
    return {"UserProfileArn": profile["UserProfileArn"]}


@overlay(SERVICE, "DeleteUserProfile")
def delete_user_profile(request: Json) -> Json:
    """Delete a user profile."""
    profile = _find_profile(request)
    del _profiles[profile["DomainId"], profile["UserProfileName"]]
    drop_tags(profile["UserProfileArn"])
    return {}


@overlay(SERVICE, "ListUserProfiles")
def list_user_profiles(request: Json) -> Json:
    """List user profiles, of one domain or of all."""
    keys = ("DomainId", "UserProfileName", "Status", "CreationTime", "LastModifiedTime")
    found = [
        {key: profile[key] for key in keys}
        for profile in _profiles.values()
        if request.get("DomainIdEquals") in (None, profile["DomainId"])
        and request.get("UserProfileNameContains", "") in profile["UserProfileName"]
    ]
    fields = {"CreationTime": "CreationTime", "LastModifiedTime": "LastModifiedTime"}
    return page(request, "UserProfiles", sort(request, found, fields))


@overlay(SERVICE, "CreatePresignedDomainUrl")
def create_presigned_domain_url(request: Json) -> Json:
    """Return a link into Studio.

    On AWS the token opens Studio, whose applications run as the execution role of the profile. No Studio runs here: the
    token is that role's session itself, as JSON in base64, for the driver to act as the person would inside of Studio.
    """
    profile = _find_profile(request)
    domain = find_domain(request["DomainId"])
    settings = profile.get("UserSettings", {})
    role = settings.get("ExecutionRole") or domain["DefaultUserSettings"]["ExecutionRole"]
    session = assume_as_service(role, PRINCIPAL, "SageMaker")
    token = base64.urlsafe_b64encode(json.dumps(session.environment()).encode()).decode()
    return {"AuthorizedUrl": f"{domain['Url']}/auth?token={token}"}


# ---- projects in Studio ---------------------------------------------------------------------------------------------


@overlay(SERVICE, "EnableSagemakerServicecatalogPortfolio")
def enable_portfolio(request: Json) -> Json:
    """Let Studio show the projects of Service Catalog, in this account and region."""
    _portfolio_enabled["enabled"] = True
    return {}


@overlay(SERVICE, "DisableSagemakerServicecatalogPortfolio")
def disable_portfolio(request: Json) -> Json:
    """Stop showing them."""
    _portfolio_enabled["enabled"] = False
    return {}


@overlay(SERVICE, "GetSagemakerServicecatalogPortfolioStatus")
def portfolio_status(request: Json) -> Json:
    """Tell whether Studio shows projects."""
    return {"Status": "Enabled" if is_portfolio_enabled() else "Disabled"}


def is_portfolio_enabled() -> bool:
    """Whether projects may be used in the current account and region."""
    return bool(_portfolio_enabled.get("enabled"))
