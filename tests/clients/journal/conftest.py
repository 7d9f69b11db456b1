"""A journal in an empty folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drd.clients.journal import SqliteJournal
from tests.clients.journal.made import StillClock

BALLAST_BYTES = 1024 * 1024


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def journal(tmp_path: Path, clock: StillClock) -> AsyncIterator[SqliteJournal]:
    async with await SqliteJournal.open(tmp_path, clock, ballast_bytes=BALLAST_BYTES) as opened:
        yield opened
