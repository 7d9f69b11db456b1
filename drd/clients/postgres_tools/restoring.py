"""A restored base backup becomes a data directory that a server starts from, or a dump of one of its databases."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from drd.clients.host import MachineHost
from drd.clients.postgres import Dsn
from drd.clients.postgres_tools import combining, extracting, restored
from drd.clients.postgres_tools.configuring import configure
from drd.clients.postgres_tools.inspecting import Inspection, Inspector, inspecting, inspector_of
from drd.clients.postgres_tools.programs import Programs, find_programs, programs_in
from drd.clients.postgres_tools.replay import Replay, Replaying
from drd.clients.postgres_tools.restore_options import Options, beside, configuration_beside
from drd.clients.postgres_tools.tools import ProgramsOfPostgres
from drd.clients.postgres_tools.touching import within
from drd.core.errors import PermanentError, ProgramMissing, UsageError
from drd.core.postgres.base import READ_IN_PLACE, BaseFacts, BaseRecord
from drd.core.postgres.increments import Member
from drd.ports.cancelling import to_the_end
from drd.ports.postgres_serving import Served, ServeRequest
from drd.ports.repository import OnProgress, Progress
from drd.ports.source import DATA_FOLDER, Settled, Wanted
from drd.ports.world import World

MOST_SHOWN = 3


async def look(world: World, wanted: Wanted) -> None:
    """Raise for options, places, programs and a database to load into that do not fit, before anything is read.

    See `drd.ports.source.Source.look_at_place`.
    """
    options = await within(lambda: Options.read(wanted))
    record = BaseRecord.of_tags(wanted.facts)
    member = Member.of_tags(wanted.facts)
    has_to_combine = member is not None and member.is_incremental
    has_to_serve = wanted.recovery is not None or bool(options.database or options.queries)
    if record is not None and (has_to_serve or has_to_combine or options.programs is not None):
        await _programs(record.major, world, options)
    owner = await within(lambda: restored.owner_for(wanted.place))
    if has_to_serve:
        restored.demand_user(wanted.place, owner)
    if has_to_serve and owner is not None:
        await within(lambda: restored.demand_passable(wanted.place, owner))
    if options.into is not None:
        await extracting.demand_empty(Dsn.parse(await world.secrets.read(options.into)))


async def reads_back(world: World, wanted: Wanted) -> bool:
    """Whether `settle` will compare every file with the manifest. See `drd.ports.source.Source.reads_back`."""
    record = BaseRecord.of_tags(wanted.facts)
    if record is None or READ_IN_PLACE in wanted.facts:
        return False
    try:
        await _programs(record.major, world, await within(lambda: Options.read(wanted)))
    except ProgramMissing:
        return False
    return True


async def settle(world: World, wanted: Wanted, folder: Path, on_progress: OnProgress) -> Settled:
    """Put everything right below `folder`, verify it, and say what to type. See `drd.ports.source.Source.settled`."""
    options = await within(lambda: Options.read(wanted))
    facts = await within(lambda: restored.facts_beside(folder / restored.FACTS))
    if facts.read_from is not None:
        await within(lambda: restored.assemble(folder, facts, folder / DATA_FOLDER))
    await within(lambda: restored.demand_startable(folder / restored.DATA, facts.record.major))
    notes: list[str] = []
    member = Member.of_tags(wanted.facts)
    if member is not None and member.is_incremental:
        tools = ProgramsOfPostgres(await _programs(facts.record.major, world, options), world.runner)
        notes.append(await combining.combine(tools, folder, wanted.facts, wanted.earlier, on_progress))
    return await _Settling(world, wanted, options, facts, folder, on_progress, notes=notes).settle()


@dataclass(slots=True)
class _Settling:
    """One base backup that is being made whole."""

    world: World
    wanted: Wanted
    options: Options
    facts: BaseFacts
    folder: Path
    on_progress: OnProgress
    placed: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    inspection: Inspection = field(default_factory=Inspection)

    @property
    def data(self) -> Path:
        """The data directory, as long as it has not taken its place."""
        return self.folder / restored.DATA

    async def settle(self) -> Settled:
        """See `settle`."""
        wanted, options = self.wanted, self.options
        here = await within(lambda: _spaces(self.folder, self.facts, wanted.place, options))
        try:
            for oid, place in options.places.items():
                await self._lay(here[oid], place, oid)
                here[oid] = place
            await within(lambda: _link(self.data, here))
            tools = await self._tools()
            self.notes.append(await _verified(tools, self.data, self.facts))
            configured = await configure(self.data, tools, wanted, options)
            self.notes += configured if not options.database else ()
            owner = await within(lambda: restored.owner_for(wanted.place))
            if owner is not None:
                given = [self.data, *here.values()]
                more = (self.folder / restored.SPACES, self.folder / restored.CONFIGURATION)
                await within(lambda: restored.give([*given, *_existing(*more)], owner))
            await self._serve(tools, owner)
            if not options.database:
                final = {oid: options.place_of(oid, wanted.place) for oid in here}
                await within(lambda: restored.link_tablespaces(self.data, final, owner))
        except BaseException:
            for place in self.placed:
                await to_the_end(asyncio.to_thread(restored.take_away, place))
            raise
        return self._dumped() if options.database else self._whole(tools, here, owner)

    async def _lay(self, folder: Path, place: Path, oid: int) -> None:
        def lay() -> None:
            restored.lay(folder, place, f"tablespace {oid}", self.placed.append)

        await to_the_end(within(lay))

    async def _tools(self) -> ProgramsOfPostgres | None:
        try:
            return ProgramsOfPostgres(
                await _programs(self.facts.record.major, self.world, self.options), self.world.runner
            )
        except ProgramMissing:
            if self.wanted.recovery is not None or self.options.database or self.options.queries:
                raise
            return None

    async def _serve(self, tools: ProgramsOfPostgres | None, owner: str | None) -> None:
        """Replay what there is, and ask what was wanted to know, by one server where that is possible."""
        if tools is not None and self.wanted.recovery is not None:
            await self._replay(tools, owner)
        elif tools is not None and (self.options.database or self.options.queries):
            if not self.facts.holds_wal:
                raise PermanentError("the backup does not start without WAL", "leave out --without-wal")
            if owner is not None:
                ours = [
                    self.folder,
                    *takewhile(lambda each: not _is_of_the_person(each, self.wanted), self.folder.parents),
                ]
                await within(lambda: restored.open_to(ours))
            request = ServeRequest(self.data, self.facts.role or "postgres", user=owner)
            async with inspecting(tools, request, self.world.clock) as inspector:
                await self._ask(tools, inspector)

    async def _replay(self, tools: ProgramsOfPostgres, owner: str | None) -> None:
        """Replay the WAL that was fetched."""
        if self.wanted.recovery is None or self.wanted.wal is None:
            raise PermanentError("no WAL was fetched", "restore again")
        wal = self.wanted.wal
        if owner is not None:
            await within(lambda: restored.let_through(self.folder, wal, owner))
        replaying = Replaying(
            data=self.data,
            wal=wal,
            work=wal.with_name("delivering"),
            choice=self.wanted.recovery.choice,
            target=self.wanted.recovery.target,
            role=self.facts.role or "postgres",
            user=owner,
        )

        async def then(served: Served) -> None:
            await self._ask(tools, await inspector_of(served))

        replayed = await Replay(tools, MachineHost(), self.world.clock).replay(replaying, self.on_progress, then)
        end = "the end of the WAL" if replayed.is_to_the_end else str(self.wanted.recovery.target)
        self.notes.append(
            f"WAL was replayed to {end}: up to {replayed.reached} ({replayed.reason}), "
            f"now on timeline {replayed.timeline}"
        )

    async def _ask(self, tools: ProgramsOfPostgres, inspector: Inspector) -> None:
        options = self.options
        if options.database:
            await inspector.demand_database(options.database)
        if options.queries:
            self.on_progress(Progress(phase="checking"))
        self.inspection = await inspector.inspect(self.wanted.policy, options.queries, options.database or "postgres")
        if not options.database:
            return
        self.on_progress(Progress(phase=f"dumping {options.database}"))
        dump = await extracting.extract(
            inspector,
            options.database,
            options.dump_format,
            self.folder / extracting.FOLDER,
            tools.programs,
            self.world.runner,
        )
        if options.into is not None:
            self.on_progress(Progress(phase=f"loading {options.database}"))
            dsn = Dsn.parse(await self.world.secrets.read(options.into))
            await extracting.load(dump, dsn, tools.programs, self.world.runner)
            self.notes.append(f"loaded into {dsn.place}, all of it owned by that role")

    def _whole(self, tools: ProgramsOfPostgres | None, here: Mapping[int, Path], owner: str | None) -> Settled:
        place = self.wanted.place
        others = {} if here.keys() <= self.options.places.keys() else {restored.SPACES: beside(place)}
        if others:
            self.notes.append(f"its tablespaces are in {beside(place)}")
        if (self.folder / restored.CONFIGURATION).is_dir():
            others = {**others, restored.CONFIGURATION: configuration_beside(place)}
            self.notes.append(f"what its server was configured with is in {configuration_beside(place)}")
        is_whole = self.facts.holds_wal or self.wanted.recovery is not None
        if not is_whole:
            self.notes.append("it does not start before WAL was replayed onto it: the backup brought none along")
        following = _following(tools, place, owner) if is_whole else ()
        return self._settled(restored.DATA, others, following)

    def _dumped(self) -> Settled:
        database, place = self.options.database, self.wanted.place
        name = extracting.dump_name(database, self.options.dump_format)
        self.notes.append(f"database {database} is in {place / name}; the roles of its cluster in {extracting.ROLES}")
        following = (
            () if self.options.into is not None else (extracting.how_to_load(database, self.options.dump_format, place))
        )
        return self._settled(extracting.FOLDER, {}, following)

    def _settled(self, folder: str, others: Mapping[str, Path], following: tuple[str, ...]) -> Settled:
        heartbeat = self.inspection.heartbeat
        written = None if heartbeat is None else heartbeat.written
        return Settled(
            folder, others, tuple(self.placed), tuple(self.notes), following, self.inspection.checks, written
        )


async def _programs(major: int, world: World, options: Options) -> Programs:
    if options.programs is not None:
        return await programs_in(options.programs, major, world.runner)
    return await find_programs(major, world.runner, first=options.usual_programs)


def _is_of_the_person(folder: Path, wanted: Wanted) -> bool:
    """Whether it is no work folder of drd's any more."""
    return folder in (wanted.place, *wanted.place.parents)


def _existing(*folders: Path) -> list[Path]:
    return [folder for folder in folders if folder.exists()]


def _spaces(folder: Path, facts: BaseFacts, place: Path, options: Options) -> dict[int, Path]:
    """Where each tablespace lies now."""
    spaces = {space.oid: folder / restored.SPACES / str(space.oid) for space in facts.tablespaces}
    for oid, lies in spaces.items():
        if lies.is_symlink() or not lies.is_dir():
            raise PermanentError(f"the base backup lacks its tablespace {oid}", "restore another point")
        if not options.database:
            restored.demand_free(options.place_of(oid, place), f"tablespace {oid}")
    if (folder / restored.CONFIGURATION).is_dir() and not options.database:
        restored.demand_free(configuration_beside(place), "its configuration")
    nearest = next(parent for parent in place.parents if parent.exists())
    is_elsewhere = nearest.stat().st_dev != folder.stat().st_dev
    if spaces.keys() - options.places.keys() and is_elsewhere and not options.database:
        raise UsageError(
            f"{place} is a file system of its own, so that its tablespaces cannot lie beside it",
            f"choose where, for each: {' '.join(f'--tablespace {oid}=/a/folder' for oid in spaces)}",
        )
    return spaces


def _link(data: Path, spaces: Mapping[int, Path]) -> None:
    restored.complete(data, spaces.values())
    restored.link_tablespaces(data, spaces)


async def _verified(tools: ProgramsOfPostgres | None, data: Path, facts: BaseFacts) -> str:
    """The verdict in words. Raises `PermanentError` when anything is not as the server had sent it."""
    if facts.read_from is not None:
        return "read from the data directory, so there is no manifest to verify it by: restic compared each file"
    if tools is None:
        major = facts.record.major
        return f"not verified by pg_verifybackup: the programs of PostgreSQL {major} are not on this machine"
    found = await tools.verify(data, data / "pg_wal" if facts.holds_wal else None)
    if not found.is_sound:
        more = f" and {len(found.problems) - MOST_SHOWN} more" if len(found.problems) > MOST_SHOWN else ""
        raise PermanentError(
            f"the base backup is not as the server had sent it: {'; '.join(found.problems[:MOST_SHOWN])}{more}",
            "restore another point; drd store check tells whether the store is damaged",
        )
    return "pg_verifybackup found it whole"


def _following(tools: ProgramsOfPostgres | None, place: Path, owner: str | None) -> tuple[str, ...]:
    program = "pg_ctl" if tools is None else tools.programs.path("pg_ctl")
    words = [*(["sudo", "-u", owner] if owner else []), program, "-D", str(place), "-l", str(place / "restored.log")]
    return (shlex.join([*words, "start"]),)
