"""Whether a standby follows its primary: told by timeline and replay beyond the fork, never by "streaming".

A former primary that was not rewound streams as well, on its old timeline, keeps what nobody else has and never gets
what is new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from drd.clients.postgres.connection import Connection, Row
from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.orders import QUICK
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.timeline import History

_PRIMARY: Final = """
SELECT system.system_identifier::text AS cluster, pg_is_in_recovery() AS is_in_recovery,
       CASE WHEN NOT pg_is_in_recovery()
            THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END::text AS written
FROM pg_control_system() AS system
"""
_STANDBY: Final = """
SELECT system.system_identifier::text AS cluster, pg_is_in_recovery() AS is_in_recovery,
       (SELECT received_tli FROM pg_stat_wal_receiver) AS timeline,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END::text AS replayed,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS is_paused,
       (SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'recovery_min_apply_delay') AS delay_seconds
FROM pg_control_system() AS system
"""


@dataclass(frozen=True, slots=True)
class Leading:
    """A primary, and the line that its log continues."""

    cluster: str
    history: History
    written: Lsn
    """How far it is."""

    @property
    def fork(self) -> Lsn | None:
        """Where its timeline began; None for the first one."""
        return self.history.switches[-1].at if self.history.switches else None


async def leading(dsn: bytes) -> Leading | None:
    """What a server leads; None when it is no primary. Raises what keeps it from answering."""
    connection = Connection(Dsn.parse(dsn), QUICK)
    try:
        row = await connection.row(_PRIMARY)
    finally:
        await connection.close()
    if row["is_in_recovery"]:
        return None
    return Leading(row["cluster"], await history(dsn, row["timeline"]), Lsn.parse(row["written"]))


async def history(dsn: bytes, timeline: int) -> History:
    """What a timeline continues, as a server has it on record."""
    if timeline == 1:
        return History(1)
    connection = Connection(Dsn.parse(dsn), QUICK).replicating()
    try:
        row = await connection.row(f"TIMELINE_HISTORY {int(timeline)}")
    finally:
        await connection.close()
    content: Any = row["content"]
    return History.parse(timeline, bytes(content).decode() if isinstance(content, bytes | memoryview) else content)


@dataclass(frozen=True, slots=True)
class Following:
    """How far a standby is."""

    replayed: Lsn | None
    is_paused: bool
    delay_seconds: float
    why_not: str
    """What is lacking until it is proved to follow its primary; empty where nothing is."""


async def why_not_following(dsn: bytes, primary: Leading) -> str:
    """What is lacking until a standby is proved to follow; empty where nothing is. Raises when it does not answer."""
    return (await following(dsn, primary)).why_not


async def following(dsn: bytes, primary: Leading) -> Following:
    """How a standby stands to a primary. Raises what keeps it from answering."""
    connection = Connection(Dsn.parse(dsn), QUICK)
    try:
        row = await connection.row(_STANDBY)
    finally:
        await connection.close()
    replayed = None if row["replayed"] is None else Lsn.parse(row["replayed"])
    return Following(replayed, bool(row["is_paused"]), row["delay_seconds"], _why_not(row, primary))


async def replayed(dsn: bytes) -> Lsn | None:
    """How far a standby has replayed; None where it is none."""
    connection = Connection(Dsn.parse(dsn), QUICK)
    try:
        row = await connection.row(_STANDBY)
    finally:
        await connection.close()
    return None if row["replayed"] is None else Lsn.parse(row["replayed"])


def _why_not(row: Row, primary: Leading) -> str:
    if row["cluster"] != primary.cluster:
        return "it is of another database cluster"
    if not row["is_in_recovery"]:
        return "it is a primary itself"
    if row["timeline"] is None:
        return "it receives nothing"
    if row["timeline"] != primary.history.timeline:
        return f"it receives timeline {row['timeline']}, and the primary is on {primary.history.timeline}"
    if primary.fork is not None and (row["replayed"] is None or Lsn.parse(row["replayed"]) <= primary.fork):
        return f"it has replayed up to {row['replayed']}, and the timeline began at {primary.fork}"
    return ""
