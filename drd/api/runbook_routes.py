"""The routes of `Control` that concern runbooks and their runs."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from drd.api.answers import Answers
from drd.api.bodies import LongWords, Words, body_of
from drd.core.runbook_step import Choice
from drd.ports.control import Control, Message
from drd.ports.incidents import RunbookOrder


class PlanBody(Message):
    """Body of POST /runbooks/{runbook}/plan."""

    variables: dict[Words, LongWords] = {}


class StartBody(PlanBody):
    """Body of POST /runbooks/{runbook}/start."""

    by: Words
    words: LongWords = ""
    began: datetime | None = None
    is_drill: bool = False
    overrides: bool = False
    fenced: str = Field(default="", max_length=200)


class AnswerBody(Message):
    """Body of POST /incidents/{run}/answer."""

    step: Words | None = None
    choice: Choice
    by: Words
    words: LongWords


class AbortBody(Message):
    """Body of POST /incidents/{run}/abort."""

    by: Words
    words: LongWords
    takes_back: bool = False


class RunbookRoutes:
    """One route a method of `RunbookOrders`."""

    def __init__(self, control: Control, answers: Answers) -> None:
        self._control = control
        self._answers = answers

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/incidents", self._incidents, methods=["GET"]),
            Route("/incidents/{run}", self._incident, methods=["GET"]),
            Route("/incidents/{run}/answer", self._answer, methods=["POST"]),
            Route("/incidents/{run}/abort", self._abort, methods=["POST"]),
            Route("/runbooks/{runbook}/plan", self._plan, methods=["POST"]),
            Route("/runbooks/{runbook}/start", self._start, methods=["POST"]),
        ]

    async def _incidents(self, request: Request) -> Response:
        policy = request.query_params.get("policy")
        return await self._answers.single("incidents", self._control.incidents(policy))

    async def _incident(self, request: Request) -> Response:
        run = str(request.path_params["run"])
        return await self._answers.single(f"incident {run}", self._control.incident(run))

    async def _plan(self, request: Request) -> Response:
        order = await body_of(request, PlanBody)
        runbook = str(request.path_params["runbook"])
        return await self._answers.single(f"plan of {runbook}", self._control.runbook_plan(runbook, order.variables))

    async def _start(self, request: Request) -> Response:
        body = await body_of(request, StartBody)
        runbook = str(request.path_params["runbook"])
        order = RunbookOrder(runbook=runbook, **dict(body))
        return await self._answers.steps(f"runbook {runbook}", self._control.runbook_start(order))

    async def _answer(self, request: Request) -> Response:
        body = await body_of(request, AnswerBody)
        run = str(request.path_params["run"])
        answer = self._control.runbook_answer(run, body.step, body.choice, body.by, body.words)
        return await self._answers.single(f"answer to {run}", answer)

    async def _abort(self, request: Request) -> Response:
        body = await body_of(request, AbortBody)
        run = str(request.path_params["run"])
        abort = self._control.runbook_abort(run, body.by, body.words, body.takes_back)
        return await self._answers.single(f"abort of {run}", abort)
