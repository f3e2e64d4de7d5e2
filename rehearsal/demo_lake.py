"""Tables of a made-up bank's data lake, made from nothing: loans with signal in them, and who applied for them."""

from __future__ import annotations

import datetime as dt
import math
import random
from decimal import Decimal
from typing import Final

LABEL: Final = "defaulted"
RECORD_KEY: Final = "loan_id"
REGION: Final = "region"
PERSONAL: Final = "national_id"
"""Column that nobody outside the bank's own department needs."""

ISLANDS: Final = "islands"
"""Region whose law keeps its residents' records inside."""

_FIRST_DAY: Final = dt.date(2021, 1, 1)
_DAYS: Final = 1500
_PURPOSES: Final = {"car": 0.0, "home": -0.4, "education": 0.2, "business": 0.6}
_REGIONS: Final = {"north": 0.1, "east": 0.3, "south": 0.0, "west": -0.2, ISLANDS: 0.4}


def loan(number: int, chance: random.Random) -> dict[str, object]:
    """Return one loan; None is a missing value.

    Whether it defaulted follows a logistic model of amount, income, employment, late payments, purpose and region. The
    coin toss at the end limits what any model can reach: an area under the ROC curve of about 0.85.
    """
    applied = dt.datetime.combine(_FIRST_DAY, dt.time()) + dt.timedelta(
        days=chance.randrange(_DAYS), minutes=chance.randrange(1440)
    )
    purpose, region = chance.choice(list(_PURPOSES)), chance.choices(list(_REGIONS), weights=(5, 4, 4, 5, 2))[0]
    income = chance.lognormvariate(10.4, 0.4)
    amount = min(income * chance.lognormvariate(-0.7, 0.7), 200_000)
    late_payments = chance.choices(range(5), weights=(60, 20, 10, 6, 4))[0]
    employed_days = int(chance.expovariate(1 / 1800))
    term_months = chance.choice((12, 24, 36, 48, 60, 84))
    score = (
        -2.0
        + 1.3 * math.log(2 * amount / income)
        + 0.9 * late_payments
        - 0.3 * math.log1p(employed_days / 365)
        + 0.012 * term_months
        + _PURPOSES[purpose]
        + _REGIONS[region]
    )
    interest = 3 + 1.2 * late_payments + term_months / 24 + chance.random()
    return {
        RECORD_KEY: 70_000_000_000 + number,
        "applied_at": applied,
        "purpose": purpose,
        "amount_eur": Decimal(f"{amount:.2f}"),
        "interest_percent": Decimal(f"{interest:.2f}"),
        "term_months": term_months,
        "yearly_income_eur": Decimal(f"{income:.2f}") if chance.random() > 0.03 else None,
        "employed_since": applied.date() - dt.timedelta(days=employed_days),
        "late_payments": late_payments,
        "co_signed": chance.random() < 0.2,
        PERSONAL: f"{chance.randrange(10**9):09d}",
        LABEL: int(chance.random() < 1 / (1 + math.exp(-1.4 * score))),
        REGION: region,
    }


def tables(rows: int, seed: int = 20) -> dict[str, list[dict[str, object]]]:
    """Return the tables `loans` and `applicants` as lists of `rows` records; equal arguments give equal records."""
    chance = random.Random(seed)  # noqa: S311 (demo data, not a secret)
    loans = [loan(number, chance) for number in range(1, rows + 1)]
    applicants = [
        {
            RECORD_KEY: record[RECORD_KEY],
            PERSONAL: record[PERSONAL],
            "born": _FIRST_DAY - dt.timedelta(days=9000 + number),
        }
        for number, record in enumerate(loans)
    ]
    return {"loans": loans, "applicants": applicants}
