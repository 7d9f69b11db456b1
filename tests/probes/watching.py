"""A probe over the real world, for a node of a test's choosing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from drd.clients.clock import SystemClock
from drd.clients.process import ChildRunner
from drd.core.secrets import SecretReference
from drd.ports.probe import Probe, Prober, Target
from drd.ports.world import World


class GivenSecrets:
    """Every reference opens to what a test has put here."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.reads = 0

    async def read(self, reference: SecretReference) -> bytes:
        self.reads += 1
        return self.secret


def a_target(host: str = "127.0.0.1", **more: Any) -> Target:
    return Target("orders", "orders-1", host, dsn=SecretReference(env="DSN"), **more)


@asynccontextmanager
async def probing(probe: Probe, target: Target | None = None, secrets: Any = None) -> AsyncIterator[Prober]:
    runner = ChildRunner()
    world = World(SystemClock(), runner, secrets or GivenSecrets(b""))
    async with probe.opened(world, target or a_target()) as prober:
        yield prober
