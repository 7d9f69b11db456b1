"""Receiving WAL by `pg_receivewal`, which keeps the segment in writing as `.partial`."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from drd.clients.postgres import Dsn, PostgresServer
from drd.clients.postgres.outcomes import BASE_HINT, SLOT_HINT
from drd.clients.postgres_tools.calls import Call, Lines, run
from drd.clients.postgres_tools.programs import Programs
from drd.core.errors import TransientError
from drd.core.postgres.errors import ServerAway, SlotMissing, WalGone
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.spooling import PARTIAL
from drd.ports.cancelling import to_the_end
from drd.ports.postgres import WalStatus
from drd.ports.postgres_tools import OnWalNews, ReceiveRequest, WalNews, WalStep
from drd.ports.runner import Runner

EVER = timedelta(days=3650)
STATUS_SECONDS = 1
"""How often the server hears how far it is beside each flush, and the longest until a signal to stop is noticed."""
BLOCK_BYTES = 64 * 1024
_AT = re.compile(r"(starting log streaming|finished segment) at ([0-9A-F]+/[0-9A-F]+) \(timeline (\d+)\)")
_SWITCHED = re.compile(r"switched to timeline (\d+) at ([0-9A-F]+/[0-9A-F]+)")
_STEPS = {"starting log streaming": WalStep.STREAMING, "finished segment": WalStep.FINISHED}


async def receive_wal(request: ReceiveRequest, on_news: OnWalNews, programs: Programs, runner: Runner) -> None:
    """Receive WAL; see the port."""

    def take(line: str) -> None:
        if match := _AT.search(line):
            on_news(WalNews(_STEPS[match[1]], Lsn.parse(match[2]), int(match[3])))
        elif match := _SWITCHED.search(line):
            on_news(WalNews(WalStep.SWITCHED, Lsn.parse(match[2]), int(match[1])))

    options = ["--synchronous", "--no-loop", "--verbose", f"--status-interval={STATUS_SECONDS}"]
    options += [f"--slot={request.slot}", f"--directory={request.folder}"]
    if request.until is not None:
        options.append(f"--endpos={request.until}")
    dsn = Dsn.parse(request.dsn)
    # To the end: a thread that is left alone would empty what the next receiver has written meanwhile.
    await to_the_end(asyncio.to_thread(_empty_unwritten, request.folder))
    await _look_at_slot(dsn, request.slot)
    await run(Call("pg_receivewal", tuple(options), dsn, EVER), programs, runner, Lines(take))
    if request.until is None:
        raise ServerAway(f"{dsn.place} sends no WAL any more", "drd tries again by itself")


def _empty_unwritten(folder: Path) -> None:
    """Empty segments that nothing was written to: `pg_receivewal` refuses one that it was killed while padding.

    It pads a segment with zeros to its whole size before it writes, so that zeros alone stand for nothing. The name
    stays, since it says where to go on.
    """
    try:
        for partial in folder.glob(f"*{PARTIAL}"):
            with suppress(FileNotFoundError):  # it went into its group meanwhile
                if _holds_zeros_alone(partial):
                    os.truncate(partial, 0)
    except OSError as error:
        raise TransientError(f"the spool {folder} cannot be used: {error.strerror}", f"ls -ld {folder}") from error


def _holds_zeros_alone(file: Path) -> bool:
    with file.open("rb") as opened:
        return all(block.count(0) == len(block) for block in iter(lambda: opened.read(BLOCK_BYTES), b""))


async def _look_at_slot(dsn: Dsn, name: str) -> None:
    """Raise unless the slot holds WAL back.

    By a slot that has lost its WAL, servers before 17 send what they write just now, without a word about the gap.
    """
    server = PostgresServer(dsn)
    try:
        slot = await server.slot(name)
    finally:
        await server.close()
    if slot is None:
        raise SlotMissing(f"{dsn.place} has no replication slot {name}", SLOT_HINT)
    if slot.restart is None or slot.wal_status is WalStatus.LOST:
        raise WalGone(f"{dsn.place} has removed WAL that the replication slot {name} was to keep", BASE_HINT)
