"""Tells systemd how the daemon is, by sd_notify(3): one datagram of `KEY=value` lines to `$NOTIFY_SOCKET`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

LONGEST_STATUS_CHARACTERS = 300


class SystemdSupervisor:
    """The `Supervisor` that systemd is; silent where the daemon was started by hand.

    A notification that cannot be delivered is dropped: a daemon that works must not end because nobody listens, and a
    watchdog that hears nothing acts by itself.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ means Linux's abstract namespace, which the kernel spells with a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_interval = watchdog_interval(environment, os.getpid())
        self._last_ping = float("-inf")

    def ready(self, status: str) -> None:
        """The daemon does its work from now on."""
        self._tell("READY=1", f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` follows."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def status(self, text: str) -> None:
        """One line for people, as `systemctl status` shows it."""
        self._tell(f"STATUS={_line(text)}")

    def stopping(self) -> None:
        """The daemon is leaving."""
        self._tell("STOPPING=1", "STATUS=stopping: work under way may finish")

    def ping(self) -> None:
        """The scheduler's loop is alive. Sent on at most four times in a watchdog interval."""
        if self.watchdog_interval is None:
            return
        now = time.monotonic()
        if now - self._last_ping >= self.watchdog_interval.total_seconds() / 4:
            self._last_ping = now
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
            notifier.setblocking(False)
            notifier.sendto("\n".join(lines).encode(), self._address)


def watchdog_interval(environment: Mapping[str, str], process: int) -> timedelta | None:
    """How long systemd waits for a sign of life; None when it does not, or waits for another process."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", str(process))
    if not microseconds.isdecimal() or int(microseconds) == 0 or meant != str(process):
        return None
    return timedelta(microseconds=int(microseconds))


def _line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_STATUS_CHARACTERS]
