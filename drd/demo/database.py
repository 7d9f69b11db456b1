"""The shop's database: its server, what is in it, and who is let in with which rights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from drd.clients.postgres import Dsn
from drd.clients.postgres.connection import Connection
from drd.core.postgres.grants import Use, grants
from drd.demo.ports import ADDRESS, noted_port
from drd.demo.secret_files import kept, put
from drd.demo.server import OWNER, Server, find_server

SHOP: Final = "shop"
"""The shop's role, and its database."""
DRD: Final = "drd"
"""drd's role."""
NODE: Final = "orders-1"
"""The server's name in policies/orders.yaml, and that of the secret with drd's connection string."""
DATA: Final = "data"
USE: Final = Use(role=DRD, database=SHOP, address=ADDRESS, beats=True)
"""What drd does there, as policies/orders.yaml says."""
_TABLE: Final = """\
CREATE TABLE IF NOT EXISTS orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    placed_at timestamptz NOT NULL DEFAULT now(),
    amount numeric(10, 2) NOT NULL
)"""


@asynccontextmanager
async def shop_database(folder: Path, secrets: Path, say: Callable[[str], None]) -> AsyncIterator[Dsn]:
    """Run the server in `folder`, and yield how the shop reaches its database.

    `secrets` gets the connection strings of the shop (`shop`) and of drd (`orders-1`). Raises what
    `drd.demo.server.Server` and `find_server` do.
    """
    data, note = folder / DATA, folder / "port"
    server = Server(data, await find_server(data), kept(secrets / OWNER), noted_port(note), folder / "server.log")
    await server.prepare(_hba(), say)
    try:
        await server.start(say)
        note.write_text(f"{server.port}\n")
        yield await _furnished(server, secrets)
    finally:
        await server.stop()


async def _furnished(server: Server, secrets: Path) -> Dsn:
    """Make what is not there yet: roles, database and table."""
    passwords = {role: kept(secrets / f"{role}-password") for role in (SHOP, DRD)}
    async with _asking(server.dsn(OWNER)) as owner:
        if not await _has_role(owner, SHOP):
            await owner.rows(f"CREATE ROLE {SHOP} LOGIN PASSWORD '{passwords[SHOP]}'")
        if not await owner.rows("SELECT 1 FROM pg_database WHERE datname = %s", (SHOP,)):
            await owner.rows(f"CREATE DATABASE {SHOP} OWNER {SHOP}")
    async with _asking(server.dsn(SHOP)) as owner:
        is_known = await _has_role(owner, DRD)
        for statement in grants(USE).sql:
            if not (is_known and statement.startswith("CREATE ROLE")):
                await owner.rows(statement.replace("'…'", f"'{passwords[DRD]}'"))
    shop = server.dsn(SHOP, SHOP, passwords[SHOP])
    async with _asking(shop) as connection:
        await connection.rows(_TABLE)
    for name, role in ((NODE, DRD), (SHOP, SHOP)):
        put(secrets / name, f"postgresql://{role}:{passwords[role]}@{ADDRESS}:{server.port}/{SHOP}")
    return shop


async def _has_role(owner: Connection, role: str) -> bool:
    return bool(await owner.rows("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)))


@asynccontextmanager
async def _asking(dsn: Dsn) -> AsyncIterator[Connection]:
    connection = Connection(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def _hba() -> str:
    """Who is let in: drd with the lines that `drd grants` prints, though over loopback without TLS; and the shop."""
    lines = [line.replace("hostssl", "host", 1) for line in grants(USE).hba]
    lines += [f"host {SHOP} {SHOP} {ADDRESS}/32 scram-sha-256", f"host all {OWNER} {ADDRESS}/32 scram-sha-256"]
    return "\n".join(["# written by drd demo run", *lines, ""])
