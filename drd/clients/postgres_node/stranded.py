"""What only an old primary has: its log beyond the fork, and the list of what was committed there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from drd.clients.durable import flush_folder
from drd.clients.postgres_node.node import NodeState, PostgresNode
from drd.core.postgres.divergence import CommittedTransaction, Fork

LIST: Final = "lost-transactions.txt"
LOG: Final = "wal.tar"
MOST_NAMED: Final = 5
"""So many lost transactions stand in the record; all of them stand in the file."""


async def save_stranded(node: PostgresNode, state: NodeState, fork: Fork, folder: Path) -> None:
    """Bring its log beyond the fork here, and the list of what was committed there, which is written last."""
    if await asyncio.to_thread((folder / LIST).exists):
        return
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    await node.save_wal(state, fork, folder / LOG)
    lost = await node.lost(state.history, fork)
    await asyncio.to_thread(_write, folder / LIST, lost)


async def on_record(folder: Path) -> dict[str, str]:
    """What was lost, as the file of this run says; nothing where there is none."""
    return await asyncio.to_thread(_on_record, folder)


def _write(path: Path, lost: tuple[CommittedTransaction, ...]) -> None:
    """An empty list says that nothing was lost, and what it is about is gone from the node soon: all must last."""
    new = path.with_suffix(".new")
    new.write_text("".join(f"{each}\n" for each in lost))
    for each in (path.with_name(LOG), new):
        with each.open("rb") as written:
            os.fsync(written.fileno())
    new.rename(path)
    for folder in path.parents[:4]:  # its own, and those that were made for it
        flush_folder(folder)


def _on_record(folder: Path) -> dict[str, str]:
    path = folder / LIST
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    named = {"lost": "; ".join(lines[:MOST_NAMED])} if lines else {}
    return {"lost_transactions": str(len(lines)), "stranded": str(folder), **named}
