"""Who is told that a run ended."""

import pytest

from drd.app.build import LogHook, RunListener
from drd.core.policy import Cause, Mode, Outcome
from drd.engines.run_result import Request, RunResult
from tests.fakes.house import FakeHouse

pytestmark = pytest.mark.looptime


async def test_what_a_program_said_when_it_failed_is_in_the_daemons_log() -> None:
    house, log, said = FakeHouse(), LogHook(), list[str]()
    told, request = RunListener(house.scheduler, house.copy, log), Request("orders", Mode.FULL, Cause.SCHEDULE)
    failed = RunResult(Outcome.FAILED, "it ended with exit code 1", detail='row "Smith" is broken')
    told.run_ended(request, failed, house.clock.now())  # nobody reads the log of a command
    log.say = said.append
    told.run_ended(request, failed, house.clock.now())
    told.run_ended(request, RunResult(Outcome.SUCCEEDED), house.clock.now())
    assert said == ['run of orders: row "Smith" is broken']
