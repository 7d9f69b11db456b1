"""What only an old primary has: its log beyond the fork, and the list of what was committed there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from drd.clients.durable import flush_folder
from drd.clients.postgres_node.node import LogGone, NodeState, PostgresNode
from drd.core.postgres.divergence import Fork

LIST: Final = "lost-transactions.txt"
UNKNOWN: Final = "lost-unknown.txt"
"""In place of the list, where the log that would tell is not there any more."""
LOG: Final = "wal.tar"
WHY: Final = "cannot be told: a file of that log is not there any more"
MOST_NAMED: Final = 5
"""So many lost transactions stand in the record; all of them stand in the file."""


async def save_stranded(node: PostgresNode, state: NodeState, fork: Fork, folder: Path) -> None:
    """Bring its log beyond the fork here, and the list of what was committed there, which is written last.

    Where the log is not all there, what is there is brought all the same, and what it would have told is bounded.
    """
    if await asyncio.to_thread(_is_saved, folder):
        return
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    await node.save_wal(state, fork, folder / LOG)
    try:
        lost = [str(each) for each in await node.lost(state.history, fork)]
    except LogGone:
        end = "its end" if state.log_ends is None else str(state.log_ends)
        await asyncio.to_thread(_write, folder / UNKNOWN, [f"what was committed between {fork.at} and {end} {WHY}"])
    else:
        await asyncio.to_thread(_write, folder / LIST, lost)


async def on_record(folder: Path) -> dict[str, str]:
    """What was lost, as the file of this run says; nothing where there is none."""
    return await asyncio.to_thread(_on_record, folder)


def _is_saved(folder: Path) -> bool:
    return (folder / LIST).exists() or (folder / UNKNOWN).exists()


def _write(path: Path, lost: Sequence[str]) -> None:
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
    path, unknown = folder / LIST, folder / UNKNOWN
    if unknown.exists():
        return {"stranded": str(folder), "lost": unknown.read_text().strip()}
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    named = {"lost": "; ".join(lines[:MOST_NAMED])} if lines else {}
    return {"lost_transactions": str(len(lines)), "stranded": str(folder), **named}
