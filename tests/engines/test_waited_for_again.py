"""A node that a run of its own brings back is waited for again, as before the primary was replaced."""

import asyncio
from typing import ClassVar

import pytest

from drd.core.events import IncidentStarted
from drd.core.runbook import SYNCHRONOUS, Runbook
from drd.engines.runbook_admission import StartOrder
from drd.ports.action import Facts, Situation
from tests.fakes.deeds import Deed, a_house, a_runbook
from tests.fakes.house import FakeHouse

pytestmark = pytest.mark.looptime
RULE = 'FIRST 1 ("orders_2")'


class Promote(Deed):
    kind: ClassVar[str] = "postgres_promote"

    async def apply(self, at: Situation) -> Facts:
        return {"new_primary": "orders-2", SYNCHRONOUS: RULE}


class Rejoin(Deed):
    kind: ClassVar[str] = "postgres_rejoin"
    node: str = "old_primary"


def doing(action: Deed, name: str) -> Runbook:
    return a_runbook({"step": f"Do {name}", "action": action}, name=name)


async def finished(house: FakeHouse, runbook: str) -> None:
    run = await house.runbooks.start(StartOrder(runbook, "anna", "it burns"))
    async with asyncio.timeout(600):
        while (record := await house.journal.incident(run)) is None or record.finished is None:
            await asyncio.sleep(0.05)


async def test_a_run_of_its_own_knows_what_commits_waited_for_on_the_primary_that_was_replaced() -> None:
    runbooks = (doing(Promote(mark="a"), "failover"), doing(Rejoin(mark="b"), "rejoin"), doing(Deed(mark="c"), "other"))
    house = a_house(*runbooks)
    try:
        for name in ("rejoin", "failover", "rejoin", "other"):
            await finished(house, name)
    finally:
        await house.runbooks.drain(0)
    begun = [each.variables.get(SYNCHRONOUS) for each in house.journal.of(IncidentStarted)]
    assert begun == [None, None, RULE, None]
