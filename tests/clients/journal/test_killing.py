"""kill -9 in the middle of appends: what append returned for is there afterwards."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drd.clients.journal import SqliteJournal
from tests.clients.journal.made import StillClock
from tests.clients.journal.test_rebuilding import forget_projections, opened_and_closed, tables

APPENDER = """
import asyncio, sys
from pathlib import Path
from drd.clients.journal import SqliteJournal
from tests.clients.journal.made import StillClock, whole_run

async def one(journal, number):
    events = await journal.append(*whole_run("web", number), run=f"r{number}")
    print(events[-1].sequence, events[-1].head, flush=True)

async def main():
    journal = await SqliteJournal.open(Path(sys.argv[1]), StillClock(), ballast_bytes=4096)
    for number in range(0, 1_000_000, 7):
        await asyncio.gather(*(one(journal, number + each) for each in range(7)))
        if number % 350 == 0 and len(sys.argv) > 2:
            await journal.seal()

asyncio.run(main())
"""


@pytest.mark.faults
@pytest.mark.parametrize("after", [1, 8, 60, 300, 500])
@pytest.mark.parametrize("sealing", [(), ("seal",)], ids=["", "sealing"])
async def test_what_append_returned_for_survives_kill_9(tmp_path: Path, after: int, sealing: tuple[str, ...]) -> None:
    promised = await asyncio.to_thread(_killed_after, tmp_path, after, sealing)
    async with await SqliteJournal.open(tmp_path, StillClock(), readonly=True) as reader:
        seen_by_reader = {event.sequence: event.head for event in reader.events()}
        assert reader.verify().sound
    assert promised.items() <= seen_by_reader.items()
    async with await SqliteJournal.open(tmp_path, StillClock(), ballast_bytes=4096) as journal:
        kept = {event.sequence: event.head for event in journal.events()}
        assert promised.items() <= kept.items()
        assert journal.verify().sound
        assert await journal.unfinished() == ()
    written = tables(tmp_path)
    forget_projections(tmp_path)
    await opened_and_closed(tmp_path)
    assert tables(tmp_path) == written


def _killed_after(state: Path, lines: int, sealing: tuple[str, ...]) -> dict[int, str]:
    appender = subprocess.Popen(
        [sys.executable, "-c", APPENDER, str(state), *sealing], stdout=subprocess.PIPE, text=True
    )
    with appender:
        assert appender.stdout is not None
        read = [appender.stdout.readline() for _ in range(lines)]
        os.kill(appender.pid, signal.SIGKILL)
        read += [line for line in appender.stdout if line.endswith("\n")]
    return {int(sequence): head for sequence, head in (line.split() for line in read)}
