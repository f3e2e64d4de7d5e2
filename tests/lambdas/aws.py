"""AWS as the functions see it: every call recorded and answered from a table, any of them failing on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

Answers = Mapping[str, "Mapping[str, Any] | Exception | Callable[[dict[str, Any]], Mapping[str, Any]]"]


class Calls(list[tuple[str, dict[str, Any]]]):
    """The calls that were made: operation (``service:Operation``) and parameters."""

    def of(self, operation: str) -> list[dict[str, Any]]:
        """Return the parameters of each call of one operation."""
        return [parameters for name, parameters in self if name == operation]

    @property
    def operations(self) -> list[str]:
        """Operations in the order of the calls."""
        return [name for name, _ in self]


def client_error(code: str, operation: str = "Operation", message: str = "refused by the test") -> ClientError:
    """Return an error as a boto3 client raises it."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@contextmanager
def answering(answers: Answers, *, failing: int | None = None, after: bool = False) -> Iterator[Calls]:
    """Let every boto3 client answer from a table.

    Args:
        answers: For each operation (``codebuild:StartBuild``, or for calls in one region
            ``codebuild:StartBuild@eu-central-1``) the answer, an exception, or a function of the parameters. An
            operation that is not listed fails the test.
        failing: Index of the call that fails with InternalServerError. Default: none.
        after: Whether that call takes effect before it fails, as when an answer is lost on its way.
    """
    calls = Calls()

    def call(client: Any, operation: str, parameters: dict[str, Any]) -> Mapping[str, Any]:  # noqa: ANN401
        service = client.meta.service_model.service_name
        index = len(calls)
        calls.append((f"{service}:{operation}", parameters))
        if index == failing and not after:
            raise client_error("InternalServerError", operation)
        name = f"{service}:{operation}"
        answer = answers.get(f"{name}@{client.meta.region_name}", answers.get(name))
        if answer is None:
            raise KeyError(name)
        if isinstance(answer, Exception):
            raise answer
        result = answer(parameters) if callable(answer) else answer
        if index == failing:
            raise client_error("InternalServerError", operation)
        return result

    with mock.patch("botocore.client.BaseClient._make_api_call", call):
        yield calls
