"""A PostgreSQL cluster: all its databases, as a base backup that can be restored by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from drd.clients.postgres import ClusterServers, Member, grants_of, inspect
from drd.clients.postgres_base.demands import demand_replication, demand_room, demand_version
from drd.clients.postgres_base.description import note_of
from drd.clients.postgres_base.following import Following, Taken
from drd.clients.postgres_base.in_place import Live, begun, completed, directory_of
from drd.clients.postgres_base.sent import sent
from drd.clients.postgres_tools import ProgramsOfPostgres, find_programs, restoring
from drd.clients.postgres_tools.restore_options import PROGRAMS
from drd.clients.postgres_tools.restored import DATA
from drd.clients.staging import staged
from drd.core.errors import DrdError, PermanentError, SourceRefused
from drd.core.findings import Severity
from drd.core.postgres.base import READ_IN_PLACE, BaseFacts
from drd.core.postgres.grants import Grants
from drd.core.postgres.holding import WhenFull
from drd.core.postgres.nodes import NodeRole
from drd.core.postgres.reading import ReadFrom
from drd.core.postgres.verdicts import Verdict
from drd.core.secrets import SecretReference
from drd.core.units import Flag, PositiveDuration, Rate, Size
from drd.ports.repository import FilesToSave, OnProgress
from drd.ports.servers import Node
from drd.ports.source import Prepared, Settled, Source, Wanted
from drd.ports.wal import ReachedServer, SpoolRules, WalOrigin
from drd.ports.world import World

PREFIX = "drd-postgres"
NODE_FACT = "pg-node="
IN_PLACE = "read from its data directory"
NOT_IN_PLACE = "a full base backup: only what the server sends can be an increment"


class PostgresSource(Source):
    """All databases of a PostgreSQL server (13 or later), by pg_basebackup: `postgres: {dsn: {credential: orders}}`.

    The base backup is made in a staging folder, which needs room for the whole cluster while the run lasts. It holds
    the WAL that makes it consistent, so that it can be restored by itself: to the moment at which it ended. A restore
    gives back a data directory that a server starts from.
    """

    kind: ClassVar[str] = "postgres"
    ADDRESS: ClassVar[str | None] = "dsn"

    dsn: SecretReference | None = None
    """Where its connection string is read: `postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE`.

    Left out where the policy names `nodes:`; their connection strings stand in drd.yaml.
    """
    from_: Annotated[NodeRole, Field(alias="from")] = NodeRole.PRIMARY
    """What the server has to be, looked at anew by each run; one that is the other is refused."""
    fallback: NodeRole | None = None
    """What else it may be where there is none of `from`; each run tells which it was."""
    heartbeat: Flag = True
    """Whether drd keeps a row in `drd.heartbeat` up to date, where its role may; a copy tells its own moment by it."""
    wal: Literal["none", "continuous"] = "none"
    """`continuous`: WAL is received all the time, by a replication slot, and is in every store within a minute."""
    spool: Annotated[Size, Field(ge=256 * 2**20)] = Field(default="64 GiB", validate_default=True)
    """With so much WAL waiting in the spool, because stores are away, nothing more is received."""
    when_full: WhenFull | None = None
    """What is given up when the spool is full.

    `stop`: nothing; the slot holds WAL back on the server. `let_go`: the slot, as soon as the server keeps more than
    `max_wal_size` for it. Left out: `stop` where the server has a `max_slot_wal_keep_size`, else `let_go`.
    """
    incoming: Path | None = None
    """The folder that `drd wal-push` brings finished segments to, as a second path beside receiving."""
    staging: Path | None = None
    """A folder with room for the whole cluster; left out, `staging` in the state folder."""
    programs: Path | None = None
    """The folder with pg_basebackup of the server's major version; left out, where packages put it."""
    read: ReadFrom = ReadFrom.SERVER
    """How the files of the cluster are read.

    `server`: pg_basebackup has the server send them, with a manifest, and the server looks at the checksum of each
    page. `data_directory`: restic reads them where they lie, on the server's own host, which is quicker and needs no
    room; drd's user has to be able to read them, and its role to call `pg_backup_start` and `pg_backup_stop`. `auto`:
    that where it is possible, else `server`; each run tells which, and why.
    """
    rate: Annotated[Rate, Field(ge=32 * 1024, le=1024**3)] | None = None
    """The most that pg_basebackup reads from the server in a second; left out, as fast as it goes."""
    deadline: PositiveDuration = Field(default="24h", validate_default=True)
    """The base backup is stopped when it has taken this long."""

    _nodes: tuple[Node, ...] = PrivateAttr(default=())
    _earlier: tuple[tuple[str, ...], ...] | None = PrivateAttr(default=None)

    @field_validator("fallback")
    @classmethod
    def _is_another(cls, value: NodeRole | None, info: ValidationInfo) -> NodeRole | None:
        if value is not None and value is info.data.get("from_"):
            raise ValueError(f"`from` says {value} already: write the other one, or leave it out")
        return value

    @field_validator("wal")
    @classmethod
    def _is_received_from_a_primary(cls, value: str, info: ValidationInfo) -> str:
        known = info.data
        is_standby = known.get("from_") is NodeRole.STANDBY and known.get("fallback") is None
        if value == "continuous" and is_standby and known.get("dsn") is not None:
            raise ValueError("only a primary tells what it has committed: name both servers as `nodes:` of the policy")
        return value

    @field_validator("rate")
    @classmethod
    def _is_of_what_the_server_sends(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("read") is ReadFrom.DATA_DIRECTORY:
            raise ValueError("it slows down only what the server sends: write `limits:` at the stores instead")
        return value

    @field_validator("incoming", "staging", "programs")
    @classmethod
    def _is_whole(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_absolute():
            raise ValueError(f"write the whole path, as /srv/{value}")
        return value

    def summary(self) -> str:
        """Where its connection string is read, or who may be it."""
        how = f", {self.read.sentence}" if self.read.sentence else ""
        if self.dsn is not None:
            return f"PostgreSQL at {self.dsn.summary()}{how}"
        return f"PostgreSQL on {', '.join(node.name for node in self._nodes) or 'no node'}{how}"

    def among(self, nodes: tuple[Node, ...]) -> PostgresSource:
        """The same, with the nodes of its policy; a `dsn` of its own counts more."""
        found = self.model_copy()
        found._nodes = nodes  # noqa: SLF001 - a copy of its own
        return found

    def following(self, earlier: tuple[tuple[str, ...], ...]) -> PostgresSource:
        """The same, for an incremental: from server 17 on it takes what changed since the newest of these alone."""
        found = self.model_copy()
        found._earlier = earlier  # noqa: SLF001 - a copy of its own
        return found

    @property
    def servers(self) -> ClusterServers:
        """The nodes, or the only server."""
        if self.dsn is not None:
            return ClusterServers((Member("", self.dsn),), self._roles, self.heartbeat)
        members = (Member(node.name, node.dsns[self.kind], node.priority) for node in self._nodes)
        return ClusterServers(tuple(members), self._roles, self.heartbeat)

    @property
    def wal_origin(self) -> WalOrigin | None:
        """Where WAL is received, when it is to be."""
        return _WalOfCluster(self) if self.wal == "continuous" else None

    @property
    def _roles(self) -> tuple[NodeRole, ...]:
        return (self.from_,) if self.fallback is None else (self.from_, self.fallback)

    async def verdicts(self, world: World, policy: str) -> tuple[Verdict, ...]:
        """What is risky about its servers, and which rights lack or are too many."""
        found = await inspect(self.servers, world, policy, receives_wal=self.wal == "continuous")
        return (*found, *await self._reading(world))

    async def _reading(self, world: World) -> tuple[Verdict, ...]:
        """Which way a run would go now; what keeps it from going at all is told elsewhere."""
        if self.read is not ReadFrom.AUTO:
            return ()
        try:
            async with self.reached(world) as reached:
                directory, why_not = await directory_of(reached, self.read)
        except DrdError:
            return ()
        if directory is not None and self.rate is not None:
            slower = "write `read: server`, or limits: at the store instead of rate:"
            told = f"base backups are read from {directory.path}, and rate: slows down only what the server sends"
            return (Verdict("read", Severity.WARNING, told, slower),)
        if directory is not None:
            return (Verdict("read", Severity.NOTE, f"base backups are read from {directory.path}", ""),)
        return (Verdict("read", Severity.NOTE, f"the server sends base backups: {why_not}", ""),)

    async def grants(self, world: World, address: str | None, *, recovers: bool = False) -> tuple[Grants, ...]:
        """The rights that it needs on its servers."""
        incoming = None if self.incoming is None else str(self.incoming)
        reads_files = self.read is not ReadFrom.SERVER
        return await grants_of(
            self.servers, world.secrets, address, incoming, reads_files=reads_files, recovers=recovers
        )

    async def look(self, world: World) -> None:
        """Raise what keeps a base backup from being made, as far as it can be told without making one."""
        with _refusing():
            parent = self._staging(world)
            async with self.reached(world) as reached:
                directory, _ = await directory_of(reached, self.read)
                await demand_room(parent, reached, is_for_all=directory is None)

    @asynccontextmanager
    async def opened(self, world: World) -> AsyncIterator[Prepared]:
        """Make the base backup; it is gone afterwards, or, after a kill, when a source is opened the next time.

        Raises `SourceRefused` for what a person has to change, and `TransientError` when the server is away, goes over
        to another timeline meanwhile, or fills the staging folder.
        """
        async with AsyncExitStack() as stack:
            with _refusing():
                parent = self._staging(world)
                async with self.reached(world) as reached:
                    name = reached.facts.system_identifier
                    folder = await stack.enter_async_context(staged(parent, PREFIX, name))
                    live, why_not = await begun(stack, reached, self.read)
                    await demand_room(folder, reached, is_for_all=live is None)
                    following = Following(reached.facts, world.kept, self._earlier)
                    filled = None if live else await sent(folder, reached, following, self.rate, self.deadline)
            if filled is not None:
                base, taken = filled
                how = f"the server sent it: {why_not}" if why_not else ""
                yield _of_member(await self._prepared(folder, reached, base, how), taken)
                await following.keep(taken)
            elif live is not None:
                yield Prepared(live.directory.content, completion=partial(self._complete, folder, reached, live))

    async def _prepared(self, folder: Path, reached: ReachedServer, base: BaseFacts, how: str) -> Prepared:
        content = FilesToSave((folder,), exclude_caches=False)
        of_node = (f"{NODE_FACT}{reached.node}",) if reached.node else ()
        in_place = (READ_IN_PLACE,) if base.read_from is not None else ()
        facts = (f"source={self.kind}", *base.record.tags(), *in_place, *of_node)
        note = "; ".join(filter(None, (note_of(reached), how)))
        wal_bytes = await asyncio.to_thread(_bytes_in, folder / DATA / "pg_wal")
        return Prepared(content, note, base.ended_at, facts, accompanying_bytes=wal_bytes)

    async def _complete(self, folder: Path, reached: ReachedServer, live: Live) -> Prepared:
        """What makes it whole that restic has read."""
        with _refusing():
            facts = await completed(folder, reached, live)
        why_full = NOT_IN_PLACE if self._earlier else ""
        return await self._prepared(folder, reached, facts, "; ".join(filter(None, (IN_PLACE, why_full))))

    @classmethod
    async def look_at_place(cls, world: World, wanted: Wanted) -> None:
        """Raise for an option that is none, and for places, programs and a database that do not fit."""
        await restoring.look(world, wanted)

    @classmethod
    async def reads_back(cls, world: World, wanted: Wanted) -> bool:
        """Whether pg_verifybackup, which compares each file with the manifest, is there."""
        return await restoring.reads_back(world, wanted)

    @classmethod
    async def settled(cls, world: World, wanted: Wanted, folder: Path, on_progress: OnProgress) -> Settled:
        """Make it a data directory that a server starts from, verified by pg_verifybackup where that is there.

        Where WAL is to be replayed onto it, that is done.
        """
        return await restoring.settle(world, wanted, folder, on_progress)

    @property
    def restore_hints(self) -> Mapping[str, str]:
        """Where the programs of its servers are."""
        return {} if self.programs is None else {PROGRAMS: str(self.programs)}

    def _staging(self, world: World) -> Path:
        parent = self.staging or world.staging
        if parent is None:
            raise SourceRefused("there is no folder for a base backup", "add staging: to the source")
        return parent

    @asynccontextmanager
    async def reached(self, world: World, *, receives_wal: bool = False) -> AsyncIterator[ReachedServer]:
        """The server for a base backup, or the one that WAL is received from, after it was found to be usable."""
        async with self.servers.reached(world, () if receives_wal else self._roles) as node:
            demand_version(node)
            await demand_replication(node)
            folders = None if self.programs is None else [self.programs]
            programs = await find_programs(node.facts.major, world.runner, folders)
            tools = ProgramsOfPostgres(programs, world.runner)
            yield ReachedServer(node.dsn, node.server, tools, node.facts, node.name, node.note)


@dataclass(frozen=True, slots=True)
class _WalOfCluster:
    """`drd.ports.wal.WalOrigin` of a source: of nodes the primary, whoever that is now."""

    source: PostgresSource

    @property
    def rules(self) -> SpoolRules:
        """How it is received."""
        return SpoolRules(self.source.spool, self.source.when_full, self.source.incoming)

    def reached(self, world: World) -> AbstractAsyncContextManager[ReachedServer]:
        """The server that WAL is received from."""
        return self.source.reached(world, receives_wal=True)


@contextmanager
def _refusing() -> Iterator[None]:
    """What only a person can change is a refusal of the source, whichever part of PostgreSQL says it."""
    try:
        yield
    except SourceRefused:
        raise
    except PermanentError as error:
        raise SourceRefused(error.message, error.hint, error.detail) from error


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _of_member(prepared: Prepared, taken: Taken) -> Prepared:
    """What is saved, with what tells whether it follows another and may be followed."""
    notes = (prepared.note, f"a full base backup: {taken.why_full}" if taken.why_full else "")
    member = taken.member
    return replace(
        prepared,
        note="; ".join(filter(None, notes)),
        facts=(*prepared.facts, *(() if member is None else member.tags())),
        is_incremental=member is not None and member.is_incremental,
    )
