"""A base backup whose files restic reads where they lie, between the server's start and stop of a backup."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from drd.clients.postgres import Dsn, PostgresServer
from drd.clients.postgres.backup_session import BackupSession, backup_session, demand_rights
from drd.clients.postgres.data_directory import DataDirectory, data_directory_here
from drd.clients.postgres_base.demands import demand_same_server
from drd.clients.postgres_base.description import describe, described
from drd.clients.postgres_base.live_base import complete
from drd.core.errors import PermanentError
from drd.core.postgres.base import BaseFacts
from drd.core.postgres.reading import ReadFrom
from drd.ports.wal import ReachedServer


@dataclass(frozen=True, slots=True)
class Live:
    """A base backup that has begun: from here on the server's files may be read."""

    directory: DataDirectory
    session: BackupSession


async def directory_of(reached: ReachedServer, read: ReadFrom) -> tuple[DataDirectory | None, str]:
    """The data directory to read from, or None and why the server is to send its files instead.

    Raises `PermanentError` where a person wants it to be read and it cannot be.
    """
    if read is ReadFrom.SERVER:
        return None, ""
    try:
        started = await demand_rights(Dsn.parse(reached.dsn), reached.facts.major)
        return await asyncio.to_thread(data_directory_here, reached.facts, started), ""
    except PermanentError as error:
        if read is ReadFrom.DATA_DIRECTORY:
            raise
        return None, error.message


async def begun(stack: AsyncExitStack, reached: ReachedServer, read: ReadFrom) -> tuple[Live | None, str]:
    """A base backup that has begun, in a session that lasts as long as the stack, or why the server is to send."""
    directory, why_not = await directory_of(reached, read)
    if directory is None:
        return None, why_not
    session = await stack.enter_async_context(backup_session(Dsn.parse(reached.dsn), reached.facts.major))
    try:
        await session.reserve()
        await asyncio.to_thread(directory.demand_slot, session.slot)
    except PermanentError as error:
        if read is ReadFrom.DATA_DIRECTORY:
            raise
        await session.close()
        return None, error.message
    await session.begin("drd")
    return Live(directory, session), ""


async def completed(folder: Path, reached: ReachedServer, live: Live) -> BaseFacts:
    """End the backup after restic has read the files, and lay into the folder what makes it whole."""
    base = await complete(folder, reached, live.directory, live.session)
    demand_same_server(reached, base)
    await live.session.close()
    places = live.directory.spaces
    spaces = tuple(replace(space, location=PurePosixPath(places[space.oid])) for space in reached.facts.tablespaces)
    server = PostgresServer(Dsn.parse(reached.dsn))
    try:
        facts = replace(
            described(replace(reached.facts, tablespaces=spaces), base, await server.positions()),
            role=(await server.role()).name,
            read_from=PurePosixPath(live.directory.path),
        )
    finally:
        await server.close()
    await describe(folder, facts, reached)
    return facts
