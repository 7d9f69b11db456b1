"""The routes of `Control` on the control socket."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from drd.api.answers import Answers, refuse
from drd.api.bodies import LongWords, Words, body_of
from drd.core.errors import DrdError, UsageError
from drd.ports.control import Control, Message
from drd.ports.restoring import RestoreOrder


class BackupOrder(Message):
    """Body of POST /policies/{policy}/backup."""

    full: bool = False
    by: Words


class RestoreBody(Message):
    """Body of POST /policies/{policy}/restore."""

    target: Words
    by: Words
    at: datetime | None = None
    moment: Words = ""
    include: tuple[Words, ...] = ()
    store: Words | None = None
    is_without_wal: bool = False
    options: dict[Words, LongWords] = {}

    def order(self, policy: str) -> RestoreOrder:
        """The order, of a policy."""
        return RestoreOrder(policy=policy, **dict(self))


class PauseOrder(Message):
    """Body of POST /policies/{policy}/pause."""

    what: Words
    until: datetime
    reason: Words
    by: Words


class Order(Message):
    """Body of every other POST: who gave the order."""

    by: Words


class ControlRoutes:
    """One route a method of `Control`; bodies and answers are JSON."""

    def __init__(self, control: Control, answers: Answers) -> None:
        self._control = control
        self._answers = answers

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/status", self._status, methods=["GET"]),
            Route("/anchors", self._anchors, methods=["GET"]),
            Route("/reload", self._reload, methods=["POST"]),
            Route("/policies/{policy:path}/points", self._points, methods=["GET"]),
            Route("/policies/{policy:path}/covered", self._covered, methods=["GET"]),
            Route("/policies/{policy:path}/forget", self._forget_plan, methods=["GET"]),
            Route("/policies/{policy:path}/explain", self._explain, methods=["GET"]),
            Route("/policies/{policy:path}/backup", self._backup, methods=["POST"]),
            Route("/policies/{policy:path}/restore", self._restore, methods=["POST"]),
            Route("/policies/{policy:path}/forget", self._forget, methods=["POST"]),
            Route("/policies/{policy:path}/pause", self._pause, methods=["POST"]),
            Route("/policies/{policy:path}/resume", self._resume, methods=["POST"]),
            Route("/policies/{policy:path}/release", self._release_policy, methods=["POST"]),
            Route("/stores/{store:path}/check", self._check, methods=["POST"]),
            Route("/stores/{store:path}/release", self._release, methods=["POST"]),
            Route("/stores/{store:path}/accept", self._accept, methods=["POST"]),
        ]

    async def _status(self, _request: Request) -> Response:
        return await self._answers.single("status", self._control.status())

    async def _anchors(self, _request: Request) -> Response:
        return await self._answers.single("anchors", self._control.anchors())

    async def _reload(self, _request: Request) -> Response:
        return await self._answers.single("reload", self._control.reload())

    async def _points(self, request: Request) -> Response:
        policy = policy_of(request)
        why = request.query_params.get("why") == "true"
        return await self._answers.single(f"points of {policy}", self._control.points(policy, why))

    async def _covered(self, request: Request) -> Response:
        policy = policy_of(request)
        return await self._answers.single(f"what is covered of {policy}", self._control.covered(policy))

    async def _forget_plan(self, request: Request) -> Response:
        policy = policy_of(request)
        return await self._answers.single(f"plan to forget of {policy}", self._control.forget_plan(policy))

    async def _explain(self, request: Request) -> Response:
        policy = policy_of(request)
        return await self._answers.single(f"explain {policy}", self._control.explain(policy))

    async def _backup(self, request: Request) -> Response:
        order = await body_of(request, BackupOrder)
        policy = policy_of(request)
        return await self._answers.steps(f"backup of {policy}", self._control.backup(policy, order.full, order.by))

    async def _restore(self, request: Request) -> Response:
        policy = policy_of(request)
        order = (await body_of(request, RestoreBody)).order(policy)
        return await self._answers.steps(f"restore of {policy}", self._control.restore(order))

    async def _forget(self, request: Request) -> Response:
        order = await body_of(request, Order)
        policy = policy_of(request)
        return await self._answers.steps(f"forget of {policy}", self._control.forget(policy, order.by))

    async def _pause(self, request: Request) -> Response:
        order = await body_of(request, PauseOrder)
        policy = policy_of(request)
        pause = self._control.pause(policy, order.what, order.until, order.reason, order.by)
        return await self._answers.single(f"pause of {policy}", pause)

    async def _resume(self, request: Request) -> Response:
        order = await body_of(request, Order)
        policy = policy_of(request)
        return await self._answers.single(f"resume of {policy}", self._control.resume(policy, order.by))

    async def _check(self, request: Request) -> Response:
        order = await body_of(request, Order)
        store = store_of(request)
        return await self._answers.steps(f"check of {store}", self._control.check(store, order.by))

    async def _release(self, request: Request) -> Response:
        order = await body_of(request, Order)
        store = store_of(request)
        return await self._answers.single(f"release of {store}", self._control.release(store, order.by))

    async def _release_policy(self, request: Request) -> Response:
        order = await body_of(request, Order)
        policy = policy_of(request)
        return await self._answers.single(f"release of {policy}", self._control.release_policy(policy, order.by))

    async def _accept(self, request: Request) -> Response:
        order = await body_of(request, Order)
        store = store_of(request)
        return await self._answers.single(f"acceptance of {store}", self._control.accept(store, order.by))


def policy_of(request: Request) -> str:
    """The policy that a route names."""
    return str(request.path_params["policy"])


def store_of(request: Request) -> str:
    """The store that a route names."""
    return str(request.path_params["store"])


async def _refused(_request: Request, error: Exception) -> Response:
    # Starlette calls it for nothing else; its own types do not say so.
    return refuse(cast(DrdError, error))


async def _not_found(request: Request, _error: Exception) -> Response:
    error = UsageError(f"this daemon does not know {request.url.path}", "restart the daemon after an upgrade")
    return refuse(error, HTTPStatus.NOT_FOUND)


ERROR_HANDLERS = {DrdError: _refused, HTTPStatus.NOT_FOUND.value: _not_found}
"""For Starlette: how errors outside of the answers themselves are told."""
