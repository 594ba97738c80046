"""What sessions and descriptors each user has at a time, and may have; `sydd.control` counts connections."""

from __future__ import annotations

from collections import Counter

from sydd.daemon.config import LimitsTable


class QuotaExceededError(Exception):
    """A user has as much of something as it may have.

    Args:
        what: of what: sessions or descriptors.
        maximum: how many a user may have.
    """

    def __init__(self, what: str, maximum: int) -> None:
        super().__init__(f"a user may have {maximum} {what} at a time")
        self.what = what
        self.maximum = maximum


class Quota:
    """Counts by user id.

    Args:
        limits: the most.
    """

    def __init__(self, limits: LimitsTable) -> None:
        self._used: Counter[tuple[str, int]] = Counter()
        self.allow(limits)

    def allow(self, limits: LimitsTable) -> None:
        """Have other limits from now on; who has more keeps it.

        Args:
            limits: the most.
        """
        self._limits = {
            "sessions": limits.sessions,
            "descriptors": limits.descriptors,
        }

    def take(self, what: str, uid: int, number: int = 1) -> None:
        """Count some more.

        Args:
            what: sessions or descriptors.
            uid: whose.
            number: how many.

        Raises:
            QuotaExceededError: they would be too many; none is counted.
        """
        maximum = self._limits[what]
        if self._used[what, uid] + number > maximum:
            raise QuotaExceededError(what, maximum)
        self._used[what, uid] += number

    def count(self, what: str, uid: int, number: int = 1) -> None:
        """Count some more that are there already, however many they are."""
        self._used[what, uid] += number

    def give_back(self, what: str, uid: int, number: int = 1) -> None:
        """Count some less."""
        self._used[what, uid] -= number
        if self._used[what, uid] <= 0:
            del self._used[what, uid]
