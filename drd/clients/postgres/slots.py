"""The slot of a node that is to follow, which does not stay where nobody comes to use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from drd.clients.postgres.connection import Connection
from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.orders import QUICK
from drd.clients.postgres.server import PostgresServer
from drd.core.errors import DrdError

_IN_USE: Final = "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'physical' AND active"
_UNUSED: Final = "FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT active AND slot_name = ANY(%s)"


async def slots_in_use(dsn: bytes) -> frozenset[str]:
    """The slots of a server by which somebody receives now."""
    connection = Connection(Dsn.parse(dsn), QUICK)
    try:
        return frozenset(str(row["slot_name"]) for row in await connection.rows(_IN_USE))
    finally:
        await connection.close()


async def has_unused_slots(dsn: bytes, names: Collection[str]) -> bool:
    """Whether a server has some of these slots that nobody uses."""
    connection = Connection(Dsn.parse(dsn), QUICK)
    try:
        return bool(await connection.rows(f"SELECT slot_name {_UNUSED}", (list(names),)))
    finally:
        await connection.close()


async def drop_unused_slots(dsn: bytes, names: Collection[str]) -> None:
    """Remove those of these slots that nobody uses: what nobody receives any more would be kept for ever."""
    connection = Connection(Dsn.parse(dsn), QUICK)
    try:
        await connection.rows(f"SELECT pg_drop_replication_slot(slot_name) {_UNUSED}", (list(names),))
    finally:
        await connection.close()


async def has_slot(dsn: bytes, name: str) -> bool:
    """Whether a server has a slot of that name."""
    server = PostgresServer(Dsn.parse(dsn))
    try:
        return await server.slot(name) is not None
    finally:
        await server.close()


async def make_slot(dsn: bytes, name: str) -> bool:
    """See that a server has a slot of that name. Whether it was made now."""
    server = PostgresServer(Dsn.parse(dsn))
    try:
        if await server.slot(name) is not None:
            return False
        await server.create_slot(name)
    finally:
        await server.close()
    return True


async def drop_slot_after(error: BaseException, dsn: bytes, name: str, node: str) -> None:
    """Remove a slot that was made for what has failed: unused it keeps log until the disk is full.

    Where it stays, the failure says so.
    """
    server = PostgresServer(Dsn.parse(dsn))
    try:
        await server.drop_slot(name)
    except DrdError as why:
        if isinstance(error, DrdError):
            error.message += f"; the slot {name} stays on {node} and keeps log there: {why.message}"
    finally:
        await server.close()


@asynccontextmanager
async def slot_for(dsn: bytes, name: str, node: str) -> AsyncIterator[None]:
    """See that a slot is there; where what needs it fails, one that was made for it goes again, and is named if not."""
    is_new = await make_slot(dsn, name)
    try:
        yield
    except BaseException as error:
        if is_new:
            await drop_slot_after(error, dsn, name, node)
        raise
