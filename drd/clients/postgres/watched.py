"""One server, asked again and again over a connection that is kept, so that a dying process is noticed at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from drd.clients.lines import connect
from drd.clients.postgres.connection import Connection, Patience, Row
from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.outcomes import first_sentence, meaning
from drd.clients.postgres.revoking import CUT
from drd.clients.postgres.watched_queries import BEATS, LOOK, MAY_ASK_FOR_ROOM, PRIMARY, ROOM
from drd.clients.process import Redaction
from drd.core.errors import DrdError
from drd.core.position import Position
from drd.core.postgres.errors import LoginRefused, RightMissing, ServerAway
from drd.core.postgres.heartbeat import MAY_READ, MAY_WRITE, WRITE
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.synchronous import quorum_of
from drd.core.postgres.timeline import History
from drd.core.postgres.verdicts import may_hang
from drd.core.probing import Beat, DatabaseSeen, Failure, KeptSlot, NodeRole, Peer, ProbeResult, Quorum, Sign
from drd.ports.probe import nothing

if TYPE_CHECKING:
    import psycopg

    from drd.ports.clock import Clock

KIND: Final = "postgres"
RIGHTS_SECONDS: Final = 30.0
"""How often it is looked whether the heartbeat's table is there and may be used."""
ROOM_SECONDS: Final = 5.0
"""How often it is looked whether the data directory's disk has room, as long as it has."""
_PORT: Final = 5432
_RESTARTING = re.compile(r"the database system is (?:starting up|shutting down|in recovery mode|not yet accepting)")
_FULL = re.compile(r"too many (?:connections|clients)|remaining connection slots")
_SILENT = re.compile(r"timeout expired|timed out|No route to host|Network is unreachable", re.IGNORECASE)
_NO_NAME = re.compile(r"could not translate host name|Name or service not known|failed to resolve host")
_REFUSED = re.compile(r"Connection refused|No such file or directory", re.IGNORECASE)
_CLOSED = re.compile(
    r"Connection reset|server closed the connection|connection is lost|terminating connection|SSL SYSCALL error|"
    r"could not receive data|could not send|connection is closed|connection not open|Broken pipe",
    re.IGNORECASE,
)
_SHUT_DOWN: Final = frozenset({"57P01", "57P02"})
"""A session that the server ended, by order or after a crash of another one."""
_REPLICATES_AS = re.compile(r"(?<!fallback_)application_name='?([^\s']+)|fallback_application_name='?([^\s']+)")


class NoAnswer(DrdError):
    """The server gave no good answer; what kind of failure that is, and its signs."""

    def __init__(self, failure: Failure, message: str, *signs: Sign) -> None:
        super().__init__(message, "drd tries again by itself")
        self.failure = failure
        self.signs = frozenset(signs)


class SessionClosed(NoAnswer):
    """The other end closed the session in the middle of a talk, which says nothing yet of whether anybody listens."""

    def __init__(self, message: str) -> None:
        super().__init__(Failure.PROTOCOL, message)


class WatchedConnection(Connection):
    """A connection whose failures are told apart."""

    @property
    def is_open(self) -> bool:
        """Whether a session is open, as far as is known."""
        return self._open is not None and not self._open.closed

    def on_closed(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call when something comes from the other end unasked, as the end of the session; what is returned ends it."""
        if self._open is None or self._open.closed:
            return nothing
        loop, number = asyncio.get_running_loop(), self._open.fileno()
        loop.add_reader(number, call)

        def end() -> None:
            loop.remove_reader(number)

        return end

    def _late(self, limit: timedelta) -> ServerAway:
        raise NoAnswer(Failure.TIMEOUT, f"no answer within {limit.total_seconds():g} s")

    def _failure(self, error: psycopg.Error) -> DrdError:
        said = Redaction(self.dsn.secrets).hide(str(error).encode()).decode(errors="replace")
        known = meaning(said, self.dsn.place, self.dsn.user, error.sqlstate)
        words = first_sentence(said) or "it gave no reason"
        if isinstance(known, LoginRefused | RightMissing):
            return NoAnswer(Failure.WRONG_ANSWER, known.message, Sign.NOT_LET_IN)
        if error.sqlstate == "57P03" or _RESTARTING.search(said):
            return NoAnswer(Failure.WRONG_ANSWER, words, Sign.RESTARTING)
        if error.sqlstate == "53300" or _FULL.search(said):
            return NoAnswer(Failure.WRONG_ANSWER, words, Sign.NO_CONNECTION_LEFT)
        if error.sqlstate == "57014" or _SILENT.search(said):
            return NoAnswer(Failure.TIMEOUT, words)
        if _REFUSED.search(said):
            return NoAnswer(Failure.REFUSED, words)
        if error.sqlstate in _SHUT_DOWN or _CLOSED.search(said):
            return SessionClosed(words)
        if _NO_NAME.search(said):
            return NoAnswer(Failure.PROTOCOL, words)
        return NoAnswer(Failure.WRONG_ANSWER, words)


class WatchedServer:
    """Looks at one server for a policy."""

    def __init__(self, dsn: Dsn, policy: str, clock: Clock, timeout: timedelta, writes_as: str = "") -> None:
        """`writes_as` is whose row of the heartbeat is written at each look; empty: nothing is written."""
        self._connection = WatchedConnection(dsn, Patience(timeout, timeout))
        self._policy = policy
        self._clock = clock
        self._seconds = timeout.total_seconds()
        self._writes_as = writes_as
        self._rights_at: float | None = None
        self._room_at: float | None = None
        """When there was room last; None: not known."""
        self._may_read = self._may_write = self._may_ask_for_room = False
        self._before: DatabaseSeen | None = None
        self._before_at = 0.0

    async def look(self) -> ProbeResult:
        """Look once, for at most the timeout."""
        began = self._clock.monotonic()
        was_open = self._connection.is_open
        port = asyncio.ensure_future(self._port_after(self._seconds / 2))
        try:
            async with asyncio.timeout(self._seconds):
                seen = await self._seen(began, was_open)
        except TimeoutError:
            return await self._failed(began, NoAnswer(Failure.TIMEOUT, f"no answer within {self._seconds:g} s"), port)
        except NoAnswer as error:
            return await self._failed(began, error, port)
        finally:
            port.cancel()
        self._before, self._before_at = seen, began
        return ProbeResult(KIND, began, self._clock.monotonic() - began, database=seen)

    @property
    def may_write(self) -> bool:
        """Whether the role may write the heartbeat, as far as the last look has shown."""
        return self._may_write

    def on_closed(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call when the session is closed by the other end; what is returned ends that."""
        return self._connection.on_closed(call)

    async def close(self) -> None:
        """Give the session back."""
        await self._connection.close()

    async def _port_after(self, seconds: float) -> bool:
        """Whether the port accepts connections, asked only when an answer is late already."""
        await self._clock.sleep(seconds)
        parameters = self._connection.dsn.parameters
        hosts = parameters.get("hostaddr") or parameters.get("host") or "/var/run/postgresql"
        ports = parameters.get("port", str(_PORT))
        host, port = hosts.partition(",")[0], int(ports.partition(",")[0] or _PORT)
        return await connect(host, port, self._seconds / 2) is None

    async def _failed(self, began: float, error: NoAnswer, port: asyncio.Future[bool]) -> ProbeResult:
        signs = error.signs
        if error.failure is Failure.TIMEOUT:
            await asyncio.wait({port}, timeout=self._seconds / 4)
            if port.done() and not port.cancelled() and port.exception() is None and port.result():
                signs |= {Sign.ACCEPTS_TCP}
        took = self._clock.monotonic() - began
        return ProbeResult(KIND, began, took, error.failure, error.message, signs)

    async def _seen(self, began: float, was_open: bool) -> DatabaseSeen:
        """What it tells. A session that was closed is tried once more: only that shows whether anybody listens."""
        try:
            return await self._ask(began)
        except SessionClosed:
            signs = (Sign.SESSION_CLOSED,) if was_open else ()
        with suppress(DrdError):
            await self._connection.close()
        try:
            return await self._ask(began)
        except NoAnswer as error:
            raise NoAnswer(error.failure, error.message, *signs, *error.signs) from error

    async def _ask(self, began: float) -> DatabaseSeen:
        row = await self._connection.row(LOOK)
        await self._look_at_rights(began)
        position = await self._position(row)
        beats = await self._beats()
        if row["is_standby"]:
            return self._standby(row, position, beats, began)
        more = await self._connection.row(PRIMARY)
        sees_all = bool(row["sees_all"])
        return DatabaseSeen(
            cluster=row["cluster"],
            role=NodeRole.PRIMARY,
            position=position,
            started=row["started"],
            quorum=_quorum(row, more),
            peers=_peers(more) if sees_all else None,
            slots=tuple(
                KeptSlot(name, active, _at_least_nothing(kept), bool(lost))
                for name, active, kept, lost in more["slots"]
            ),
            longest_wait_seconds=more["longest_wait"],
            clients=frozenset(more["clients"]) if sees_all else None,
            write_failed=await self._write_failed(began),
            beats=beats,
        )

    def _standby(self, row: Row, position: Position, beats: tuple[Beat, ...], began: float) -> DatabaseSeen:
        name = next((one or two for one, two in _REPLICATES_AS.findall(row["conninfo"] or "")), "")
        before = self._before.replicates_as if self._before is not None else ""
        return DatabaseSeen(
            cluster=row["cluster"],
            role=NodeRole.STANDBY,
            position=position,
            replayed=None if row["replayed"] is None else Lsn.parse(row["replayed"]).value,
            started=row["started"],
            replicates_as=(name or before or row["cluster_name"] or "walreceiver").casefold(),
            heard_seconds_ago=self._heard(row, position, began),
            is_receiving=row["is_receiving"],
            is_cut_off=row["slot"].startswith(CUT),
            is_paused=row["is_paused"],
            delay_seconds=row["delay_seconds"] or 0.0,
            retry_seconds=row["retry_seconds"],
            asks_after_seconds=row["asks_after_seconds"] or None,
            may_hang=may_hang(row["restore_command"] or ""),
            beats=beats,
        )

    def _heard(self, row: Row, position: Position, began: float) -> float | None:
        """When it last heard from its primary: as it says, or, where drd may not see that, by its growing log."""
        if not row["is_receiving"]:
            return None
        told: float | None = row["heard_seconds_ago"]
        before = self._before
        if before is None or before.position.offset >= position.offset or before.role is NodeRole.PRIMARY:
            return told
        grown = began - self._before_at
        return grown if told is None else min(told, grown)

    async def _position(self, row: Row) -> Position:
        timeline, offset = row["timeline"], Lsn.parse(row["safe"] or "0/0").value
        before = None if self._before is None else self._before.position
        if before is not None and self._before is not None and self._before.started == row["started"]:
            timeline = max(timeline, before.timeline)
        forks = before.forks if before is not None and before.timeline == timeline else await self._forks(timeline)
        return Position(timeline, offset, forks)

    async def _forks(self, timeline: int) -> tuple[tuple[int, int], ...]:
        """Where the timeline left earlier ones; nothing where the role may not replicate or the file is not there."""
        if timeline == 1:
            return ()
        other = self._connection.replicating()
        try:
            [row] = await other.rows(f"TIMELINE_HISTORY {int(timeline)}")
            content: Any = row["content"]
            text = bytes(content).decode() if isinstance(content, bytes | memoryview) else str(content)
            return tuple((each.timeline, each.at.value) for each in History.parse(timeline, text).switches)
        except (DrdError, ValueError):
            return ()
        finally:
            await other.close()

    async def _look_at_rights(self, began: float) -> None:
        if self._rights_at is not None and began - self._rights_at < RIGHTS_SECONDS:
            return
        self._may_read = any(row["may_read"] for row in await self._connection.rows(MAY_READ))
        self._may_write = any(row["may_write"] for row in await self._connection.rows(MAY_WRITE))
        self._may_ask_for_room = bool((await self._connection.row(MAY_ASK_FOR_ROOM))["may_ask"])
        self._rights_at = began

    async def _beats(self) -> tuple[Beat, ...]:
        if not self._may_read:
            return ()
        rows = await self._connection.rows(BEATS, (self._policy,))
        return tuple(Beat(row["daemon"], row["term"], row["age"]) for row in rows)

    async def _write_failed(self, began: float) -> str:
        if not self._writes_as or not self._may_write:
            return ""
        try:
            await self._connection.rows(WRITE, (self._policy, self._writes_as, 0, 0))
            await self._demand_room(began)
        except NoAnswer as error:
            if error.failure is not Failure.WRONG_ANSWER:
                raise
            return error.message
        return ""

    async def _demand_room(self, began: float) -> None:
        if not self._may_ask_for_room or (self._room_at is not None and began - self._room_at < ROOM_SECONDS):
            return
        self._room_at = None
        await self._connection.rows(ROOM)
        self._room_at = began


def _peers(more: Row) -> tuple[Peer, ...]:
    return tuple(Peer(name.casefold(), bool(counts), _at_least_nothing(lag)) for name, counts, lag in more["peers"])


def _at_least_nothing(found: int | None) -> int | None:
    """What lies between two positions that were not read at the same instant."""
    return None if found is None else max(0, found)


def _quorum(row: Row, more: Row) -> Quorum | None:
    lowered = [*more["lowered_by"]]
    if more["is_lowered"]:
        lowered.append("the server itself")
    elif more["is_hidden"]:
        lowered.append("perhaps the server itself (drd's own role or database has a synchronous_commit)")
    try:
        return quorum_of(row["synchronous_standby_names"], tuple(lowered))
    except ValueError:
        return None
