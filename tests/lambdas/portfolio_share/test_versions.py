"""Custom::ProductVersions: guidance and visibility of the versions of a product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.lambdas.portfolio_share.world import PRODUCT, Json, World, client_error

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World.start(monkeypatch)
    world.catalog.versions = [artifact("pa-1", "1.0.0"), artifact("pa-2", "1.1.0"), artifact("pa-3", "2.0.0")]
    yield world
    world.stop()


def artifact(id_: str, name: str, *, guidance: str = "DEFAULT", active: bool = True) -> dict[str, Any]:
    return {"Id": id_, "Name": name, "Guidance": guidance, "Active": active}


def wanted(name: str, *, guidance: str = "DEFAULT", active: bool = True) -> dict[str, str]:
    return {"Name": name, "Guidance": guidance, "Active": str(active).lower()}


def publish(world: World, *versions: Json, kind: str = "Create", **event: Json) -> dict[str, Any]:
    properties = {"ProductId": PRODUCT, "Versions": list(versions)}
    (answer,) = world.request(kind, ResourceType="Custom::ProductVersions", ResourceProperties=properties, **event)
    return answer


def test_only_versions_that_differ_are_updated(world: World) -> None:
    answer = publish(world, wanted("1.0.0", active=False), wanted("1.1.0", guidance="DEPRECATED"), wanted("2.0.0"))
    assert answer["Status"] == "SUCCESS"
    assert world.catalog.versions == [
        artifact("pa-1", "1.0.0", active=False),
        artifact("pa-2", "1.1.0", guidance="DEPRECATED"),
        artifact("pa-3", "2.0.0"),
    ]
    assert world.catalog.calls.count("UpdateProvisioningArtifact") == 2


def test_repeating_a_request_changes_nothing(world: World) -> None:
    versions = [wanted("1.0.0", guidance="DEPRECATED"), wanted("1.1.0"), wanted("2.0.0")]
    first = publish(world, *versions)
    second = publish(world, *versions, kind="Update", PhysicalResourceId=first["PhysicalResourceId"])
    assert second["PhysicalResourceId"] == first["PhysicalResourceId"]
    assert world.catalog.calls.count("UpdateProvisioningArtifact") == 1


def test_a_version_is_shown_before_another_is_hidden(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.catalog.versions = [artifact("pa-1", "1.0.0"), artifact("pa-2", "1.1.0", active=False)]
    updated: list[str] = []
    update = world.catalog.update_provisioning_artifact

    def record(**request: Json) -> dict[str, Any]:
        updated.append(request["ProvisioningArtifactId"])
        return update(**request)

    monkeypatch.setattr(world.catalog, "update_provisioning_artifact", record)
    publish(world, wanted("1.0.0", active=False), wanted("1.1.0"))
    assert updated == ["pa-2", "pa-1"]


def test_a_version_that_is_not_there_is_named_with_those_that_are(world: World) -> None:
    answer = publish(world, wanted("3.0.0"))
    assert answer["Status"] == "FAILED"
    assert "3.0.0: 0 times among 1.0.0, 1.1.0, 2.0.0" in answer["Reason"]
    assert world.catalog.calls == ["ListProvisioningArtifacts"]


def test_two_versions_of_one_name_are_not_guessed_between(world: World) -> None:
    world.catalog.versions.append(artifact("pa-4", "2.0.0"))
    answer = publish(world, wanted("2.0.0", guidance="DEPRECATED"))
    assert answer["Status"] == "FAILED"
    assert "2.0.0: 2 times" in answer["Reason"]


def test_deleting_leaves_the_versions_to_the_product(world: World) -> None:
    answer = publish(world, wanted("1.0.0"), kind="Delete", PhysicalResourceId=f"{PRODUCT}/versions")
    assert answer["Status"] == "SUCCESS"
    assert world.catalog.calls == []


@pytest.mark.parametrize(
    "versions",
    [[], ["1.0.0"], [{"Name": "1.0.0"}], [wanted("1.0.0") | {"Active": "yes"}], [wanted("1.0.0", guidance="OLD")]],
)
def test_malformed_versions_are_refused_with_the_value(world: World, versions: list[Any]) -> None:
    answer = publish(world, *versions)
    assert answer["Status"] == "FAILED"
    assert "found" in answer["Reason"]
    assert world.catalog.calls == []


@pytest.mark.parametrize("operation", ["ListProvisioningArtifacts", "UpdateProvisioningArtifact"])
def test_every_failing_call_is_answered_with_its_error(world: World, operation: str) -> None:
    world.catalog.failures[operation] = client_error("ThrottlingException", "slow down")
    answer = publish(world, wanted("1.0.0", active=False))
    assert answer["Status"] == "FAILED"
    assert "slow down" in answer["Reason"]
