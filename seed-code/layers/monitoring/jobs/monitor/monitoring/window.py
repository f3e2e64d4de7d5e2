"""Which hours a run looks at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from monitoring.results import MonitorError

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Window:
    """Whole hours, the end excluded.

    Attributes:
        start: First moment, UTC.
        end: First moment after it, UTC.
    """

    start: datetime
    end: datetime

    @classmethod
    def ending(cls, moment: str, hours: int) -> Window:
        """Return the window of so many hours that ends with the last full hour before a moment.

        Args:
            moment: ISO 8601, in UTC where it names no zone, e.g. ``2026-05-04T06:20:00Z``.
            hours: Length of the window.

        Raises:
            MonitorError: The text is not a time.
        """
        text = re.sub(r"\.\d+", "", moment.strip().replace("Z", "+00:00"))
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError as err:
            raise MonitorError(
                f"The end of the window is {moment!r}, which is not a time: nothing can be read. "
                f"Write it like 2026-05-04T06:00:00Z."
            ) from err
        utc = parsed.astimezone(timezone.utc) if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)
        end = utc.replace(minute=0, second=0, microsecond=0)
        return cls(end - hours * HOUR, end)

    def before(self, hours: int) -> Window:
        """Return the hours right before this window."""
        return Window(self.start - hours * HOUR, self.start)

    def hours(self) -> Iterator[str]:
        """Yield the hours as data capture writes them into keys, e.g. ``2026/05/04/06``, oldest first."""
        moment = self.start
        while moment < self.end:
            yield f"{moment:%Y/%m/%d/%H}"
            moment += HOUR

    @property
    def name(self) -> str:
        """The last hour of the window, which names its report: ``2026/05/04/05``."""
        return f"{self.end - HOUR:%Y/%m/%d/%H}"
