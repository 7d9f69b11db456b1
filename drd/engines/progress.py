"""Live progress of long work: samples for whoever is watching, never journaled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from drd.ports.repository import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator


class ProgressBoard:
    """The newest sample of each piece of work; slow watchers skip samples, they never hold work up."""

    def __init__(self) -> None:
        self._latest: dict[str, Progress] = {}
        self._changed = asyncio.Event()

    def post(self, run: str, progress: Progress) -> None:
        """Put up a newer sample."""
        self._latest[run] = progress
        self._changed.set()
        self._changed = asyncio.Event()

    def waiter(self, run: str) -> Callable[[str], None]:
        """What tells the watchers of a run what it waits for."""
        return lambda what: self.post(run, Progress(phase=what))

    def latest(self, run: str) -> Progress | None:
        """The newest sample of a run, or None when it has none (any more)."""
        return self._latest.get(run)

    @contextmanager
    def lane(self, run: str) -> Iterator[None]:
        """Take a run's samples down at its end."""
        try:
            yield
        finally:
            self._latest.pop(run, None)
            self._changed.set()
            self._changed = asyncio.Event()

    async def follow(self, run: str) -> AsyncIterator[Progress]:
        """Samples of a run as they change, until the caller stops."""
        seen: Progress | None = None
        while True:
            changed = self._changed
            sample = self._latest.get(run)
            if sample is not None and sample != seen:
                seen = sample
                yield sample
            else:
                await changed.wait()
