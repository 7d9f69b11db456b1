"""A server of our own, on a socket that nobody else reaches. It dies with drd."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from drd.clients.postgres import Dsn, PostgresServer
from drd.clients.postgres_tools.programs import Programs
from drd.core.errors import PermanentError
from drd.ports.cancelling import to_the_end
from drd.ports.postgres import Server
from drd.ports.postgres_serving import ServeRequest
from drd.ports.runner import Command, Runner, Stream

EVER: Final = timedelta(days=3650)
FAST, IMMEDIATE = (signal.SIGINT, timedelta(minutes=30)), (signal.SIGQUIT, timedelta(seconds=30))
"""How it is stopped; the first writes a checkpoint, which takes as long as the disk does."""
MOST_LINES: Final = 200
SOCKET_PORT: Final = "5432"
"""A part of the socket's name only: no port of the machine is listened on."""
ADMITS: Final = "local all all trust\n"
PRIVATE: Final = {
    "listen_addresses": "",
    "port": SOCKET_PORT,
    "unix_socket_permissions": "0700",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "",
    "lc_messages": "C",
    "ssl": "off",
    "external_pid_file": "",
    "archive_mode": "off",
    "synchronous_standby_names": "",
}
"""What it must not take from the cluster's own configuration."""


class ServedProcess:
    """`drd.ports.postgres_serving.Served` over a child."""

    def __init__(self, dsn: Dsn, command: Command, runner: Runner) -> None:
        self._dsn = dsn
        self._server = PostgresServer(dsn)
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._process = asyncio.create_task(runner.run(command, self._hear))

    @property
    def server(self) -> Server:
        """To ask it."""
        return self._server

    @property
    def parameters(self) -> Mapping[str, str]:
        """How it is reached."""
        return self._dsn.parameters

    @property
    def said(self) -> tuple[str, ...]:
        """The newest lines of its log."""
        return tuple(self._lines)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.done()

    async def stop(self) -> None:
        """Give the connection back and stop it. Raises what kept it from being started."""
        await self._server.close()
        self._process.cancel()
        with suppress(asyncio.CancelledError):
            await self._process

    def _hear(self, _: Stream, line: bytes) -> None:
        self._lines.append(line.decode(errors="replace"))


@asynccontextmanager
async def served(request: ServeRequest, programs: Programs, runner: Runner) -> AsyncIterator[ServedProcess]:
    """Start a server and stop it afterwards; see the port."""
    # Short and of our own: the path of a socket may have 107 bytes.
    private = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="drd-pg-"))
    try:
        await asyncio.to_thread(_prepare, private, request.user)
        dsn = Dsn({"host": str(private), "port": SOCKET_PORT, "user": request.role, "dbname": request.database})
        child = ServedProcess(dsn, _command(request, private, programs), runner)
        try:
            yield child
        finally:
            await to_the_end(_stop(child, request))
    finally:
        await to_the_end(asyncio.to_thread(shutil.rmtree, private, ignore_errors=True))


def _prepare(private: Path, user: str | None) -> None:
    (private / "hba.conf").write_text(ADMITS)
    if user is not None:
        account = pwd.getpwnam(user)
        for path in (private, private / "hba.conf"):
            os.chown(path, account.pw_uid, account.pw_gid)


def _command(request: ServeRequest, private: Path, programs: Programs) -> Command:
    settings = {
        **request.settings,
        **PRIVATE,
        "unix_socket_directories": str(private),
        "hba_file": str(private / "hba.conf"),
    }
    words = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
    environment = {"PATH": f"{programs.folder}:/usr/bin:/bin", "HOME": str(private), "LC_ALL": "C", "TZ": "UTC"}
    return Command(
        (programs.path("postgres"), "-D", str(request.data), *words),
        environment,
        user=request.user,
        deadline=EVER,
        stop_signals=(FAST, IMMEDIATE),
    )


async def _stop(child: ServedProcess, request: ServeRequest) -> None:
    await child.stop()
    if await asyncio.to_thread((request.data / "postmaster.pid").exists):
        raise PermanentError(f"the server in {request.data} did not stop in time", f"pg_ctl -D {request.data} stop")
