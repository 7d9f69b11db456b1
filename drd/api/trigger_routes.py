"""The routes by which other programs start runbooks: on TCP, with a token."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from drd.api.answers import Answers, Jsonable, to_line
from drd.api.bodies import Words, body_of
from drd.ports.control import Message
from drd.ports.triggers import Alert, Triggers

HINT: Final = "it has to be JSON as docs/runbooks.md shows it"


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
        body = await body_of(request, AlertmanagerBody, HINT)
        return await self._whole("alerts", self._triggers.alerted(body.alerts))

    async def _start(self, request: Request) -> Response:
        body = await body_of(request, CallBody, HINT)
        runbook = str(request.path_params["runbook"])
        return await self._whole(f"call for {runbook}", self._triggers.called(runbook, body.by, body.reason))

    async def _whole(self, question: str, answer: Awaitable[Jsonable]) -> Response:
        """One answer with its own status, for who sends again after any but 200 reads no heartbeats."""

        async def line() -> bytes:
            return to_line(await answer)

        return await self._answers.document(question, line(), "application/json")
