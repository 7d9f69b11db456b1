"""Replaying WAL onto a restored base backup, to a moment, a position, a name or the end.

Nothing ends early: a file that is known and cannot be read stops the server, damage that looks like the end of the WAL
is found because the position that has to be reached is known before.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from drd.core.errors import PermanentError, TransientError
from drd.core.postgres.errors import ServerAway
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import Choice
from drd.core.postgres.replaying import (
    SIGNAL,
    LastWords,
    Offer,
    command,
    has_reached,
    in_list,
    lacks_history,
    last_words,
    missing,
    offers,
    script,
    settings,
)
from drd.core.postgres.target import Latest, Target
from drd.core.postgres.timeline import History, Switch
from drd.core.postgres.wal import Gap, history_name
from drd.core.units import format_duration
from drd.ports.clock import Clock
from drd.ports.host import Host
from drd.ports.postgres import Positions
from drd.ports.postgres_serving import Served, ServeRequest, Servers
from drd.ports.repository import Progress

LOOK_SECONDS = 0.2
"""How often a server that recovers is asked how far it is."""
TOUCH_SECONDS = 60.0
STALL = timedelta(minutes=10)
"""Recovery that has replayed nothing for so long is stopped."""
LIST, SCRIPT = "files", "deliver"
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Replaying:
    """What is replayed onto what."""

    data: Path
    """A data directory as `drd.ports.source.Source.settled` leaves it."""
    wal: Path
    """A folder with WAL, named as PostgreSQL names it."""
    work: Path
    """A folder for the list and the script that the server reads; made, and left there."""
    choice: Choice
    target: Target
    role: str
    """A role of the cluster that may log in."""
    user: str | None = None
    """The user of this machine that the server runs as."""
    stall: timedelta = STALL


@dataclass(frozen=True, slots=True)
class Replayed:
    """A cluster that was recovered and is stopped."""

    reached: Lsn
    """The end of what was replayed."""
    timeline: int
    """The one that it has begun."""
    is_to_the_end: bool
    """Whether all WAL that there is was replayed, and no record behind the target showed that it was reached."""
    reason: str
    """Why recovery ended there, in PostgreSQL's words."""
    seconds: float


OnReplay = Callable[[Progress], None]
Then = Callable[[Served], Awaitable[None]]
"""What is done while the recovered server still serves."""


class Replay:
    """Carries out recoveries with the programs of one major version."""

    def __init__(self, servers: Servers, host: Host, clock: Clock) -> None:
        self._servers = servers
        self._host = host
        self._clock = clock

    async def look(self, replaying: Replaying) -> tuple[Offer, ...]:
        """See that the WAL is there which leads to the target, before anything is unpacked. Raises `PermanentError`."""
        files = await self._touch(replaying.wal, lambda: _files(replaying.wal))
        offered = offers(files, replaying.choice)
        if found := missing(offered, replaying.choice):
            more = f", and {len(found) - 1} more gaps" if len(found) > 1 else ""
            raise PermanentError(
                f"{replaying.target} cannot be reached: the WAL {_named(found[0])} is missing{more}",
                "choose an earlier moment, or another store with --from",
            )
        if lacks_history(offered, replaying.choice):
            name = history_name(replaying.choice.history.timeline)
            raise PermanentError(
                f"{replaying.target} cannot be reached: the file {name} is missing", "choose an earlier moment"
            )
        return offered

    async def replay(self, replaying: Replaying, on_progress: OnReplay, then: Then | None = None) -> Replayed:
        """Recover to the target, do `then`, and stop the server. Whatever goes wrong, no server is left running.

        Raises `TransientError` when WAL could not be read now: calling again goes on. Raises `PermanentError` when the
        target cannot be reached, and when recovery does not move any more.
        """
        begun = self._clock.monotonic()
        offered = await self.look(replaying)
        await self._touch(replaying.work, lambda: _prepare(replaying, offered))
        end = await self._attempt(replaying, on_progress, then, to_the_end=isinstance(replaying.target, Latest))
        if end is None:
            # All that was committed before the target lies before `until`, and no record behind shows that it is
            # reached: so it is reached at the end, if that is as far as it has to be.
            end = await self._attempt(replaying, on_progress, then, to_the_end=True)
        if end is None:
            raise PermanentError(f"{replaying.target} was not reached", "choose an earlier moment")
        return Replayed(end.reached, end.timeline, end.is_to_the_end, end.reason, self._clock.monotonic() - begun)

    async def _attempt(
        self, replaying: Replaying, on_progress: OnReplay, then: Then | None, *, to_the_end: bool
    ) -> _End | None:
        """Recover once; None when all WAL was replayed and the target did not come."""
        told = settings(replaying.choice, replaying.target, command(replaying.work / SCRIPT), to_the_end=to_the_end)
        request = ServeRequest(replaying.data, replaying.role, settings=told, user=replaying.user)
        async with self._servers.served(request) as served:
            if await self._has_recovered(replaying, served, on_progress):
                timeline = (await served.server.facts()).timeline
                begins = await self._touch(replaying.data, lambda: _beginning(replaying.data, timeline))
                end = _End(begins.at, timeline, to_the_end, begins.reason)
                _demand_whole(end, replaying.choice)
                on_progress(_progress(replaying.choice, max(end.reached, replaying.choice.until)))
                if then is not None:
                    await then(served)
                return end
        why, sentence = last_words(served.said)
        if why is LastWords.TARGET_BEHIND_THE_END and not to_the_end:
            return None
        if why is LastWords.WAL_AWAY:
            raise TransientError(
                f"recovery was stopped, and did not end early: {sentence}", "start it again when the WAL can be read"
            )
        raise PermanentError(f"the server ended while it recovered: {sentence}", "restore another point")

    async def _has_recovered(self, replaying: Replaying, served: Served, on_progress: OnReplay) -> bool:
        """Wait until recovery has ended; False when the server has ended instead."""
        newest, moved = Lsn(0), self._clock.monotonic()
        while not served.has_ended:
            positions = await _asked(served)
            now = self._clock.monotonic()
            if positions is not None and not positions.is_in_recovery:
                return True
            if positions is not None and positions.replayed is not None and positions.replayed > newest:
                newest, moved = positions.replayed, now
                on_progress(_progress(replaying.choice, newest))
            if now - moved > replaying.stall.total_seconds():
                raise PermanentError(
                    f"recovery has not moved for {format_duration(replaying.stall)}; it stands at {newest}",
                    "look at the disk and the folder with the WAL: df -h, dmesg | tail",
                )
            await self._clock.sleep(LOOK_SECONDS)
        return False

    async def _touch(self, place: Path, work: Callable[[], Result]) -> Result:
        try:
            return await self._host.within(TOUCH_SECONDS, work)
        except TimeoutError as error:
            raise TransientError(f"{place} does not answer within {TOUCH_SECONDS:.0f} s", "dmesg | tail") from error
        except OSError as error:
            raise PermanentError(f"{place}: {error.strerror}", f"ls -ld {place}") from error


@dataclass(frozen=True, slots=True)
class _End:
    reached: Lsn
    timeline: int
    is_to_the_end: bool
    reason: str


def _demand_whole(end: _End, choice: Choice) -> None:
    if end.is_to_the_end and not has_reached(end.reached, choice.until):
        raise PermanentError(
            f"the WAL is damaged behind {end.reached}: recovery ended there, and not at {choice.until}",
            "restore it from another store with --from; what was recovered is of no moment that was asked for",
        )


def _files(wal: Path) -> dict[str, int]:
    return {entry.name: entry.stat().st_size for entry in os.scandir(wal) if entry.is_file(follow_symlinks=False)}


def _prepare(replaying: Replaying, offered: tuple[Offer, ...]) -> None:
    """Write what the server reads; it runs as somebody else, perhaps."""
    listed, delivering = replaying.work / LIST, replaying.work / SCRIPT
    replaying.work.mkdir(mode=0o755, parents=True, exist_ok=True)
    listed.write_text(in_list(offered), "utf-8")
    delivering.write_text(script(listed, replaying.wal), "utf-8")
    for path in (listed, delivering):
        path.chmod(0o644)
    signal = replaying.data / SIGNAL
    signal.touch(mode=0o600)
    owner = replaying.data.stat()
    os.chown(signal, owner.st_uid, owner.st_gid)


def _beginning(data: Path, timeline: int) -> Switch:
    """Where the timeline begins that recovery has ended with: the end of what was replayed, and why it ended there."""
    try:
        history = History.parse(timeline, (data / "pg_wal" / history_name(timeline)).read_text("utf-8"))
        return history.switches[-1]
    except (OSError, ValueError, IndexError) as error:
        raise PermanentError(f"nothing tells where recovery ended in {data}: {error}", "restore it anew") from error


async def _asked(served: Served) -> Positions | None:
    """How far it is; None while it lets nobody in."""
    try:
        return await served.server.positions()
    except ServerAway:
        return None


def _progress(choice: Choice, replayed: Lsn) -> Progress:
    total = max(0, choice.until - choice.base.start)
    return Progress(min(total, max(0, replayed - choice.base.start)), total, phase="replaying")


def _named(gap: Gap) -> str:
    return gap.first.name if gap.count == 1 else f"{gap.first.name} to {gap.last.name} ({gap.count} segments)"
