"""Who may scrape and start runbooks: bearer tokens (RFC 6750) on the TCP door, where the configuration names some."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hmac import compare_digest
from http import HTTPStatus

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from drd.core.errors import DrdError

Tokens = Callable[[], Awaitable[frozenset[bytes] | None]]
"""The tokens that are good now, or None when nobody has to show one; asked for at each request, so that both can be
changed without a restart; who reads them keeps them for a moment.
"""
UNREAD = "drd cannot read which tokens are good: on its machine, type: drd validate --reach"
OPEN = ("/livez",)
"""What a load balancer or a supervisor asks without any secret."""

ORDERS = "/api/"
"""What begins with it starts something, and nobody does that without a token."""


class Guarded:
    """Lets through what shows a good token, and what needs none."""

    def __init__(self, inner: ASGIApp, tokens: Tokens) -> None:
        self._inner = inner
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 without a good token, and 503 when it cannot be told which tokens are good."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._inner(scope, receive, send)
            return
        try:
            good = await self._tokens()
        except DrdError:
            # Who has shown no token learns nothing of where they lie.
            refusal = PlainTextResponse(f"{UNREAD}\n", status_code=HTTPStatus.SERVICE_UNAVAILABLE)
            await refusal(scope, receive, send)
            return
        is_order = scope["path"].startswith(ORDERS)
        if good is None and is_order:
            refusal = PlainTextResponse(
                "nothing is started here without a token: name `http: {tokens: …}` in drd.yaml\n",
                status_code=HTTPStatus.FORBIDDEN,
            )
            await refusal(scope, receive, send)
            return
        if good is None or _is_good(dict(scope["headers"]).get(b"authorization", b""), good):
            await self._inner(scope, receive, send)
            return
        refusal = PlainTextResponse(
            "show a token: Authorization: Bearer …\n",
            status_code=HTTPStatus.UNAUTHORIZED,
            headers={"www-authenticate": 'Bearer realm="drd"'},
        )
        await refusal(scope, receive, send)


def read_tokens(secret: bytes) -> frozenset[bytes]:
    """One token a line; empty lines do not count."""
    return frozenset(line.strip() for line in secret.splitlines() if line.strip())


def _is_good(header: bytes, good: frozenset[bytes]) -> bool:
    scheme, _, shown = header.partition(b" ")
    # Every token is compared, in constant time each: the time tells nothing about any of them.
    matches = [compare_digest(shown.strip(), token) for token in good]
    return scheme.lower() == b"bearer" and any(matches)
