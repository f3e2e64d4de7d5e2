"""Decisions of promotion: what an event is about, what has to be done, and the request that makes the copy.

Limits and shapes are those of botocore's model of SageMaker (CreateModelPackage, DescribeModelPackage,
UpdateModelPackage, CreateModelPackageGroup).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

EVENT_SOURCE: Final = "aws.sagemaker"
EVENT_TYPE: Final = "SageMaker Model Package State Change"

APPROVED: Final = "Approved"
REJECTED: Final = "Rejected"
PENDING: Final = "PendingManualApproval"

FOLDER_KEY: Final = "source_folder"
DIGEST_KEY: Final = "source_digest"
SOURCE_KEY: Final = "source_package"
"""Customer metadata of the hub's packages: where the artifacts are, the SHA-256 over images and artifacts, the origin.
The ML engineer's policy denies changes of these and of `Decision.metadata`."""

HANDOVERS_MAX: Final = 40
"""Invocations that may pass a promotion on: 10 hours of copying. More means that it does not advance."""

_URI_MAX: Final = 256
"""Longest URI of a copy: values of customer metadata, where URIs occur too, have at most 256 characters."""
_TEXT_MAX: Final = 1024
_METADATA_MAX: Final = 50
_METADATA_VALUE_MAX: Final = 256

_NOT_CARRIED: Final = frozenset(
    {
        "ModelPackageName",  # of unversioned packages only; a request has either a name or a group
        "ModelPackageGroupName",  # the hub has a group of its own
        "ModelApprovalStatus",  # the hub decides anew
        "CertifyForMarketplace",  # does not apply to versioned packages
        "ValidationSpecification",  # names a role of the other account, which nobody may pass here
        "SecurityConfig",  # packages with a key of their own are refused
        "ClientToken",
        "Tags",  # refused for versions, which have the tags of their group
    }
)
_ETAGS: Final = frozenset({"ETag", "ManifestEtag", "ModelDataETag"})
"""ETags of artifacts: those of the copies differ, and SageMaker finds them out by itself."""
_URI_OF_ETAG: Final = {"ETag": "S3Uri", "ManifestEtag": "ManifestS3Uri", "ModelDataETag": "ModelDataUrl"}
_TEXT_FIELDS: Final = frozenset({"MetadataProperties", "ModelCard", "ModelPackageDescription", "Domain", "Task"})
"""Fields that describe. A URI in them says where something came from and is not part of the model."""
_LOOSE_FIELDS: Final = frozenset({"CustomerMetadataProperties", "Environment"})
"""Maps of free texts: a URI in them is an artifact only where the model's other artifacts are."""
LINEAGE_PREFIX: Final = "data_"
"""Keys of customer metadata that name the training data begin with it; data stays where it is, whatever its size."""
_READ_KEYS: Final = frozenset({"samples"})
"""Customer metadata that names what deployments read."""

_NAME: Final = r"[a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62}"
_PROJECT_GROUP: Final = re.compile(r"[a-z0-9](?:-*[a-z0-9]){0,31}-(p-[a-z0-9]{1,14})")
"""Groups of projects, ``<project name>-<project id>``: at most 49 characters, and the id is what follows the last
``-p-`` but letters and digits, so that no project's group can be read as another's."""


class PromotionError(Exception):
    """A package that cannot be promoted as it is; the text says why and what to do."""


class BusyError(Exception):
    """Another invocation works on the same package."""


class OutOfTimeError(Exception):
    """The invocation ends soon; the next one goes on where this one stopped."""


@dataclass(frozen=True, kw_only=True)
class PackageArn:
    """ARN of a version in a model package group.

    Attributes:
        text: The ARN.
        region: E.g. ``eu-west-1``.
        account: 12 digits.
        group: Name of the group.
        version: Number of the version.
    """

    text: str
    region: str
    account: str
    group: str
    version: int

    def group_in(self, account: str, name: str) -> str:
        """Return the ARN of a group of another account in the same region."""
        return f"{self.text.split(':model-package/')[0].rsplit(':', 1)[0]}:{account}:model-package-group/{name}"

    @property
    def project(self) -> str | None:
        """Id of the project whose group it is, e.g. ``p-abc123``; None if the group is not a project's."""
        found = _PROJECT_GROUP.fullmatch(self.group.lower())
        return found[1] if found else None

    @property
    def bucket(self) -> str:
        """Bucket of the project, the only place from which anything of the package is copied.

        Raises:
            PromotionError: The group is not a project's.
        """
        if self.project is None:
            raise PromotionError(
                f"{self.text} is in the group {self.group!r}, which is not the group of a project (<project name>-"
                f"<project id>), so nobody knows from which bucket its files may be copied: it is not promoted. "
                f"Register the model in the group of a project."
            )
        return f"mlp-{self.project}-{self.account}-{self.region}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an ARN; None for a package without a group, which has no version."""
        found = re.fullmatch(
            rf"arn:[a-z-]+:sagemaker:([a-z0-9-]+):(\d{{12}}):model-package/({_NAME})/(\d{{1,9}})", text
        )
        if not found:
            return None
        region, account, group, version = found.groups()
        return cls(text=text, region=region, account=account, group=group, version=int(version))


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What an event says: that a package changed. How, is read from the package.

    Attributes:
        package: The package.
        status: ``ModelApprovalStatus`` in the event; only the audit needs it, when the package has moved on since.
        when: Unix time of the event, in seconds.
        tags: Its tags as the event has them; nothing else tells them across accounts.
    """

    package: PackageArn
    status: str
    when: float
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, event: Mapping[str, Any]) -> Self | None:
        """Read an event; None if it is about a package without a group.

        Raises:
            PromotionError: It is not such an event, or is about a package of another account or region than its own.
        """
        detail = event.get("detail")
        if (event.get("source"), event.get("detail-type")) != (EVENT_SOURCE, EVENT_TYPE) or not isinstance(
            detail, dict
        ):
            raise PromotionError(
                f"the message is not an event {EVENT_TYPE!r} of {EVENT_SOURCE} (source {event.get('source')!r}, type "
                f"{event.get('detail-type')!r}): nothing is promoted. Correct the rule that feeds the queue."
            )
        arn = PackageArn.parse(str(detail.get("ModelPackageArn")))
        if arn is None:
            return None
        # EventBridge writes both: the account of whoever puts an event cannot be made up.
        if (arn.account, arn.region) != (event.get("account"), event.get("region")):
            raise PromotionError(
                f"the event comes from account {event.get('account')!r}, region {event.get('region')!r}, and is about "
                f"{arn.text}: no account speaks for another one, so it is refused."
            )
        tags = detail.get("Tags")
        return cls(
            package=arn,
            status=str(detail.get("ModelApprovalStatus", PENDING)),
            when=datetime.fromisoformat(str(event["time"])).timestamp(),
            tags=_own_tags(tags) if isinstance(tags, dict) else {},
        )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An approval, a rejection, or what took it back.

    Attributes:
        status: ``ModelApprovalStatus``.
        who: Who changed the package last: user profile, else the ARN of the identity, else ``unknown``.
        when: Unix time of the change, in seconds.
        reason: ``ApprovalDescription``; may be empty.
    """

    status: str
    who: str
    when: float
    reason: str

    @classmethod
    def of(cls, package: Mapping[str, Any]) -> Self:
        """Read the decision from the answer of DescribeModelPackage."""
        changed = package.get("LastModifiedTime") or package["CreationTime"]
        user = package.get("LastModifiedBy") or package.get("CreatedBy") or {}
        identity = user.get("IamIdentity") or {}
        return cls(
            status=str(package.get("ModelApprovalStatus", PENDING)),
            who=str(user.get("UserProfileName") or identity.get("Arn") or "unknown"),
            when=changed.timestamp(),
            reason=str(package.get("ApprovalDescription", "")),
        )

    def superseded(self, notice: Notice) -> Self | None:
        """Return the decision that an event tells of if it no longer stands: who made it is not known any more."""
        if notice.status in (self.status, PENDING) or notice.when >= self.when:
            return None
        return replace(self, status=notice.status, who="unknown: changed again since", when=notice.when, reason="")

    @property
    def moment(self) -> str:
        """Time of the change as text, to the second, in UTC."""
        return datetime.fromtimestamp(self.when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def sentence(self, account: str) -> str:
        """Say the decision in one text, as the hub's approval description."""
        text = f"{self.status} in account {account} by {self.who} at {self.moment}"
        return (f"{text}: {self.reason}" if self.reason else text)[:_TEXT_MAX]

    @property
    def metadata(self) -> dict[str, str]:
        """The decision as customer metadata of the hub's package."""
        entries = {
            "source_status": self.status,
            "source_decided_by": self.who,
            "source_decided_at": self.moment,
            "source_reason": self.reason or "none",
        }
        return {key: metadata_text(value) for key, value in entries.items()}


@dataclass(frozen=True, kw_only=True)
class Copied:
    """One artifact and its verified copy.

    Attributes:
        source: URI of the original.
        target: URI of the copy.
        size: Bytes.
        checksum: ``<algorithm>:<base64>`` of both; empty if the original has none.
        etag: ETag of the original that was copied.
        target_etag: ETag of the copy, by which deployments recognise it.
    """

    source: str
    target: str
    size: int
    checksum: str
    etag: str
    target_etag: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """How far the promotion of one package has come.

    Attributes:
        source: ARN of the package in development.
        started: Unix time at which the first attempt to copy began; None as long as there was none.
        lease_until: Unix time until which one invocation works on it; 0 when none does.
        handovers: Times that an invocation ran out of time.
        package: ARN of the copy, once there is one.
        complete: Whether copy, model card and audit record are all there.
        seen: The decision in development that the hub reflects.
        withdrawn: Whether the hub's package was rejected because of development.
        artifacts: What was copied.
        digest: SHA-256 over images and artifacts.
    """

    source: str
    started: float | None = None
    lease_until: float = 0
    handovers: int = 0
    package: str | None = None
    complete: bool = False
    seen: Decision | None = None
    withdrawn: bool = False
    artifacts: tuple[Copied, ...] = ()
    digest: str = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the record that `text` holds, as written by `text`."""
        fields = json.loads(text)
        fields["seen"] = Decision(**fields["seen"]) if fields["seen"] else None
        fields["artifacts"] = tuple(Copied(**entry) for entry in fields["artifacts"])
        return cls(**fields)

    @property
    def text(self) -> str:
        """The record as JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @property
    def is_comparable(self) -> bool:
        """Whether deployments can compare the copy with what was promoted; no record had these ETags at first."""
        return all(entry.target_etag for entry in self.artifacts)

    def claimed(self, *, now: float, until: float) -> Self:
        """Return the record with the right to work on it.

        Raises:
            BusyError: Another invocation has it.
        """
        if self.lease_until > now:
            raise BusyError(f"{self.source} is being worked on for at most {self.lease_until - now:.0f} s more")
        return replace(self, lease_until=until)


Task = Literal["nothing", "promote", "reflect", "note"]


def task_for(decision: Decision, record: Record | None) -> Task:
    """Return what a package in development needs.

    ``promote``: copy it, finish copying it, or verify a copy again that deployments cannot compare with what was
    promoted. ``reflect``: bring the decision to the existing copy. ``note``: only record the decision, since there is
    no copy that it could concern.
    """
    seen = record.seen if record else None
    if seen is not None and decision.when < seen.when:
        return "nothing"  # read before a change that has been dealt with already
    if record is not None and record.package is not None and record.complete:
        if decision == seen:
            return "nothing"
        return "reflect" if record.is_comparable or decision.status != APPROVED else "promote"
    if decision.status == APPROVED:
        return "promote"
    if record is not None and record.started is not None:
        return "reflect"  # the copying was interrupted and the approval withdrawn meanwhile: there may be a copy
    return "note" if decision.status == REJECTED and decision != seen else "nothing"


@dataclass(frozen=True, kw_only=True)
class Reflection:
    """How the hub's package changes after a decision in development.

    Attributes:
        changes: Parameters for UpdateModelPackage beside the ARN.
        withdrawn: Whether the package now is rejected because of development.
    """

    changes: Mapping[str, Any]
    withdrawn: bool


def reflect(decision: Decision, account: str, hub: Mapping[str, Any], record: Record) -> Reflection:
    """Return how the hub's package follows a decision in development.

    A rejection there rejects here. Taking an approval back makes the hub's package wait again. An approval after a
    rejection makes it wait again too, unless the ML engineer rejected it for reasons of their own. Where the hub's
    status stays, so does the text with which the ML engineer explained it.

    Args:
        decision: The decision in development.
        account: Account in which it was made.
        hub: The hub's package (DescribeModelPackage).
        record: What was reflected before.
    """
    status = hub.get("ModelApprovalStatus", PENDING)
    text = decision.sentence(account)
    ours = hub.get("ApprovalDescription") == text  # changed by an attempt that could not finish
    withdrawn = record.withdrawn or (ours and status == REJECTED)
    wanted = status
    if decision.status == REJECTED:
        wanted, withdrawn = REJECTED, withdrawn or status != REJECTED
    elif decision.status == PENDING and status == APPROVED:
        wanted = PENDING
    elif decision.status == APPROVED and withdrawn:
        wanted, withdrawn = PENDING, False
    changes: dict[str, Any] = {"CustomerMetadataProperties": decision.metadata}
    if wanted != status or (wanted == PENDING and not ours) or (withdrawn and wanted == REJECTED):
        changes |= {"ModelApprovalStatus": wanted, "ApprovalDescription": text}
    return Reflection(changes=changes, withdrawn=withdrawn)


# ---- names ----------------------------------------------------------------------------------------------------------


def hub_group(group: str, account: str) -> str:
    """Return the name of the hub's group for a group of another account: ``<group>-<account>``.

    Groups of projects have at most 49 characters, so it has at most 62 of the 63 that SageMaker allows. It is in lower
    case, as SageMaker writes names into ARNs, so that the ARN of the group follows from its name.
    """
    return f"{group.lower()}-{account}"


def folder(package: PackageArn, created: datetime) -> str:
    """Return what a package's copies and record have in common, e.g. ``churn-p-1-1111…/7-20261120T101500Z``.

    The hub's group comes first, so that policies can open the copies of one group. The time is part of it because a
    deleted group can be created again and its versions start at 1.
    """
    group = hub_group(package.group, package.account)
    return f"{group}/{package.version}-{created.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def is_copy_of(package: Mapping[str, Any], folder: str) -> bool:
    """Return whether a package of the hub is the copy whose artifacts are in a folder (see `folder`).

    Its metadata says so, or, where 50 entries of its own left no room, the place of its artifacts.
    """
    if package.get("CustomerMetadataProperties", {}).get(FOLDER_KEY) == folder:
        return True
    free = {"CustomerMetadataProperties", *_TEXT_FIELDS}  # where anything may have been written in development
    text = json.dumps({name: value for name, value in package.items() if name not in free}, default=str)
    return f"/packages/{folder}/" in text


def promoted_key(package: PackageArn) -> str:
    """Return the key of the record about a package of the hub, e.g. ``promoted/churn-p-1-1111…/3.json``."""
    return f"promoted/{package.group.lower()}/{package.version}.json"


def promoted_text(package: str, request: Mapping[str, Any], copied: Sequence[Copied], digest: str) -> str:
    """Return the record with which deployments compare a package of the hub before they use it.

    SageMaker lets whoever approves a package change it in the same call, so the package itself cannot say what was
    promoted. Written by promotion only, and read by the builds of the group
    (seed-code/layers/deployment/deployment/packages.py).

    Args:
        package: ARN in the hub.
        request: The request that made it: every URI in it names a copy.
        copied: The copies.
        digest: SHA-256 over images and artifacts.
    """
    objects = {entry.target.split("/", 3)[3]: [entry.size, entry.target_etag] for entry in copied}
    content = {name: value for name, value in request.items() if name not in ("ClientToken", "ModelApprovalStatus")}
    record = {"package": package, "digest": digest, "content": content, "objects": objects}
    return json.dumps(record, sort_keys=True, default=str)


def client_token(package: PackageArn, created: datetime) -> str:
    """Return the token that makes CreateModelPackage for this package idempotent (36 characters allowed)."""
    return hashlib.sha256(f"{package.text} {created.timestamp()}".encode()).hexdigest()[:36]


def metadata_text(text: str) -> str:
    """Return a text as customer metadata may hold it: other characters replaced, at most 256 of them."""
    return re.sub(r"[^\w .:/=+\-@]", "-", text)[:_METADATA_VALUE_MAX]


def canonical_digest(value: object) -> str:
    """Return the SHA-256 of a value, the same for equal values."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


# ---- what a package consists of -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, order=True)
class Location:
    """A place in S3: one object, or everything below a prefix."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        """The place as ``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read ``s3://bucket/key`` or an https URL of S3 in either style; None for anything else."""
        found = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(\S(?:.*\S)?)", text)
        if found:
            return cls(bucket=found[1], key=found[2])
        if not text.startswith("https://"):
            return None
        url = urlsplit(text)
        host = re.fullmatch(r"(?:(.+)\.)?s3[.-](?:[a-z0-9-]+\.)?amazonaws\.com(?:\.cn)?", url.netloc)
        path = unquote(url.path.lstrip("/"))
        bucket, key = (host[1], path) if host and host[1] else path.split("/", 1) if "/" in path else ("", "")
        return cls(bucket=bucket, key=key) if host and bucket and key else None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An artifact that a request names.

    Attributes:
        location: Where it is.
        required: Whether the package is of no use without it.
        etag: ETag at registration, if SageMaker noted it.
    """

    location: Location
    required: bool
    etag: str = ""


def own_key_refused(arn: str) -> PromotionError:
    """Return the error for a package that is encrypted with a KMS key of its own.

    SageMaker decrypts it with the rights of whoever describes it: ML engineers, builds and deploy roles would all need
    the key of another account.
    """
    return PromotionError(
        f"{arn} is encrypted with a KMS key of its own (SecurityConfig), so nobody outside its account can read "
        f"it: it is not promoted. Register the model without SecurityConfig, its files stay under the project's key, "
        f"and approve that version."
    )


def carried(package: Mapping[str, Any], accepts: Any) -> dict[str, Any]:  # noqa: ANN401 (a shape of botocore)
    """Return the fields of a described package that CreateModelPackage takes, at every depth.

    Args:
        package: Answer of DescribeModelPackage.
        accepts: Input shape of CreateModelPackage in botocore's model, so that fields which the service gets later
            are carried as soon as botocore knows them in both operations.
    """
    fields = {name: value for name, value in package.items() if name not in _NOT_CARRIED}
    request: dict[str, Any] = _pruned(fields, accepts)
    if "SourceUri" in request and Location.parse(request["SourceUri"]) is None:
        del request["SourceUri"]  # ARN of a model or package to clone, in an account that this one cannot clone from
    return request


def require_own(request: Mapping[str, Any], package: PackageArn, hub_account: str) -> None:
    """Check that everything which a request names to be copied or read belongs to the package's own project.

    The function may read the buckets and images of all projects, and whoever registers a package writes its URIs. So
    they are held against what the event says, for which AWS vouches, and against nothing that the package says. Images
    of AWS and of third accounts are not copied: whoever serves the model pulls them with rights of their own. Those in
    the hub are copies that belong to other projects.

    Args:
        request: What `carried` returned.
        package: The package.
        hub_account: 12 digits.

    Raises:
        PromotionError: Something is elsewhere; nothing may be copied. The text names all of it.
    """
    bucket, images = package.bucket, f"mlp-{package.project}"
    foreign = []
    for path, text in _texts(request):
        name = path[-1]
        if path[0] in _TEXT_FIELDS or (path[0] == "CustomerMetadataProperties" and name not in _READ_KEYS):
            continue
        place = Location.parse(text)
        if name == "Image":
            image = re.match(r"(\d{12})\.dkr[.-]ecr[.-][^/]+/([^:@]+)", text)
            registry, repository = image.groups() if image else ("", "")
            is_project_repository = re.fullmatch(rf"{images}([-/].*)?", repository) is not None
            own = registry != hub_account and (registry != package.account or is_project_repository)
        elif name.endswith(("Uri", "Url")) or name in _READ_KEYS:
            own = place is not None and place.bucket == bucket
        else:
            own = place is None or place.bucket == bucket
        if not own:
            foreign.append(f"{'.'.join(path)} {text}")
    if foreign:
        raise PromotionError(
            f"{package.text} names what does not belong to its project {package.project}: {', '.join(foreign)}. "
            f"Files may be in the bucket {bucket} only, images of the account in repositories {images}, {images}-… and "
            f"{images}/… only. Nothing is copied. Copy it there, register the model again and approve that version."
        )


def references(request: Mapping[str, Any], package: Mapping[str, Any], bucket: str) -> list[Reference]:
    """Return every artifact that a request names, each once, in a stable order.

    Args:
        request: What `carried` returned, and `require_own` found no fault with.
        package: Answer of DescribeModelPackage, for the ETags that the request no longer has.
        bucket: Bucket of the project.
    """
    etags = dict(_etags(package))
    strict: dict[Location, bool] = {}
    loose: dict[Location, bool] = {}
    for path, text in _texts(request):
        location = Location.parse(text)
        if location is None or path[0] in _TEXT_FIELDS or path[-1].startswith(LINEAGE_PREFIX):
            continue
        (loose if _LOOSE_FIELDS & set(path) else strict)[location] = True
    found = [Reference(location=place, required=True, etag=etags.get(place, "")) for place in strict]
    found += [
        Reference(location=place, required=False) for place in loose if place.bucket == bucket and place not in strict
    ]
    return sorted(found, key=lambda reference: reference.location)


def with_copies(request: Mapping[str, Any], targets: Mapping[Location, Location]) -> dict[str, Any]:
    """Return a request whose URIs name the copies."""

    def moved(path: Sequence[str], text: str) -> str:
        location = None if path[0] in _TEXT_FIELDS or path[-1].startswith(LINEAGE_PREFIX) else Location.parse(text)
        return targets[location].uri if location is not None and location in targets else text

    result: dict[str, Any] = _mapped(request, moved)
    return result


def with_images(request: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
    """Return a request whose containers name the copies of images."""
    result: dict[str, Any] = _mapped(
        request, lambda path, text: images.get(text, text) if path[-1] == "Image" else text
    )
    return result


def images(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the images of all containers with the digest that SageMaker noted, or an empty text."""
    found: dict[str, str] = {}
    for container in _containers(request):
        image = container.get("Image")
        if isinstance(image, str):
            found[image] = container.get("ImageDigest", "") or found.get(image, "")
    return dict(sorted(found.items()))


def target_of(location: Location, *, bucket: str, folder: str) -> Location:
    """Return where an object of a project's bucket is copied to: no two to the same place, no URI over 256 characters.

    ``packages/<hub's group>/<version>-<time>/<key>``; when that is too long, the key becomes a hash, followed by the
    end of its last part.
    """
    target = Location(bucket=bucket, key=f"packages/{folder}/{location.key}")
    if len(target.uri) <= _URI_MAX:
        return target
    digest = hashlib.sha256(location.key.encode()).hexdigest()[:32]
    slash = "/" if location.key.endswith("/") else ""
    stem = f"packages/{folder}/{digest}/"
    room = _URI_MAX - len(Location(bucket=bucket, key=stem).uri) - len(slash)
    last = location.key.rstrip("/").rsplit("/", 1)[-1]
    return Location(bucket=bucket, key=f"{stem}{last[-room:] if room > 0 else ''}{slash}")


def customer_metadata(present: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Return customer metadata with our entries, as far as the limit of 50 leaves room for them.

    What development wrote under the name of one of our entries is left out: nobody else says what promotion says.
    """
    theirs = {key: value for key, value in present.items() if key not in added}
    return theirs | dict(list(added.items())[: _METADATA_MAX - len(theirs)])


def group_policy(arn: str, readers: Sequence[str]) -> str:
    """Return the policy with which deployment accounts read a group, and create models from its packages.

    Nothing in it changes a package: approving needs UpdateModelPackage.

    Args:
        arn: ARN of the group.
        readers: Account ids.
    """
    partition = arn.split(":")[1]
    packages = arn.replace(":model-package-group/", ":model-package/") + "/*"
    statement = {
        "Sid": "DeploymentAccountsRead",
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:{partition}:iam::{account}:root" for account in sorted(readers)]},
        "Action": [
            "sagemaker:CreateModel",
            "sagemaker:DescribeModelPackage",
            "sagemaker:DescribeModelPackageGroup",
            "sagemaker:ListModelPackages",
        ],
        "Resource": [arn, packages],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _own_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Return tags without those that AWS sets and nobody else may."""
    return {str(key): str(value) for key, value in tags.items() if not str(key).lower().startswith("aws:")}


def _pruned(value: Any, shape: Any) -> Any:  # noqa: ANN401 (JSON; a shape of botocore)
    """Return a value without the structure members that a shape does not have, and without ETags."""
    if shape.type_name == "structure":
        return {
            name: _pruned(member, shape.members[name])
            for name, member in value.items()
            if name in shape.members and name not in _ETAGS
        }
    if shape.type_name == "list":
        return [_pruned(member, shape.member) for member in value]
    return value


def _texts(value: Any, path: tuple[str, ...] = ("",)) -> Iterator[tuple[tuple[str, ...], str]]:  # noqa: ANN401 (JSON)
    """Yield every text with the names that lead to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _texts(member, (*(path if path != ("",) else ()), name))
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member, path)


def _mapped(value: Any, change: Callable[[Sequence[str], str], str], path: tuple[str, ...] = ("",)) -> Any:  # noqa: ANN401
    """Return a value with every text replaced by what `change` makes of it."""
    if isinstance(value, str):
        return change(path, value)
    if isinstance(value, dict):
        return {
            name: _mapped(member, change, (*(path if path != ("",) else ()), name)) for name, member in value.items()
        }
    if isinstance(value, list):
        return [_mapped(member, change, path) for member in value]
    return value


def _containers(value: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 (JSON)
    """Yield every structure that names an image."""
    if isinstance(value, dict):
        if "Image" in value:
            yield value
        for member in value.values():
            yield from _containers(member)
    elif isinstance(value, list):
        for member in value:
            yield from _containers(member)


def _etags(value: Any) -> Iterator[tuple[Location, str]]:  # noqa: ANN401 (JSON)
    """Yield the ETags that SageMaker noted at registration, with the artifact that each belongs to."""
    if isinstance(value, dict):
        for name, member in value.items():
            location = Location.parse(str(value.get(_URI_OF_ETAG.get(name, ""), "")))
            if location is not None and isinstance(member, str) and member:
                yield location, member.strip('"')
            yield from _etags(member)
    elif isinstance(value, list):
        for member in value:
            yield from _etags(member)
