"""A base backup that the server sends, by pg_basebackup."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from drd.clients.postgres_base.demands import demand_same_server
from drd.clients.postgres_base.description import describe, described
from drd.clients.postgres_base.following import Following, Taken
from drd.clients.postgres_tools.restored import DATA
from drd.core.errors import StateFull, TransientError
from drd.core.postgres.base import BaseFacts
from drd.ports.postgres_tools import BaseRequest, WalWith
from drd.ports.wal import ReachedServer


async def sent(
    folder: Path, reached: ReachedServer, following: Following, bytes_a_second: int | None, deadline: timedelta
) -> tuple[BaseFacts, Taken]:
    """Lay the base backup and its description into the folder. Raises `TransientError` when the folder is full."""
    request = BaseRequest(
        dsn=reached.dsn,
        folder=folder / DATA,
        wal=WalWith.STREAM,
        label="drd",
        tablespaces=reached.facts.tablespaces,
        bytes_a_second=bytes_a_second,
        is_synced=False,
        deadline=deadline,
    )
    try:
        taken = await following.take(reached.tools, request)
    except StateFull as error:
        # As itself it would mean that the journal has no room.
        raise TransientError(error.message, f"df -h {folder.parent}, or add staging: to the source") from error
    demand_same_server(reached, taken.base)
    role = (await reached.server.role()).name
    facts = replace(described(reached.facts, taken.base, await reached.server.positions()), role=role)
    await describe(folder, facts, reached)
    return facts, taken
