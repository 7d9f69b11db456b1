"""The routes by which other programs start runbooks: on TCP, with a token."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from drd.api.answers import Answers
from drd.api.bodies import Words, body_of
from drd.ports.control import Message
from drd.ports.triggers import Alert, Triggers


class AlertmanagerBody(BaseModel):
    """Body of POST /api/v1/alertmanager, as Alertmanager's `webhook_config` sends it; only the alerts are read."""

    alerts: tuple[Alert, ...]


class CallBody(Message):
    """Body of POST /api/v1/runbooks/{runbook}/start."""

    by: Words = "webhook"
    reason: Words = ""


class TriggerRoutes:
    """One route a method of `Triggers`."""

    def __init__(self, triggers: Triggers, answers: Answers) -> None:
        self._triggers = triggers
        self._answers = answers

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/api/v1/alertmanager", self._alertmanager, methods=["POST"]),
            Route("/api/v1/runbooks/{runbook}/start", self._start, methods=["POST"]),
        ]

    async def _alertmanager(self, request: Request) -> Response:
        body = await body_of(request, AlertmanagerBody)
        return await self._answers.single("alerts", self._triggers.alerted(body.alerts))

    async def _start(self, request: Request) -> Response:
        body = await body_of(request, CallBody)
        runbook = str(request.path_params["runbook"])
        return await self._answers.single(f"call for {runbook}", self._triggers.called(runbook, body.by, body.reason))
