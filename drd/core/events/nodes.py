"""The nodes that serve: what is the matter with them, told when that changes."""

from __future__ import annotations

from dataclasses import dataclass

from drd.core.events.body import Body


@dataclass(frozen=True)
class NodeJudged(Body):
    """The verdict on a node is another one than before. The first one after a start is told too, unless all is well."""

    KIND = "node-judged"
    policy: str
    node: str
    role: str
    """`primary`, `standby`, or empty where it is not known or there is none."""
    verdict: str
    """The cause in words, as `process dead`; `well` where nothing is the matter."""
    state: str
    """`up`, `down` or `unknown`."""
    message: str = ""
    """What the verdict is built from."""


@dataclass(frozen=True)
class PrimarySeen(Body):
    """A node was seen to be the primary: the first time since a start or an outage, or otherwise than before."""

    KIND = "primary-seen"
    policy: str
    node: str
    cluster: str
    """The identifier that all copies of one database share."""
    timeline: int
    synchronous: str = ""
    """What every commit surely waits for, as `synchronous_standby_names` says it; empty where commits do not."""


@dataclass(frozen=True)
class FailoverHeld(Body):
    """A primary is lost and nothing is started. Told once for each outage, and again when what holds it changes."""

    KIND = "failover-held"
    policy: str
    node: str
    guards: tuple[str, ...]
    """What keeps drd from acting, in words that stay the same."""
    message: str
    """The same as a sentence."""


@dataclass(frozen=True)
class OwnerTold(Body):
    """The policy's owner was told what keeps drd from replacing a primary: once, and again when that changes."""

    KIND = "owner-told"
    policy: str
    topic: str
    message: str
    people: tuple[str, ...]
    """Empty where the policy names no owner."""
    failures: tuple[str, ...] = ()
    """Who could not be reached, and why."""


@dataclass(frozen=True)
class StandbysGivenBack(Body):
    """Standbys that a run had cut off from their primary and left so receive from it again."""

    KIND = "standbys-given-back"
    policy: str
    primary: str
    nodes: tuple[str, ...]
