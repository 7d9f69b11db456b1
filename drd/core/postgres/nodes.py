"""Which of a cluster's servers is asked: by what each is now, for names rot at the first failover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drd.core.errors import SourceRefused
from drd.core.postgres.errors import ServerAway
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import ServerFacts
from drd.core.probing import NodeRole as NodeRole


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at a node showed."""

    name: str
    facts: ServerFacts | None = None
    """None when it did not answer."""
    newest: Lsn | None = None
    """How far its WAL goes; None when it did not answer."""
    priority: int = 0
    """Which standby is preferred among equals: the greater."""
    why_not: str = ""
    """Why it did not answer."""

    @property
    def role(self) -> NodeRole | None:
        """What it is; None when it did not answer."""
        if self.facts is None:
            return None
        return NodeRole.STANDBY if self.facts.is_in_recovery else NodeRole.PRIMARY


@dataclass(frozen=True, slots=True)
class Choice:
    """The node that is asked."""

    node: Seen
    note: str = ""
    """Why it is not of the kind that was wanted first."""


def choose(seen: Sequence[Seen], wanted: Sequence[NodeRole]) -> Choice:
    """The best node of the first wanted role that there is.

    Raises `SourceRefused` when the nodes are of two clusters, or two are primary of one timeline, and when all answered
    and none is what is wanted. Raises `ServerAway` when one that did not answer may be.
    """
    _demand_one_cluster(seen)
    for role in wanted:
        fitting = _primaries(seen) if role is NodeRole.PRIMARY else _standbys(seen)
        if fitting:
            is_first = role is wanted[0]
            note = "" if is_first else f"no {wanted[0]} could be used: {_each(seen, without=fitting[0])}"
            return Choice(fitting[0], note)
    words = " or ".join(wanted)
    if any(each.facts is None for each in seen):
        raise ServerAway(f"no {words} was found: {_each(seen)}", "drd tries again by itself")
    hint = "correct nodes: of the policy" if len(wanted) > 1 else f"add fallback: {_other(wanted[0])} to the source"
    raise SourceRefused(f"no {words} was found: {_each(seen)}", hint)


def _demand_one_cluster(seen: Iterable[Seen]) -> None:
    clusters: dict[str, str] = {}
    for each in seen:
        if each.facts is not None:
            clusters.setdefault(each.facts.system_identifier, each.name)
    if len(clusters) > 1:
        words = " and ".join([f"{name} is of {identifier}" for identifier, name in clusters.items()])
        raise SourceRefused(f"the nodes are of different clusters: {words}", "correct nodes: of the policy")


def _primaries(seen: Iterable[Seen]) -> list[Seen]:
    """The primary of the newest timeline; an older one is a server that was left behind by a failover."""
    found = [(each.facts.timeline, each) for each in seen if each.facts is not None and not each.facts.is_in_recovery]
    newest = max((timeline for timeline, _ in found), default=0)
    primaries = [each for timeline, each in found if timeline == newest]
    if len(primaries) > 1:
        names = " and ".join([each.name for each in primaries])
        raise SourceRefused(
            f"{names} are both primary on timeline {newest}", "stop the one that clients must not write to"
        )
    return primaries


def _standbys(seen: Iterable[Seen]) -> list[Seen]:
    """Those that follow the newest timeline there is, the preferred one first."""
    answered = [(each.facts, each) for each in seen if each.facts is not None]
    newest = max((facts.timeline for facts, _ in answered), default=0)
    found = [each for facts, each in answered if facts.is_in_recovery and facts.timeline == newest]
    return sorted(found, key=lambda each: (-each.priority, -_far(each), each.name))


def _far(seen: Seen) -> int:
    return 0 if seen.newest is None else seen.newest.value


def _each(seen: Iterable[Seen], without: Seen | None = None) -> str:
    return "; ".join(_words(each) for each in seen if each is not without) or "there is no other node"


def _words(seen: Seen) -> str:
    if seen.facts is None:
        return f"{seen.name}: {seen.why_not}"
    return f"{seen.name} is a {seen.role} on timeline {seen.facts.timeline}"


def _other(role: NodeRole) -> NodeRole:
    return NodeRole.STANDBY if role is NodeRole.PRIMARY else NodeRole.PRIMARY
