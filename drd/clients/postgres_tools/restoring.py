"""A restored base backup becomes a data directory that a server starts from."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from drd.clients.host import MachineHost
from drd.clients.postgres_tools import restored
from drd.clients.postgres_tools.programs import find_programs
from drd.clients.postgres_tools.replay import Replay, Replaying
from drd.clients.postgres_tools.tools import ProgramsOfPostgres
from drd.core.errors import PermanentError, ProgramMissing, UsageError
from drd.core.postgres.base import BaseFacts, BaseRecord
from drd.ports.cancelling import to_the_end
from drd.ports.repository import OnProgress
from drd.ports.source import Settled, Wanted
from drd.ports.world import World

SECONDS: Final = 3600.0
"""How long a step may take that touches every file."""
FIRST_PORT, LAST_PORT = 5433, 5533
"""Where a copy listens that is not told: the first of these that nobody listens on."""
MOST_SHOWN = 3
AS_ORIGINAL: Final = "as-original"
PORT: Final = "port"
TABLESPACE: Final = "tablespace."
Result = TypeVar("Result")
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Options:
    """What a person says about a restored cluster beside."""

    is_original: bool = False
    """Whether it takes the place of the server that is lost: it archives, listens and is named as that did."""
    port: int | None = None
    places: Mapping[int, Path] = field(default_factory=dict)
    """OID of a tablespace → where it is to lie; the others lie in a folder beside the data directory."""

    @classmethod
    def read(cls, wanted: Wanted) -> Options:
        """Understand them. Raises `UsageError` for what is none, and for places that do not fit."""
        places: dict[int, Path] = {}
        is_original, port = False, None
        record = BaseRecord.of_tags(wanted.facts)
        known = () if record is None else record.tablespaces
        for name, value in wanted.options.items():
            if name == AS_ORIGINAL:
                is_original = True
            elif name == PORT and value.isdigit() and 0 < int(value) < 65536:
                port = int(value)
            elif name.startswith(TABLESPACE):
                places[_oid(name.removeprefix(TABLESPACE), known)] = _place(Path(value), wanted.place)
            else:
                raise UsageError(f"{name} {value} is nothing that a PostgreSQL cluster is restored with", HOW)
        options = cls(is_original, port, places)
        for oid in known:
            restored.demand_free(options.place_of(oid, wanted.place), f"tablespace {oid}")
        if len({*places.values()}) < len(places):
            raise UsageError("two tablespaces are to lie in one folder", HOW)
        return options

    def place_of(self, oid: int, place: Path) -> Path:
        """Where a tablespace will lie, of the cluster at `place`."""
        return self.places.get(oid, beside(place) / str(oid))


HOW: Final = "write --tablespace OID=/a/folder, --port NUMBER, --as-original, or none of them"


def beside(place: Path) -> Path:
    """The folder for the tablespaces that nobody chose a place for."""
    return place.with_name(f"{place.name}.tablespaces")


async def look(wanted: Wanted) -> None:
    """Raise `UsageError` for options and places that do not fit. See `drd.ports.source.Source.look_at_place`."""
    await _within(lambda: Options.read(wanted))


async def settle(world: World, wanted: Wanted, folder: Path, on_progress: OnProgress) -> Settled:
    """Put everything right below `folder`, verify it, and say what to type. See `drd.ports.source.Source.settled`."""
    options = await _within(lambda: Options.read(wanted))
    data = folder / restored.DATA
    facts = await _within(lambda: restored.facts_beside(folder / restored.FACTS))
    major = facts.record.major
    await _within(lambda: restored.demand_startable(data, major))
    here = await _within(lambda: _spaces(folder, facts, wanted.place, options))
    placed: list[Path] = []
    try:
        for oid, place in options.places.items():
            placed.append(place)
            await to_the_end(_within(lambda oid=oid, place=place: restored.lay(here[oid], place)))  # type: ignore[misc]
            here[oid] = place
        await _within(lambda: _link(data, here))
        tools = await _tools(major, world)
        verdict = await _verified(tools, data, facts)
        notes = [verdict, *await _configure(data, tools, wanted, options)]
        owner = restored.owner_for(wanted.place)
        if owner is not None:
            given = [data, *here.values(), *(each for each in (folder / restored.SPACES,) if each.exists())]
            await _within(lambda: restored.give(given, owner))
        if wanted.aim is not None:
            notes.append(await _replay(world, wanted, folder, facts, owner, on_progress))
        final = {oid: options.place_of(oid, wanted.place) for oid in here}
        await _within(lambda: restored.link_tablespaces(data, final, owner))
    except BaseException:
        for place in placed:
            await to_the_end(asyncio.to_thread(shutil.rmtree, place, ignore_errors=True))
        raise
    others = {} if here.keys() <= options.places.keys() else {restored.SPACES: beside(wanted.place)}
    if others:
        notes.append(f"its tablespaces are in {beside(wanted.place)}")
    is_whole = facts.holds_wal or wanted.aim is not None
    if not is_whole:
        notes.append("it does not start before WAL was replayed onto it: the backup brought none along")
    following = _following(tools, wanted.place, owner) if is_whole else ()
    return Settled(restored.DATA, others, tuple(placed), tuple(notes), following)


def _spaces(folder: Path, facts: BaseFacts, place: Path, options: Options) -> dict[int, Path]:
    """Where each tablespace lies now."""
    spaces = {space.oid: folder / restored.SPACES / str(space.oid) for space in facts.tablespaces}
    for oid, lies in spaces.items():
        if lies.is_symlink() or not lies.is_dir():
            raise PermanentError(f"the base backup lacks its tablespace {oid}", "restore another point")
        restored.demand_free(options.place_of(oid, place), f"tablespace {oid}")
    nearest = next(parent for parent in place.parents if parent.exists())
    if spaces.keys() - options.places.keys() and nearest.stat().st_dev != folder.stat().st_dev:
        raise UsageError(
            f"{place} is a file system of its own, so that its tablespaces cannot lie beside it",
            f"choose where, for each: {' '.join(f'--tablespace {oid}=/a/folder' for oid in spaces)}",
        )
    return spaces


def _link(data: Path, spaces: Mapping[int, Path]) -> None:
    restored.complete(data, spaces.values())
    restored.link_tablespaces(data, spaces)


async def _tools(major: int, world: World) -> ProgramsOfPostgres | None:
    try:
        return ProgramsOfPostgres(await find_programs(major, world.runner), world.runner)
    except ProgramMissing:
        return None


async def _verified(tools: ProgramsOfPostgres | None, data: Path, facts: BaseFacts) -> str:
    """The verdict in words. Raises `PermanentError` when anything is not as the server had sent it."""
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


async def _configure(data: Path, tools: ProgramsOfPostgres | None, wanted: Wanted, options: Options) -> tuple[str, ...]:
    """Set what a copy must not share with its original; what a person should know of it."""
    notes: list[str] = []
    control = await tools.control_data(data) if tools is not None else None
    missing = await _within(
        lambda: restored.add_missing_configuration(data, control.settings if control is not None else {})
    )
    if missing:
        notes.append(f"{', '.join(missing)} lay elsewhere on the server, so drd wrote the least that starts")
    if options.is_original and wanted.aim is not None:
        return (*notes, "set as the original: it archives, listens and is named as that did")
    if options.is_original:
        settings = {"restore_command": "/bin/false"} | ({} if options.port is None else {"port": str(options.port)})
        # Archive recovery that finds nothing more begins a timeline of its own: else it would archive other WAL under
        # names that are in the archive.
        await _within(lambda: restored.append_settings(data, settings, "drd: it begins a new timeline"))
        await _within((data / "recovery.signal").touch)
        return (*notes, "set as the original: it archives, listens and is named as that did")
    port = await asyncio.to_thread(_free_port) if options.port is None else options.port
    settings = of_a_copy(wanted.policy, port)
    reason = "drd: a copy beside its original; remove these lines when it takes that one's place"
    await _within(lambda: restored.append_settings(data, settings, reason))
    return (*notes, f"set as a copy: port {port}, cluster_name {settings['cluster_name']}, archive_mode off")


async def _replay(
    world: World, wanted: Wanted, folder: Path, facts: BaseFacts, owner: str | None, on_progress: OnProgress
) -> str:
    """Replay the WAL that was fetched; how far that led, in words."""
    if wanted.aim is None or wanted.wal is None:
        raise PermanentError("no WAL was fetched", "restore again")
    wal = wanted.wal
    if owner is not None:
        await _within(lambda: restored.let_through(folder, wal, owner))
    programs = await find_programs(facts.record.major, world.runner)
    replay = Replay(ProgramsOfPostgres(programs, world.runner), MachineHost(), world.clock)
    replaying = Replaying(
        data=folder / restored.DATA,
        wal=wal,
        work=wal.with_name("delivering"),
        choice=wanted.aim.choice,
        target=wanted.aim.target,
        role=facts.role or "postgres",
        user=owner,
    )
    replayed = await replay.replay(replaying, on_progress)
    end = "the end of the WAL" if replayed.is_to_the_end else str(wanted.aim.target)
    return (
        f"WAL was replayed to {end}: up to {replayed.reached} ({replayed.reason}), now on timeline {replayed.timeline}"
    )


def of_a_copy(policy: str, port: int) -> dict[str, str]:
    """Settings that keep a copy from getting into its original's way."""
    return {
        "archive_mode": "off",
        "port": str(port),
        "cluster_name": _NO_NAME.sub("_", f"{policy[:50]}_restored"),
        # It has no standbys that it could wait for, and follows nobody.
        "synchronous_standby_names": "",
        "primary_conninfo": "",
        "primary_slot_name": "",
    }


def _following(tools: ProgramsOfPostgres | None, place: Path, owner: str | None) -> tuple[str, ...]:
    program = "pg_ctl" if tools is None else tools.programs.path("pg_ctl")
    words = [*(["sudo", "-u", owner] if owner else []), program, "-D", str(place), "-l", str(place / "restored.log")]
    return (shlex.join([*words, "start"]),)


def _oid(text: str, known: tuple[int, ...]) -> int:
    if not text.isdigit() or (known and int(text) not in known):
        there = ", ".join(map(str, known)) or "none"
        raise UsageError(f"the cluster has no tablespace {text}; those that it has: {there}", HOW)
    return int(text)


def _place(place: Path, cluster: Path) -> Path:
    if not place.is_absolute():
        raise UsageError(f"{place} is not an absolute path", f"write --tablespace OID={Path('/') / place}")
    if place.is_relative_to(cluster) or cluster.is_relative_to(place):
        raise UsageError(f"{place} lies inside of the cluster, or around it", "name another folder")
    restored.demand_free(place, "a tablespace")
    return place


def _free_port() -> int:
    for port in range(FIRST_PORT, LAST_PORT):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return FIRST_PORT


async def _within(work: Callable[[], Result]) -> Result:
    try:
        return await MachineHost().within(SECONDS, work)
    except OSError as error:
        raise PermanentError(f"could not put the cluster right: {error.strerror}", "choose another place") from error
    except TimeoutError as error:
        raise PermanentError("the place does not answer any more", "dmesg | tail; choose another place") from error
