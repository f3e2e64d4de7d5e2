"""The path of one package from a development account into the hub's registry, step by step, each repeatable."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from lambdas.model_promotion import cards, contents, decisions, names, packages, progress
from lambdas.model_promotion.audit import Audit, Verdict
from lambdas.model_promotion.decisions import Decision
from lambdas.model_promotion.errors import BusyError, OutOfTimeError, PromotionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lambdas.model_promotion.artifacts import Artifacts
    from lambdas.model_promotion.contents import Location
    from lambdas.model_promotion.deployments import Approval, Pipelines
    from lambdas.model_promotion.images import Images
    from lambdas.model_promotion.ledger import Entry, Ledger
    from lambdas.model_promotion.packages import Copied
    from lambdas.model_promotion.progress import Record
    from lambdas.model_promotion.registry import Registry

logger = logging.getLogger(__name__)

_LEASE_MARGIN_S: Final = 30


@dataclass(frozen=True, kw_only=True)
class Services:
    """What a promotion uses.

    Attributes:
        hub_account: 12 digits.
        bucket: The registry bucket.
        registry: SageMaker's registry.
        artifacts: Copies objects.
        images: Copies images.
        cards: The hub's model cards.
        audit: The audit bucket.
        ledger: Records of promotions.
        pipelines: The deployment pipelines.
        remaining_s: Seconds left of the invocation.
        clock: Unix time, in seconds.
    """

    hub_account: str
    bucket: str
    registry: Registry
    artifacts: Artifacts
    images: Images
    cards: cards.Cards
    audit: Audit
    ledger: Ledger
    pipelines: Pipelines
    remaining_s: Callable[[], float]
    clock: Callable[[], float] = time.time


def handle(notice: decisions.Notice, use: Services) -> str:
    """Make the hub agree with a package that changed, and return in one word what was done.

    Raises:
        BusyError: Another invocation works on the package.
        OutOfTimeError: A later invocation has to go on.
        PromotionError: The package cannot be promoted as it is.
    """
    arn = notice.package
    package = use.registry.describe(arn.text)
    if package is None:
        logger.warning("%s no longer exists: nothing to do", arn.text)
        return "gone"
    decision = Decision.of(package)
    former = decision.superseded(notice)
    if former is not None:
        use.audit.note(
            _verdict_of_hub(arn, former, use)
            if arn.account == use.hub_account
            else Verdict(
                place="development", decision=former, account=arn.account, package=arn.text, hub_package="", digest=""
            )
        )
    if arn.account == use.hub_account:
        return _note_of_hub(arn, decision, use)
    entry = use.ledger.read(packages.folder(arn, package["CreationTime"]), arn.text)
    task = progress.task_for(decision, entry.record)
    if task == "nothing":
        return task
    run = _Run(notice, package, decision, entry, use)
    if task == "promote":
        contents.require_own(use.registry.carried(package), arn, use.hub_account)
    if task == "note":
        run.note()
    else:
        run.work(task)
    return task


def note_approval(approval: Approval, use: Services) -> str:
    """Write down how the governance officer answered, and return in one word what was done.

    Raises:
        BusyError: CodePipeline does not show the answer yet.
    """
    answers = use.pipelines.answers(approval)
    for decision in answers.decisions:
        arn = packages.PackageArn.parse(answers.package)
        ours = arn is not None and arn.account == use.hub_account
        use.audit.note(
            Verdict(
                place="production",
                decision=decision,
                account=use.hub_account,
                package=answers.package or "unknown: the pipeline does not say which model it deploys",
                hub_package=answers.package if ours else "",
                digest=use.ledger.digest(arn) if arn is not None and ours else "",
                deployment=f"{approval.pipeline}/{approval.execution}",
            )
        )
    if not answers.are_complete:
        raise BusyError(f"{approval.text} is said to be answered, but CodePipeline does not show it yet")
    return "note" if answers.decisions else "nothing"


def _note_of_hub(arn: packages.PackageArn, decision: Decision, use: Services) -> str:
    """Write down what was decided in the hub itself."""
    if decision.status == names.PENDING:
        return "nothing"
    use.audit.note(_verdict_of_hub(arn, decision, use))
    return "note"


def _verdict_of_hub(arn: packages.PackageArn, decision: Decision, use: Services) -> Verdict:
    # The digest is that of the promotion, not of the metadata: an approval can change those.
    return Verdict(
        place="hub",
        decision=decision,
        account=arn.account,
        package=arn.text,
        hub_package=arn.text,
        digest=use.ledger.digest(arn),
    )


class _Run:
    """One invocation's work on one package; `_entry` is the record as last written."""

    def __init__(
        self, notice: decisions.Notice, package: Mapping[str, Any], decision: Decision, entry: Entry, use: Services
    ) -> None:
        self._notice = notice
        self._arn = notice.package
        self._package = package
        self._decision = decision
        self._entry = entry
        self._use = use
        self._group = packages.hub_group(self._arn.group, self._arn.account)

    def note(self) -> None:
        """Write down a decision on a package of which there is no copy."""
        record = self._entry.record
        record.claimed(now=self._use.clock(), until=0)
        self._note("")
        self._save(replace(record, seen=self._decision))

    def work(self, task: progress.Task) -> None:
        """Claim the package, carry the task out, and give the claim back whatever happens."""
        record, now = self._entry.record, self._use.clock()
        first = record.started is None
        claimed = record.claimed(now=now, until=now + self._use.remaining_s() + _LEASE_MARGIN_S)
        self._save(replace(claimed, started=now if first else record.started))
        try:
            if task == "promote":
                self._promote(first_attempt=first)
            else:
                self._reflect()
        except OutOfTimeError as err:
            self._hand_over(err)
            raise
        except BusyError:
            raise
        except Exception:
            self._release()
            raise

    # ---- promotion --------------------------------------------------------------------------------------------------

    def _promote(self, *, first_attempt: bool) -> None:
        use, group = self._use, self._group
        if self._entry.record.complete:
            self._reopen()
        use.registry.ensure_group(
            self._arn.group_in(use.hub_account, group),
            f"Approved models of {self._arn.group} in account {self._arn.account}",
            self._notice.tags,
        )
        request, copied = self._copied_request()
        digest = self._digest(request, copied)
        metadata = {
            names.FOLDER_KEY: self._folder,
            names.SOURCE_KEY: self._arn.text[:256],
            names.DIGEST_KEY: digest,
            **self._decision.metadata,
        }
        request |= {
            "ModelPackageGroupName": group,
            "ModelApprovalStatus": names.PENDING,
            "CustomerMetadataProperties": contents.customer_metadata(
                request.get("CustomerMetadataProperties", {}), metadata
            ),
            "ClientToken": packages.client_token(self._arn, self._package["CreationTime"]),
        }
        record = replace(self._entry.record, artifacts=copied, digest=digest)
        package = record.package or (None if first_attempt else self._find())
        made = package is None
        package = package or use.registry.create(request)
        self._save(replace(record, package=package))
        ours = packages.PackageArn.parse(package)
        if ours is None:
            raise PromotionError(f"SageMaker names the copy of {self._arn.text} {package}, which is not a version.")
        use.ledger.publish(ours, packages.promoted_text(package, request, copied, digest))
        if made and first_attempt:
            text = self._decision.sentence(self._arn.account)
            use.registry.update(package, {"ModelApprovalStatus": names.PENDING, "ApprovalDescription": text})
        else:
            self._bring_up_to_date(package)
        card = cards.Promoted(
            group=group,
            package=package,
            source=self._arn.text,
            account=self._arn.account,
            version=ours.version,
            request=request,
            decision=self._decision,
            digest=digest,
        )
        use.cards.publish(group, cards.content(card))
        self._finish(package, copied)

    def _reopen(self) -> None:
        """Let the ML engineer decide again about a copy that no record confirms: its files may have been replaced."""
        record, text = self._entry.record, self._decision.sentence(self._arn.account)
        hub = self._use.registry.describe(record.package) if record.package else None
        if record.package and hub and hub.get("ModelApprovalStatus") == names.APPROVED:
            pending = {"ModelApprovalStatus": names.PENDING, "ApprovalDescription": text}
            self._use.registry.update(record.package, pending)
        self._save(replace(record, complete=False))

    def _copied_request(self) -> tuple[dict[str, Any], tuple[Copied, ...]]:
        """Copy images and artifacts, and return the request that names the copies, and the copies."""
        use = self._use
        request = use.registry.carried(self._package)
        images = contents.images(request).items()
        moved = {image: use.images.copy(image, digest, self._arn.account) for image, digest in images}
        targets: dict[Location, Location] = {}
        copied: list[Copied] = []
        for reference in contents.references(request, self._package, self._arn.bucket):
            target = contents.target_of(reference.location, bucket=use.bucket, folder=self._folder)
            copies = use.artifacts.copy(reference, target, owner=self._arn.account)
            if copies:
                targets[reference.location] = target
                copied += copies
        return contents.with_images(contents.with_copies(request, targets), moved), tuple(copied)

    @staticmethod
    def _digest(request: Mapping[str, Any], copied: tuple[Copied, ...]) -> str:
        return contents.canonical_digest(
            {
                "images": contents.images(request),
                "artifacts": [[entry.source, entry.size, entry.checksum or entry.etag] for entry in copied],
            }
        )

    def _find(self) -> str | None:
        return self._use.registry.find(self._group, self._folder, self._entry.record.started or self._use.clock())

    @property
    def _folder(self) -> str:
        return self._entry.key

    # ---- decisions after promotion ----------------------------------------------------------------------------------

    def _reflect(self) -> None:
        """Bring a later decision to the copy; if the interrupted attempt left none, just write the decision down."""
        package = self._entry.record.package or self._find()
        if package is None:
            self._finish(None, ())
            return
        self._bring_up_to_date(package)
        self._finish(package, ())

    def _bring_up_to_date(self, package: str) -> None:
        hub = self._use.registry.describe(package)
        if hub is None:
            logger.warning("%s, the copy of %s, was deleted: nothing to change", package, self._arn.text)
            return
        record = self._entry.record
        reflection = progress.reflect(self._decision, self._arn.account, hub, record)
        self._use.registry.update(package, reflection.changes)
        self._entry = replace(self._entry, record=replace(record, withdrawn=reflection.withdrawn))

    def _finish(self, package: str | None, copied: tuple[Copied, ...]) -> None:
        """Write the decision down, and the record without its claim; with a package it is complete."""
        self._note(package or "", copied)
        self._save(
            replace(
                self._entry.record,
                package=package,
                complete=package is not None,
                seen=self._decision,
                lease_until=0,
                handovers=0,
            )
        )

    # ---- record -----------------------------------------------------------------------------------------------------

    def _note(self, hub_package: str, copied: tuple[Copied, ...] = ()) -> None:
        self._use.audit.note(
            Verdict(
                place="development",
                decision=self._decision,
                account=self._arn.account,
                package=self._arn.text,
                hub_package=hub_package,
                digest=self._entry.record.digest,
                artifacts=copied,
            )
        )

    def _save(self, record: Record) -> None:
        self._entry = self._use.ledger.write(self._entry, record)

    def _hand_over(self, err: OutOfTimeError) -> None:
        record = self._entry.record
        if record.handovers >= progress.HANDOVERS_MAX:
            self._release()
            raise PromotionError(
                f"{self._arn.text} is not promoted after {record.handovers} invocations ({err}): it does not advance. "
                f"Look at the function's log for what is slow, e.g. a layer of an image that takes longer than one "
                f"invocation, and send the message again."
            ) from err
        self._save(replace(record, lease_until=0, handovers=record.handovers + 1))

    def _release(self) -> None:
        """Give the claim back, so that the next delivery need not wait for its end."""
        try:
            self._save(replace(self._entry.record, lease_until=0))
        except Exception:
            logger.exception("the claim on %s could not be given back and ends by itself", self._arn.text)
