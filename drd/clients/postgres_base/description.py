"""What a base backup tells of itself: to a restore by a file within it, and to people by a note."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from drd.clients.postgres import Dsn
from drd.clients.postgres.configuration import keep_configuration
from drd.clients.postgres_base.live_base import LiveBase
from drd.clients.postgres_tools.restored import CONFIGURATION, FACTS
from drd.core.postgres.base import BaseFacts
from drd.ports.postgres import Positions, ServerFacts
from drd.ports.postgres_tools import Base
from drd.ports.wal import ReachedServer

NO_CHECKSUMS: Final = "the cluster has no page checksums, so damage of its disk is saved unnoticed"


def described(facts: ServerFacts, base: Base | LiveBase, after: Positions) -> BaseFacts:
    """The facts of a base backup; `after` is where the server was when it had ended."""
    # Commits carry the primary's clock, which a standby knows only by what it has replayed.
    ended_at = max(each for each in (after.taken, after.replayed_until) if each is not None)
    return BaseFacts(
        system_identifier=base.system_identifier,
        version=facts.version,
        timeline=base.timeline,
        start=base.start,
        end=base.end,
        ended_at=ended_at,
        segment_bytes=facts.segment_bytes,
        has_checksums=facts.has_checksums,
        is_of_standby=facts.is_in_recovery,
        holds_wal=True,
        tablespaces=facts.tablespaces,
    )


async def describe(folder: Path, facts: BaseFacts, reached: ReachedServer) -> None:
    """Lay down what a restore has to know, and the configuration that lies outside."""
    await asyncio.to_thread((folder / FACTS).write_text, facts.written(), "utf-8")
    await keep_configuration(Dsn.parse(reached.dsn), folder / CONFIGURATION)


def note_of(reached: ReachedServer) -> str:
    """What a run says of the server that it has read."""
    which = "a standby" if reached.facts.is_in_recovery else "the primary"
    notes = (
        f"taken from {reached.node}, {which}" if reached.node else "",
        reached.note,
        "" if reached.facts.has_checksums else NO_CHECKSUMS,
    )
    return "; ".join(each for each in notes if each)
