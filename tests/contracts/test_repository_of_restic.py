"""Real repositories of the oldest and the newest restic keep to the same contract."""

import asyncio
from pathlib import Path

import pytest

from drd.clients.clock import SystemClock
from drd.clients.process import ChildRunner
from drd.clients.restic import Access, ResticRepository, find_restic
from drd.ports.store import Limits, Location
from tests.contracts.repository import Opened, RepositoryContract


@pytest.mark.system
class TestResticRepository(RepositoryContract):
    @pytest.fixture
    def opened(self, restic_binary: Path, tmp_path: Path) -> Opened:
        runner, clock = ChildRunner(), SystemClock()
        restic = asyncio.run(find_restic(str(restic_binary), runner))

        def opened(name: str, password: bytes) -> ResticRepository:
            cache = tmp_path / f"{name}-cache"
            cache.mkdir(exist_ok=True)
            access = Access(Location(str(tmp_path / name)), password, cache)
            return ResticRepository(restic, access, runner, clock, Limits())

        return Opened(
            first=opened("first", b"secret"),
            second=opened("second", b"other secret"),
            wrong_password=lambda: opened("first", b"battery staple 7"),
            producer=("/bin/sh", "-c", "printf hello"),
            dying_producer=("/bin/sh", "-c", "printf half; exit 7"),
        )
