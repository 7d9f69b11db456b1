"""A PostgreSQL server of the demonstration: real, with its data in a folder, on a loopback port. It dies with us."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from drd.clients.postgres import Dsn
from drd.clients.postgres.connection import Connection
from drd.clients.postgres_tools.programs import Programs, find_programs
from drd.clients.process import ChildRunner
from drd.core.errors import DrdError, PermanentError, ProgramMissing, UsageError
from drd.demo.leftover import end_leftover
from drd.demo.ports import ADDRESS, free_port, is_free
from drd.ports.runner import Command

OWNER: Final = "postgres"
"""The superuser."""
START_SECONDS: Final = 60.0
TRIES: Final = 5
"""How many ports are tried when somebody else is quicker to take them."""
_TAKEN: Final = "could not create any TCP/IP sockets"
_STOPPING: Final = ((2, timedelta(seconds=20)), (3, timedelta(seconds=10)))
"""PostgreSQL's `fast` and `immediate`."""
_EVER: Final = timedelta(days=3650)
_SETTINGS: Final = """
# --- written by drd demo run ---
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
wal_level = replica
wal_log_hints = on
wal_retrieve_retry_interval = 100ms     # with the usual 5 s a promotion may take that much longer
wal_receiver_timeout = 2s               # and where nobody writes a standby could not tell that its primary lives
max_slot_wal_keep_size = 512MB          # a reader of WAL that stays away never fills this disk
max_connections = 40
shared_buffers = 16MB
min_wal_size = 32MB
max_wal_size = 128MB
dynamic_shared_memory_type = mmap       # what is killed leaves nothing in /dev/shm
lc_messages = 'C'
log_line_prefix = '%m '
"""


class Server:
    """A server over one data directory: `start` it, and `stop` it in any case."""

    def __init__(self, data: Path, programs: Programs, password: str, port: int = 0, log: Path | None = None) -> None:
        """`password` is the superuser's; with port 0 it listens on any that is free."""
        self.data = data
        self.port = port
        self.programs = programs
        self._password = password
        self._log = log
        self._runner = ChildRunner()
        self._newest: deque[str] = deque(maxlen=200)
        self._process: asyncio.Task[object] | None = None

    async def prepare(self, hba: str, say: Callable[[str], None]) -> None:
        """Make the data directory, once, and take away what a demonstration that was killed left.

        `hba` says who is let in. Raises `UsageError` for a folder that the server's user cannot enter.
        """
        await self.clear(say)
        if not self.data.is_dir():
            await self._initialise(self.data.with_name(f"{self.data.name}.unfinished"))
        await asyncio.to_thread((self.data / "pg_hba.conf").write_text, hba)

    async def clear(self, say: Callable[[str], None]) -> None:
        """Make the folder around it, and end what still runs there. Raises as `prepare` does."""
        await asyncio.to_thread(_demand_entry, self.data.parent)
        if self.data.is_dir():
            await end_leftover(self.data, say)

    async def start(self, say: Callable[[str], None]) -> None:
        """Start it on its port, or on another one, and wait until it lets its owner in.

        Raises `PermanentError` with its last words when it does not start.
        """
        if self.port and not is_free(self.port):
            say(f"port {self.port} is taken by another program: the shop's database moves to another one")
            self.port = 0
        for _ in range(TRIES):
            self.port = self.port or free_port()
            self._process = asyncio.create_task(self._runner.run(self._command(), self._hear), name="PostgreSQL")
            if await self._lets_in(self._process):
                await asyncio.to_thread(_say_that_it_is_guarded, self.data)
                return
            await self.stop()
            if not any(_TAKEN in line for line in self._newest):
                break
            self.port = 0
        words = "; ".join(list(self._newest)[-3:])
        raise PermanentError(f"PostgreSQL does not start in {self.data}: {words}", "type: make clean, and make run")

    async def stop(self) -> None:
        """Stop it in an orderly way; does nothing when it has ended."""
        if self._process is not None:
            self._process.cancel()
            # Not awaited itself: a cancel of whoever stops it could not be told from its own.
            await asyncio.wait({self._process})
            if not self._process.cancelled():
                self._process.result()
            self._process = None

    def dsn(self, database: str, role: str = OWNER, password: str | None = None) -> Dsn:
        """How a role reaches a database there; without a password, the superuser."""
        secret = self._password if password is None else password
        return Dsn({"host": ADDRESS, "port": str(self.port), "user": role, "password": secret, "dbname": database})

    def conninfo(self, name: str) -> str:
        """How a standby called `name` reaches it; it holds the superuser's password."""
        parameters = {**self.dsn("").parameters, "application_name": name, "connect_timeout": "3"}
        return " ".join(f"{key}={value}" for key, value in parameters.items() if value)

    async def drop_slot(self, slot: str) -> None:
        """Drop a replication slot, if there is one."""
        connection = Connection(self.dsn(OWNER))
        try:
            which = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
            await connection.rows(which, (slot,))
        finally:
            await connection.close()

    async def copy_to(self, data: Path, slot: str) -> None:
        """Make a data directory that is a copy of its own, with a slot for the standby that will be there."""
        words = ["-D", str(data), "-X", "stream", "-c", "fast", "-C", "-S", slot]
        words += ["-h", ADDRESS, "-p", str(self.port), "-U", OWNER, "-w"]
        command = Command(
            (self.programs.path("pg_basebackup"), *words),
            {**self._environment, "PGPASSWORD": self._password},
            working_directory=data.parent,
            user=owner_of(self.data),
        )
        await self._done(command, f"the database could not be copied to {data}", data.parent)

    async def _initialise(self, unfinished: Path) -> None:
        user = unprivileged_user()
        await asyncio.to_thread(_emptied, unfinished, user)
        words = ["-D", str(unfinished), "-U", OWNER, "-A", "scram-sha-256", "--pwfile={password}", "--data-checksums"]
        words += ["-E", "UTF8", "--no-locale"]
        command = Command(
            (self.programs.path("initdb"), *words),
            self._environment,
            {"password": f"{self._password}\n".encode()},
            working_directory=unfinished.parent,
            user=user,
        )
        await self._done(command, f"no database could be made in {unfinished.parent}", unfinished.parent)
        await asyncio.to_thread(_finish, unfinished, self.data)

    async def _done(self, command: Command, failed: str, folder: Path) -> None:
        ended = await self._runner.run(command)
        if ended.code != 0:
            said = "; ".join(ended.stderr_tail.strip().splitlines()[-3:])
            raise PermanentError(f"{failed}: {said}", f"df -h {folder}")

    async def _lets_in(self, process: asyncio.Task[object]) -> bool:
        """Whether it lets its owner in; False when it has ended instead, or takes too long."""
        connection = Connection(self.dsn(OWNER))
        try:
            async with asyncio.timeout(START_SECONDS):
                while not process.done():
                    with suppress(DrdError):  # it is not there yet, or a stranger is on its port
                        await connection.rows("SELECT 1")
                        return not process.done()
                    await asyncio.wait({process}, timeout=0.05)
        except TimeoutError:
            return False
        finally:
            await connection.close()
        return False

    def _command(self) -> Command:
        self._newest.clear()
        if self._log is not None:
            self._log.write_text("")
        return Command(
            (self.programs.path("postgres"), "-D", str(self.data), "-c", f"port={self.port}"),
            self._environment,
            working_directory=self.data.parent,
            user=owner_of(self.data),
            deadline=_EVER,
            stop_signals=_STOPPING,
        )

    def _hear(self, _: str, line: bytes) -> None:
        text = line.decode(errors="replace")
        self._newest.append(text)
        if self._log is not None:
            with self._log.open("a") as log:
                log.write(f"{text}\n")

    @property
    def _environment(self) -> dict[str, str]:
        """All that it sees of the world."""
        return {
            "PATH": f"{self.programs.folder}:/usr/bin:/bin",
            "HOME": str(self.data.parent),
            "LC_ALL": "C",
            "TZ": "UTC",
        }


async def find_server(data: Path) -> Programs:
    """The programs of the version that the data is of, or the newest that there are. Raises `ProgramMissing`."""
    version = data / "PG_VERSION"
    wanted = int(version.read_text()) if version.exists() else None
    runner = ChildRunner()
    for folder in await asyncio.to_thread(_folders):
        major = await _major(folder, runner)
        if major is not None and wanted in (None, major):
            with suppress(ProgramMissing):
                return await find_programs(major, runner, [folder])
    if wanted is None:
        raise ProgramMissing("PostgreSQL's server is not installed", "type: make run, or: apt-get install postgresql")
    raise ProgramMissing(f"the data in {data} needs PostgreSQL {wanted}", f"apt-get install postgresql-{wanted}")


def unprivileged_user() -> str | None:
    """Who runs PostgreSQL's server when we are root, whom it refuses; None when we are somebody who may."""
    if os.geteuid() != 0:
        return None
    return "postgres" if any(account.pw_name == "postgres" for account in pwd.getpwall()) else "nobody"


def owner_of(data: Path) -> str | None:
    """As whom a server runs there: its owner when we are root; None for us ourselves."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwuid(data.stat().st_uid).pw_name


def _folders() -> list[Path]:
    in_path = shutil.which("initdb")
    installed = [each for each in Path("/usr/lib/postgresql").glob("*/bin") if each.parent.name.isdigit()]
    newest_first = sorted(installed, key=lambda each: int(each.parent.name), reverse=True)
    return [*([] if in_path is None else [Path(in_path).parent]), *newest_first]


async def _major(folder: Path, runner: ChildRunner) -> int | None:
    """The major version of the server there; None when there is none."""
    if not os.access(folder / "initdb", os.X_OK):
        return None
    lines: list[bytes] = []
    await runner.run(Command((str(folder / "initdb"), "--version")), lambda _, line: lines.append(line))
    found = re.search(rb"\(PostgreSQL\) (\d+)", b"\n".join(lines))
    return None if found is None else int(found[1])


def _say_that_it_is_guarded(data: Path) -> None:
    """Leave what the drop-in for PostgreSQL's unit leaves: after a reboot it starts only when a demonstration does.

    That sees to it that one leads alone.
    """
    word, owner = data / "drd-boot", data.stat()
    word.write_text(Path("/proc/sys/kernel/random/boot_id").read_text())
    shutil.chown(word, owner.st_uid, owner.st_gid)


def _demand_entry(folder: Path) -> None:
    """Make the folder, and see that the server's user can get there, and may make its data there."""
    folder.mkdir(parents=True, exist_ok=True)
    user = unprivileged_user()
    if user is None:
        return
    folder.parent.chmod(0o711)
    folder.chmod(0o711)
    shutil.chown(folder, user)
    closed = next((parent for parent in folder.parents if not parent.stat().st_mode & 0o001), None)
    if closed is not None:
        raise UsageError(
            f"user {user}, as whom PostgreSQL's server runs here, cannot enter {closed}",
            "type: make run, which finds a folder for it; or name one: --folder /var/tmp/drd-demo",
        )


def _emptied(folder: Path, user: str | None) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(folder, user)


def _finish(unfinished: Path, data: Path) -> None:
    """Write its settings, and give it its name, which only what is whole has."""
    with (unfinished / "postgresql.conf").open("a") as file:
        file.write(_SETTINGS)
    unfinished.rename(data)
