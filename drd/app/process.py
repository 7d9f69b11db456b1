"""The daemon's process: everything built, everything served, one exit code."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from drd import __version__
from drd.api import ApiServer
from drd.api.tokens import Tokens, read_tokens
from drd.app.build import Built, build
from drd.app.connect import SOCKET
from drd.app.measure import Measure
from drd.app.read import read_configuration
from drd.clients.listeners import holder_of_port
from drd.clients.systemd import SystemdSupervisor
from drd.core.events import BugFound, Event
from drd.core.secrets import SecretReference
from drd.daemon.control import HouseControl
from drd.daemon.life import Daemon, Liveness
from drd.ports.configuration import Configuration
from drd.reports.foreground import Foreground
from drd.reports.journal import event_line

TOKENS_SECONDS = 2.0
PULSE_SECONDS = 30.0
"""`/livez` says that the daemon is stuck when the scheduler's loop has not come round for so long."""


async def run(
    path: Path | None, environment: Mapping[str, str], say: Callable[[str], None], *, is_watched: bool = False
) -> int:
    """Live until SIGTERM or SIGINT. Raises `ConfigurationErrors`, `Busy` or another `DrdError` when it cannot start.

    `is_watched`: `say` fills a terminal, which gets fewer lines of what comes every few seconds.
    """

    async def read() -> Configuration:
        return await asyncio.to_thread(read_configuration, path, environment)

    configuration = await read()
    async with build(configuration) as built:
        liveness = Liveness()
        daemon = Daemon(built.house, built.journal, SystemdSupervisor(environment), read, liveness)
        built.tick.call = daemon.tick
        built.log.say = say
        control = HouseControl(built.house, built.house.clock.now(), daemon.reload)
        server = ApiServer(
            control,
            Measure(built, liveness, __version__),
            lambda: _alive(built, liveness),
            configuration.state / SOCKET,
            configuration.listen,
            on_bug=lambda unit, bug: _bug(built, unit, bug),
            who_listens=holder_of_port,
            tokens=_tokens(built),
            triggers=built.house.triggering,
        )
        say(f"drd {__version__} at {configuration.site}, restic {built.house.restic}, state {configuration.state}")
        for warning in configuration.warnings:
            say(f"warning: {warning}")
        built.journal.observe(_teller(say, lambda: built.house.in_force().zone, is_watched=is_watched))
        await daemon.run(server, say)
    return 0


def _teller(say: Callable[[str], None], zone: Callable[[], ZoneInfo], *, is_watched: bool) -> Callable[[Event], None]:
    """Says each event; on a terminal, which somebody watches, not each batch of WAL."""
    foreground = Foreground()

    def tell(event: Event) -> None:
        line = foreground.line(event, zone()) if is_watched else event_line(event, zone()).plain
        if line is not None:
            say(line)

    return tell


def _tokens(built: Built) -> Tokens:
    """Reads them again after some seconds: whoever reaches the address must not start a program by each request."""
    known: dict[SecretReference, tuple[float, frozenset[bytes]]] = {}
    reading = asyncio.Lock()

    async def tokens() -> frozenset[bytes] | None:
        reference = built.house.in_force().tokens
        if reference is None:
            return None
        async with reading:
            read_at, good = known.get(reference, (float("-inf"), frozenset()))
            if built.house.clock.monotonic() - read_at >= TOKENS_SECONDS:
                good = read_tokens(await built.world.secrets.read(reference))
                known.clear()
                known[reference] = built.house.clock.monotonic(), good
        return good

    return tokens


def _alive(built: Built, liveness: Liveness) -> tuple[bool, str]:
    if liveness.beat is None:
        return False, "starting"
    age = built.house.clock.monotonic() - liveness.beat
    return age < PULSE_SECONDS, f"the scheduler came round {age:.0f} s ago"


async def _bug(built: Built, unit: str, bug: BaseException) -> None:
    text = "".join(traceback.format_exception(bug, limit=-12))
    await built.journal.append(BugFound(unit, type(bug).__name__, text, quarantined=False))
