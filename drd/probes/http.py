"""What a web server answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

import h11
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from drd.clients.http import HttpAnswer, exchange
from drd.clients.lines import meaning
from drd.core.lists import OneOrMany
from drd.core.probing import Failure, ProbeResult
from drd.core.units import Days, PositiveDuration, format_duration
from drd.ports.clock import Clock
from drd.ports.probe import Probe, Prober, Target, nothing
from drd.ports.world import World


def _is_web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("write it like https://shop.example/health")
    return url


class HttpProbe(Probe):
    """A web server that answers as it should: `http: {url: "https://shop.example/health"}`. Follows no redirection."""

    kind: ClassVar[str] = "http"

    url: Annotated[str, AfterValidator(_is_web_address)]
    """What is asked for. The name in it is what the certificate has to be for; `${host}` is no part of it."""
    at_node: bool = False
    """Connect to the node's own address instead of to what the name in the URL leads to."""
    status: OneOrMany[Annotated[int, Field(ge=100, le=599)]] = (200,)
    """The status codes that count as well."""
    body: str | None = None
    """A text that the answer has to hold."""
    certificate: Days | None = None
    """For how long the certificate has to be good still."""
    timeout: PositiveDuration = Field(default="5s", validate_default=True)
    """An answer that takes longer is none."""

    @field_validator("certificate")
    @classmethod
    def _has_one(cls, value: timedelta | None, about: ValidationInfo) -> timedelta | None:
        if value is not None and urlsplit(about.data.get("url", "https:")).scheme == "http":
            raise ValueError("`url` is of http, which shows no certificate: write https:// there, or remove this")
        return value

    def summary(self) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}{parts.path} answers {' or '.join(map(str, self.status))}"

    @asynccontextmanager
    async def opened(self, world: World, target: Target) -> AsyncIterator[Prober]:
        """Ready to look."""
        yield _Prober(world.clock, self, target.host if self.at_node else None)


class _Prober:
    def __init__(self, clock: Clock, probe: HttpProbe, address: str | None) -> None:
        self._clock, self._probe, self._address = clock, probe, address

    async def look(self) -> ProbeResult:
        began = self._clock.monotonic()
        failed = await self._failed()
        took = self._clock.monotonic() - began
        if failed is None:
            return ProbeResult(HttpProbe.kind, began, took)
        return ProbeResult(HttpProbe.kind, began, took, *failed)

    def on_closed(self, call: Callable[[], None]) -> Callable[[], None]:
        return nothing

    async def _failed(self) -> tuple[Failure, str] | None:
        seconds = self._probe.timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                answer = await exchange("GET", self._probe.url, address=self._address)
        except TimeoutError:
            return Failure.TIMEOUT, f"no answer within {seconds:g} s"
        except ssl.SSLCertVerificationError as error:
            return Failure.WRONG_ANSWER, f"its certificate: {error.verify_message}"
        except (ssl.SSLError, h11.RemoteProtocolError) as error:
            return Failure.PROTOCOL, f"what answers does not speak as it should: {error}"
        except OSError as error:
            return meaning(error)
        why = self._wrong(answer)
        return (Failure.WRONG_ANSWER, why) if why else None

    def _wrong(self, answer: HttpAnswer) -> str:
        """What is wrong about an answer; empty where nothing is."""
        if answer.status not in self._probe.status:
            return f"it answers {answer.status}"
        if self._probe.body is not None and self._probe.body.encode() not in answer.body:
            return "its answer lacks the text that it should hold"
        if self._probe.certificate is not None and answer.certificate_until is not None:
            left = answer.certificate_until - self._clock.now()
            if left < self._probe.certificate:
                days = format_duration(timedelta(days=max(0, left.days)))
                return f"its certificate is good for {days} only"
        return ""
