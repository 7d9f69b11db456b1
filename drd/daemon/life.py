"""The life of the process: start, serve, reload, drain, leave; each a written sequence."""

from __future__ import annotations

import asyncio
import signal
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from drd import __version__
from drd.core.catalogue import RestoreRecord
from drd.core.errors import NOT_NOW, Busy, DrdError, JournalUnusable, StateFull, UsageError
from drd.core.events import BugFound, ConfigurationRefused, DaemonStarted, DaemonStopped, WalInterrupted
from drd.daemon.changes import changes, in_force_after
from drd.daemon.house import House
from drd.daemon.left_slots import left_slots, slots_of_removed
from drd.daemon.staff import Staff
from drd.daemon.startup import resume_work, start_up
from drd.ports.configuration import Configuration
from drd.ports.supervisor import Supervisor
from drd.reports.moments import counted, local_with_offset

MARK_SECONDS = 10.0
"""How often the journal notes that the daemon is alive: what is unknown after a crash is bounded by it."""
BREATH_SECONDS = 1.0
"""How often the tick comes while the daemon leaves and the scheduler's loop has ended."""
DRAIN_SECONDS = 60.0
"""How long runs under way may go on after SIGTERM before they are cancelled; a backup resumes where it was cut."""
RESTORE_DRAIN_SECONDS = 3600.0
"""How long a stopping daemon waits for a restore: somebody needs that data more than they need the stop."""

_UNTIL: Final[dict[type[DrdError], tuple[str, str]]] = {
    StateFull: ("there is room", "the disk of the state folder has room again"),
    Busy: ("it is free", "the journal is free again"),
    JournalUnusable: ("it can be used again", "the journal can be used again"),
}
"""What ends each of `NOT_NOW`, and what is said then."""


class Served(Protocol):
    """The HTTP side of the daemon."""

    async def serve(self) -> None:
        """Answer until stopped."""
        ...

    async def ready(self) -> None:
        """Return when the sockets are bound. Raises `Busy` when an address is taken."""
        ...

    async def stop(self) -> None:
        """Answer nothing new, finish what is being answered."""
        ...


class Tended(Protocol):
    """What the daemon's tick does for its journal."""

    async def mark(self) -> None:
        """Note the moment."""
        ...

    async def lived_until(self) -> datetime | None:
        """The moment that was noted last; None where none ever was."""
        ...

    async def tend_ballast(self) -> bool:
        """Bring the ballast back when there is room again; True when this call did."""
        ...


@dataclass(slots=True)
class Liveness:
    """Signs of life, for `/livez`, metrics and the supervisor."""

    last_tick: datetime | None = None
    beat: float | None = None
    """The same in monotonic seconds: how long ago it was does not depend on a clock that is set."""
    last_reload_succeeded: bool = True


class Daemon:
    """Runs a house until it is told to stop."""

    def __init__(
        self,
        house: House,
        tended: Tended,
        supervisor: Supervisor,
        read: Callable[[], Awaitable[Configuration]],
        liveness: Liveness,
    ) -> None:
        self._house = house
        self._tended = tended
        self._supervisor = supervisor
        self._read = read
        self._liveness = liveness
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reload_wanted = asyncio.Event()
        self._last_mark = 0.0
        self._staff = Staff(house)
        self._group: asyncio.TaskGroup | None = None
        self._reloading = asyncio.Lock()
        self._cannot: DrdError | None = None
        """Why nothing can be recorded now."""
        self._say: Callable[[str], None] = _silent

    async def run(self, served: Served, say: Callable[[str], None]) -> None:
        """Start, serve until SIGTERM or SIGINT, drain and leave. `say` gets one line for each stage."""
        self._say = say
        try:
            await self._live(served)
        except BaseExceptionGroup as failures:
            foreseen = _foreseen(failures)
            if foreseen is None:
                raise
            raise foreseen from failures
        try:
            await self._house.journal.append(DaemonStopped("asked to stop"))
        except NOT_NOW as error:
            say(f"the journal could not record the stop: {error.message}")
        say("stopped")

    async def _live(self, served: Served) -> None:
        async with AsyncExitStack() as stack:
            self._take_signals(stack)
            await self._start()
            async with asyncio.TaskGroup() as group:
                self._group = group
                api = group.create_task(served.serve(), name="api")
                await served.ready()
                loops = [
                    group.create_task(self._house.scheduler.serve(), name="scheduler"),
                    group.create_task(self._serve_reloads(), name="reload"),
                    group.create_task(self._house.anchor.serve(), name="anchor"),
                    group.create_task(self._house.watching.serve_record(), name="watching"),
                    group.create_task(self._house.serving.serve_record(), name="serving"),
                ]
                await self._house.losing.resume()
                self._fill_staff()
                await self._resume_runbooks()
                loops.append(group.create_task(self._house.acting.serve(), name="acting"))
                loops.append(group.create_task(self._house.alarming.serve(), name="alarming"))
                loops.append(group.create_task(self._house.losing.serve(), name="losing"))
                loops.append(group.create_task(self._house.giving_back.serve(), name="giving back"))
                self._supervisor.ready(self._line())
                self._say(f"ready: {self._line()}")
                await self._stop.wait()
                await self._leave(loops, served, api)

    def stop(self) -> None:
        """Leave; asked a second time, without waiting for runs under way."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def tick(self) -> None:
        """Called from the scheduler's own loop, so that a stuck scheduler is a daemon without a pulse."""
        self._liveness.last_tick = self._house.clock.now()
        self._liveness.beat = self._house.clock.monotonic()
        self._supervisor.ping()
        if self._house.clock.monotonic() - self._last_mark >= MARK_SECONDS:
            self._last_mark = self._house.clock.monotonic()
            try:
                await self._tended.mark()
                await self._tended.tend_ballast()
                await self._house.pay()
            except NOT_NOW as error:
                self._cannot_record(error)
            else:
                self._can_record()

    async def reload(self) -> tuple[str, ...]:
        """Read everything again; errors change nothing, are journaled, and are raised for whoever asked.

        A mistake in drd that ends the reading fails this reload, and nothing else.
        """
        async with self._reloading:
            self._supervisor.reloading()
            try:
                configuration = await self._read()
                await resume_work(self._house, configuration)
            except DrdError as error:
                await self._refuse(_refusal(error))
                raise
            except Exception as bug:
                text = "".join(traceback.format_exception(bug, limit=-12))
                await self._refuse(BugFound("reload", type(bug).__name__, text, quarantined=False))
                raise UsageError(
                    f"a mistake in drd ended the reload: {type(bug).__name__}", "type: drd journal show"
                ) from bug
            return await self._put_in_force(configuration)

    async def _refuse(self, fact: ConfigurationRefused | BugFound) -> None:
        self._liveness.last_reload_succeeded = False
        self._supervisor.ready(f"{self._line()}; the last reload was refused")
        await self._house.journal.append(fact)

    async def _put_in_force(self, configuration: Configuration) -> tuple[str, ...]:
        before = self._house.in_force()
        self._house.in_force.replace(in_force_after(before, configuration))
        await self._house.scheduler.load(self._house.dispatch)
        self._fill_staff()
        await self._tell_slots(left_slots(before, self._house.in_force()))
        for store in configuration.stores:
            self._house.copy.want(store)
        self._liveness.last_reload_succeeded = True
        self._supervisor.ready(self._line())
        return (*changes(before, configuration), *await self._note_edits())

    async def _tell_slots(self, left: Sequence[WalInterrupted]) -> None:
        for each in left:
            self._say(f"{each.message}: {each.hint}")
        if left:
            try:
                await self._house.journal.append(*left)
            except NOT_NOW as error:
                self._cannot_record(error)

    async def _start(self) -> None:
        house = self._house
        await house.journal.append(DaemonStarted(__version__, house.restic, await self._tended.lived_until()))
        left = await slots_of_removed(house)
        for record in await start_up(house):
            what = "restore" if isinstance(record, RestoreRecord) else "run"
            began = local_with_offset(record.started, house.in_force().zone)
            self._say(f"the {what} of {record.policy} that began at {began} was interrupted")
        await self._tell_slots(left)
        for store in house.in_force().stores:
            house.copy.want(store)

    async def _resume_runbooks(self) -> None:
        for record in await self._house.runbooks.resume_open():
            self._say(f"the runbook {record.runbook} goes on, run {record.run}")
        for each in await self._note_edits():
            self._say(each)

    async def _note_edits(self) -> tuple[str, ...]:
        """Say which runs go on by another text than the files have now."""
        try:
            return await self._house.runbooks.note_edits()
        except NOT_NOW as error:
            self._cannot_record(error)
            return ()

    def _fill_staff(self) -> None:
        if self._group is not None:
            self._staff.fill(self._group)

    async def _serve_reloads(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            try:
                told = await self.reload()
                self._say("reloaded: " + ("; ".join(told) or "nothing changed"))
            except DrdError as error:
                self._say(f"reload refused, nothing changed:\n{error}")

    async def _leave(self, loops: list[asyncio.Task[None]], served: Served, api: asyncio.Task[None]) -> None:
        """No new work; runs get their grace; restores are waited for; then the loops, then the API."""
        self._supervisor.stopping()
        self._say("stopping: runs under way may finish; ask again to cut them short")
        for task in loops:
            task.cancel()
        breathing = asyncio.create_task(self._breathe(), name="pulse")
        try:
            await self._drain()
            self._staff.dismiss()
            await served.stop()
            await api
        finally:
            breathing.cancel()

    async def _drain(self) -> None:
        draining = asyncio.create_task(self._house.dispatch.drain(DRAIN_SECONDS))
        restores = asyncio.create_task(self._house.restore.finished(RESTORE_DRAIN_SECONDS))
        runbooks = asyncio.create_task(self._house.runbooks.drain(DRAIN_SECONDS))
        hurrying = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({runbooks, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({restores, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        runbooks.cancel()
        restores.cancel()
        hurrying.cancel()
        await self._house.runbooks.drain(0)
        await self._house.dispatch.drain(0)
        await self._house.restore.cancel()

    async def _breathe(self) -> None:
        """The tick goes on while runs are waited for: the supervisor would take a silent daemon for a stuck one."""
        while True:
            await self.tick()
            await self._house.clock.sleep(BREATH_SECONDS)

    def _cannot_record(self, error: DrdError) -> None:
        if not self._cannot:
            until, _ = _UNTIL[type(error)]
            self._say(f"{error.message}: runs fail until {until} ({error.hint})")
        self._cannot = error
        self._supervisor.status(error.message)

    def _can_record(self) -> None:
        if self._cannot:
            _, again = _UNTIL[type(self._cannot)]
            self._say(again)
            self._supervisor.status(self._line())
        self._cannot = None

    def _take_signals(self, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        for number, act in (
            (signal.SIGTERM, self.stop),
            (signal.SIGINT, self.stop),
            (signal.SIGHUP, self._reload_wanted.set),
        ):
            loop.add_signal_handler(number, act)
            stack.callback(loop.remove_signal_handler, number)

    def _line(self) -> str:
        configuration = self._house.in_force()
        policies = counted(len(configuration.policies), "policy", "policies")
        return f"{policies}, {counted(len(configuration.stores), 'store', 'stores')}"


def _silent(text: str) -> None:
    """Before anybody listens, nothing is said."""


def _foreseen(failures: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The failure that a person can act on, if nothing else ended the daemon's tasks."""
    foreseen, others = failures.split(DrdError)
    if foreseen is None or others is not None:
        return None
    first: BaseException = foreseen
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def _refusal(error: DrdError) -> ConfigurationRefused:
    problems = getattr(error, "problems", ())
    return ConfigurationRefused(max(1, len(problems)), str(problems[0] if problems else error.message)[:500])
