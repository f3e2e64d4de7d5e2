"""Faults of the first release: each put back into today's policies, and found by the property that is about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from products.shared import names
from tests.proofs.model import listed
from tests.proofs.properties import PROPERTIES
from tests.proofs.world import ATTACKER, DEPLOYMENT, HUB, REGION, world

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
_REGISTRY: Final = names.registry_bucket(HUB, REGION)

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
    "builds read promoted models of every group": (
        lambda: put_back({ATTACKER}, widened(f"{_REGISTRY}/packages/", f"{_REGISTRY}/*")),
        "A deployment project reads models of its own group only",
    ),
    "promotion copies from deployment projects": (
        lambda: put_back({"PromotionRole"}, without_denial()),
        "The promotion reads no bucket of a deployment project",
    ),
    "an approval swaps what is known about a model": (
        lambda: put_back({"ml-engineer"}, without_denial()),
        "ML engineers change no recorded origin of a model while they approve it",
    ),
    "a training project stops jobs of others": (
        lambda: put_back({"train-s3"}, without_key("aws:resourcetag/sagemaker:project-id")),
        "A training project stops no job of another one",
    ),
    "jobs run outside the VPC": (
        lambda: put_back({"DataScientistRole"}, without_key("sagemaker:vpc")),
        "A data scientist starts no job without subnets",
    ),
    "a data scientist uses the connection for every repository": (
        lambda: put_back(
            {"DataScientistRole"},
            lambda s: without_key("codeconnections:", "codestar-connections:")(s) if s["Effect"] == "Allow" else None,
        ),
        "No person reaches the catalog's own repository",
    ),
    "a data scientist deletes projects": (
        lambda: put_back({"DataScientistRole"}, lambda s: s, granted("sagemaker:DeleteProject", "*")),
        "A data scientist deletes no project",
    ),
    "a lead ends products of others": (
        lambda: put_back({"lead-data-scientist"}, without_key("servicecatalog:rolelevel")),
        "People end and change only what their own role launched",
    ),
}


@pytest.mark.prove
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_first_release_would_be_found(fault: str) -> None:
    worse, says = FAULTS[fault]
    outcome = PROPERTIES[says].decide(worse())
    assert outcome.verdict == "refuted"
    assert outcome.witness is not None
    assert outcome.witness.is_replayed()
