"""How work becomes an HTTP answer: lines of JSON with heartbeats between them, errors as values.

The work runs in a task of its own. A client that disconnects only stops reading; the work goes on to its end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from http import HTTPStatus

from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from drd.api.mailbox import Mailbox
from drd.core.errors import Busy, DrdError, RefusedByGuard, TransientError, UsageError
from drd.ports.steps import Problem, Step

HEARTBEAT_SECONDS = 5.0
LINES_OF_JSON = "application/x-ndjson"

OnBug = Callable[[str, BaseException], Awaitable[None]]
"""Called with what was asked and the exception, when drd itself made a mistake."""

Jsonable = BaseModel | Step | Sequence[BaseModel] | Sequence[str] | str | None


class Answers:
    """Runs what clients ask for and answers with what comes of it."""

    def __init__(self, on_bug: OnBug, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._on_bug = on_bug
        self._heartbeat_seconds = heartbeat_seconds
        self._work: set[asyncio.Task[None]] = set()

    async def single(self, question: str, answer: Awaitable[Jsonable]) -> Response:
        """Answer with one JSON value."""

        async def work(mailbox: Mailbox) -> None:
            mailbox.put(to_line(await answer))

        return await self._answer(question, work)

    async def document(self, question: str, answer: Awaitable[bytes], content_type: str) -> Response:
        """Answer with bytes that are made at once."""
        made: list[bytes] = []

        async def work(_mailbox: Mailbox) -> None:
            made.append(await answer)

        mailbox = Mailbox()
        problems: list[int] = []
        await self._carry_out(question, work, mailbox, problems)
        if problems:
            return Response(await mailbox.take(0), status_code=problems[0], media_type="application/json")
        return Response(made[0], headers={"content-type": content_type})

    async def steps(self, order: str, steps: AsyncIterator[Step]) -> Response:
        """Answer with a line for each step of long work, while it goes on."""

        async def work(mailbox: Mailbox) -> None:
            async for step in steps:
                mailbox.put(to_line(step), passing=step.kind == "progress")

        return await self._answer(order, work)

    async def finish(self) -> None:
        """Cancel what still runs and wait for it; called when nobody can ask or listen any more."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _answer(self, what: str, work: Callable[[Mailbox], Awaitable[None]]) -> Response:
        mailbox = Mailbox()
        problems: list[int] = []
        task = asyncio.create_task(self._carry_out(what, work, mailbox, problems), name=f"api: {what}")
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        first = await mailbox.take(self._heartbeat_seconds)
        if problems and first is not None:
            return Response(first, status_code=problems[0], media_type="application/json")
        return StreamingResponse(self._lines(first, mailbox), media_type=LINES_OF_JSON)

    async def _lines(self, first: bytes | None, mailbox: Mailbox) -> AsyncIterator[bytes]:
        line = first
        while line is not None:
            yield line
            line = await mailbox.take(self._heartbeat_seconds)

    async def _carry_out(
        self, what: str, work: Callable[[Mailbox], Awaitable[None]], mailbox: Mailbox, problems: list[int]
    ) -> None:
        """Do the work; what goes wrong becomes its last line. A bug is told to `on_bug` and not to the client."""
        task = asyncio.ensure_future(work(mailbox))
        try:
            await asyncio.wait([task])
            error = task.exception()
            if isinstance(error, DrdError):
                problems.append(status_of(error))
                mailbox.put(problem_line(Problem.from_error(error)))
            elif error is not None:
                problems.append(HTTPStatus.INTERNAL_SERVER_ERROR)
                mailbox.put(problem_line(BUG))
                await self._on_bug(what, error)
        finally:
            task.cancel()
            await asyncio.wait([task])
            mailbox.close()


BUG = Problem(
    kind="DrdError",
    message="drd made a mistake of its own; the work was given up",
    hint="the journal has the details: drd journal show --kind bug-found",
)


def to_line(value: Jsonable) -> bytes:
    """One value as one line of JSON."""
    if isinstance(value, Step):
        return value.to_json().encode() + b"\n"
    if isinstance(value, BaseModel):
        return value.model_dump_json().encode() + b"\n"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return (
            json.dumps([v.model_dump(mode="json") if isinstance(v, BaseModel) else v for v in value]).encode() + b"\n"
        )
    return json.dumps(value).encode() + b"\n"


def problem_line(problem: Problem) -> bytes:
    """The last line of work that failed."""
    return problem.to_json().encode() + b"\n"


def refuse(error: DrdError, status: int | None = None) -> Response:
    """The answer to a question that could not even be asked."""
    line = problem_line(Problem.from_error(error))
    return Response(line, status_code=status or status_of(error), media_type="application/json")


def status_of(error: DrdError) -> int:
    """The HTTP status nearest to what the error means."""
    match error:
        case UsageError():
            return HTTPStatus.BAD_REQUEST
        case RefusedByGuard():
            return HTTPStatus.FORBIDDEN
        case Busy():
            return HTTPStatus.CONFLICT
        case TransientError():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            return HTTPStatus.UNPROCESSABLE_ENTITY
