"""What is the matter with a node: a named cause built from several signals, never just "down".

Slow is never dead, and "replication is connected" is never alive: a standby counts as a witness only by when it last
heard from its primary, told by the standby's own clock, so that no two clocks are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from drd.core.health import ClusterView, NodeView, Streak
from drd.core.position import Order
from drd.core.probing import DatabaseSeen, Failure, Sign
from drd.core.runbook import NodeState

CRASHES: Final = 3
"""So many restarts within ten minutes are a loop."""
ASKING_SECONDS: Final = 5.0
"""A standby that asks a silent primary for a sign of life within so long is waited for."""
ANSWER_SECONDS: Final = 1.0
"""Within which that comes."""
WAIT_SECONDS: Final = 2.0
"""A commit that waits longer for a standby is blocked."""


class Cause(StrEnum):
    """What is the matter."""

    WELL = "well"
    UNKNOWN = "not known yet"
    PROCESS_DEAD = "process dead"
    HOST_SILENT = "host silent"
    UNREACHABLE_FROM_HERE = "unreachable only from here"
    ACCEPTS_TCP_NOT_SQL = "accepts TCP but not SQL"
    CONNECTIONS_EXHAUSTED = "connections exhausted"
    READS_NOT_WRITES = "reads but does not write"
    SYNC_BLOCKED = "synchronous replication blocked"
    RESTARTING = "restarting"
    RESTARTS_TOO_LONG = "restarting for too long"
    CRASH_LOOP = "crash loop"
    OVERLOADED = "overloaded"
    TWO_PRIMARIES = "two primaries"
    LEADS_NO_MORE = "leads no more"
    DIVERGED = "diverged standby"
    NOT_LET_IN = "drd is not let in"
    ANSWERS_WRONGLY = "answers wrongly"
    OBSERVER_SUSPECT = "observer suspect"


_STATES: Final = {
    Cause.UNKNOWN: NodeState.UNKNOWN,
    Cause.PROCESS_DEAD: NodeState.DOWN,
    Cause.HOST_SILENT: NodeState.DOWN,
    Cause.ACCEPTS_TCP_NOT_SQL: NodeState.DOWN,
    Cause.RESTARTS_TOO_LONG: NodeState.DOWN,
    Cause.CRASH_LOOP: NodeState.DOWN,
    Cause.ANSWERS_WRONGLY: NodeState.DOWN,
    Cause.UNREACHABLE_FROM_HERE: NodeState.UNKNOWN,
    Cause.RESTARTING: NodeState.UNKNOWN,
    Cause.NOT_LET_IN: NodeState.UNKNOWN,
    Cause.OBSERVER_SUSPECT: NodeState.UNKNOWN,
}
"""What each cause amounts to; one that is not here is a node that is up, and not well."""
_FIRMNESS: Final = {Cause.HOST_SILENT: 0, Cause.ACCEPTS_TCP_NOT_SQL: 1, Cause.PROCESS_DEAD: 2}
"""How much there is behind a verdict on what does not answer: nothing at all, a handshake, a refusal."""
LOST: Final = frozenset(
    {
        Cause.PROCESS_DEAD,
        Cause.HOST_SILENT,
        Cause.ACCEPTS_TCP_NOT_SQL,
        Cause.RESTARTS_TOO_LONG,
        Cause.CRASH_LOOP,
    }
)
"""The causes for which a primary may be replaced."""


@dataclass(frozen=True, slots=True)
class NodeVerdict:
    """What is the matter with one node."""

    node: str
    cause: Cause
    since: float
    """Monotonic seconds: since when that is the verdict."""
    why: str = ""
    """What it is built from, in a few words."""

    @property
    def state(self) -> NodeState:
        """Up, down or unknown."""
        return _STATES.get(self.cause, NodeState.UP)

    @property
    def is_lost(self) -> bool:
        """Whether it is a cause for which a primary may be replaced."""
        return self.cause in LOST


def judge(view: ClusterView, before: Mapping[str, NodeVerdict]) -> dict[str, NodeVerdict]:
    """The verdict on each node; `before` are the last ones, which stay until something else is known for sure."""
    return {node.name: _judged(node, view, before.get(node.name)) for node in view.nodes}


def _judged(node: NodeView, view: ClusterView, before: NodeVerdict | None) -> NodeVerdict:
    found = _cause(node, view)
    if found is None:
        if before is not None:
            return before
        found = Cause.UNKNOWN, "it has not been looked at often enough"
    cause, why = found
    if before is not None and _is_said_better(node, before, cause):
        return before
    if before is not None and before.cause is cause:
        return NodeVerdict(node.name, cause, before.since, why)
    return NodeVerdict(node.name, cause, view.at, why)


def _is_said_better(node: NodeView, before: NodeVerdict, cause: Cause) -> bool:
    """Whether a node that has not answered since is known better already: where packets are lost each look differs."""
    has_answered = node.seen is not None and node.seen_at > before.since
    known, found = _FIRMNESS.get(before.cause), _FIRMNESS.get(cause)
    return not has_answered and known is not None and found is not None and found < known


def _cause(node: NodeView, view: ClusterView) -> tuple[Cause, str] | None:
    """The cause and what it is built from; None as long as nothing new is known for sure."""
    streaks = [streak for streak in node.streaks.values() if streak.last is not None]
    if not streaks:
        return None
    is_failing = any(streak.failing_since is not None for streak in streaks)
    if is_failing and (suspicion := view.doubt_of(node.name)):
        # A single failure of a node that was well changes nothing anyway.
        return (Cause.OBSERVER_SUSPECT, suspicion) if any(each.is_good is False for each in streaks) else None
    database = node.database
    if database is not None and database.last is not None:
        if database.failing_since is not None:
            return _of_failing_database(node, database, view)
        if not database.is_good:
            return None
        found = _of_living_database(node, database, view) or _of_other_probes(node)
        return found or (None if _is_recovering(streaks) else (Cause.WELL, ""))
    if any(streak.is_good is None for streak in streaks):
        return _of_other_probes(node)
    return _of_other_probes(node) or (None if is_failing or _is_recovering(streaks) else (Cause.WELL, ""))


def _is_recovering(streaks: Iterable[Streak]) -> bool:
    """Whether something that was bad has not been good for long enough yet."""
    return any(streak.is_good is False for streak in streaks)


def _of_other_probes(node: NodeView) -> tuple[Cause, str] | None:
    """What probes other than the database's say; beside a database that answers, that it is not well."""
    bad = [
        (name, streak)
        for name, streak in sorted(node.streaks.items())
        if streak.bad_since is not None and streak.last is not None and streak is not node.database
    ]
    if not bad:
        return None
    name, streak = bad[0]
    why = f"{name}: {streak.last.message}" if streak.last else name
    if node.database is not None:
        return Cause.OVERLOADED, why
    if streak.kinds == {Failure.REFUSED}:
        return Cause.PROCESS_DEAD, why
    if streak.kinds == {Failure.TIMEOUT}:
        return (Cause.ACCEPTS_TCP_NOT_SQL if Sign.ACCEPTS_TCP in streak.signs else Cause.HOST_SILENT), why
    return Cause.ANSWERS_WRONGLY, why


def _of_failing_database(node: NodeView, streak: Streak, view: ClusterView) -> tuple[Cause, str] | None:
    why = streak.last.message if streak.last else ""
    signs = streak.last.signs if streak.last else frozenset()
    if Sign.NOT_LET_IN in signs:
        return Cause.NOT_LET_IN, why
    # A look that takes too long is no crash more.
    if len(node.restarts) >= CRASHES and (Sign.RESTARTING in signs or streak.kinds == {Failure.REFUSED}):
        return Cause.CRASH_LOOP, f"{len(node.restarts)} restarts within ten minutes; {why}"
    if Sign.RESTARTING in signs:
        return _of_restart(node, streak, view, why)
    if streak.bad_since is None:
        return None
    if Sign.NO_CONNECTION_LEFT in signs:
        return Cause.CONNECTIONS_EXHAUSTED, why
    if streak.last is not None and streak.last.failure in (Failure.PROTOCOL, Failure.WRONG_ANSWER):
        return Cause.ANSWERS_WRONGLY, why
    return _of_silence(node, streak, view, why)


def _of_restart(node: NodeView, streak: Streak, view: ClusterView, why: str) -> tuple[Cause, str]:
    """It starts or recovers, which is not dead; but a primary that does so for too long does not serve either."""
    lasts, limit = view.at - max((streak.failing_since or 0.0, *node.restarts)), view.rules.recovering_seconds
    if node.name != view.primary or lasts <= limit:
        return Cause.RESTARTING, why
    return Cause.RESTARTS_TOO_LONG, f"for {lasts:.0f} s, and {limit:.0f} s are waited for; {why}"


def _of_silence(node: NodeView, streak: Streak, view: ClusterView, why: str) -> tuple[Cause, str] | None:
    """Refused or timed out for long enough: dead, silent, or unreachable only from here. The standbys know more.

    A handshake that came through proves little: where packets are lost, a whole conversation comes through more seldom.
    """
    since = view.at if streak.failing_since is None else streak.failing_since
    is_refused = streak.last is not None and streak.last.failure is Failure.REFUSED
    # A process that dies takes its connections along. For one that is silent, what comes may be late: they are asked
    # only when the time-outs are enough, so that in the meantime they would have heard.
    asked_from = since if is_refused or streak.bad_since is None else streak.bad_since
    peers = view.others(node.name)
    asked = [each for each in peers if each.seen is not None and each.seen_at > asked_from]
    for each in asked:
        heard = _heard_at(each)
        if heard is not None and heard > since and node.name == view.primary:
            return Cause.UNREACHABLE_FROM_HERE, f"{each.name} still receives from it; {why}"
    if not is_refused and node.name == view.primary and any(_is_to_hear_yet(each) for each in asked):
        return None
    askable = [each for each in peers if each.database is not None]
    if askable and not asked:
        if any(each.database is not None and each.database.failing_since is None for each in askable):
            return None
        if not is_refused:
            return Cause.OBSERVER_SUSPECT, "drd reaches no node of the cluster: it may be cut off itself"
    if streak.last is not None and Sign.ACCEPTS_TCP in streak.last.signs:
        return Cause.ACCEPTS_TCP_NOT_SQL, why
    # A refusal comes from the machine itself, so drd's own line to it is whole.
    return (Cause.PROCESS_DEAD if is_refused else Cause.HOST_SILENT), why


def _is_to_hear_yet(standby: NodeView) -> bool:
    """Whether it has had no cause yet to ask its primary: where nobody writes, nothing else is to be heard."""
    heard, seen = _heard_at(standby), standby.seen
    if heard is None or seen is None or seen.asks_after_seconds is None or seen.asks_after_seconds > ASKING_SECONDS:
        return False
    return standby.seen_at < heard + seen.asks_after_seconds + ANSWER_SECONDS


def _heard_at(standby: NodeView) -> float | None:
    seen = standby.seen
    if seen is None or seen.is_primary or seen.heard_seconds_ago is None:
        return None
    return standby.seen_at - seen.heard_seconds_ago


def _of_living_database(node: NodeView, streak: Streak, view: ClusterView) -> tuple[Cause, str] | None:
    seen = node.seen
    if seen is not None:
        found = next(_of_primary(node, seen, view) if seen.is_primary else _of_standby(node, seen, view), None)
        if found is not None:
            return found
    if len(node.restarts) >= CRASHES:
        return Cause.CRASH_LOOP, f"{len(node.restarts)} restarts within ten minutes"
    if streak.slow >= view.rules.fall and streak.last is not None and streak.usual_seconds is not None:
        slow, usual = streak.last.latency, streak.usual_seconds
        return Cause.OVERLOADED, f"it answers in {slow:.2f} s instead of {usual:.3f} s"
    return None


def _of_primary(node: NodeView, seen: DatabaseSeen, view: ClusterView) -> Iterator[tuple[Cause, str]]:
    rivals = [
        each.name
        for each in view.others(node.name)
        if each.seen is not None
        and each.seen.is_primary
        and each.seen.cluster == seen.cluster
        and each.database is not None
        and each.database.failing_since is None
        and each.is_fresh(view.at, view.fresh_seconds)
    ]
    if rivals:
        yield Cause.TWO_PRIMARIES, f"{' and '.join(rivals)} takes writes too"
    if node.write_failures >= view.rules.fall:
        yield Cause.READS_NOT_WRITES, seen.write_failed
    if seen.longest_wait_seconds > WAIT_SECONDS:
        yield Cause.SYNC_BLOCKED, f"a commit has waited {seen.longest_wait_seconds:.1f} s for a standby"


def _of_standby(node: NodeView, seen: DatabaseSeen, view: ClusterView) -> Iterator[tuple[Cause, str]]:
    if node.name == view.primary:
        # As one that was started anew with the drop-in that keeps it from leading by itself after a reboot.
        yield Cause.LEADS_NO_MORE, "it was the primary, answers as a standby now, and no node takes writes"
    primary = next((each.seen for each in view.others(node.name) if each.name == view.primary), None)
    if primary is None or not primary.is_primary or primary.cluster != seen.cluster:
        return
    if seen.position.compare(primary.position) is Order.DIVERGED and _lineage_is_known(seen, primary):
        there, here = seen.position, primary.position
        yield Cause.DIVERGED, f"it is on timeline {there.timeline}, beyond where timeline {here.timeline} left that"


def _lineage_is_known(one: DatabaseSeen, other: DatabaseSeen) -> bool:
    later = max((one, other), key=lambda seen: seen.position.timeline)
    return bool(later.position.forks)
