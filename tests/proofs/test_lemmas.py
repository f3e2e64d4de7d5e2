"""What carries the proofs from the principals that they name to all others."""

from __future__ import annotations

import json
import re

import z3

from products.shared.names import STAGES
from tests.products.launches import LAKE
from tests.proofs.model import listed
from tests.proofs.world import ATTACKER, DEPLOYMENT, DEV, HUB, REGION, VICTIM, world

OF_A_PROJECT = re.compile(rf"{ATTACKER}|{VICTIM}|lab|rival")


def test_the_name_of_a_stage_begins_and_ends_no_other_stages_name() -> None:
    # With L = p-[a-z0-9]{1,14}-(test|prod): no word of L- begins another one, and no word of -L ends another one.
    letters = z3.Union(z3.Range("a", "z"), z3.Range("0", "9"))
    stage = z3.Union(*(z3.Re(f"-{stage}") for stage in STAGES))
    tag = z3.Concat(z3.Re("p-"), z3.Loop(letters, 1, 14), stage)
    word, more = z3.String("word"), z3.Plus(z3.AllChar(z3.ReSort(z3.StringSort())))
    head, tail = z3.Concat(tag, z3.Re("-")), z3.Concat(z3.Re("-"), tag)
    solver = z3.Solver()
    solver.add(
        z3.Or(
            z3.And(z3.InRe(word, head), z3.InRe(word, z3.Concat(head, more))),
            z3.And(z3.InRe(word, tail), z3.InRe(word, z3.Concat(more, tail))),
        )
    )
    assert solver.check() == z3.unsat


def test_no_policy_but_a_projects_own_knows_its_id_so_that_two_projects_stand_for_all() -> None:
    shared = [actor for actor in world().actors.values() if not OF_A_PROJECT.search(actor.name)]
    texts = {actor.name: json.dumps([*actor.policies(), actor.trust]) for actor in shared}
    known = {name: re.findall(r"\bp-[a-z0-9]{2,14}(?=-|/|\")", text) for name, text in texts.items()}
    assert {name: ids for name, ids in known.items() if set(ids) - {"p-reserved"}} == {}


def test_policies_name_only_accounts_and_the_region_of_the_world_so_that_no_statement_holds_by_mistake() -> None:
    texts = json.dumps([[*actor.policies(), actor.trust] for actor in world().actors.values()])
    places = set(re.findall(r"arn:aws:[a-z0-9-]+:([a-z0-9-]*):([0-9]*):", texts))
    assert {region for region, _ in places} <= {"", REGION}
    assert {account for _, account in places} <= {"", HUB, DEV, DEPLOYMENT, LAKE}


def test_nothing_is_granted_by_leaving_actions_out() -> None:
    everything = [
        *(s for actor in world().actors.values() for policy in actor.policies() for s in policy),
        *(s for policy in world().resource_policies for s in policy.statements),
    ]
    assert [s for s in everything if s["Effect"] == "Allow" and {"NotAction", "NotPrincipal"} & s.keys()] == []


def test_the_owner_of_a_key_can_change_its_policy_as_kms_demands_when_a_key_is_made() -> None:
    # https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html, BypassPolicyLockoutSafetyCheck
    locked = []
    for policy in world().resource_policies:
        root = f"arn:aws:iam::{policy.account}:root"
        if policy.service == "kms" and not any(
            s["Effect"] == "Allow"
            and root in listed(s["Principal"].get("AWS", []))
            and {"kms:*", "kms:PutKeyPolicy"} & set(listed(s["Action"]))
            for s in policy.statements
        ):
            locked.append(policy.protects)
    assert locked == []
