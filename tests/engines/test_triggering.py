"""Alerts and calls that start runbooks: each occurrence once, and no failover that drd itself sees no reason for."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drd.core.errors import StateFull, UsageError
from drd.core.events import IncidentFinished, TriggerHeld
from drd.core.policy import Cause
from drd.core.runbook import Runbook
from drd.ports.triggers import Alert
from tests.engines.test_acting import Cluster, a_failover, until, watched
from tests.fakes.deeds import DEEDS, Deeds, a_runbook, a_step

pytestmark = pytest.mark.looptime
AT = datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.fixture(autouse=True)
def deeds() -> Deeds:
    DEEDS.__init__()  # type: ignore[misc]
    return DEEDS


def an_alert(name: str = "DiskFull", status: str = "firing", started: datetime = AT, **labels: str) -> Alert:
    return Alert.model_validate(
        {"status": status, "labels": {"alertname": name, **labels}, "startsAt": started, "fingerprint": "f1"}
    )


def triggered(runbook: Runbook, *triggers: dict[str, Any], mode: str = "automatic", **guards: Any) -> Runbook:
    found = runbook.model_dump(exclude={"stages"}, by_alias=True)
    return Runbook.model_validate(
        {**found, "mode": mode, "guards": guards, "triggers": triggers, "stages": runbook.stages}
    )


ALERT = {"alertmanager": {"alertname": "DiskFull", "labels": {"service": "orders"}}}
CLEAN = a_runbook(a_step("clean"), name="clean-up")


async def outcomes(it: Cluster, *alerts: Alert) -> list[tuple[str, str]]:
    return [(each.outcome, each.why) for each in await it.house.triggering.alerted(alerts)]


async def idle(it: Cluster, runs: int = 1) -> None:
    await until(lambda: len(it.house.journal.of(IncidentFinished)) == runs)


async def test_an_occurrence_of_an_alert_starts_its_runbook_once_and_its_end_ends_nothing() -> None:
    async with watched(triggered(CLEAN, ALERT)) as it:
        assert await outcomes(it, an_alert(), an_alert("Other", service="orders")) == [], "a label lacks"
        [first] = await it.house.triggering.alerted((an_alert(service="orders"),))
        assert first.outcome == "started"
        [again] = await it.house.triggering.alerted((an_alert(service="orders"),))
        assert (again.outcome, again.run) == ("known", first.run)
        assert await outcomes(it, an_alert(status="resolved", service="orders")) == []
        await idle(it)
        [again] = await it.house.triggering.alerted((an_alert(service="orders"),))
        assert again.outcome == "known", "also after its end"
        [started] = it.started
        assert (started.cause, started.by, started.words) == (Cause.ALERT, "alertmanager", "alert DiskFull")
        later = an_alert(service="orders", started=AT + timedelta(hours=1))
        assert [outcome for outcome, _ in await outcomes(it, later)] == ["started"]
        await idle(it, 2)


async def test_what_holds_a_runbook_back_is_told_each_time_and_put_on_record_once() -> None:
    async with watched(triggered(CLEAN, ALERT, hold_down="30m", per_day=2)) as it:
        moments = [AT + timedelta(hours=hour) for hour in range(4)]
        assert (await outcomes(it, an_alert(service="orders", started=moments[0])))[0][0] == "started"
        await idle(it)
        for _ in range(2):
            [(outcome, why)] = await outcomes(it, an_alert(service="orders", started=moments[1]))
            assert (outcome, why) == ("held", "hold-down: the last run began less than 30m ago")
        assert len(it.house.journal.of(TriggerHeld)) == 1
        await asyncio.sleep(3600)
        assert (await outcomes(it, an_alert(service="orders", started=moments[2])))[0][0] == "started"
        await idle(it, 2)
        await asyncio.sleep(3600)
        [(outcome, why)] = await outcomes(it, an_alert(service="orders", started=moments[3]))
        assert (outcome, why) == ("held", "per day: it ran 2 times within a day, and 2 are allowed")
    async with watched(triggered(CLEAN, ALERT, mode="manual")) as it:
        assert await outcomes(it, an_alert(service="orders")) == [("held", "its mode is manual: a person starts it")]


async def test_an_alert_replaces_no_primary_that_drd_sees_to_be_well_and_one_that_is_lost() -> None:
    by_alert = triggered(a_failover(), {"alertmanager": {"alertname": "PrimaryDown"}})
    async with watched(by_alert) as it:
        await asyncio.sleep(3.3)
        alert = an_alert("PrimaryDown")
        assert await outcomes(it, alert) == [("held", "one is the primary, and well")]
        it.die()
        await asyncio.sleep(5)
        assert [each.guards for each in it.held] == [("no runbook",)], "no health trigger"
        assert [outcome for outcome, _ in await outcomes(it, alert)] == ["started"]
        await idle(it)
        assert DEEDS.done == ["fence", "promote"]
        assert it.started[0].words.startswith("alert PrimaryDown; one is lost: process dead")
        assert (it.started[0].cause, it.started[0].alert) == (Cause.ALERT, alert.key)


async def test_a_call_starts_only_what_says_that_a_call_may() -> None:
    async with watched(triggered(CLEAN, {"webhook": True})) as it:
        answer = await it.house.triggering.called("clean-up", "grafana", "it is full")
        assert answer.outcome == "started"
        assert [(each.cause, each.by, each.words) for each in it.started] == [(Cause.WEBHOOK, "grafana", "it is full")]
        assert (await it.house.triggering.called("clean-up", "grafana", "again")).outcome == "held"
        await idle(it)
        with pytest.raises(UsageError, match="there is no runbook nothing"):
            await it.house.triggering.called("nothing", "grafana", "")
    async with watched(triggered(CLEAN, ALERT)) as it:
        with pytest.raises(UsageError, match="no call starts clean-up"):
            await it.house.triggering.called("clean-up", "grafana", "")


async def test_what_cannot_be_put_on_record_has_to_be_sent_again() -> None:
    async with watched(triggered(CLEAN, ALERT)) as it:
        it.house.journal.is_full = True
        with pytest.raises(StateFull):
            await it.house.triggering.alerted((an_alert(service="orders"),))
        it.house.journal.is_full = False
        assert [outcome for outcome, _ in await outcomes(it, an_alert(service="orders"))] == ["started"]
        await idle(it)
