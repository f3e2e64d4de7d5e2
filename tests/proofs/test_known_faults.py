"""Faults of the first release are found: those of its products in its templates, the others put back into today's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.proofs import verdicts
from tests.proofs.model import listed
from tests.proofs.properties import PROPERTIES
from tests.proofs.world import DEPLOYMENT, world

if TYPE_CHECKING:
    from tests.proofs.model import Actor, Statement, Statements, World

Edit = Callable[["Statement"], "Statement | None"]


def without_denial(*sids: str) -> Edit:
    """Take denials away, found by their names, or all of them."""
    return lambda s: None if s["Effect"] == "Deny" and (not sids or s.get("Sid") in sids) else s


def without_key(*keys: str) -> Edit:
    """Take conditions away, found by the beginnings of their keys."""

    def edit(statement: Statement) -> Statement:
        if statement["Effect"] == "Deny":
            return statement
        conditions = {
            operator: {key: value for key, value in body.items() if not key.lower().startswith(keys)}
            for operator, body in (statement.get("Condition") or {}).items()
        }
        return {**statement, "Condition": conditions}

    return edit


def widened(part: str, wide: str) -> Edit:
    """Put something wider in the place of a part of a resource."""

    def edit(statement: Statement) -> Statement:
        resources = [r.replace(part, wide) if isinstance(r, str) else r for r in listed(statement.get("Resource", []))]
        return {**statement, "Resource": resources} if resources else statement

    return edit


def granted(action: str, resource: str) -> Statement:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def put_back(labels: set[str], edit: Edit, *more: Statement) -> World:
    """Return the world with other policies of the principals that have one of some labels."""

    def edited(policy: Statements) -> Statements:
        kept = (edit(statement) for statement in policy)
        return (*(statement for statement in kept if statement is not None), *more)

    def worse(actor: Actor) -> Actor:
        changes: dict[str, Any] = {"identity": edited(actor.identity)}
        if actor.boundary is not None:
            changes["boundary"] = edited(actor.boundary)
        return replace(actor, **changes)

    return world().changed(worse(actor) for actor in world().actors.values() if actor.labels & labels)


_STAGE: Final = {"stage-role", "made-role"}

REFUTED_BY_PRODUCTS_OF_1_0_0: Final = frozenset(
    {
        "A data scientist deletes no project",
        "A data scientist ends no product",
        "A data scientist starts and tags jobs for projects only",
        "A data scientist starts no job without security groups",
        "A data scientist starts no job without subnets",
        "A data scientist stops jobs of projects only",
        "A data scientist tags no job of anything else than a project",
        "A deployment project lists packages of its own group only",
        "A deployment project reads its own bucket and promoted models of its group only",
        "A deployment project reads models of its own group only",
        "A training project gives its jobs no tag of another one",
        "A training project runs jobs with its own tag only",
        "A training project starts no job without subnets or without security groups",
        "A training project stops and looks at its own jobs only",
        "A training project stops no job of another one",
        "A training project tags no job that another project or nobody's tag owns, and only for itself",
        "Jobs of data scientists and projects have the security group that is meant for them only",
        "Jobs of data scientists and projects run in the subnets of the account only",
        "People in Studio use the connection of their domain for repositories of their team only",
        "The schedule overrides nothing of the production build but its step and the source that it saved",
        "The schedule sets no variable of the production build but the three of its step",
        "The schedule starts production with an archive of the production build only",
        "The schedule starts production with the project's own buildspec",
        "The schedule starts production with the project's own role",
        "The schedule starts the comparison of production and no other step",
        "The session that deploys a stage lists packages of its own group only",
        "The session that deploys a stage reads models of its own group only",
    }
)
"""Statements that do not hold with the products of 1.0.0 beside today's baselines."""

FAULTS: Final[dict[str, tuple[Callable[[], World], str]]] = {
    "a stage's boundary believes the tag of the session": (
        lambda: put_back(_STAGE, without_denial("NameTellsStage", "TagIsStage", "TagIsOneStage")),
        "A role that a stage makes reaches no name of another stage, whatever its session tag",
    ),
    "a stage's boundary compares the name with any tag, also with one that begins all names": (
        lambda: put_back(_STAGE, without_denial("TagIsStage", "TagIsOneStage")),
        "A role that a stage makes reaches no name of another stage, whatever its session tag",
    ),
    "a stage reads every bucket of its account": (
        lambda: put_back(_STAGE, without_denial("OwnersShare")),
        "No role of a stage reads a bucket of its account that its owner did not share with the stage",
    ),
    "a stage writes logs of all of SageMaker": (
        lambda: put_back(
            _STAGE,
            lambda s: s,
            granted("logs:PutLogEvents", f"arn:aws:logs:*:{DEPLOYMENT}:log-group:/aws/sagemaker/*"),
        ),
        "A stage writes no log of another endpoint",
    ),
    "promotion copies from deployment projects": (
        lambda: put_back({"PromotionRole"}, without_denial()),
        "The promotion reads no bucket of a deployment project",
    ),
    "an approval swaps what is known about a model": (
        lambda: put_back({"ml-engineer"}, without_denial()),
        "ML engineers change no recorded origin of a model while they approve it",
    ),
    "a data scientist uses the connection for every repository": (
        lambda: put_back(
            {"DataScientistRole"},
            lambda s: without_key("codeconnections:", "codestar-connections:")(s) if s["Effect"] == "Allow" else None,
        ),
        "No person reaches the catalog's own repository",
    ),
    "a lead ends products of others": (
        lambda: put_back({"lead-data-scientist"}, without_key("servicecatalog:rolelevel")),
        "People end and change only what their own role launched",
    ),
}


@pytest.mark.prove
def test_the_products_of_the_first_release_refute_exactly_what_is_known() -> None:
    old, refuted = world("1.0.0"), set()
    for says, prop in PROPERTIES.items():
        if verdicts.digest(prop, old) == verdicts.digest(prop, world()):
            continue  # about the same policies as today
        outcome = prop.decide(old)
        if outcome.verdict != "proven":
            assert outcome.witness is not None, f"with the products of 1.0.0 it is undecided that: {says}"
            assert outcome.witness.is_replayed()
            refuted.add(says)
    missed, new = REFUTED_BY_PRODUCTS_OF_1_0_0 - refuted, refuted - REFUTED_BY_PRODUCTS_OF_1_0_0
    assert not missed, f"no longer found in 1.0.0, so that its fault could come back unseen: {sorted(missed)}"
    assert not new, f"newly found in 1.0.0, which stays as it is: add to the table: {sorted(new)}"


@pytest.mark.prove
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_first_release_would_be_found(fault: str) -> None:
    worse, says = FAULTS[fault]
    outcome = PROPERTIES[says].decide(worse())
    assert outcome.verdict == "refuted"
    assert outcome.witness is not None
    assert outcome.witness.is_replayed()
