"""Patterns of answers that a service refuses otherwise, and what released patterns lost on the way to them.

It does not import the CDK, so that comparing releases stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


def _field(value: str) -> str:
    """Return the pattern of a field of a cron expression: values, ranges and steps, with commas between."""
    one = rf"(\*|({value})(-({value}))?)(/[1-9][0-9]{{0,3}})?"
    return rf"{one}(,{one})*"


_MINUTE: Final = _field("[1-5]?[0-9]")
_HOUR: Final = _field("1?[0-9]|2[0-3]")
_DAY: Final = rf"({_field('[1-9]|[12][0-9]|3[01]')}|LW?|([1-9]|[12][0-9]|3[01])W)"
_MONTH: Final = _field("[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC")
_WEEKDAYS: Final = "[1-7]|SUN|MON|TUE|WED|THU|FRI|SAT"
_WEEKDAY: Final = rf"({_field(_WEEKDAYS)}|({_WEEKDAYS})?L|({_WEEKDAYS})#[1-5])"
_YEAR: Final = _field("19[7-9][0-9]|2[01][0-9]{2}")

SCHEDULE: Final = (
    r"^rate\((1 (hour|day)|([2-9]|[1-9][0-9]+) (hours|days))\)$"
    rf"|^cron\({_MINUTE} {_HOUR} ({_DAY} {_MONTH} \?|\? {_MONTH} {_WEEKDAY}) {_YEAR}\)$"
)
"""Schedules of EventBridge in hours or longer: a rate, or a cron expression whose fields hold what EventBridge takes.

A "?" stands for exactly one of day of month and day of week (EventBridge user guide, "Cron expressions" and "Rate
expressions").
"""


@dataclass(frozen=True, kw_only=True)
class Narrowing:
    """A released pattern that gave way to one which accepts less, without a value in use being refused.

    Attributes:
        released: The pattern as it was released.
        now: The pattern that takes its place.
        because: Which service refuses what got lost, with the source.
        lost: Examples of values that only the released one accepts.
        kept: Examples of values that both accept.
    """

    released: str
    now: str
    because: str
    lost: tuple[str, ...]
    kept: tuple[str, ...]


NARROWINGS: Final = (
    Narrowing(
        released=r"^rate\((1 (hour|day)|([2-9]|[1-9][0-9]+) (hours|days))\)$|^cron\([^ )]+( [^ )]+){5}\)$",
        now=SCHEDULE,
        because="EventBridge refuses what got lost, so that no launch or update with it ever succeeded (EventBridge "
        "user guide, Cron expressions)",
        lost=(
            "cron(0 5 * * * *)",
            "cron(0 5 ? * ? *)",
            "cron(60 5 * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 5 32 * ? *)",
            "cron(0 5 0 * ? *)",
            "cron(0 5 * 13 ? *)",
            "cron(0 5 ? * 8 *)",
            "cron(0 5 ? * MONDAY *)",
            "cron(0 5 ? * MON#6 *)",
            "cron(0 5 ? * mon *)",
            "cron(0 5 * * ? 1969)",
            "cron(*/0 5 * * ? *)",
            "cron(a b c d e f)",
        ),
        kept=(
            "rate(7 days)",
            "cron(0 5 ? * MON *)",
            "cron(0 10 * * ? *)",
            "cron(15 12 * * ? *)",
            "cron(0 18 ? * MON-FRI *)",
            "cron(0 8 1 * ? *)",
            "cron(0/10 * ? * MON-FRI *)",
            "cron(0/5 8-17 ? * MON-FRI *)",
            "cron(0/30 20-2 ? * MON-FRI *)",
            "cron(0 9 ? * 2#1 *)",
            "cron(0 9 L * ? *)",
            "cron(0 9 LW * ? *)",
            "cron(0 9 3W * ? *)",
            "cron(0 9 ? * 6L *)",
            "cron(0 9 ? JAN,APR,JUL,OCT TUE 2026-2028)",
        ),
    ),
)
"""Patterns that `portfolio diff` admits in a minor version."""
