"""The daemon's events on a terminal, where lines that come every few seconds would hide all others."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from drd.core.events import Event, MirrorFinished, WalForgotten, WalShipped
from drd.ports.configuration import is_wal_store
from drd.reports.journal import event_line

EVERY: Final = timedelta(minutes=1)
"""How often a batch of a policy's WAL is shown, of those that came meanwhile the newest."""


class Foreground:
    """What a terminal shows: every event, and of routine batches of WAL one a minute and policy.

    The journal has them all, and so has a log that is no terminal.
    """

    def __init__(self) -> None:
        self._shown: dict[str, datetime] = {}
        self._passed: dict[str, int] = {}

    def line(self, event: Event, zone: ZoneInfo) -> str | None:
        """The event's line; None when it is not shown."""
        if not is_routine(event):
            return event_line(event, zone).plain
        if not isinstance(event.body, WalShipped):
            return None
        policy = event.body.policy
        shown = self._shown.get(policy)
        if shown is not None and timedelta(0) <= event.at - shown < EVERY:
            self._passed[policy] = self._passed.get(policy, 0) + 1
            return None
        self._shown[policy] = event.at
        passed = self._passed.pop(policy, 0)
        more = f"  ({passed} more since the last such line)" if passed else ""
        return event_line(event, zone).plain + more


def is_routine(event: Event) -> bool:
    """Whether it tells of WAL what is told again and again as long as all goes well."""
    match event.body:
        case WalShipped():
            return True
        case WalForgotten(groups=groups):
            return not groups
        case MirrorFinished(store=store, complete=True):
            return is_wal_store(store)
    return False
