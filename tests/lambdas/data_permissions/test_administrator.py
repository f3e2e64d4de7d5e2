"""Custom::DataLakeAdministrator: one role joins the administrators and leaves them, and nobody else does."""

from __future__ import annotations

from typing import Any

import pytest

from lambdas.data_permissions import administrator
from tests.lambdas.aws import answering, client_error
from tests.lambdas.cloudformation import AnswerBox, Context

TYPE = "Custom::DataLakeAdministrator"
OURS = "arn:aws:iam::111122223333:role/ml-platform/baseline/data-permissions"
OTHERS = ["arn:aws:iam::111122223333:role/Admin", "arn:aws:iam::111122223333:user/steward"]


class Settings:
    """The settings of Lake Formation, which a request replaces as a whole."""

    def __init__(self, *administrators: str) -> None:
        self.settings: dict[str, Any] = {
            "DataLakeAdmins": [{"DataLakePrincipalIdentifier": arn} for arn in administrators],
            "ReadOnlyAdmins": [{"DataLakePrincipalIdentifier": OTHERS[0]}],
            "CreateTableDefaultPermissions": [],
            "Parameters": {"CROSS_ACCOUNT_VERSION": "4"},
        }

    @property
    def administrators(self) -> list[str]:
        return [admin["DataLakePrincipalIdentifier"] for admin in self.settings["DataLakeAdmins"]]

    def answers(self) -> dict[str, Any]:
        return {
            "lakeformation:GetDataLakeSettings": lambda _: {"DataLakeSettings": self.settings},
            "lakeformation:PutDataLakeSettings": self._put,
        }

    def _put(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self.settings = parameters["DataLakeSettings"]
        return {}


def send(settings: Settings, box: AnswerBox, kind: str, role: str = OURS, *, failing: int | None = None) -> list[str]:
    with answering(settings.answers(), failing=failing) as calls:
        administrator.lambda_handler(box.event(kind, TYPE, {"RoleArn": role}, physical_id=role), Context())
    return calls.operations


def test_existing_administrators_and_all_other_settings_survive(box: AnswerBox) -> None:
    settings = Settings(*OTHERS)
    before = dict(settings.settings)
    send(settings, box, "Create")
    assert box.only["PhysicalResourceId"] == OURS
    assert settings.administrators == [*OTHERS, OURS]
    send(settings, box, "Delete")
    assert settings.settings == before


def test_repeating_a_request_changes_nothing(box: AnswerBox) -> None:
    settings = Settings(*OTHERS)
    for kind in ("Create", "Create", "Update"):
        send(settings, box, kind)
    assert settings.administrators == [*OTHERS, OURS]
    send(settings, box, "Delete")
    assert send(settings, box, "Delete") == ["lakeformation:GetDataLakeSettings"]
    assert settings.administrators == OTHERS


def test_another_role_is_another_resource(box: AnswerBox) -> None:
    settings = Settings(*OTHERS, OURS)
    send(settings, box, "Update", f"{OURS}-2")
    assert box.only["PhysicalResourceId"] == f"{OURS}-2"
    send(settings, box, "Delete", OURS)
    assert settings.administrators == [*OTHERS, f"{OURS}-2"]


@pytest.mark.parametrize("failing", [0, 1])
def test_a_failed_call_is_answered_and_changes_nothing(box: AnswerBox, failing: int) -> None:
    settings = Settings(*OTHERS)
    send(settings, box, "Create", failing=failing)
    assert box.only["Status"] == "FAILED"
    assert settings.administrators == OTHERS


def test_a_full_list_is_refused_in_words(box: AnswerBox) -> None:
    settings = Settings(*(f"arn:aws:iam::111122223333:role/{number}" for number in range(30)))
    send(settings, box, "Create")
    assert "30 data lake administrators and takes no more" in box.only["Reason"]


def test_administrators_that_no_longer_exist_are_named_by_lake_formation(box: AnswerBox) -> None:
    answers = Settings(*OTHERS).answers()
    answers["lakeformation:PutDataLakeSettings"] = client_error("InvalidInputException", message="Invalid principal x")
    with answering(answers):
        administrator.lambda_handler(box.event("Create", TYPE, {"RoleArn": OURS}), Context())
    assert "Invalid principal x. Remove those that no longer exist" in box.only["Reason"]
