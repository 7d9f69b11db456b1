"""A node on whose data somebody works already: an earlier daemon's rewind, which goes on when its daemon is gone."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from drd.clients.postgres_node import PostgresNode
from drd.clients.postgres_node.scripts import BUSY
from drd.clients.shell import ProgramFailed
from drd.core.errors import TransientError
from drd.ports.machines import Machine, ShellCommand
from drd.ports.runner import Command, Ended, Ending, OnLine
from tests.fakes.clock import FakeClock
from tests.fakes.runner import NoRunner

pytestmark = pytest.mark.looptime

MACHINE = Machine("orders-1", "127.0.0.1", shell=ShellCommand("postgres", ("enter",)), data_directory=Path("/data"))


@dataclass
class Shell(NoRunner):
    """Says so many times that somebody works on the data, and then what it is asked."""

    busy: int
    code: int = BUSY
    asked: int = 0

    async def run(self, command: Command, on_line: OnLine | None = None) -> Ended:
        self.asked += 1
        if self.asked <= self.busy:
            return Ended(self.code, Ending.EXITED, 0.1, "somebody else works on /data")
        assert on_line is not None
        on_line("stdout", b"running=yes")
        return Ended(0, Ending.EXITED, 0.1)


async def test_work_that_is_under_way_is_waited_for_and_not_taken_for_a_failure() -> None:
    shell = Shell(busy=1000)
    assert await PostgresNode(shell, MACHINE, timedelta(hours=1), FakeClock()).runs()
    assert asyncio.get_running_loop().time() >= 1000


async def test_it_is_waited_for_no_longer_than_the_step_may_take() -> None:
    with pytest.raises(TransientError, match="work on the data of orders-1 is still under way"):
        await PostgresNode(Shell(busy=1000), MACHINE, timedelta(seconds=30), FakeClock()).runs()
    assert 30 <= asyncio.get_running_loop().time() < 33


async def test_who_must_not_wait_is_told_at_once() -> None:
    shell = Shell(busy=1)
    with pytest.raises(TransientError, match="still under way"):
        await PostgresNode(shell, MACHINE, timedelta(hours=1)).runs()
    assert shell.asked == 1


async def test_another_status_is_a_failure() -> None:
    with pytest.raises(ProgramFailed, match="ended with status 1"):
        await PostgresNode(Shell(busy=1, code=1), MACHINE, timedelta(hours=1), FakeClock()).runs()
