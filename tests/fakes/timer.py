"""Wake-ups on the event loop's own time. It sleeps by real seconds: a step of the wall clock does not move it."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from drd.ports.clock import Clock


class FakeTimer:
    def __init__(self, clock: Clock) -> None:
        self.armed: dict[str, datetime] = {}
        self._clock = clock
        self._handles: dict[str, asyncio.TimerHandle] = {}
        self._is_started = False
        self._early: dict[str, Callable[[str], None]] = {}

    def arm(self, key: str, moment: datetime, wake: Callable[[str], None]) -> None:
        self.disarm(key)
        self.armed[key] = moment
        if not self._is_started:
            self._early[key] = wake
            return
        seconds = max(0.0, (moment - self._clock.now()).total_seconds())
        self._handles[key] = asyncio.get_running_loop().call_later(seconds, self._fire, key, wake)

    def disarm(self, key: str) -> None:
        self.armed.pop(key, None)
        self._early.pop(key, None)
        handle = self._handles.pop(key, None)
        if handle is not None:
            handle.cancel()

    def start(self) -> None:
        self._is_started = True
        for key, wake in tuple(self._early.items()):
            self.arm(key, self.armed[key], wake)

    def stop(self) -> None:
        self._is_started = False
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _fire(self, key: str, wake: Callable[[str], None]) -> None:
        self.armed.pop(key, None)
        self._handles.pop(key, None)
        wake(key)
