"""Which standby is promoted: by timeline, then by what it has received, then by priority; and why others are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from drd.core.health import ClusterView, NodeView
from drd.core.position import Order
from drd.core.probing import DatabaseSeen
from drd.core.units import format_size

REPLAYED_A_SECOND: Final = 100 * 2**20
"""Bytes of log that a standby surely replays in a second; 130 MiB/s were measured on a small machine."""
PROMOTING_SECONDS: Final = 0.5
"""A promotion with nothing left to replay, and the steps around it."""
MAY_HANG: Final = "its restore_command has no time limit, and where that hangs a promotion waits for it"
RETRY_IS_LONG_SECONDS: Final = 1.0
"""A standby that sleeps longer between two tries for log may sleep through the order to promote."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A standby, and why it may not be promoted where it may not."""

    node: str
    why_not: str = ""
    lag_bytes: int | None = None
    """What it lacks of what the primary was last seen to have; None where that is not known."""
    lag: timedelta | None = None
    """The newest data that it lacks at most, by the heartbeat; None where there is none."""
    forecast: timedelta = timedelta(0)
    """How long its promotion will take."""
    risk: str = ""
    """What may hold its promotion up, for nobody knows how long."""
    has_all: bool = False
    """Whether commits waited so that it surely has all that was acknowledged, however old that is."""


def candidates(view: ClusterView) -> tuple[Candidate, ...]:
    """All nodes but the primary, the best first, those that may not be promoted last."""
    primary = next((node for node in view.nodes if node.name == view.primary), None)
    others = [node for node in view.nodes if primary is None or node.name != primary.name]
    ranked = sorted(others, key=_rank, reverse=True)
    drawn = [_candidate(node, primary, ranked, view) for node in ranked]
    return tuple(sorted(drawn, key=lambda each: bool(each.why_not)))


def unheard_confirmations(view: ClusterView) -> str:
    """Why the newest standby that answers may lack what was acknowledged; empty where it has all, or nobody can tell.

    A commit is on so many (W) of the N standbys that synchronous replication names. It is on one of the R of them that
    answer only if R + W > N. A standby that does not tell its name may be any of them. Of a primary that was lost
    before drd began nobody knows what its commits waited for, so that every standby has to answer.
    """
    primary = next((node for node in view.nodes if node.name == view.primary), None)
    if primary is None:
        return ""
    if primary.seen is None:
        silent = [node.name for node in view.others(primary.name) if not _answers(node)]
        why = f"{primary.name} was lost before drd began, so nobody knows what its commits waited for"
        return f"{why}, and {' and '.join(silent)} may have more and does not answer" if silent else ""
    quorum = primary.seen.quorum
    if quorum is None or quorum.needed < 1 or quorum.is_any:
        return ""
    others = view.others(primary.name)
    answering = [
        node.seen.replicates_as for node in others if _answers(node) and node.seen and not node.seen.is_primary
    ]
    heard = sum(not name or name in quorum.named for name in answering)
    if heard + quorum.needed > len(quorum.named):
        return ""
    named, answer = ", ".join(quorum.named), "answers" if heard == 1 else "answer"
    return f"commits were confirmed by {quorum.needed} of {named}, and only {heard} {answer}: the others may have more"


def _answers(node: NodeView) -> bool:
    return node.seen is not None and node.database is not None and node.database.failing_since is None


def _rank(node: NodeView) -> tuple[int, int, int, str]:
    if node.seen is None:
        return (0, 0, node.priority, node.name)
    return (*_reached(node.seen), node.priority, node.name)


def _candidate(node: NodeView, primary: NodeView | None, others: list[NodeView], view: ClusterView) -> Candidate:
    seen = node.seen
    if seen is None:
        return Candidate(node.name, "it has never answered")
    was = None if primary is None else primary.seen
    why_not = next(_why_not(node, seen, was, others, view), "")
    lag_bytes, lag = _lag_bytes(seen, was), _lag(node, seen, primary, view.at)
    risk = MAY_HANG if seen.may_hang else ""
    return Candidate(node.name, why_not, lag_bytes, lag, _forecast(seen), risk, _has_all(seen, was, view))


def _has_all(seen: DatabaseSeen, was: DatabaseSeen | None, view: ClusterView) -> bool:
    """Whether every commit waited for so many standbys that one of those that answer has it, and none has more."""
    recalled = view.recalled if view.recalled is not None and view.recalled.node == view.primary else None
    rule = was.quorum if was is not None else None if recalled is None else recalled.quorum
    if rule is None or not rule.is_sure:
        return False
    answering = [each.seen for each in view.nodes if each.name != view.primary and each.seen and _answers(each)]
    heard = {each.replicates_as for each in answering if not each.is_primary} & set(rule.named)
    newest = max((_reached(each) for each in answering), default=(0, 0))
    return len(heard) + rule.needed > len(rule.named) and _reached(seen) >= newest


def _reached(seen: DatabaseSeen) -> tuple[int, int]:
    return seen.position.timeline, seen.position.offset


def _why_not(
    node: NodeView, seen: DatabaseSeen, was: DatabaseSeen | None, others: list[NodeView], view: ClusterView
) -> Iterator[str]:
    if not node.is_fresh(view.at, view.fresh_seconds):
        yield f"it has not answered for {view.at - node.seen_at:.0f} s"
    if seen.is_primary:
        yield "it is no standby"
    if was is None:
        yield from _why_not_by_memory(seen, view)
    elif was.cluster != seen.cluster:
        yield "it is of another database cluster"
    elif seen.position.timeline < was.position.timeline:
        yield f"it is on timeline {seen.position.timeline}, and the primary was on {was.position.timeline}"
    elif seen.position.timeline > was.position.timeline and seen.position.compare(was.position) is Order.DIVERGED:
        yield f"its timeline {seen.position.timeline} left the primary's before what that has written"
    newest = max((each.seen.position.timeline for each in others if each.seen is not None), default=0)
    if seen.position.timeline < newest:
        yield f"another node is on timeline {newest}"
    if seen.is_paused:
        yield "its replay is paused"
    if seen.delay_seconds > 0:
        yield f"it replays {seen.delay_seconds:.0f} s late on purpose"


def _why_not_by_memory(seen: DatabaseSeen, view: ClusterView) -> Iterator[str]:
    """Of a primary that died before this daemon began only the journal tells."""
    was = view.recalled
    if was is None or was.node != view.primary:
        yield "the primary has never been seen, so nobody can tell whether it follows that"
    elif was.cluster != seen.cluster:
        yield "it is of another database cluster"
    elif was.timeline != seen.position.timeline:
        yield f"it is on timeline {seen.position.timeline}, and the primary was on {was.timeline}"


def _lag_bytes(seen: DatabaseSeen, was: DatabaseSeen | None) -> int | None:
    if was is None or not was.is_primary:
        return None
    return max(0, was.position.offset - seen.position.offset)


def _lag(node: NodeView, seen: DatabaseSeen, primary: NodeView | None, now: float) -> timedelta | None:
    """How much older its newest heartbeat was than the last moment at which the primary was seen to be well.

    Where this daemon never saw the primary, that moment may have been any: all the time since the heartbeat counts.
    """
    if not seen.beats or primary is None:
        return None
    written_at = node.seen_at - min(beat.age_seconds for beat in seen.beats)
    last_well = now if primary.seen is None else primary.seen_at
    return timedelta(seconds=max(0.0, last_well - written_at))


def _forecast(seen: DatabaseSeen) -> timedelta:
    backlog = 0 if seen.replayed is None else max(0, seen.position.offset - seen.replayed)
    retry = seen.retry_seconds or 0.0
    slept = retry if retry > RETRY_IS_LONG_SECONDS else 0.0
    return timedelta(seconds=PROMOTING_SECONDS + backlog / REPLAYED_A_SECOND + slept)


def words_of_loss(candidate: Candidate) -> str:
    """What its promotion would cost, for people."""
    if candidate.has_all and candidate.lag_bytes is None:
        return "it has all that was acknowledged"
    if candidate.lag_bytes is None and candidate.lag is None:
        return "how much would be lost is not known"
    parts = [] if candidate.lag_bytes is None else [format_size(candidate.lag_bytes)]
    if candidate.lag is not None:
        parts.append(f"at most {candidate.lag.total_seconds():.1f} s")
    return f"it lacks {', '.join(parts)} of what the primary was last seen to have"
