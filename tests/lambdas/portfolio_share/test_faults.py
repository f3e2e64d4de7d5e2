"""Whatever call fails, CloudFormation gets one answer, and asking again ends as if nothing had happened.

The points of failure are those of a recorded run, so a call that is added later is covered without a change here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.lambdas.portfolio_share.world import OTHER_OU, OU, PORTFOLIO, PRODUCT, World, share_properties

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = {"SharePrincipals": True, "ShareTagOptions": True}
VERSIONS = {
    "ProductId": PRODUCT,
    "Versions": [
        {"Name": "1.0.0", "Guidance": "DEPRECATED", "Active": "true"},
        {"Name": "1.1.0", "Guidance": "DEFAULT", "Active": "false"},
    ],
}


def shared(world: World) -> None:
    world.catalog.shares = {OU: SHARED}


def published(world: World) -> None:
    world.catalog.versions = [
        {"Id": f"pa-{name}", "Name": name, "Guidance": "DEFAULT", "Active": True} for name in ("1.0.0", "1.1.0")
    ]


SCENES: dict[str, tuple[str, Callable[[World], None], dict[str, Any]]] = {
    "share": ("Create", lambda _world: None, {}),
    "update": (
        "Update",
        shared,
        {"PhysicalResourceId": f"{PORTFOLIO}/{OU}", "ResourceProperties": share_properties(principals=False)},
    ),
    "move": (
        "Update",
        shared,
        {"PhysicalResourceId": f"{PORTFOLIO}/{OU}", "ResourceProperties": share_properties(OTHER_OU)},
    ),
    "unshare": ("Delete", shared, {"PhysicalResourceId": f"{PORTFOLIO}/{OU}"}),
    "versions": ("Create", published, {"ResourceType": "Custom::ProductVersions", "ResourceProperties": VERSIONS}),
}


def play(monkeypatch: pytest.MonkeyPatch, scene: str, fail_at: int | None, *, after: bool) -> tuple[World, list[Any]]:
    """Send the request of a scene with a failing call, and return the world and the answers."""
    kind, prepare, event = SCENES[scene]
    world = World.start(monkeypatch)
    try:
        prepare(world)
        world.catalog.statuses = ["IN_PROGRESS", "COMPLETED"]
        world.catalog.fail_at, world.catalog.fail_after = fail_at, after
        answers = world.request(kind, **event)
        if answers[0]["Status"] == "FAILED":
            world.catalog.now += 60
            again = kind if scene != "share" or not world.catalog.shares else "Update"
            id_ = {} if again == "Create" else {"PhysicalResourceId": answers[0]["PhysicalResourceId"]}
            (second,) = world.request(again, **{**event, **id_})
            assert second["Status"] == "SUCCESS", (fail_at, second)
    finally:
        world.stop()
    return world, answers


@pytest.mark.parametrize("after", [False, True], ids=["before it takes effect", "after it took effect"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_failure_of_any_call_is_answered_once_and_the_next_request_mends_it(
    monkeypatch: pytest.MonkeyPatch, scene: str, after: bool
) -> None:
    expected, answers = play(monkeypatch, scene, None, after=after)
    assert [answer["Status"] for answer in answers] == ["SUCCESS"]
    assert expected.catalog.calls
    for number in range(len(expected.catalog.calls)):
        world, answers = play(monkeypatch, scene, number, after=after)
        assert len(answers) == 1, number
        assert (world.catalog.shares, world.catalog.versions) == (expected.catalog.shares, expected.catalog.versions)
