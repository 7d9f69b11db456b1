"""The shop's database: its server, what is in it, and who is let in with which rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from drd.clients.postgres import Dsn
from drd.clients.postgres.connection import Connection
from drd.core.postgres.grants import Use, grants
from drd.demo.meanwhile import meanwhile
from drd.demo.ports import ADDRESS, noted_port
from drd.demo.proxy import proxy
from drd.demo.secret_files import kept, put
from drd.demo.server import OWNER, Server, find_server
from drd.demo.standby import SIGNAL, follow, newest
from drd.demo.units import Units

SHOP: Final = "shop"
"""The shop's role, and its database."""
DRD: Final = "drd"
"""drd's role."""
NODES: Final = ("orders-1", "orders-2")
"""The servers' names in policies/orders.yaml, and those of the secrets with drd's connection strings."""
PROXIED: Final = "orders"
"""The secret with which drd goes the customers' way."""
DATA: Final = "data"
USE: Final = Use(role=DRD, database=SHOP, address=ADDRESS, beats=True, has_standbys=True, recovers=True)
"""What drd does there, as policies/orders.yaml says."""
SINCE_15: Final = ("GRANT pg_checkpoint", "ON PARAMETER")
"""An older server has no such rights to give: there the old primary is not brought back by itself."""
FOLDER: Final = "database"
"""In the folder of the demonstration: what the servers need, and the note of the customers."""
_SWITCH: Final = """\
#!/bin/sh
# Switches a server of the demonstration off: nothing works in its data directory any more when this has succeeded.
tries=0
while pids=$(find /proc/[0-9]*/cwd -maxdepth 0 -lname '{data}' 2>/dev/null | cut -d/ -f3) && [ -n "$pids" ]; do
    kill -9 $pids 2>/dev/null
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || exit 1
    sleep 0.05
done
"""
_TABLE: Final = """\
CREATE TABLE IF NOT EXISTS orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    placed_at timestamptz NOT NULL DEFAULT now(),
    amount numeric(10, 2) NOT NULL
)"""


@asynccontextmanager
async def shop_database(folder: Path, secrets: Path, say: Callable[[str], None]) -> AsyncIterator[Dsn]:
    """Run a primary and its standby in `folder` behind HAProxy, and yield how the shop reaches its database.

    `secrets` gets the connection strings of the shop (`shop`) and of drd (`orders-1`, `orders-2`, and `orders` for the
    way of the shop). Raises what `drd.demo.server.Server`, `find_server` and `proxy` do.
    """
    found = await asyncio.to_thread(newest, [folder / name / DATA for name in NODES])
    first = NODES[0] if found is None else found.parent.name
    [second] = set(NODES) - {first}
    password = kept(secrets / OWNER)
    servers = {name: await _server(folder / name, password) for name in NODES}
    try:
        await servers[first].prepare(_hba(), say)
        (servers[first].data / SIGNAL).unlink(missing_ok=True)  # a fence that no promotion followed
        await servers[second].clear(say)
        await servers[first].start(say)
        passwords = await _furnished(servers[first], secrets)
        await follow(servers[second], servers[first], second)
        await servers[second].start(say)
        for name, server in servers.items():
            (folder / name / "port").write_text(f"{server.port}\n")
            put(secrets / name, _url(DRD, passwords[DRD], server.port))
            await asyncio.to_thread(_write_switch, folder / name)
        ports = {name: server.port for name, server in servers.items()}
        units = Units(folder, servers)
        await asyncio.to_thread(units.prepare)
        async with (
            proxy(folder, socket_of(folder.parent), state_of(folder.parent), ports, first) as port,
            meanwhile(units.serve(say)),
        ):
            shop = {"host": ADDRESS, "port": str(port), "user": SHOP, "password": passwords[SHOP], "dbname": SHOP}
            put(secrets / SHOP, _url(SHOP, passwords[SHOP], port))
            put(secrets / PROXIED, _url(DRD, passwords[DRD], port))
            yield Dsn(shop)
    finally:
        # The standby first: a primary waits for nobody then.
        for name in (second, first):
            await servers[name].stop()


def socket_of(demonstration: Path) -> Path:
    """HAProxy's runtime socket: where a unix socket's path is short enough."""
    return demonstration / "proxy.sock"


def state_of(demonstration: Path) -> Path:
    """HAProxy's state, which it reads when it is reloaded."""
    return demonstration / "proxy.state"


def switch_of(demonstration: Path, node: str) -> Path:
    """The program that switches a node off, as a power supply with a plug that can be told to would."""
    return demonstration / FOLDER / node / "power-off"


async def _server(folder: Path, password: str) -> Server:
    data = folder / DATA
    return Server(data, await find_server(data), password, noted_port(folder / "port"), folder / "server.log")


def _write_switch(folder: Path) -> None:
    switch = folder / "power-off"
    switch.write_text(_SWITCH.format(data=folder / DATA))
    switch.chmod(0o755)


def _url(role: str, password: str, port: int) -> str:
    return f"postgresql://{role}:{password}@{ADDRESS}:{port}/{SHOP}"


async def _furnished(server: Server, secrets: Path) -> dict[str, str]:
    """Make what is not there yet: roles, database and table; the passwords of the roles."""
    passwords = {role: kept(secrets / f"{role}-password") for role in (SHOP, DRD)}
    async with _asking(server.dsn(OWNER)) as owner:
        if not await _has_role(owner, SHOP):
            await owner.rows(f"CREATE ROLE {SHOP} LOGIN PASSWORD '{passwords[SHOP]}'")
        if not await owner.rows("SELECT 1 FROM pg_database WHERE datname = %s", (SHOP,)):
            await owner.rows(f"CREATE DATABASE {SHOP} OWNER {SHOP}")
    async with _asking(server.dsn(SHOP)) as owner:
        is_known = await _has_role(owner, DRD)
        for statement in grants(USE).sql:
            is_too_new = server.programs.major < 15 and any(word in statement for word in SINCE_15)
            if not is_too_new and not (is_known and statement.startswith("CREATE ROLE")):
                await owner.rows(statement.replace("'…'", f"'{passwords[DRD]}'"))
    async with _asking(server.dsn(SHOP, SHOP, passwords[SHOP])) as connection:
        await connection.rows(_TABLE)
    return passwords


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
    lines += [f"host {SHOP} {SHOP} {ADDRESS}/32 scram-sha-256"]
    lines += [f"host {databases} {OWNER} {ADDRESS}/32 scram-sha-256" for databases in ("all", "replication")]
    return "\n".join(["# written by drd demo run", *lines, ""])
