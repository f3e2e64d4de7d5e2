"""A data set with signal in it, made from nothing: subscribers of a made-up streaming service, and who left."""

from __future__ import annotations

import csv
import datetime as dt
import math
import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

LABEL: Final = "churned"
RECORD_KEY: Final = "subscriber_id"
_FIRST_DAY: Final = dt.date(2023, 1, 1)
_PLANS: Final = {"basic": (7.99, 0.5), "standard": (12.99, 0.0), "family": (17.99, -0.7)}
_COUNTRIES: Final = ("DE", "ES", "FR", "IT", "NL", "PT", "SE")


def subscriber(number: int, chance: random.Random) -> dict[str, str]:
    """Return one record; empty strings are missing values, as in a real export.

    The label follows a logistic model of tenure, plan, usage, support tickets and payment. The coin toss at the end
    limits what any model can reach: an area under the ROC curve of about 0.85.
    """
    plan = chance.choices(list(_PLANS), weights=(5, 4, 2))[0]
    fee, plan_effect = _PLANS[plan]
    signup = _FIRST_DAY + dt.timedelta(days=chance.randrange(1000))
    tenure_months = (_FIRST_DAY + dt.timedelta(days=1000) - signup).days / 30.4
    hours = chance.lognormvariate(2.6, 0.9)
    tickets = chance.choices(range(6), weights=(50, 25, 12, 7, 4, 2))[0]
    autopay = chance.random() < 0.65
    discount = chance.choice((0, 0, 0, 10, 20))
    score = (
        -1.0
        + plan_effect
        + 0.75 * tickets
        - 0.6 * math.log(hours / 13)
        - 0.06 * tenure_months
        + (0.0 if autopay else 1.1)
        - (0.05 * discount if tenure_months < 6 else 0.0)
    )
    churned = chance.random() < 1 / (1 + math.exp(-1.5 * score))
    record = {
        RECORD_KEY: f"S{number:06d}",
        "signup_date": signup.isoformat(),
        "plan": plan,
        "country": chance.choice(_COUNTRIES),
        "monthly_fee_eur": f"{fee * (100 - discount) / 100:.2f}",
        "discount_percent": str(discount),
        "hours_last_month": f"{hours:.1f}",
        "support_tickets": str(tickets),
        "autopay": "yes" if autopay else "no",
        LABEL: str(int(churned)),
    }
    for column, share in (("hours_last_month", 0.03), ("country", 0.02)):
        if chance.random() < share:
            record[column] = ""
    return record


def write(path: Path, *, rows: int = 5000, seed: int = 20) -> None:
    """Write `rows` records as CSV with a header; the same arguments give the same bytes on every machine."""
    chance = random.Random(seed)  # noqa: S311 (demo data, not a secret)
    records = [subscriber(number, chance) for number in range(1, rows + 1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
