"""What a seed-code check-in is, whether it needs a build, and what a build's end means for the person who launched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from lambdas.shared.artifact_bucket import ARCHIVE_KEY, ASSETS_PREFIX
from lambdas.shared.custom_resource import CustomResourceError, Failure, Success
from lambdas.shared.patterns import CONNECTION_ARN, REPOSITORY
from lambdas.shared.product_names import SEED_BRANCHES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambdas.shared.builds import BuildOutcome
    from lambdas.shared.custom_resource import Address, Request

# The texts below end up in URLs and shell variables of the build: they are limited to what repository hosts allow, and
# nothing may look like an option or a path that leaves its folder.
_BRANCH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_VERSION: Final = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}(?:-[0-9A-Za-z.-]{1,40})?")
_PROJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_BRANCH_MAX: Final = 100

Mode = Literal["create", "update"]

_WEB_ADDRESSES: Final[Mapping[str, str]] = {
    "GitHub": "https://github.com",
    "GitLab": "https://gitlab.com",
    "Bitbucket": "https://bitbucket.org",
}


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A CodeConnection as the service describes it.

    Attributes:
        arn: Its ARN.
        status: ``AVAILABLE``, ``PENDING`` or ``ERROR``.
        provider: E.g. ``GitHub``.
        web_address: Base address of the provider's host when it is self-managed, else None.
    """

    arn: str
    status: str
    provider: str
    web_address: str | None = None


@dataclass(frozen=True, kw_only=True)
class Checkin:
    """The wish that one repository holds one version of the seed code.

    Attributes:
        connection_arn: CodeConnection that reaches the repository.
        repository: ``owner/name``.
        branch: Branch of the user, the one that the project's pipeline follows.
        asset_bucket: Bucket of the seed archive.
        asset_key: ``assets/<sha256>.zip``.
        version: Version of the product, e.g. ``1.4.0``.
        project_name: Name of the SageMaker project.
        project_id: Id of the SageMaker project.
    """

    connection_arn: str
    repository: str
    branch: str
    asset_bucket: str
    asset_key: str
    version: str
    project_name: str
    project_id: str

    @property
    def physical_id(self) -> str:
        """``<connection id>/<owner>/<name>``: stays the same over updates of the seed code."""
        return f"{_connection_match(self.connection_arn)['id']}/{self.repository}"

    @property
    def digest(self) -> str:
        """SHA-256 of the seed archive in hexadecimal, from its key."""
        return self.asset_key.removeprefix(ASSETS_PREFIX).removesuffix(".zip")

    @property
    def update_branch(self) -> str:
        """Branch on which a new version of the seed code is offered, e.g. ``ml-platform/1.4.0``."""
        return f"{SEED_BRANCHES}{self.version}"

    def git_url(self, url_suffix: str) -> str:
        """Return the address of the repository for plain git with the credentials of a role.

        Args:
            url_suffix: DNS suffix of the partition, e.g. ``amazonaws.com``.
        """
        connection = _connection_match(self.connection_arn)
        region, account, connection_id = connection["region"], connection["account"], connection["id"]
        return (
            f"https://codeconnections.{region}.{url_suffix}/git-http/{account}/{region}/{connection_id}"
            f"/{self.repository}.git"
        )


@dataclass(frozen=True, kw_only=True)
class CheckedIn:
    """What a resource's last successful check-in left behind; the memory that lets an Update answer without a build."""

    asset_key: str
    version: str
    repository: str
    repository_url: str
    commit_id: str


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A request whose answer waits for a build.

    Attributes:
        address: Where the answer goes.
        checkin: What is being checked in.
        mode: First seed code or a new version.
        repository_url: Address of the repository for people.
        former_physical_id: Physical id to give with a FAILED answer: a failed Update must not look like a replacement.
    """

    address: Address
    checkin: Checkin
    mode: Mode
    repository_url: str
    former_physical_id: str


def parse_checkin(request: Request, artifact_bucket: str) -> Checkin:
    """Read and check the properties of ``Custom::SeedCode``.

    Args:
        request: The request of CloudFormation.
        artifact_bucket: The hub's artifact bucket, the only one that seed code may come from.

    Raises:
        CustomResourceError: Properties are missing or not usable; the text names each of them.
    """
    checkin = Checkin(
        connection_arn=request.text("ConnectionArn"),
        repository=request.text("Repository"),
        branch=request.text("Branch"),
        asset_bucket=request.text("AssetBucket"),
        asset_key=request.text("AssetKey"),
        version=request.text("Version"),
        project_name=request.text("ProjectName"),
        project_id=request.text("ProjectId"),
    )
    problems = [
        f"{name} is {value!r}; it must be {expected}."
        for name, value, ok, expected in (
            (
                "ConnectionArn",
                checkin.connection_arn,
                CONNECTION_ARN.fullmatch(checkin.connection_arn),
                "the ARN of a CodeConnection (arn:…:codeconnections:<region>:<account>:connection/<id>)",
            ),
            (
                "Repository",
                checkin.repository,
                REPOSITORY.fullmatch(checkin.repository),
                "owner/name as the repository host shows it, without .git, e.g. data-science/churn",
            ),
            (
                "Branch",
                checkin.branch,
                _is_branch(checkin.branch),
                (
                    f"a branch name of at most {_BRANCH_MAX} letters, digits and . _ - /, e.g. main; "
                    f"names that begin with {SEED_BRANCHES} are kept for new seed code"
                ),
            ),
            (
                "AssetBucket",
                checkin.asset_bucket,
                checkin.asset_bucket == artifact_bucket,
                f"the platform's artifact bucket {artifact_bucket}",
            ),
            ("AssetKey", checkin.asset_key, ARCHIVE_KEY.fullmatch(checkin.asset_key), "assets/<sha256>.zip"),
            ("Version", checkin.version, _VERSION.fullmatch(checkin.version), "a version such as 1.4.0"),
            (
                "ProjectName",
                checkin.project_name,
                _PROJECT.fullmatch(checkin.project_name),
                "at most 63 letters, digits and hyphens",
            ),
            (
                "ProjectId",
                checkin.project_id,
                _PROJECT.fullmatch(checkin.project_id),
                "at most 63 letters, digits and hyphens",
            ),
        )
        if not ok
    ]
    if problems:
        raise CustomResourceError("The seed code was not checked in. " + " ".join(problems))
    return checkin


def mode_of(request: Request, checkin: Checkin) -> Mode:
    """Return whether the repository gets its first seed code or a new version of it.

    A resource that moves to another repository starts anew there; another connection to the same repository does not.
    """
    same_repository = request.old_properties.get("Repository") == checkin.repository
    return "update" if request.kind == "Update" and same_repository else "create"


def answer_without_build(checkin: Checkin, last: CheckedIn | None) -> Success | None:
    """Return the answer when the repository already got this seed code, else None."""
    if last is None or (last.asset_key, last.version, last.repository) != (
        checkin.asset_key,
        checkin.version,
        checkin.repository,
    ):
        return None
    return success(checkin, repository_url=last.repository_url, commit_id=last.commit_id)


def success(checkin: Checkin, *, repository_url: str, commit_id: str) -> Success:
    """Return the answer of a check-in: the same attributes for Create and Update."""
    return Success(
        physical_id=checkin.physical_id,
        data={"RepositoryUrl": repository_url, "Branch": checkin.branch, "CommitId": commit_id},
    )


def require_available(connection: Connection) -> None:
    """Check that git can work through the connection.

    Raises:
        CustomResourceError: It cannot; the text says what to do.
    """
    if connection.status == "AVAILABLE":
        return
    if connection.status == "PENDING":
        raise CustomResourceError(
            f"The connection {connection.arn} is PENDING, so the repository cannot be reached. Open Developer Tools > "
            f"Settings > Connections in the console of this account, choose the connection, select 'Update pending "
            f"connection', finish the handshake with {connection.provider or 'the repository host'}, then launch again."
        )
    raise CustomResourceError(
        f"The connection {connection.arn} has the status {connection.status}, so the repository cannot be reached. "
        f"Repair or replace it under Developer Tools > Settings > Connections in the console of this account, then "
        f"launch again."
    )


def repository_url(connection: Connection, checkin: Checkin, url_suffix: str) -> str:
    """Return the address at which people find the repository; git's own address when the host is not known."""
    base = connection.web_address or _WEB_ADDRESSES.get(connection.provider)
    return f"{base.rstrip('/')}/{checkin.repository}" if base else checkin.git_url(url_suffix)


def build_variables(checkin: Checkin, *, mode: Mode, former_asset_key: str, url_suffix: str) -> dict[str, str]:
    """Return the environment of the build (the buildspec is foundation/seed_checkin_buildspec.yml).

    Args:
        checkin: What to check in.
        mode: First seed code or a new version.
        former_asset_key: Seed archive before the update; anything else than ``assets/<sha256>.zip`` means unknown.
        url_suffix: DNS suffix of the partition.
    """
    former = ARCHIVE_KEY.fullmatch(former_asset_key)
    return {
        "MODE": mode,
        "GIT_URL": checkin.git_url(url_suffix),
        "BRANCH": checkin.branch,
        "UPDATE_BRANCH": checkin.update_branch,
        "ASSET_BUCKET": checkin.asset_bucket,
        "ASSET_KEY": checkin.asset_key,
        "DIGEST": checkin.digest,
        "FORMER_DIGEST": former["digest"] if former else "",
        "VERSION": checkin.version,
        "PROJECT_NAME": checkin.project_name,
        "PROJECT_ID": checkin.project_id,
    }


def judge(pending: Pending, build: BuildOutcome) -> Success | Failure:
    """Return what CloudFormation is told about a finished build."""
    checkin = pending.checkin
    status = build.exported.get("CHECKIN_STATUS", "")
    commit_id = build.exported.get("COMMIT_ID", "")
    if build.status == "SUCCEEDED" and status == "ok" and commit_id:
        return success(checkin, repository_url=pending.repository_url, commit_id=commit_id)
    detail = build.exported.get("CHECKIN_REASON", "")
    log = f"Log: {build.log_link}" if build.log_link else f"Log: build {build.build_id} in CodeBuild."
    parts = [_remedy(pending, build, status)]
    if detail:
        parts.append(f"git said: {detail}")
    return Failure(physical_id=pending.former_physical_id, reason=" ".join([*parts, log]))


def _remedy(pending: Pending, build: BuildOutcome, status: str) -> str:
    checkin = pending.checkin
    branch = checkin.branch if pending.mode == "create" else checkin.update_branch
    where = f"repository {checkin.repository}"
    by_status = {
        "repository-missing": f"The {where} could not be reached through the connection {checkin.connection_arn}. "
        f"Create it (empty, without README or licence) and allow the connection's app to use it, then launch again.",
        "not-empty": f"The {where} is not empty, and seed code is only put into an empty one. Give the name of an "
        f"empty repository, or empty this one (delete all branches), then launch again.",
        "other-project": f"The {where} belongs to another project, whose id its seed code names: two projects in one "
        f"repository would train and deploy each other's commits. Give the name of an empty repository, then launch "
        f"again.",
        "push-refused": f"The {where} refused the push to {branch}. "
        f"Allow the connection's app to write, lift branch rules that apply to new branches, then launch again.",
        "branch-taken": f"The {where} already has a branch {checkin.update_branch} with other content. Rename or "
        f"delete that branch, then update again; your own branches were not touched.",
        "archive-missing": f"The seed code {checkin.asset_key} could not be read from {checkin.asset_bucket}. This is "
        f"a fault of the platform: tell the platform team, whose pipeline publishes it with its next run.",
        "digest-mismatch": f"The seed code {checkin.asset_key} in {checkin.asset_bucket} does not have the SHA-256 of "
        f"its name and was not used. This is a fault of the platform: tell the platform team.",
    }
    if build.status == "SUCCEEDED" and status in by_status:
        return by_status[status]
    phase = f" in phase {build.failed_phase}" if build.failed_phase else ""
    by_build = {
        "STOPPED": f"The build that checks the seed code into the {where} was stopped by somebody. Launch again.",
        "TIMED_OUT": f"The build that checks the seed code into the {where} took too long{phase}. The repository host "
        f"may be slow or unreachable: look at the log, then launch again.",
        "FAULT": f"CodeBuild could not run the build that checks the seed code into the {where}{phase}. This is "
        f"usually temporary: launch again.",
    }
    return by_build.get(
        build.status,
        f"The build that checks the seed code into the {where} failed{phase}. Look at the log, fix the cause, then "
        f"launch again.",
    )


def _is_branch(name: str) -> bool:
    return bool(
        _BRANCH.fullmatch(name)
        and len(name) <= _BRANCH_MAX
        and ".." not in name
        and not name.startswith(SEED_BRANCHES)
        and not any(part.endswith((".", ".lock")) for part in name.split("/"))
    )


def _connection_match(arn: str) -> re.Match[str]:
    match = CONNECTION_ARN.fullmatch(arn)
    if match is None:
        raise CustomResourceError(f"{arn!r} is not the ARN of a CodeConnection.")
    return match
