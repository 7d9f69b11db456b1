"""The journal as the engines see it: asynchronous, over one thread that alone touches SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

from drd.clients.journal.ballast import BALLAST_BYTES, Ballast
from drd.clients.journal.reader import Reader, StoredChain
from drd.clients.journal.schema import Layout, Mark
from drd.clients.journal.sqlite_errors import translated
from drd.clients.journal.views import Views
from drd.clients.journal.writer import Draft, Writer, Written
from drd.core.catalogue import Pause, PolicyRecord, RestoreRecord, RunRecord, StoreRecord
from drd.core.errors import JournalDamaged, JournalUnusable, PermanentError
from drd.core.events import Body, Event
from drd.core.incident import IncidentRecord
from drd.core.points import RecoveryPoint
from drd.core.postgres.groups import ShippedGroup
from drd.ports.clock import Clock
from drd.ports.journal import Head, Observer, Verdict

_DRAFTS_A_TRANSACTION = 500
_POLICIES_A_LOOK = 50

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class SqliteJournal:
    """`<state>/journal.db` with its sealed segments: implements Journal, JournalReader and Catalogue.

    Use `async with await SqliteJournal.open(…) as journal:`. Only the process that holds `StateLock` may open it for
    writing; with `readonly`, `append` and what else writes raise PermanentError, and nothing on the disk is touched.
    """

    def __init__(self, side: Writer | Reader, chain: StoredChain, clock: Clock, thread: ThreadPoolExecutor) -> None:
        self._side = side
        self._chain = chain
        self._clock = clock
        self._thread = thread
        self._observers: list[Observer] = []
        self._waiting: list[tuple[Draft, asyncio.Future[tuple[Event, ...]]]] = []
        self._writing: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        state: Path,
        clock: Clock,
        *,
        readonly: bool = False,
        ballast_bytes: int = BALLAST_BYTES,
        layout: Layout | None = None,
    ) -> SqliteJournal:
        """Open the journal in `state`, or make one.

        Raises JournalDamaged, Busy or StateFull, and PermanentError when it cannot be read or is not there to read.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        layout = layout or Layout()
        ballast = Ballast(state / "ballast", ballast_bytes)
        side = Reader(state, layout) if readonly else Writer(state, clock, layout, ballast)
        try:
            await asyncio.get_running_loop().run_in_executor(thread, side.open)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(side, StoredChain(state, layout, is_writers=not readonly), clock, thread)

    async def close(self) -> None:
        """Wait for what is being written, then close the file."""
        while self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])
        await self._in_thread(self._side.close)
        self._thread.shutdown()

    async def __aenter__(self) -> SqliteJournal:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- Journal ---

    async def append(self, *bodies: Body, run: str | None = None) -> tuple[Event, ...]:
        """Write facts in one transaction, with their projections, and tell the observers.

        Appends that are asked for while a transaction runs share the next one and its sync. One that is cancelled is
        written all the same. Raises StateFull when even without the ballast there is no room, Busy, JournalUnusable,
        and ValueError or TypeError for a body that cannot be stored.
        """
        self._writer()
        if not bodies:
            return ()
        loop = asyncio.get_running_loop()
        draft = Draft(bodies, run, self._clock.now(), round(self._clock.monotonic() * 1e9))
        future: asyncio.Future[tuple[Event, ...]] = loop.create_future()
        self._waiting.append((draft, future))
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write_all(), name="journal")
        return await future

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Have `observer` called for each event from now on; all have seen an event before its `append` returns.

        Calling what is returned ends that.
        """
        self._observers.append(observer)
        return partial(self._observers.remove, observer)

    async def head(self) -> Head:
        """The last event's place and digest."""
        return await self._in_thread(lambda: self._side.head)

    # --- upkeep, from the daemon's tick ---

    @property
    def daemon(self) -> str:
        """The id of the daemon whose journal this is."""
        return self._side.daemon

    @property
    def has_ballast(self) -> bool:
        """Whether the room for the worst moment is there."""
        return self._writer().ballast.is_there

    async def mark(self) -> None:
        """Note that the daemon lives: every 10 s, so that after a crash it is known when it lived last."""
        mark = Mark(self._clock.now(), self._clock.monotonic(), self._clock.boot_id)
        await self._in_thread(self._writer().write_mark, mark)

    async def last_mark(self) -> Mark | None:
        """When the daemon was last known to live."""
        return await self._in_thread(self._side.read_mark)

    async def lived_until(self) -> datetime | None:
        """The moment of that."""
        mark = await self.last_mark()
        return None if mark is None else mark.at

    async def tend_ballast(self) -> bool:
        """Bring the ballast back when there is room again; True when this call did."""
        written = await self._in_thread(self._writer().tend_ballast)
        if written is None:
            return False
        self._tell(written)
        await asyncio.sleep(0)
        return True

    async def seal(self) -> str:
        """Close the current file for good, go on in a new one, and return the sealed file's name.

        Raises Busy while somebody reads the current file.
        """
        writer = self._writer()
        written = await self._in_thread(writer.seal)
        self._tell(written)
        await asyncio.sleep(0)
        return str(getattr(written.events[0].body, "previous_segment", ""))

    async def seal_if_due(self) -> str | None:
        """Seal when the last event is of an earlier month, UTC. Raises as `seal` does."""
        writer = self._writer()
        return await self.seal() if await self._in_thread(lambda: writer.is_seal_due) else None

    # --- JournalReader: blocking, and independent of the journal's own thread ---

    def events(
        self, after: int = 0, newest: int | None = None, run: str | None = None, kind: str | None = None
    ) -> Iterator[Event]:
        """Events in order, from every segment; with `newest`, only the last so many that fit. Blocking."""
        return self._chain.events(after, newest, run, kind)

    def verify(self, anchors: Mapping[int, str] | None = None) -> Verdict:
        """Walk the whole chain through all segments. Blocking.

        `anchors` are sequence → head as they were written down elsewhere.
        """
        return self._chain.verify(anchors or {})

    # --- Catalogue ---

    async def policies(self) -> dict[str, PolicyRecord]:
        """Every policy that is protected now, by name."""
        return await self._look(Views.policies)

    async def policy(self, name: str) -> PolicyRecord | None:
        """One policy's record, or None when it is not protected."""
        return await self._look(Views.policy, name)

    async def stores(self) -> dict[str, StoreRecord]:
        """Every store that was ever used, by name."""
        return await self._look(Views.stores)

    async def holdings(self, store: str) -> dict[str, str]:
        """Snapshot id → policy of all that the journal believes to be in `store`."""
        return await self._look(Views.holdings, store)

    async def points(self, policy: str) -> tuple[RecoveryPoint, ...]:
        """The recovery points of a policy, oldest first."""
        return await self._look(Views.points, policy)

    async def newest_points(self) -> dict[tuple[str, str], RecoveryPoint]:
        """(policy, store) → the newest good point with an undamaged copy there."""
        return await self._newest(Views.newest)

    async def newest_proven_points(self) -> dict[tuple[str, str], RecoveryPoint]:
        """(policy, store) → the newest good point whose copy there a restore has read."""
        return await self._newest(Views.newest_proven)

    async def uncopied(self, policy: str, store: str) -> tuple[RecoveryPoint, ...]:
        """Good or incomplete points that have a copy somewhere but none in `store`, oldest first."""
        return await self._look(Views.uncopied, policy, store)

    async def withheld(self, store: str) -> frozenset[str]:
        """Ids, in other stores, of the snapshots that are not carried into `store`."""
        return await self._look(Views.withheld, store)

    async def unfinished(self) -> tuple[RunRecord, ...]:
        """Runs that began and whose end nobody recorded."""
        return await self._look(Views.unfinished)

    async def runs(self, policy: str | None = None, newest: int = 20) -> tuple[RunRecord, ...]:
        """The newest runs, newest first; of each policy the last 500 are known here."""
        return await self._look(Views.runs, policy, newest)

    async def restores(self) -> tuple[RestoreRecord, ...]:
        """The newest restores, and every one without an end, oldest first."""
        return await self._look(Views.restores)

    async def incidents(self, policy: str | None = None, newest: int = 20) -> tuple[IncidentRecord, ...]:
        """The newest runs of runbooks, newest first."""
        return await self._look(Views.incidents, policy, newest)

    async def incident(self, run: str) -> IncidentRecord | None:
        """One run of a runbook."""
        return await self._look(Views.incident, run)

    async def open_incidents(self) -> tuple[IncidentRecord, ...]:
        """Runs of runbooks without an end, oldest first."""
        return await self._look(Views.open_incidents)

    async def pauses(self) -> tuple[Pause, ...]:
        """Pauses that were not ended; whether they are over is a question of time."""
        return await self._look(Views.pauses)

    async def wal(self, policy: str) -> tuple[ShippedGroup, ...]:
        """The groups of WAL of a policy in all stores."""
        return await self._look(Views.wal, policy)

    async def lost_wal(self, store: str) -> tuple[ShippedGroup, ...]:
        """The groups of WAL of which a store's newest batch is damaged or gone."""
        return await self._look(Views.lost_wal, store)

    async def _newest(
        self, question: Callable[[Views, list[str]], dict[tuple[str, str], RecoveryPoint]]
    ) -> dict[tuple[str, str], RecoveryPoint]:
        """The first look reads every point; it is taken a few policies at a time, so that appends go between."""
        names = await self._look(Views.policies_with_points)
        result: dict[tuple[str, str], RecoveryPoint] = {}
        for start in range(0, len(names), _POLICIES_A_LOOK):
            result.update(await self._look(question, names[start : start + _POLICIES_A_LOOK]))
        return result

    # --- the thread ---

    async def _in_thread(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Raises JournalUnusable where damage is found in a journal that is in use: it ends no daemon."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))
        except JournalDamaged as error:
            if isinstance(self._side, Reader):
                raise
            raise JournalUnusable(error.message, error.hint) from error

    async def _look(
        self,
        question: Callable[Concatenate[Views, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        def answer() -> Result:
            with translated(self._side.database):
                return question(self._side.views, *args, **kwargs)

        return await self._in_thread(answer)

    def _writer(self) -> Writer:
        if isinstance(self._side, Reader):
            raise PermanentError("the journal was opened for reading only", "")
        return self._side

    async def _write_all(self) -> None:
        """Write what waits, as much as came together to a transaction, until nothing waits any more."""
        writer = self._writer()
        while self._waiting:
            batch, self._waiting = self._waiting[:_DRAFTS_A_TRANSACTION], self._waiting[_DRAFTS_A_TRANSACTION:]
            outcomes: list[tuple[Event, ...] | Exception]
            try:
                written = await self._in_thread(writer.append, [draft for draft, _ in batch])
            except Exception as error:  # noqa: BLE001 — handed to everybody who waits for this transaction
                outcomes = [error] * len(batch)
            else:
                self._tell(written)
                outcomes = written.outcomes
            for (_, future), outcome in zip(batch, outcomes, strict=False):
                _settle(future, outcome)

    def _tell(self, written: Written) -> None:
        """Have the observers called at the loop's next turn, before anybody who waits for these events goes on."""
        loop = asyncio.get_running_loop()
        for event in written.events:
            for observer in tuple(self._observers):
                loop.call_soon(observer, event)


def _settle(future: asyncio.Future[tuple[Event, ...]], outcome: tuple[Event, ...] | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
