"""The repository in memory keeps to what restic's keep to."""

from pathlib import Path

import pytest

from tests.contracts.repository import Opened, RepositoryContract
from tests.fakes.clock import FakeClock
from tests.fakes.repository import FakeDisk, FakePlace, FakeRepository


class TestFakeRepository(RepositoryContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Opened:
        clock, disk = FakeClock(), FakeDisk(programs={"hello": b"hello", "die": None})
        first, second = FakePlace("first"), FakePlace("second")

        def make_append_only() -> None:
            first.append_only = True

        return Opened(
            first=FakeRepository(first, b"secret", clock, disk),
            second=FakeRepository(second, b"other secret", clock, disk),
            wrong_password=lambda: FakeRepository(first, b"wrong", clock, disk),
            producer=("hello",),
            dying_producer=("die",),
            make_append_only=make_append_only,
        )
