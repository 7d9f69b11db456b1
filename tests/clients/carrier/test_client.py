"""What the daemon makes of a carrier that says little, nothing or half of it."""

from pathlib import Path

import pytest

from drd.clients.carrier import ProcessCarrier, examine
from drd.core.errors import TransientError
from drd.ports.repository import Progress
from drd.ports.runner import Command, Ended, Ending, OnLine
from drd.ports.store import Backend

BACKEND = Backend("local", {"path": "/srv/drd/repository"})


class Saying:
    """A carrier that writes these lines and ends so."""

    def __init__(self, ended: Ended, *lines: bytes) -> None:
        self.ended = ended
        self.lines = lines

    async def run(self, command: Command, on_line: OnLine | None = None) -> Ended:
        assert on_line is not None
        for line in self.lines:
            on_line("stdout", line)
        return self.ended

    async def pipe(self, producer: Command, consumer: Command, on_line: OnLine | None = None) -> tuple[Ended, Ended]:
        raise NotImplementedError


def ignore(progress: Progress) -> None:
    """Progress is not what these tests are about."""


async def test_the_torn_last_line_of_a_killed_carrier_is_no_failure_of_the_daemon(tmp_path: Path) -> None:
    killed = Saying(Ended(-9, Ending.EXITED, 3.0), b'{"say": "progress", "phase": "da')

    with pytest.raises(TransientError, match="ended with status -9"):
        await ProcessCarrier(killed, "restic", tmp_path).carry(BACKEND, BACKEND, None, ignore)


async def found() -> Backend:
    return BACKEND


async def test_a_look_that_takes_too_long_says_that_the_store_gave_no_answer() -> None:
    look = await examine(Saying(Ended(-15, Ending.DEADLINE, 45.2)), found())

    assert not look.reachable
    assert look.message == "it gave no answer within 45 s"
    assert look.hint
