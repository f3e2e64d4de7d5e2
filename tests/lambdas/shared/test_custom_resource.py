"""Every request of CloudFormation is answered exactly once, whatever happens."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lambdas.shared.custom_resource import (
    NOT_CREATED,
    Address,
    AnswerError,
    CustomResourceError,
    Failure,
    Request,
    Success,
    answer,
    encode_answer,
    respond,
)
from tests.lambdas.cloudformation import STACK_ID, AnswerBox, Context

if TYPE_CHECKING:
    from collections.abc import Callable

TYPE = "Custom::Thing"


def address(url: str = "https://example.com/answer") -> Address:
    return Address(response_url=url, stack_id=STACK_ID, request_id="r-1", logical_resource_id="Thing")


def test_a_success_carries_id_and_attributes(box: AnswerBox) -> None:
    event = box.event("Create", TYPE, {"Size": "3"})
    respond(event, Context(), lambda request: Success(physical_id="thing-1", data={"Size": request.text("Size")}))
    assert box.only == {
        "Status": "SUCCESS",
        "PhysicalResourceId": "thing-1",
        "StackId": STACK_ID,
        "RequestId": event["RequestId"],
        "LogicalResourceId": "Resource",
        "Data": {"Size": "3"},
    }


def test_the_answer_is_sent_without_a_content_type_because_the_url_is_signed_for_none(box: AnswerBox) -> None:
    respond(box.event("Create", TYPE, {}), Context(), lambda _: Success(physical_id="thing-1"))
    assert box.content_types == [""]


def test_a_failure_that_a_person_can_act_on_is_told_as_it_is(box: AnswerBox) -> None:
    def refuse(_: Request) -> Success:
        raise CustomResourceError("The box is locked. Open it, then launch again.")

    respond(box.event("Create", TYPE, {}), Context(), refuse)
    assert box.only["Status"] == "FAILED"
    assert box.only["Reason"] == "The box is locked. Open it, then launch again."
    assert box.only["PhysicalResourceId"] == NOT_CREATED


def test_an_unexpected_error_names_itself_and_the_log(box: AnswerBox) -> None:
    def break_down(_: Request) -> Success:
        raise KeyError("missing")

    respond(box.event("Update", TYPE, {}, physical_id="thing-1"), Context(), break_down)
    assert box.only["Status"] == "FAILED"
    assert "KeyError" in box.only["Reason"]
    assert "2026/11/20/[$LATEST]abc" in box.only["Reason"]
    assert box.only["PhysicalResourceId"] == "thing-1", "a failed update must not look like a replacement"


def test_what_was_never_created_is_deleted_without_asking(box: AnswerBox) -> None:
    def must_not_run(_: Request) -> Success:
        raise AssertionError("the resource was never created")

    respond(box.event("Delete", TYPE, {}, physical_id=NOT_CREATED), Context(), must_not_run)
    assert box.only["Status"] == "SUCCESS"


def test_an_answer_that_comes_later_is_not_given_now(box: AnswerBox) -> None:
    respond(box.event("Create", TYPE, {}), Context(), lambda _: None)
    assert box.requests == 0


def test_a_function_whose_time_is_up_says_so_before_lambda_ends_it(box: AnswerBox) -> None:
    def hang(_: Request) -> Success:
        while True:
            with contextlib.suppress(Exception):  # what a library that retries on every exception does
                time.sleep(5)

    started = time.monotonic()
    respond(box.event("Create", TYPE, {}), Context(5.1), hang)
    assert time.monotonic() - started < 3
    assert box.only["Status"] == "FAILED"
    assert "time is up" in box.only["Reason"]


def test_outside_the_main_thread_there_is_no_alarm_but_an_answer(box: AnswerBox) -> None:
    event = box.event("Create", TYPE, {})
    thread = threading.Thread(target=respond, args=(event, Context(), lambda _: Success(physical_id="thing-1")))
    thread.start()
    thread.join()
    assert box.only["Status"] == "SUCCESS"


def test_attributes_that_are_too_long_are_a_failure_and_not_a_silence(box: AnswerBox) -> None:
    respond(box.event("Create", TYPE, {}), Context(), lambda _: Success(physical_id="t", data={"Long": "x" * 5000}))
    assert box.only["Status"] == "FAILED"
    assert "4096" in box.only["Reason"]


@pytest.mark.parametrize(
    "reason", ["x" * 9000, "€" * 9000, "😀" * 9000, '"\\' * 9000], ids=["ascii", "bmp", "astral", "escaped"]
)
def test_a_long_reason_is_cut_to_the_size_that_cloudformation_takes(reason: str) -> None:
    body = encode_answer(address(), Failure(physical_id="thing-1", reason=reason))
    assert 3900 < len(body) <= 4096
    told = json.loads(body)["Reason"]
    assert told.endswith("…")
    assert reason.startswith(told[:-1])


@pytest.mark.parametrize("statuses", [(500,), (503, 500), (429, 408, 500)])
def test_a_passing_fault_of_the_answer_url_is_waited_out(statuses: tuple[int, ...]) -> None:
    with AnswerBox(*statuses) as box:
        answer(address(box.url), Success(physical_id="thing-1"))
        assert box.only["Status"] == "SUCCESS"
        assert box.requests == len(statuses) + 1


def test_an_expired_answer_url_is_not_asked_again_and_the_failure_is_raised() -> None:
    with AnswerBox(403) as box:
        with pytest.raises(AnswerError, match="HTTP status 403"):
            answer(address(box.url), Success(physical_id="thing-1"))
        assert box.requests == 1


def test_an_unreachable_answer_url_raises_so_that_lambda_repeats_the_request() -> None:
    with AnswerBox() as box:
        url = box.url
    with pytest.raises(AnswerError, match="waits until the resource's ServiceTimeout"):
        answer(address(url), Success(physical_id="thing-1"))


def test_an_answer_url_of_another_scheme_is_refused() -> None:
    with pytest.raises(AnswerError, match="scheme 'file'"):
        answer(address("file:///etc/passwd"), Success(physical_id="thing-1"))


def test_an_event_from_elsewhere_is_refused_because_nobody_waits() -> None:
    with pytest.raises(ValueError, match="not a request of CloudFormation"):
        respond({"hello": "world"}, Context(), lambda _: None)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda r: r.text("Empty"), "needs the property Empty"),
        (lambda r: r.text("Missing"), "needs the property Missing"),
        (lambda r: r.text("List"), r"found \['a'\]"),
        (lambda r: r.texts("Text"), "needs Text to be a list"),
        (lambda r: r.texts("Mixed"), "needs Mixed to be a list"),
    ],
)
def test_a_property_of_the_wrong_kind_is_named(box: AnswerBox, read: Callable[[Request], object], message: str) -> None:
    properties = {"Empty": "", "List": ["a"], "Text": "a", "Mixed": ["a", {"b": "c"}]}
    with pytest.raises(CustomResourceError, match=message):
        read(Request.parse(box.event("Create", TYPE, properties)))


def test_properties_are_read_without_the_service_token(box: AnswerBox) -> None:
    request = Request.parse(box.event("Update", TYPE, {"List": ["a", "b"]}, old_properties={"List": ["a"]}))
    assert request.texts("List") == ["a", "b"]
    assert request.texts("Absent") == []
    assert request.old_properties == {"List": ["a"]}
    assert "ServiceToken" not in request.properties


def test_the_signed_url_is_not_shown_where_a_request_is_printed() -> None:
    assert "example.com" not in repr(address())
