"""Room, memory, load and a process of the machine that drd runs on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from drd.clients.blocking import within
from drd.clients.this_machine import Room, has_process, is_this_machine, room
from drd.core.errors import DrdError
from drd.core.probing import Failure, ProbeResult
from drd.core.units import PositiveDuration, Share, format_share
from drd.ports.probe import Probe, Prober, Target, nothing
from drd.ports.runner import Command
from drd.ports.world import World


class HostProbe(Probe):
    """The machine that drd runs on has room: `host: {disk_free: 10 %, memory_free: 5 %}`.

    Nodes that are other machines are not looked at by it.
    """

    kind: ClassVar[str] = "host"

    path: Path = Path("/")
    """A folder of the file system that is looked at."""
    disk_free: Share | None = None
    """At least this share of it is free for unprivileged users."""
    inodes_free: Share | None = None
    """At least this share of its inodes is free."""
    memory_free: Share | None = None
    """At least this share of memory can be had without swapping."""
    load: Annotated[float, Field(gt=0)] | None = None
    """At most this load over a minute, for each processor."""
    process: str | None = None
    """A process of this name runs."""
    unit: str | None = None
    """This systemd unit is active, as postgresql@15-main."""
    timeout: PositiveDuration = Field(default="5s", validate_default=True)
    """A file system that takes longer to answer hangs."""

    def summary(self) -> str:
        """What it demands."""
        shares = ("disk_free", "inodes_free", "memory_free")
        least = [f"{name} {format_share(value)}" for name in shares if (value := getattr(self, name)) is not None]
        others = [
            f"{name} {value}" for name in ("load", "process", "unit") if (value := getattr(self, name)) is not None
        ]
        return ", ".join([*least, *others]) or "the machine answers"

    def why_not(self, target: Target) -> str:
        """It sees its own machine alone."""
        return "" if is_this_machine(target.host) else "host sees drd's own machine alone, and this is another"

    @asynccontextmanager
    async def opened(self, world: World, target: Target) -> AsyncIterator[Prober]:
        """Ready to look."""
        yield _Prober(world, self)


class _Prober:
    def __init__(self, world: World, probe: HostProbe) -> None:
        self._world, self._probe = world, probe

    async def look(self) -> ProbeResult:
        clock = self._world.clock
        began = clock.monotonic()
        failed = await self._failed()
        took = clock.monotonic() - began
        return ProbeResult(HostProbe.kind, began, took, *(failed or (None, "")))

    def on_closed(self, call: Callable[[], None]) -> Callable[[], None]:
        return nothing

    async def _failed(self) -> tuple[Failure, str] | None:
        probe, seconds = self._probe, self._probe.timeout.total_seconds()
        try:
            found = await within(seconds, lambda: room(probe.path), ("probe of room", probe.path))
            why = _too_little(probe, found)
            if not why and probe.process is not None:
                name = probe.process
                runs = await within(seconds, lambda: has_process(name), ("probe of process", name))
                why = "" if runs else f"no process {name} runs"
            if not why and probe.unit is not None and not await self._is_active(probe.unit):
                why = f"the unit {probe.unit} is not active"
        except TimeoutError:
            return Failure.TIMEOUT, f"the file system of {probe.path} does not answer within {seconds:g} s"
        except OSError as error:
            return Failure.WRONG_ANSWER, f"{probe.path}: {(error.strerror or '').lower()}"
        except DrdError as error:
            return Failure.PROTOCOL, error.message
        return (Failure.WRONG_ANSWER, why) if why else None

    async def _is_active(self, unit: str) -> bool:
        command = Command(("systemctl", "is-active", "--quiet", "--", unit), deadline=self._probe.timeout)
        return (await self._world.runner.run(command)).code == 0


def _too_little(probe: HostProbe, found: Room) -> str:
    """What there is too little of; empty where there is enough of all."""
    for what, free, wanted in (
        (f"the disk of {probe.path}", found.disk_free, probe.disk_free),
        (f"inodes of {probe.path}", found.inodes_free, probe.inodes_free),
        ("memory", found.memory_free, probe.memory_free),
    ):
        if wanted is not None and free < wanted:
            return f"{what}: {format_share(free)} is free, less than {format_share(wanted)}"
    if probe.load is not None and found.load > probe.load:
        return f"the load of each processor is {found.load:.1f}, more than {probe.load:g}"
    return ""
