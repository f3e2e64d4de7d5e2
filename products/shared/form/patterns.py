"""Patterns of answers that a service refuses otherwise, and what released patterns lost on the way to them.

It does not import the CDK, so that comparing releases stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from products.shared import names


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


def whole(least: int, most: int) -> str:
    """Return the pattern of the whole numbers from one to another, without signs and leading zeros.

    CloudFormation's type ``Number`` takes fractions as well, which nothing that counts machines or hours does.
    """
    lengths = range(len(str(least)), len(str(most)) + 1)
    spans = [(max(least, 10 ** (n - 1) if n > 1 else 0), min(most, 10**n - 1)) for n in lengths]
    return f"^({'|'.join(_digits(str(low), str(high)) for low, high in spans)})$"


def _digits(low: str, high: str) -> str:
    """Return the pattern of the numbers between two others with as many digits."""
    if low[:1] == high[:1]:
        return low[:1] + _digits(low[1:], high[1:]) if low else ""
    rest = len(low) - 1
    first, last, options = int(low[0]), int(high[0]), []
    if int(low[1:] or 0):
        options.append(low[0] + _digits(low[1:], "9" * rest))
        first += 1
    if int(high[1:] or 9 * rest) != 10**rest - 1:
        options.append(high[0] + _digits("0" * rest, high[1:]))
        last -= 1
    if first <= last:
        options.append(f"[{first}-{last}]" + "[0-9]" * rest)
    return f"({'|'.join(options)})"


TAG_VALUE: Final = r"^(?![Aa][Ww][Ss]:)[A-Za-z0-9][A-Za-z0-9 _.:/=+@-]{0,63}$"
"""Value of a tag, beginning with a letter or digit; IAM keeps ``aws:`` for itself, in values too.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html, "Rules for tagging in IAM and AWS STS".
"""

OPTIONAL_KEY: Final = r"^$|^arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,64}$"
"""Blank, or the ARN of a KMS key; not of an alias, because policies name keys."""

S3_DEPTH: Final = 8
_FOLDERS: Final = rf"(?!{names.PROJECTS_PREFIX})" + r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.'()=+,@-]+){1,8}/$"
S3_FOLDER: Final = rf"^(?=.{{1,1024}}$)s3://{_FOLDERS}"
"""``s3://bucket/prefix/`` with one to `S3_DEPTH` folders, and no character that IAM or EventBridge gives a meaning.

Keys have at most 1,024 bytes (S3 user guide, "Creating object key names"). Buckets of projects are refused: naming one
as data would let a role of this project read another project.
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
    Narrowing(
        released=rf"^s3://{_FOLDERS}",
        now=S3_FOLDER,
        because="no object has a key of more than 1,024 bytes (S3 user guide, Creating object key names), and the "
        "first build refused the place",
        lost=(f"s3://lake/{'a' * 1024}/",),
        kept=("s3://lake/churn/", f"s3://lake/{'a' * 1000}/", "s3://sales-lake/o'hara/(2026)/day=1/"),
    ),
    Narrowing(
        released=r"^[A-Za-z0-9][A-Za-z0-9 _.:/=+@-]{0,63}$",
        now=TAG_VALUE,
        because="IAM refuses tag values that begin with aws:, so that no launch with one succeeded (IAM user guide, "
        "Rules for tagging in IAM and AWS STS)",
        lost=("aws:ml", "AWS:1000"),
        kept=("ml-1000", "aws", "my aws:ml", "4711"),
    ),
)
"""Patterns that `portfolio diff` admits in a minor version."""

RULES: Final = {
    "MachinesFromMinimumToMaximum": "the build refused fewer machines at most than at least, so that no deployment "
    "with them ever succeeded",
}
"""New rules about answers that `portfolio diff` admits in a minor version, and why."""
