"""Questions that are put to a node again and again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from drd.core.findings import Finding
from drd.core.health import Hysteresis
from drd.core.kinds import Spec
from drd.core.probing import ProbeResult
from drd.core.secrets import SecretReference
from drd.core.units import PositiveDuration
from drd.ports.world import World


@dataclass(frozen=True, slots=True)
class Target:
    """A node of drd.yaml, as probes look at it."""

    policy: str
    node: str
    host: str
    site: str = ""
    priority: int = 0
    dsn: SecretReference | None = None
    """How its PostgreSQL is reached; None where it has none."""
    writes_as: str = ""
    """Whose row of the heartbeat a write check writes: an id of this daemon's own."""
    has_shell: bool = False
    """Whether its shell can be reached, so that its database can be stopped there."""
    has_power: bool = False
    """Whether it can be switched off from outside."""


class Prober(Protocol):
    """Looks at one node, with what it holds open between looks."""

    async def look(self) -> ProbeResult:
        """Look once, for about the probe's timeout at most. Never raises for what the node does."""
        ...

    def on_closed(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` called when the other end closes what is held open; what is returned ends that.

        Never at the same time as `look`. Does nothing where nothing is held open.
        """
        ...


def nothing() -> None:
    """What a prober that holds nothing open returns from `on_closed`."""


class Probe(Spec):
    """What is asked of a node."""

    timeout: PositiveDuration
    """An answer that takes longer is none."""

    def why_not(self, target: Target) -> str:
        """Why it cannot look at such a node; empty where it can."""
        return ""

    async def findings(self, world: World) -> tuple[Finding, ...]:
        """What is risky about the way to it that its users go as well; says nothing of whether it answers now."""
        return ()

    @abstractmethod
    def opened(self, world: World, target: Target) -> AbstractAsyncContextManager[Prober]:
        """Make ready to look. Opens no connection yet, so that entering does not fail for what the node does."""


@dataclass(frozen=True, slots=True)
class ServiceWatch:
    """How a service is looked at as its users reach it."""

    target: Target
    """Of no node."""
    probe: Probe
    rules: Hysteresis


@dataclass(frozen=True, slots=True)
class Watch:
    """How a policy's nodes are watched."""

    targets: tuple[Target, ...]
    probes: tuple[Probe, ...]
    rules: Hysteresis = field(default_factory=Hysteresis)
