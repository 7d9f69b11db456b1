"""The journal in memory and the one on SQLite keep to one contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drd.clients.clock import SystemClock
from drd.clients.journal import SqliteJournal
from tests.contracts.journal import JournalContract
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeJournal


class TestFakeJournal(JournalContract):
    @pytest.fixture
    async def journal(self) -> FakeJournal:
        return FakeJournal(FakeClock())


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[SqliteJournal]:
        async with await SqliteJournal.open(tmp_path, SystemClock(), ballast_bytes=2**20) as opened:
            yield opened
