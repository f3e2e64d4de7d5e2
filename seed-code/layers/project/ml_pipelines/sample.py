"""A small made-up data set with something to learn in it, for `make local` and the tests."""

from __future__ import annotations

import csv
import datetime
import math
import random
from pathlib import Path

LABEL = "churned"
LABELS = {"binary": LABEL, "multiclass": "plan", "regression": "monthly_spend"}

_CONTRACTS = {"monthly": 0.9, "yearly": -0.4, "two years": -1.3}
_REGIONS = ("north", "south", "east", "west")
_FIRST_DAY = datetime.date(2021, 1, 1)


def rows(count: int = 1500, *, seed: int = 7) -> list[dict[str, object]]:
    """Return customers of a made-up telephone company: numbers, categories, a date, a boolean, gaps.

    Three columns can be predicted from the others: ``churned`` (yes or no), ``plan`` (three values) and
    ``monthly_spend`` (a number).
    """
    random_ = random.Random(seed)
    found: list[dict[str, object]] = []
    for number in range(count):
        contract = random_.choice(list(_CONTRACTS))
        months, calls, lines = random_.randint(1, 72), random_.randint(0, 8), random_.choice((1, 1, 1, 2, 3))
        gigabytes = round(random_.lognormvariate(2.0, 0.7), 1)
        roaming = random_.random() < 0.3
        spend = 12 + 9 * lines + 1.1 * gigabytes + 6 * roaming + random_.gauss(0, 3)
        plan = "family" if lines > 1 else "data" if gigabytes > 9 + random_.gauss(0, 1.5) else "basic"
        score = _CONTRACTS[contract] + 0.45 * calls - 0.035 * months + 0.02 * spend - 2.0
        found.append(
            {
                "customer_id": f"C{number:05d}",
                "since": (_FIRST_DAY + datetime.timedelta(days=random_.randint(0, 1400))).isoformat(),
                "region": random_.choice(_REGIONS) if random_.random() > 0.05 else "",
                "contract": contract,
                "months": months,
                "support_calls": calls,
                "lines": lines,
                "gigabytes": gigabytes if random_.random() > 0.08 else "",
                "roaming": str(roaming).lower(),
                "monthly_spend": round(spend, 2),
                "plan": plan,
                LABEL: "yes" if random_.random() < 1 / (1 + math.exp(-score)) else "no",
            }
        )
    return found


def write(path: Path, count: int = 1500, *, seed: int = 7) -> None:
    """Write the sample as a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    customers = rows(count, seed=seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(customers[0]))
        writer.writeheader()
        writer.writerows(customers)
