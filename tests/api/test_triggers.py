"""What other programs may start over TCP, and what they have to show for it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from drd.core.errors import StateFull
from drd.ports.triggers import Alert, TriggerAnswer
from tests.api.serving import serving
from tests.fakes.control import FakeControl

TOKEN = {"Authorization": "Bearer good"}
STARTED = TriggerAnswer(runbook="orders-failover", outcome="started", run="01RUN")
BODY: dict[str, Any] = {
    "version": "4",
    "groupKey": "{}:{}",
    "status": "firing",
    "receiver": "drd",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "OrdersPrimaryDown", "service": "orders"},
            "annotations": {"summary": "it is down"},
            "startsAt": "2026-03-02T08:30:17.123Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph",
            "fingerprint": "68d1bd5a1d0d4cbb",
        }
    ],
}


@dataclass
class FakeTriggers:
    full: bool = False
    seen: list[object] = field(default_factory=list)

    async def alerted(self, alerts: tuple[Alert, ...]) -> tuple[TriggerAnswer, ...]:
        if self.full:
            raise StateFull("the disk is full", "make room")
        self.seen += alerts
        return (STARTED,)

    async def called(self, runbook: str, by: str, words: str) -> TriggerAnswer:
        self.seen.append((runbook, by, words))
        return STARTED


async def good() -> frozenset[bytes] | None:
    return frozenset({b"good"})


async def nobody() -> frozenset[bytes] | None:
    return None


async def test_an_alert_and_a_call_reach_the_engine_and_what_became_of_them_is_told(tmp_path: Path) -> None:
    triggers = FakeTriggers()
    async with serving(FakeControl(), tmp_path / "socket", tokens=good, triggers=triggers) as server:
        base = f"http://127.0.0.1:{server.port}/api/v1"
        async with httpx.AsyncClient(headers=TOKEN) as client:
            alert = await client.post(f"{base}/alertmanager", json=BODY)
            call = await client.post(f"{base}/runbooks/orders-failover/start", json={"by": "grafana", "reason": "slow"})
            wrong = await client.post(f"{base}/alertmanager", json={"alerts": [{}]})
            triggers.full = True
            again = await client.post(f"{base}/alertmanager", json=BODY)

    assert alert.json() == [STARTED.model_dump()]
    assert call.json() == STARTED.model_dump()
    [seen, called] = triggers.seen
    assert isinstance(seen, Alert)
    assert (seen.name, seen.key) == ("OrdersPrimaryDown", "68d1bd5a1d0d4cbb 2026-03-02T08:30:17.123000+00:00")
    assert called == ("orders-failover", "grafana", "slow")
    assert wrong.status_code == 400
    assert again.status_code == 503, "Alertmanager sends it again"


@pytest.mark.parametrize(("tokens", "status"), [(good, 401), (nobody, 403)])
async def test_nothing_is_started_without_a_token_also_where_none_is_configured(
    tmp_path: Path, tokens: Any, status: int
) -> None:
    triggers = FakeTriggers()
    async with (
        serving(FakeControl(), tmp_path / "socket", tokens=tokens, triggers=triggers) as server,
        httpx.AsyncClient() as client,
    ):
        for route in ("alertmanager", "runbooks/orders-failover/start"):
            answer = await client.post(f"http://127.0.0.1:{server.port}/api/v1/{route}", json=BODY)
            assert answer.status_code == status
        metrics = await client.get(f"http://127.0.0.1:{server.port}/metrics")
        assert metrics.status_code == (200 if status == 403 else 401)
    assert triggers.seen == []
