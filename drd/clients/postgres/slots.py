"""The slot of a node that is to follow, which does not stay where nobody comes to use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.server import PostgresServer
from drd.core.errors import DrdError


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
