"""What has to hold before a base backup is worth beginning, and after it is worth keeping."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from drd.clients.host import MachineHost
from drd.clients.postgres_base.live_base import LiveBase
from drd.core.errors import SourceRefused, TransientError
from drd.core.postgres.names import sql_name
from drd.core.units import format_size
from drd.ports.postgres_tools import Base
from drd.ports.servers import ReachedNode
from drd.ports.wal import ReachedServer

OLDEST: Final = 13
"""Before, there is no manifest to verify a base backup by."""
SPARE: Final = 0.05
"""The share of its size that a cluster may grow by, and that WAL may take, while the backup is made."""
SPARE_SEGMENTS: Final = 4


def demand_version(node: ReachedNode) -> None:
    """Raise `SourceRefused` for a server that is too old."""
    if node.facts.major < OLDEST:
        raise SourceRefused(
            f"{node.server.place} is PostgreSQL {node.facts.version_text}, and drd needs {OLDEST} or later",
            "upgrade the server",
        )


async def demand_replication(node: ReachedNode) -> None:
    """Raise `SourceRefused` where the role may not replicate."""
    role = await node.server.role()
    if not (role.may_replicate or role.is_superuser):
        raise SourceRefused(
            f"{node.server.place} does not let {role.name} replicate", f"ALTER ROLE {sql_name(role.name)} REPLICATION;"
        )


async def demand_room(folder: Path, reached: ReachedServer, *, is_for_all: bool) -> None:
    """Raise `SourceRefused` unless the folder takes the cluster, or at least the WAL of a backup."""
    size = await reached.server.data_bytes()
    needed = round(size * (SPARE + is_for_all)) + SPARE_SEGMENTS * reached.facts.segment_bytes
    free = await MachineHost().free_bytes(folder)
    if free < needed:
        raise SourceRefused(
            f"a base backup needs about {format_size(needed)}, and {folder} has {format_size(free)} free",
            f"df -h {folder}, or add staging: with another folder to the source",
        )


def demand_same_server(reached: ReachedServer, base: Base | LiveBase) -> None:
    """Raise unless the base backup is of the server that was looked at, on the timeline it was on."""
    place, facts = reached.server.place, reached.facts
    if base.system_identifier != facts.system_identifier:
        raise SourceRefused(
            f"{place} leads to two clusters: {facts.system_identifier} and {base.system_identifier}", "correct the dsn"
        )
    if base.timeline != facts.timeline:
        raise TransientError(
            f"{place} went over from timeline {facts.timeline} to {base.timeline} during the base backup",
            "the next run makes another one",
        )
