"""Whatever happens between any two calls, in the end there is one correct package.

The points of failure are those of a recorded run, so a call that is added later is covered without a change here.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lambdas.model_promotion.artifacts import MIB
from tests.lambdas.aws import client_error
from tests.lambdas.model_promotion.cloud import DEV, REGION, Cloud, Killed, model, put_artifacts
from tests.lambdas.model_promotion.conftest import Function

pytestmark = pytest.mark.slow

Prepare = Callable[[Cloud, Function], dict[str, Any]]


def approval(cloud: Cloud, _function: Function) -> dict[str, Any]:
    """Return the approval of a package whose model is copied in parts."""
    put_artifacts(cloud)
    cloud.put(f"mlp-p-1-{DEV}-{REGION}", "v1/model.tar.gz", size=700 * MIB)
    return cloud.decide(cloud.register(dict(model())), "Approved", "good")


def rejection(cloud: Cloud, function: Function) -> dict[str, Any]:
    """Return the rejection of a package that is in the hub already."""
    event = approval(cloud, function)
    function.deliver(event)
    return cloud.decide(event["detail"]["ModelPackageArn"], "Rejected", "unfair")


def approval_again(cloud: Cloud, function: Function) -> dict[str, Any]:
    """Return the approval of a package that was rejected meanwhile."""
    event = rejection(cloud, function)
    function.deliver(event)
    return cloud.decide(event["detail"]["ModelPackageArn"], "Approved", "fair after all")


def rejection_at_once(cloud: Cloud, _function: Function) -> dict[str, Any]:
    """Return the rejection of a package that never was in the hub."""
    put_artifacts(cloud)
    return cloud.decide(cloud.register(dict(model())), "Rejected", "bad")


def governance_approval(cloud: Cloud, function: Function) -> dict[str, Any]:
    """Return the governance officer's approval of a model that is in the hub."""
    function.deliver(approval(cloud, function))
    return cloud.answer(cloud.copies[0]["ModelPackageArn"], "Succeeded", "tested well")


SCENES: list[Prepare] = [approval, rejection, approval_again, rejection_at_once, governance_approval]


@contextmanager
def scene(prepare: Prepare) -> Iterator[tuple[Cloud, Function, dict[str, Any], int]]:
    """Yield a prepared cloud, the function, the event to deliver, and the number of calls made so far."""
    cloud = Cloud()
    with cloud.running():
        function = Function(cloud)
        event = prepare(cloud, function)
        yield cloud, function, event, len(cloud.calls)


def undisturbed(prepare: Prepare) -> tuple[dict[str, Any], int]:
    """Return what an undisturbed run leaves behind, and how many calls it makes."""
    with scene(prepare) as (cloud, function, event, before):
        assert function.invoke(event) == []
        return cloud.state(), len(cloud.calls) - before


FAILURES: dict[str, Callable[[str], BaseException]] = {
    "refused": lambda operation: client_error("InternalServerError", operation),
    "throttled": lambda operation: client_error("ThrottlingException", operation, "Rate exceeded"),
    "killed": Killed,
}


@pytest.mark.parametrize("after", [False, True], ids=["before it takes effect", "after it took effect"])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("prepare", SCENES, ids=lambda scene: scene.__name__)
def test_a_failure_of_any_call_changes_nothing_in_the_end(prepare: Prepare, failure: str, after: bool) -> None:
    expected, calls = undisturbed(prepare)
    for at in range(calls):
        with scene(prepare) as (cloud, function, event, before):
            cloud.fail_at, cloud.fail_after, cloud.failure = before + at, after, FAILURES[failure]
            function.deliver(event, at_most=40)
            assert cloud.state() == expected, (at, cloud.calls[before + at])


def test_a_package_made_just_before_a_crash_is_found_without_the_help_of_the_token() -> None:
    expected, calls = undisturbed(approval)
    for at in range(calls):
        with scene(approval) as (cloud, function, event, before):
            cloud.remembers_tokens = False
            cloud.fail_at, cloud.fail_after, cloud.failure = before + at, True, Killed
            function.deliver(event, at_most=40)
            assert cloud.state() == expected, (at, cloud.calls[before + at])


@pytest.mark.parametrize("token", [True, False], ids=["token known", "token forgotten"])
@pytest.mark.parametrize("prepare", SCENES, ids=lambda scene: scene.__name__)
def test_two_at_once_leave_what_one_leaves(prepare: Prepare, token: bool) -> None:
    expected, calls = undisturbed(prepare)
    for at in range(calls):
        with scene(prepare) as (cloud, function, event, before):
            cloud.remembers_tokens = token
            other = Function(cloud)
            _interrupt(cloud, before + at, functools.partial(other.deliver, event, at_most=1))
            function.deliver(event, at_most=40)
            for _ in range(40):
                if not cloud.sent:
                    break
                cloud.now += cloud.sent.pop()["DelaySeconds"]
                function.invoke(event)
            assert cloud.state() == expected, (at, cloud.calls[before + at])


def _interrupt(cloud: Cloud, at: int, what: Callable[[], None]) -> None:
    """Do something else, once, just before a call."""
    done: list[int] = []

    def fail(_operation: str, _parameters: dict[str, Any]) -> None:
        if len(cloud.calls) > at and not done:
            done.append(at)
            try:
                what()
            except AssertionError as err:
                assert "not done" in str(err)

    cloud.fail = fail


def test_events_may_come_twice_and_in_any_order() -> None:
    states = []
    for order in itertools.permutations(range(3)):
        with scene(approval) as (cloud, function, event, _):
            arn = event["detail"]["ModelPackageArn"]
            events = [event, cloud.decide(arn, "Rejected", "unfair"), cloud.decide(arn, "Approved", "fair")]
            for index in (*order, *order):
                function.deliver(events[index])
            states.append(cloud.state())
    packages = [state["packages"] for state in states]
    assert all(found == packages[0] for found in packages)
    assert len(packages[0]) == 1
    assert all(state["cards"] == states[0]["cards"] for state in states)
    assert all({verdict["what"] for verdict in state["verdicts"]} == {"Approved", "Rejected"} for state in states)


def test_a_stale_answer_of_the_registry_does_not_undo_a_later_decision() -> None:
    with scene(approval) as (cloud, function, event, _):
        arn = event["detail"]["ModelPackageArn"]
        function.deliver(event)
        before = dict(cloud.packages[arn])
        function.deliver(cloud.decide(arn, "Rejected", "unfair"))
        cloud.packages[arn] = before
        function.deliver(event)
        assert [package["ModelApprovalStatus"] for package in cloud.copies] == ["Rejected"]


def test_throttling_is_never_taken_for_absence() -> None:
    throttled = {"sagemaker:DescribeModelPackage", "sagemaker:CreateModelPackageGroup", "sagemaker:DescribeModelCard"}
    for operation in throttled:
        with scene(approval) as (cloud, function, event, _):
            cloud.fail = functools.partial(_throttled, operation)
            assert function.invoke(event) == ["m0"]
            assert not cloud.of("sagemaker:CreateModelCard")
            assert cloud.put_off


@pytest.mark.parametrize("crash", [False, True], ids=["at once", "after a crash"])
def test_the_number_of_calls_does_not_grow_with_the_group(crash: bool) -> None:
    counts = []
    for present in (1, 1000):
        with scene(approval) as (cloud, function, event, _):
            name = f"churn-p-1-{DEV}"
            cloud.groups[name] = {"Tags": {}}
            for version in range(1, present + 1):
                package = {"ModelPackageGroupName": name, "ModelPackageVersion": version}
                arn = cloud.register(package, account="999999999999")
                cloud.packages[arn]["CreationTime"] = cloud.packages[event["detail"]["ModelPackageArn"]][
                    "CreationTime"
                ].replace(year=2024)
            before = len(cloud.calls)
            if crash:
                cloud.failure, cloud.fail_after = Killed, True
                cloud.fail = functools.partial(_mark_create, cloud)
            function.deliver(event)
            assert len(cloud.copies) == present + 1
            counts.append(len(cloud.calls) - before)
    assert counts[0] == counts[1]


def _throttled(operation: str, name: str, _parameters: dict[str, Any]) -> BaseException | None:
    """Throttle one operation, in words that could be taken for something else."""
    return client_error("ThrottlingException", name, "Rate exceeded; does not exist") if name == operation else None


def _mark_create(cloud: Cloud, name: str, _parameters: dict[str, Any]) -> None:
    """Let the first CreateModelPackage be the call that fails."""
    if name == "sagemaker:CreateModelPackage" and cloud.fail_at is None:
        cloud.fail_at = len(cloud.calls) - 1
