"""PostgreSQL for tests: real clusters, each in a short folder of its own, with nothing of this machine's settings.

A cluster listens on a socket in its folder and, when asked, on a loopback port that the system chose. As root it runs
as another user, since PostgreSQL refuses root. It ends with the test process, however that ends.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import sql

OWNER = "owner"
"""The superuser, whom every cluster lets in without a password."""
SECONDS = 30.0
LONGEST_SOCKET_PATH = 107
CHECKSUMS_SINCE = 18
"""From here on a cluster has them unless it is told otherwise."""

SETTINGS: Mapping[str, object] = {
    "wal_level": "replica",
    "max_wal_senders": 10,
    "max_replication_slots": 10,
    "max_connections": 30,
    "shared_buffers": "16MB",
    "logging_collector": "off",
    "lc_messages": "C",
    # Its segments lie in the data directory, so that a killed cluster leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "autovacuum": "off",
}


class Lab:
    """The programs, the user they run as, and a folder for all clusters of a test module."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        self.user = unprivileged_user()
        self._clusters: list[Cluster] = []
        folder.chmod(0o711)

    @property
    def major(self) -> int:
        """The major version of the server."""
        said = subprocess.run([self.programs / "postgres", "--version"], check=True, capture_output=True, text=True)
        return int(said.stdout.split()[2].partition(".")[0])

    def new(self, name: str, *, is_durable: bool = False, has_port: bool = False, **initial: Any) -> "Cluster":
        """Make a cluster and start it. `initial` are `segment_mib`, `has_checksums` and `settings`."""
        cluster = self._place(name, has_port)
        cluster.initialise(is_durable=is_durable, **initial)
        cluster.start()
        return cluster

    def standby(self, primary: "Cluster", name: str) -> "Cluster":
        """Make a standby that streams from `primary` by a slot of its own name, and start it."""
        cluster = self._place(name, has_port=primary.has_port)
        dsn = f"{primary.dsn().decode()} application_name={name}"
        words = ["-D", str(cluster.data), "-X", "stream", "-c", "fast", "-R", "-C", "-S", name, "-N", "-d", dsn]
        self.run("pg_basebackup", *words)
        cluster.start()
        return cluster

    def run(self, program: str, *words: str) -> str:
        """Run one of the programs as the clusters' user, to its end."""
        done = subprocess.run(
            [self.programs / program, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            **self.identity,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """All that a server sees of the world."""
        return {"PATH": f"{self.programs}:/usr/bin:/bin", "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    @property
    def identity(self) -> dict[str, Any]:
        """Keyword arguments that let `subprocess` run a program as the clusters' user."""
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []} if self.user else {}

    def close(self) -> None:
        """Kill what runs and remove everything."""
        for cluster in self._clusters:
            cluster.kill()
        shutil.rmtree(self.folder)

    def _place(self, name: str, has_port: bool) -> "Cluster":
        cluster = Cluster(self, name, has_port)
        self._clusters.append(cluster)
        return cluster


class Cluster:
    """One server with its data; `start`, `stop` and `kill` may alternate."""

    def __init__(self, lab: Lab, name: str, has_port: bool) -> None:
        self.name = name
        self.has_port = has_port
        self.folder = lab.folder / name
        self.data = self.folder / "data"
        self.sockets = self.folder / "s"
        self.port = free_port() if has_port else 5432
        self.address = "127.0.0.1" if has_port else ""
        self.listens = ""
        """Where it listens; empty: at its address."""
        self.before: list[str] = []
        """Words before the server's command, as those that have it run on another host."""
        self._lab = lab
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        assert len(str(self.sockets / f".s.PGSQL.{self.port}")) <= LONGEST_SOCKET_PATH
        for folder in (self.folder, self.sockets):
            folder.mkdir(mode=0o755)
            if lab.user:
                shutil.chown(folder, lab.user)

    def initialise(
        self,
        *,
        is_durable: bool,
        segment_mib: int = 16,
        has_checksums: bool = True,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Make the data directory. Without `is_durable` the server does not wait for its disk, which is quicker."""
        words = ["-D", str(self.data), "-U", OWNER, "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
        bare = ["--no-data-checksums"] if self._lab.major >= CHECKSUMS_SINCE else []
        words += [f"--wal-segsize={segment_mib}", *(["--data-checksums"] if has_checksums else bare)]
        self._lab.run("initdb", *words)
        self.configure({**SETTINGS, "fsync": "on" if is_durable else "off", **(settings or {})})
        self.admit("all")

    def configure(self, settings: Mapping[str, object]) -> None:
        """Add settings to postgresql.conf; a running server takes them with `reload`."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def admit(self, *replicating: str) -> None:
        """Let everybody in with a password, and only these roles for replication."""
        lines = [f"local all,replication {OWNER} trust", "local all all scram-sha-256"]
        lines += [f"local replication {role} scram-sha-256" for role in replicating]
        lines += ["host all all 127.0.0.1/32 scram-sha-256"]
        lines += [f"host replication {role} 127.0.0.1/32 scram-sha-256" for role in replicating]
        (self.data / "pg_hba.conf").write_text("\n".join(lines) + "\n")

    def reload(self) -> None:
        """Have it read its settings again."""
        self.rows("SELECT pg_reload_conf()")

    def make_folder(self, name: str) -> Path:
        """An empty folder beside its data that the server may use, as for a tablespace."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        if self._lab.user:
            shutil.chown(folder, self._lab.user)
        return folder

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        process = self._process
        return process is not None and process.poll() is None

    @property
    def pid(self) -> int:
        """The postmaster's process number."""
        assert self._process is not None
        return self._process.pid

    @property
    def shared_memory(self) -> str:
        """The identifier of the segment that guards the data directory; empty while there is none."""
        # It stands in the seventh line of postmaster.pid, behind its key.
        lock = self.data / "postmaster.pid"
        words = " ".join(lock.read_text().splitlines()[6:7]).split() if lock.exists() else []
        return words[-1] if words else ""

    @property
    def log(self) -> str:
        """What it has said since it was first started."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        """Start and wait until it lets somebody in; raises AssertionError with its log when it does not."""
        assert not self.is_running, "it runs already"
        listens = self.listens or self.address
        options = [f"port={self.port}", f"listen_addresses={listens}", f"unix_socket_directories={self.sockets}"]
        words = [str(self._lab.programs / "postgres"), "-D", str(self.data)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.before, *self._as_user(), *words, *(word for option in options for word in ("-c", option))],
                cwd=self.folder,
                env=self._lab.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and self.is_running:
            with suppress(psycopg.OperationalError):
                self.rows("SELECT 1")
                return
            time.sleep(0.02)
        raise AssertionError(f"PostgreSQL does not start:\n{self.log[-4000:]}")

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it: SIGINT is PostgreSQL's `fast`, SIGQUIT its `immediate`. Does nothing when it is stopped."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(SECONDS)
            self._process = None

    def kill(self) -> None:
        """Kill it with all its processes, as a machine that loses its power would; nothing of it stays in memory."""
        if self._process is None:
            return
        family = [self.pid, *children(self.pid)]
        held = self.shared_memory
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(SECONDS)
        self._process = None
        subprocess.run(["ipcrm", "-m", held], capture_output=True, check=False)

    def promote(self) -> None:
        """Make a standby the primary of a new timeline."""
        self.rows("SELECT pg_promote(true)")

    def dsn(self, user: str = OWNER, password: str = "", database: str = "postgres", *, by_port: bool = False) -> bytes:
        """How it is reached: by its socket, or by its port."""
        host = self.address if by_port else str(self.sockets)
        values = {"host": host, "port": self.port, "user": user, "dbname": database, "password": password or None}
        return psycopg.conninfo.make_conninfo("", **values).encode()

    def rows(self, statement: str, *parameters: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser; what it returns, or nothing."""
        with psycopg.connect(self.dsn(database=database).decode(), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(cast(Any, statement), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def execute(self, statement: str, *parameters: object) -> None:
        """Run a statement as the superuser, and wait until it is committed."""
        self.rows(statement, *parameters)

    def value(self, statement: str, *parameters: object) -> Any:
        """The only value of the only row."""
        [[value]] = self.rows(statement, *parameters)
        return value

    def make_role(self, name: str, password: str, attributes: str = "") -> None:
        """Make a role that may log in."""
        with psycopg.connect(self.dsn().decode(), autocommit=True) as connection:
            statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} {}")
            more = sql.SQL(cast(Any, attributes))
            connection.execute(statement.format(sql.Identifier(name), sql.Literal(password), more))

    def _as_user(self) -> list[str]:
        # The user is set by setpriv, since the death signal would be cleared by a change of user after it.
        words = ["setpriv", "--pdeathsig", "KILL"]
        if self._lab.user:
            account = pwd.getpwnam(self._lab.user)
            words += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        return [*words, "--"]


@contextmanager
def lab(programs: Path) -> Iterator[Lab]:
    """A lab for as long as the context lasts."""
    laboratory = Lab(programs, Path(tempfile.mkdtemp(prefix="drd-pg-")))
    try:
        yield laboratory
    finally:
        laboratory.close()


def unprivileged_user() -> str | None:
    """Who runs PostgreSQL when we are root; None when we are somebody who may do it himself."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name for account in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
