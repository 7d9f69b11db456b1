"""What a side of bench.failover has on record of a blow itself, and how that fits what its clients saw."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from tests.writing_client import Noted


@dataclass(frozen=True)
class Found:
    """What drd has on record of it; empty where that is nothing."""

    fence: str = ""
    """The rung that was confirmed before anybody was promoted."""
    rejoined: str = ""
    """How the old primary was made a standby."""
    listed: Set[int] = frozenset()
    """The transactions that it says were lost."""
    written: Set[int] = frozenset()
    """The transactions of clients in the log that only the old primary had."""

    def against(self, gone: list[Noted]) -> dict[str, object]:
        """What is noted of a run in which clients lost these rows.

        `unlisted` are lost transactions that are not on the list, `unanswered` those of clients on it that nobody had
        an answer to: at most the one that each client had in flight.
        """
        lost = {row.transaction for row in gone}
        return {
            "fence": self.fence or "none",
            "rejoined": self.rejoined or "not",
            "unlisted": len(lost - self.listed),
            "unanswered": len((self.listed & self.written) - lost),
        }
