"""The daemon's `Control` from another process: HTTP/1.1 over its unix socket, spoken by h11.

Answers come as lines of JSON with empty lines as heartbeats while the daemon works (`drd.api.answers` sends them).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime, timedelta
from pathlib import Path
from types import NoneType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import h11

from drd.clients.control_runbooks import RemoteRunbooks
from drd.core.errors import DrdError, TransientError
from drd.ports.steps import Problem, Step

if TYPE_CHECKING:
    from drd.ports.control import Anchors, CoveredRange, ForgetLine, PointStatus, Status
    from drd.ports.restoring import RestoreOrder

CONNECT_DEADLINE = timedelta(seconds=5)
SILENCE = timedelta(seconds=20)
"""The daemon sends a heartbeat every five seconds; after this long without one it is taken for stuck."""
LONGEST_LINE_BYTES = 64 * 1024 * 1024

Answer = TypeVar("Answer")


class DaemonAway(TransientError):
    """No daemon answers on the control socket."""


class DaemonSilent(TransientError):
    """A daemon is there, and says nothing: it is stopped, or stuck."""


class DaemonForbidden(DrdError):
    """A daemon is there, and this user may not ask it."""


class RemoteControl(RemoteRunbooks):
    """The control of the daemon that listens on a socket. Holds no connection between questions."""

    def __init__(
        self, socket: Path, *, connect_deadline: timedelta = CONNECT_DEADLINE, silence: timedelta = SILENCE
    ) -> None:
        self._socket = socket
        self._connect_deadline = connect_deadline
        self._silence = silence

    async def status(self) -> Status:
        """Everything at a glance."""
        from drd.ports.control import Status

        return await self._single(Status, "GET", "/status")

    def backup(self, policy: str, full: bool, by: str) -> AsyncIterator[Step]:
        """Run a policy now, or join the run that is under way."""
        return self._steps(f"{_path(policy)}/backup", {"full": full, "by": by})

    async def points(self, policy: str, why: bool = False) -> tuple[PointStatus, ...]:
        """The recovery points of a policy, newest first."""
        from drd.ports.control import PointStatus

        query = "?why=true" if why else ""
        return await self._single(tuple[PointStatus, ...], "GET", f"{_path(policy)}/points{query}")

    async def covered(self, policy: str) -> tuple[CoveredRange, ...]:
        """The moments that replaying write-ahead log leads to."""
        from drd.ports.control import CoveredRange

        return await self._single(tuple[CoveredRange, ...], "GET", f"{_path(policy)}/covered")

    def restore(self, order: RestoreOrder) -> AsyncIterator[Step]:
        """Bring a policy's data back."""
        return self._steps(f"{_path(order.policy)}/restore", order.body())

    async def forget_plan(self, policy: str) -> tuple[ForgetLine, ...]:
        """What retention would do now in each store, with reasons."""
        from drd.ports.control import ForgetLine

        return await self._single(tuple[ForgetLine, ...], "GET", f"{_path(policy)}/forget")

    def forget(self, policy: str, by: str) -> AsyncIterator[Step]:
        """Apply retention now."""
        return self._steps(f"{_path(policy)}/forget", {"by": by})

    async def explain(self, policy: str) -> tuple[str, ...]:
        """What drd would do with a policy now and why, as lines for people."""
        return await self._single(tuple[str, ...], "GET", f"{_path(policy)}/explain")

    async def pause(self, policy: str, what: str, until: datetime, reason: str, by: str) -> None:
        """Stop work for a time."""
        order = {"what": what, "until": until.isoformat(), "reason": reason, "by": by}
        await self._single(NoneType, "POST", f"{_path(policy)}/pause", order)

    async def resume(self, policy: str, by: str) -> None:
        """End a pause before its time."""
        await self._single(NoneType, "POST", f"{_path(policy)}/resume", {"by": by})

    def check(self, store: str, by: str) -> AsyncIterator[Step]:
        """Check the structure of a store's repository now."""
        return self._steps(f"{_store(store)}/check", {"by": by})

    async def release(self, store: str, by: str) -> str:
        """End the hold on a store's retention; returns the reason that it had."""
        return await self._single(str, "POST", f"{_store(store)}/release", {"by": by})

    async def release_policy(self, policy: str, by: str) -> str:
        """End the suspicion of a policy's runs; returns its reasons."""
        return await self._single(str, "POST", f"{_path(policy)}/release", {"by": by})

    async def accept(self, store: str, by: str) -> str:
        """Take what a store holds now for what it shall hold; returns the repository's id."""
        return await self._single(str, "POST", f"{_store(store)}/accept", {"by": by})

    async def anchors(self) -> tuple[Anchors, ...]:
        """What every store holds of the journal's heads."""
        from drd.ports.control import Anchors

        return await self._single(tuple[Anchors, ...], "GET", "/anchors")

    async def reload(self) -> tuple[str, ...]:
        """Read the configuration again."""
        return await self._single(tuple[str, ...], "POST", "/reload", {})

    async def is_there(self) -> bool:
        """Whether a daemon answers on the socket."""
        try:
            async with _Connection(self._socket, self._connect_deadline, self._silence):
                return True
        except DaemonAway:
            return False

    async def _single(
        self, kind: type[Answer], method: str, target: str, order: Mapping[str, Any] | None = None
    ) -> Answer:
        from pydantic import TypeAdapter

        adapter = TypeAdapter(kind)
        async with aclosing(self._documents(method, target, order)) as documents:
            async for document in documents:
                return adapter.validate_json(document)
        raise _left()

    async def _steps(self, target: str, order: Mapping[str, Any]) -> AsyncIterator[Step]:
        finished = False
        async with aclosing(self._documents("POST", target, order)) as documents:
            async for document in documents:
                step = Step.from_json(document)
                finished = finished or step.kind == "finished"
                yield step
        if not finished:
            raise _left()

    async def _documents(
        self, method: str, target: str, order: Mapping[str, Any] | None
    ) -> AsyncGenerator[bytes, None]:
        async with _Connection(self._socket, self._connect_deadline, self._silence) as connection:
            await connection.ask(method, target, b"" if order is None else json.dumps(order).encode())
            async for line in connection.lines():
                _raise_problem(line)
                yield line


class _Connection(AbstractAsyncContextManager["_Connection"]):
    """One question and its answer."""

    def __init__(self, socket: Path, connect_deadline: timedelta, silence: timedelta) -> None:
        self._socket = socket
        self._connect_deadline = connect_deadline
        self._silence = silence
        self._http = h11.Connection(our_role=h11.CLIENT)

    async def __aenter__(self) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_deadline.total_seconds()):
                self._reader, self._writer = await asyncio.open_unix_connection(os.fspath(self._socket))
        except PermissionError as error:
            raise DaemonForbidden(
                f"you may not use {self._socket}", "type: sudo -u drd drd …, as the daemon's own user"
            ) from error
        except TimeoutError as error:  # so many wait to be heard that the system takes no more of them
            raise _silent(self._connect_deadline) from error
        except OSError as error:
            raise DaemonAway(f"no daemon answers on {self._socket}", "start it: drd run") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    async def ask(self, method: str, target: str, body: bytes) -> None:
        """Send the request."""
        headers = [("host", "drd"), ("connection", "close"), ("content-length", str(len(body)))]
        parts = [h11.Request(method=method, target=target, headers=headers), h11.Data(data=body), h11.EndOfMessage()]
        try:
            self._writer.writelines(self._http.send(part) or b"" for part in parts)
            await self._writer.drain()
        except ConnectionError as error:
            raise _left() from error

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines of the answer without the heartbeats."""
        waiting = b""
        async for data in self._data():
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                if line:
                    yield line
            if len(waiting) > LONGEST_LINE_BYTES:
                raise DrdError("the daemon's answer has no end", "restart the daemon: systemctl restart drd")

    async def _data(self) -> AsyncIterator[bytes]:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._more())
            elif isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return

    async def _more(self) -> bytes:
        try:
            async with asyncio.timeout(self._silence.total_seconds()):
                data = await self._reader.read(65536)
        except TimeoutError as error:
            raise _silent(self._silence) from error
        except ConnectionError as error:
            raise _left() from error
        if not data:
            raise _left()
        return data


def _path(policy: str) -> str:
    return f"/policies/{quote(policy, safe='')}"


def _store(store: str) -> str:
    return f"/stores/{quote(store, safe='')}"


def _raise_problem(line: bytes) -> None:
    problem = Problem.in_line(line)
    if problem is not None:
        raise problem.to_error()


def _silent(after: timedelta) -> DaemonSilent:
    return DaemonSilent(
        f"the daemon has said nothing for {after.total_seconds():.0f} s", "look at it: systemctl status drd"
    )


def _left() -> TransientError:
    return TransientError("the daemon stopped before it had answered", "drd status tells what became of it")
