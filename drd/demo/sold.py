"""What the shop has sold, read in its database or in a copy that was restored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

from drd.clients.postgres import Dsn
from drd.clients.postgres.connection import Connection
from drd.core.errors import UsageError
from drd.demo.database import FOLDER, SHOP
from drd.demo.orders import Acknowledged
from drd.demo.server import OWNER, Server, find_server

NOTE: Final = "acknowledged.csv"
SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Order:
    """A row."""

    id: int
    placed_at: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Sold:
    """What is in a database."""

    count: int
    newest: tuple[Order, ...]
    """The newest few, newest first."""
    acknowledged: int
    """How many orders up to the newest of them were acknowledged to the shop's customers."""
    missing: tuple[int, ...]
    """Those of them that are not in there."""

    def told(self) -> str:
        """It in a sentence."""
        here = f"{self.count} orders"
        if not self.missing:
            return f"{here}; of the {self.acknowledged} that customers were told of up to the newest, none is missing"
        first = ", ".join(map(str, self.missing[:SHOWN]))
        return f"{here}; {len(self.missing)} that customers were told of are missing: {first}"

    def document(self) -> dict[str, object]:
        """It for programs."""
        newest = [
            {"id": order.id, "placed_at": order.placed_at.isoformat(), "amount": str(order.amount)}
            for order in self.newest
        ]
        known = {"acknowledged": self.acknowledged, "missing": list(self.missing)}
        return {"orders": self.count, "newest": newest, **known}


async def sold(demonstration: Path, copy: Path | None) -> Sold:
    """Look into the shop's database, or into a restored copy, which is started for that long.

    Raises `UsageError` when there is no demonstration in the folder, and what a server raises that does not answer.
    """
    secrets = demonstration / "secrets"
    if not (secrets / SHOP).exists():
        raise UsageError(f"there is no demonstration in {demonstration}", "type: make run, or name it with --folder")
    note = Acknowledged(demonstration / FOLDER / NOTE)
    if copy is None:
        return await _read(Dsn.parse((secrets / SHOP).read_bytes().strip()), note)
    if not (copy / "PG_VERSION").exists():
        raise UsageError(f"{copy} is no data directory of PostgreSQL", f"drd restore orders --to {copy}")
    # A copy has the passwords of its original.
    server = Server(copy, await find_server(copy), (secrets / OWNER).read_text().strip())
    try:
        await server.start(lambda _: None)
        return await _read(server.dsn(SHOP), note)
    finally:
        await server.stop()


async def _read(dsn: Dsn, note: Acknowledged) -> Sold:
    connection = Connection(dsn)
    try:
        noted = note.ids()
        newest = await connection.rows("SELECT id, placed_at, amount FROM orders ORDER BY id DESC LIMIT %s", (SHOWN,))
        there = frozenset(row["id"] for row in await connection.rows("SELECT id FROM orders"))
    finally:
        await connection.close()
    known = {number for number in noted if number <= max(there, default=0)}
    orders = tuple(Order(row["id"], row["placed_at"], row["amount"]) for row in newest)
    return Sold(len(there), orders, len(known), tuple(sorted(known - there)))
