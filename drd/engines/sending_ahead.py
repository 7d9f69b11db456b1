"""Packs on their way to further stores while the backup that writes them still runs.

What is far away is then hardly older than what is here, also behind a first backup of two days, and two stores take
little longer than one. Only the files of mirrors can go so; what is missing then, the round behind the run brings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from drd.core.errors import DrdError
from drd.engines.progress import ProgressBoard
from drd.engines.stores import Stores
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.store import Carrier
from drd.ports.world import World

AFTER_SECONDS = 3.0
"""A shorter run is not worth a process more: the round behind it sends its few packs."""
AGAIN_SECONDS = (15.0, 60.0, 300.0)
"""Waits after what did not last, as where a store does not answer or others are at work there; the last one repeats."""
LASTING_SECONDS = 60.0


class SendingAhead:
    """Knows which stores are saved into, and sends from there while nobody else is at work in the mirror."""

    def __init__(
        self, stores: Stores, carrier: Carrier, queues: WorkQueues, world: World, board: ProgressBoard
    ) -> None:
        self._stores = stores
        self._carrier = carrier
        self._queues = queues
        self._world = world
        self._board = board
        self._saving: dict[str, int] = {}
        """Store → how many runs save into it now."""
        self._changed: dict[str, asyncio.Event] = {}
        """Mirror → set when a run begins to save into the store before it."""
        self._under_way: dict[str, asyncio.Timeout] = {}
        """Mirror → what ends the sending there when nothing is saved any more: not every run has a round behind it."""

    @contextmanager
    def beside(self, store: str) -> Iterator[None]:
        """While a run saves into a store."""
        self._saving[store] = self._saving.get(store, 0) + 1
        for mirror, changed in self._changed.items():
            if self._origin(mirror) == store:
                changed.set()
        try:
            yield
        finally:
            self._saving[store] -= 1
            for mirror in [each for each in self._under_way if not self._is_wanted(each)]:
                self._under_way.pop(mirror).reschedule(asyncio.get_running_loop().time())

    async def serve(self, mirror: str) -> None:
        """Send packs to a mirror whenever they may come up, until cancelled.

        What fails is tried again as long as something is saved; the round behind the run meets what lasts, and tells.
        """
        changed = self._changed.setdefault(mirror, asyncio.Event())
        failures = 0
        while True:
            if not self._is_wanted(mirror):
                failures = 0
                changed.clear()
                await changed.wait()
            await self._world.clock.sleep(_wait_seconds(failures))
            if not self._is_wanted(mirror):
                continue
            began = self._world.clock.monotonic()
            scope = asyncio.timeout(None)
            try:
                async with scope:
                    self._under_way[mirror] = scope
                    await self._send(mirror)
            except TimeoutError:
                if not scope.expired():
                    raise
                failures = 0
            except DrdError:
                has_lasted = self._world.clock.monotonic() - began > LASTING_SECONDS
                failures = 1 if has_lasted else failures + 1
            finally:
                self._under_way.pop(mirror, None)

    def _is_wanted(self, mirror: str) -> bool:
        origin = self._origin(mirror)
        return origin is not None and self._saving.get(origin, 0) > 0

    def _origin(self, mirror: str) -> str | None:
        """The store whose files a store gets as they are; None where it is no such mirror, or configured no more."""
        is_mirror = self._stores.is_configured(mirror) and self._stores.is_mirror(mirror)
        return self._stores.origin_of(mirror) if is_mirror else None

    async def _send(self, mirror: str) -> None:
        target = self._stores.configured(mirror)
        origin = self._stores.configured(self._origin(mirror) or "")
        await self._stores.open(mirror)  # making it is a round's work, which nobody breaks off
        lane = f"ahead:{mirror}"
        with self._board.lane(lane):
            async with self._queues.take(mirror, JobClass.AHEAD, target.limits.at_once):
                await self._carrier.send_ahead(
                    await origin.place.backend(self._world),
                    await target.place.backend(self._world),
                    origin.limits.rate_into(target.limits),
                    lambda progress: self._board.post(lane, progress),
                )


def _wait_seconds(failures: int) -> float:
    return AGAIN_SECONDS[min(failures, len(AGAIN_SECONDS)) - 1] if failures else AFTER_SECONDS
