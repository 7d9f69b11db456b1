"""One server's machine: its unit, its data directory, and what brings it back as a standby."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from drd.clients.postgres.dsn import NOTICING, Dsn
from drd.clients.postgres_node import scripts
from drd.clients.shell import LONGEST, ProgramFailed, run_program
from drd.core.errors import PermanentError, TransientError
from drd.core.node_grants import as_owner, show, stop_and_look, sudo
from drd.core.postgres.divergence import CommittedTransaction, Fork, WalRange, beyond, committed
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.timeline import History
from drd.core.postgres.wal import Segment
from drd.ports.clock import Clock
from drd.ports.machines import Machine
from drd.ports.runner import Runner

AGAIN_SECONDS: Final = 1.0
"""How soon it is looked again whether work that is under way has ended."""
QUICK: Final = timedelta(seconds=60)
FOLLOWING: Final = {"connect_timeout": "3", "tcp_user_timeout": "10000"}
"""A standby notices within 10 s that its primary is gone, however silently."""
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1", ""})


@dataclass(frozen=True, slots=True)
class NodeState:
    """A data directory at rest, or of a server that runs."""

    is_running: bool
    is_broken: bool
    """Whether a rewind of it was begun and not ended: a copy is all that helps."""
    is_shut_down: bool
    """Whether it was a primary that was shut down in order, so that its last checkpoint is the end of its log."""
    replayed: Lsn | None
    """Of a standby that was shut down: no more than this of what it received has reached its data."""
    is_guarded: bool
    """Whether the drop-in that is shipped for its unit has started it in this boot of its machine.

    That keeps it from leading by itself after the next one.
    """
    has_tablespaces: bool
    has_checksums: bool
    logs_hints: bool
    log_ends: Lsn | None
    """No log lies behind this, of the timeline that it was on; None where it has none."""
    checkpoint: Lsn
    """The last one, which of a server that was shut down is the end of its log."""
    history: History
    """Of the timeline that it was on."""
    cluster: str
    segment_bytes: int
    is_in_production: bool
    """Whether it takes writes, or was killed while it did."""

    @property
    def can_be_rewound(self) -> bool:
        """Whether pg_rewind can tell which pages were changed."""
        return (self.has_checksums or self.logs_hints) and not self.is_broken


@dataclass(frozen=True, slots=True)
class Room:
    """What a copy beside the data would take, and what there is."""

    data_kib: int
    free_kib: int


class LogGone(PermanentError):
    """Log that was asked for is not there: it was removed since, or never written."""


class PostgresNode:
    """A node through its shell. Everything raises what `run_program` raises."""

    def __init__(
        self, runner: Runner, machine: Machine, patience: timedelta | None = None, clock: Clock | None = None
    ) -> None:
        """With `clock`, work on its data that is under way already, as a rewind of an earlier daemon, is waited for."""
        if machine.data_directory is None:
            raise PermanentError(
                f"drd.yaml does not say where the data of {machine.name} lies",
                "write `postgres: {data_directory: …}` at the node",
            )
        self._runner = runner
        self._machine = machine
        self._data = machine.data_directory
        self._patience = patience
        self._clock = clock

    async def state(self) -> NodeState:
        """What is there now."""
        return _state(await self._run(scripts.STATE, patience=QUICK), self._machine.name)

    async def room(self) -> Room:
        """How large its data are, and what is free beside them."""
        return _room(await self._run(scripts.ROOM), self._machine.name)

    async def runs(self) -> bool:
        """Whether a server runs in its data, whoever has started it."""
        return "running=yes" in await self._run(scripts.RUNS, patience=QUICK)

    async def still_runs(self) -> bool:
        """The same, told also where nothing can be written, or somebody works on its data."""
        text, argv = scripts.only_looking(str(self._data)), as_owner(self._user)
        return "running=yes" in await run_program(self._runner, argv, self._machine, QUICK, standard_input=text)

    async def commits(self, where: WalRange) -> tuple[CommittedTransaction, ...]:
        """The transactions that were committed in a part of its log. Raises `LogGone` where that is not all there."""
        given = {"TIMELINE": str(where.timeline), "START": str(where.start), "END": str(where.end or "")}
        lines = await self._run(scripts.COMMITS, given)
        if "gone" in lines:
            raise LogGone(f"the log of {self._machine.name} from {where.start} on is not there any more")
        return tuple(committed(lines))

    async def lost(self, history: History, fork: Fork) -> tuple[CommittedTransaction, ...]:
        """All that it has committed beyond a fork, oldest first."""
        return tuple([each for where in beyond(history, fork) for each in await self.commits(where)])

    async def save_wal(self, state: NodeState, fork: Fork, into: Path) -> None:
        """Bring its log beyond a fork here, as a tar file."""
        name = Segment.at(fork.timeline, fork.at, state.segment_bytes).name
        argv = as_owner(self._user)
        timelines = " ".join(f"{each.timeline:08X}" for each in beyond(state.history, fork))
        text = scripts.script(scripts.WAL, {"DATA": str(self._data), "FROM": name[8:], "TIMELINES": timelines})
        await run_program(self._runner, argv, self._machine, self._patience, standard_input=text, output=into)

    async def rewind(self, primary: Dsn) -> None:
        """Make its data a copy of the primary's by what differs, its own settings kept."""
        await self._run(scripts.REWIND, {"SERVICE": primary.service_file().decode()}, has_service=True)

    async def copy(self, primary: Dsn, run: str) -> str:
        """Copy the primary anew. Returns where what was there lies now."""
        given = {"SERVICE": primary.service_file().decode(), "RUN": run}
        await self._run(scripts.COPY, given, has_service=True)
        return f"{self._data}.before-{run}"

    async def follow(self, primary: Dsn) -> None:
        """Have it follow that primary when it is started the next time, by the slot of its name."""
        await self._run(scripts.FOLLOW, {"SETTINGS": _settings(primary, self._machine.member)}, patience=QUICK)

    async def leave_standby_signal(self) -> bool:
        """However it is started, it will not take writes. Whether a server runs there all the same, as `runs`."""
        return "running=yes" in await self._run(scripts.LEAVE_STANDBY_SIGNAL, patience=QUICK)

    async def fence(self) -> NodeState:
        """Stop its unit and keep it from being started by anything, a reboot included; what is there then.

        In one command, since writes wait meanwhile.
        """
        argv = stop_and_look(self._user, self._unit)
        text = scripts.script(scripts.STATE, {"DATA": str(self._data)})
        lines = await run_program(
            self._runner, argv, self._machine, self._patience, standard_input=text, most_lines=None
        )
        return _state(lines, self._machine.name)

    async def is_masked(self) -> bool:
        """Whether its unit is kept from being started."""
        argv = show(self._unit, "LoadState")
        return "LoadState=masked" in await run_program(self._runner, argv, self._machine, QUICK)

    @property
    def _unit(self) -> str:
        machine = self._machine
        if machine.unit is None:
            raise PermanentError(
                f"drd.yaml does not say which unit runs on {machine.name}", "write `postgres: {unit: …}`"
            )
        return machine.unit

    async def unit(self, *words: str) -> None:
        """Ask its systemd something about its unit."""
        argv = (*sudo(self._user), "systemctl", *words, self._unit)
        await run_program(self._runner, argv, self._machine, self._patience)

    @property
    def _user(self) -> str:
        return "" if self._machine.shell is None else self._machine.shell.user

    async def _run(
        self,
        body: str,
        variables: Mapping[str, str] | None = None,
        *,
        has_service: bool = False,
        patience: timedelta | None = None,
    ) -> tuple[str, ...]:
        text = scripts.script(body, {"DATA": str(self._data), **(variables or {})}, has_service=has_service)
        argv, limit = as_owner(self._user), patience or self._patience
        end = None if self._clock is None else self._clock.monotonic() + (self._patience or LONGEST).total_seconds()
        while True:
            try:
                return await run_program(self._runner, argv, self._machine, limit, standard_input=text, most_lines=None)
            except ProgramFailed as error:
                if error.status != scripts.BUSY:
                    raise
                if self._clock is None or end is None or self._clock.monotonic() > end:
                    raise TransientError(
                        f"work on the data of {self._machine.name} is still under way", "it is not begun twice"
                    ) from error
            await self._clock.sleep(AGAIN_SECONDS)


def as_others_see(primary: Machine, dsn: bytes) -> Dsn:
    """How a primary is reached from other nodes, when drd reaches it like this."""
    parsed = Dsn.parse(dsn)
    host = parsed.parameters.get("host", "")
    if primary.host in _HERE or not (host in _HERE or host.startswith("/")):
        return parsed
    kept = {name: value for name, value in parsed.parameters.items() if name not in ("host", "hostaddr")}
    return Dsn({**kept, "host": primary.host})


def _settings(primary: Dsn, member: str) -> str:
    """Lines of postgresql.auto.conf."""
    import psycopg

    parameters = {name: value for name, value in primary.parameters.items() if name != "dbname"}
    conninfo = psycopg.conninfo.make_conninfo(**{**NOTICING, **FOLLOWING, **parameters, "application_name": member})
    given = {
        "primary_conninfo": conninfo,
        "primary_slot_name": member,
        "recovery_target_timeline": "latest",
    }
    return "\n".join(f"{name} = '{_quoted(value)}'" for name, value in given.items())


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _room(lines: tuple[str, ...], node: str) -> Room:
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    try:
        return Room(int(said["size"]), int(said["room"]))
    except (KeyError, ValueError) as error:
        raise PermanentError(f"how large the data of {node} are is not understood: {error}", "look at it") from error


def _state(lines: tuple[str, ...], node: str) -> NodeState:
    said = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
    history = "\n".join(line.removeprefix("history=") for line in lines if line.startswith("history="))
    try:
        timeline = max(int(said["Latest checkpoint's TimeLineID"]), int(said["newest"] or "0", 16))
        segment_bytes = int(said["Bytes per WAL segment"])
        last = Segment.parse(said["last"], segment_bytes)
        return NodeState(
            is_running=said["running"] == "yes",
            is_broken=said["broken"] == "yes",
            is_shut_down=said["Database cluster state"] == "shut down",
            replayed=(
                Lsn.parse(said["Minimum recovery ending location"])
                if said["Database cluster state"] == "shut down in recovery"
                else None
            ),
            is_guarded=said["guarded"] == "yes",
            has_tablespaces=said["tablespaces"] == "yes",
            has_checksums=said["Data page checksum version"] != "0",
            logs_hints=said["wal_log_hints setting"] == "on",
            log_ends=None if last is None else last.end,
            checkpoint=Lsn.parse(said["Latest checkpoint location"]),
            history=History.parse(timeline, history),
            cluster=said["Database system identifier"],
            segment_bytes=segment_bytes,
            is_in_production=said["Database cluster state"] == "in production",
        )
    except (KeyError, ValueError) as error:
        raise PermanentError(f"the data directory of {node} is not understood: {error}", "look at it") from error
