"""Fixtures for all functions: no real credentials, no waiting, a place for answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.lambdas.cloudformation import AnswerBox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _lambda_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Lambda sets for every function, with credentials that are none."""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr("lambdas.shared.custom_resource.time.sleep", lambda _seconds: None)


_clients: dict[tuple[str, str | None], Any] = {}
_make_client = boto3.client


@pytest.fixture(autouse=True)
def _clients_are_made_once(monkeypatch: pytest.MonkeyPatch, _lambda_environment: None) -> None:
    """Making a client takes a tenth of a second, most of it for reading the service's model."""

    def client(service: str, **settings: Any) -> Any:  # noqa: ANN401 - as boto3 has it
        which = (service, settings.get("region_name"))
        if which not in _clients:
            _clients[which] = _make_client(service, **settings)
        return _clients[which]

    monkeypatch.setattr(boto3, "client", client)


@pytest.fixture
def box() -> Iterator[AnswerBox]:
    """Where CloudFormation takes answers."""
    with AnswerBox() as answer_box:
        yield answer_box
