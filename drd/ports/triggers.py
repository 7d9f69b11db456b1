"""What others tell drd so that it starts runbooks, and what it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field


class Alert(BaseModel):
    """One alert as Alertmanager sends it (webhook payload, version 4); what else it sends is passed over."""

    model_config = ConfigDict(frozen=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    started: Annotated[datetime, Field(alias="startsAt")]
    fingerprint: str

    @property
    def name(self) -> str:
        """The alert's name; empty where it has none."""
        return self.labels.get("alertname", "")

    @property
    def key(self) -> str:
        """What tells one occurrence of an alert from another, however often it is sent."""
        return f"{self.fingerprint} {self.started.isoformat()}"


class TriggerAnswer(BaseModel):
    """What became of one alert or call, for one runbook."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runbook: str
    outcome: Literal["started", "known", "held"]
    """`known`: this occurrence has started it already."""
    run: str = ""
    why: str = ""


class Triggers(Protocol):
    """What may be told from outside."""

    async def alerted(self, alerts: tuple[Alert, ...]) -> tuple[TriggerAnswer, ...]:
        """Alerts fire, or are over. One that is over ends nothing.

        Raises one of `NOT_NOW` where nothing can be put on record now: then they have to be sent again.
        """
        ...

    async def called(self, runbook: str, by: str, words: str) -> TriggerAnswer:
        """Somebody's program calls for a runbook that names `webhook: true` among its triggers."""
        ...
