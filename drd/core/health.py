"""What the results of a node's probes amount to: rise and fall, damping, and all that is known of a cluster at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from drd.core.probing import DatabaseSeen, Failure, ProbeResult, Quorum, Sign

FLAP_SECONDS: Final = 600.0
"""Changes between good and bad are remembered for so long."""
FREE_CHANGES: Final = 2
"""So many of them are no flapping: one outage and its end."""
MOST_DAMPING: Final = 8
"""A node that flaps has to be good or bad at most so many times longer before that counts."""
RESTART_SECONDS: Final = 600.0
"""Restarts are remembered for so long."""
USUAL_WEIGHT: Final = 0.1
"""How much one more look changes what is usual for its latency."""


RECOVERING_SECONDS: Final = 300.0
"""A server that says that it recovers is waited for so long where no RTO is promised: most recoveries are shorter."""
LEAST_RECOVERING_SECONDS: Final = 5.0
"""However short the RTO is: a recovery that comes to its end is the gentlest end of an outage."""


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """How sure one has to be."""

    every_seconds: float = 1.0
    timeout_seconds: float = 1.0
    """How long a look may take."""
    fall: int = 3
    """So many failures in a row count as bad."""
    rise: int = 3
    """So many successes in a row count as good again."""
    recovering_seconds: float = RECOVERING_SECONDS
    """For how long a primary that says that it starts or recovers is waited for."""


@dataclass(frozen=True, slots=True)
class Streak:
    """What the results of one probe amount to so far."""

    is_good: bool | None = None
    """None until enough has been seen."""
    good: int = 0
    bad: int = 0
    """Successes and failures in a row, one of them 0."""
    kinds: frozenset[Failure] = frozenset()
    """Of the failures in a row."""
    signs: frozenset[Sign] = frozenset()
    """Of the failures in a row."""
    failing_since: float | None = None
    """When the first failure in a row was over; None while it succeeds."""
    failed_from: float | None = None
    """When the first look that failed in a row began; None while it succeeds."""
    bad_since: float | None = None
    """When the failures in a row were enough to count; None while they are not, as after any success."""
    changes: tuple[float, ...] = ()
    """When it went from good to bad or back lately."""
    slow: int = 0
    """Successes in a row that took far longer than usual."""
    usual_seconds: float | None = None
    """What a success takes usually."""
    last: ProbeResult | None = None

    def damping(self, now: float) -> int:
        """How many times longer it has to last because it flaps: 1, 2, 4, 8."""
        lately = sum(1 for change in self.changes if now - change <= FLAP_SECONDS)
        return int(min(MOST_DAMPING, 2 ** max(0, lately - FREE_CHANGES)))

    def after(self, result: ProbeResult, rules: Hysteresis) -> Streak:
        """The same with one more result."""
        counted = self._counted(result)
        damping = counted.damping(result.ended)
        if result.is_good:
            needed = 1 if self.is_good is None else rules.rise * damping
            turned = counted.good >= needed
        else:
            needed = (1 if counted.has_ended_for_sure else rules.fall) * damping
            turned = counted.bad >= needed
            if turned and counted.bad_since is None:
                counted = replace(counted, bad_since=result.ended)
        if not turned or self.is_good is result.is_good:
            return counted
        changes = (*counted.changes, result.ended) if self.is_good is not None else counted.changes
        return replace(counted, is_good=result.is_good, changes=changes)

    @property
    def has_ended_for_sure(self) -> bool:
        """Whether a session was closed and the port is refused: of that one look is enough."""
        return Sign.SESSION_CLOSED in self.signs and self.kinds == {Failure.REFUSED}

    def _counted(self, result: ProbeResult) -> Streak:
        kept = tuple(change for change in self.changes if result.ended - change <= FLAP_SECONDS)
        if result.failure is not None:
            return replace(
                self,
                good=0,
                slow=0,
                bad=self.bad + 1,
                kinds=self.kinds | {result.failure},
                signs=self.signs | result.signs,
                failing_since=result.ended if self.failing_since is None else self.failing_since,
                failed_from=result.began if self.failed_from is None else self.failed_from,
                changes=kept,
                last=result,
            )
        usual = result.latency if self.usual_seconds is None else self.usual_seconds
        is_slow = result.latency > slow_from(usual)
        return replace(
            self,
            good=self.good + 1,
            bad=0,
            kinds=frozenset(),
            signs=frozenset(),
            failing_since=None,
            failed_from=None,
            bad_since=None,
            slow=self.slow + 1 if is_slow else 0,
            usual_seconds=usual + USUAL_WEIGHT * (min(result.latency, slow_from(usual)) - usual),
            changes=kept,
            last=result,
        )


def slow_from(usual_seconds: float) -> float:
    """From which latency on a success counts as slow."""
    return max(0.1, 10 * usual_seconds)


@dataclass(frozen=True, slots=True)
class NodeView:
    """All that is known of one node."""

    name: str
    priority: int = 0
    """Which standby is preferred among equals: the greater."""
    streaks: Mapping[str, Streak] = field(default_factory=dict)
    """Probe → what its results amount to."""
    seen: DatabaseSeen | None = None
    """What its database told last."""
    seen_at: float = 0.0
    """When that look began."""
    restarts: tuple[float, ...] = ()
    """When its database was seen to have been started anew, since it has the role that it has."""
    write_failures: int = 0
    """Looks in a row at which a row could not be written."""

    @property
    def database(self) -> Streak | None:
        """The probe that asks the database; None where there is none."""
        return self.streaks.get(DATABASE_PROBE)

    def after(self, result: ProbeResult, rules: Hysteresis) -> NodeView:
        """The same with one more result."""
        before = self.streaks.get(result.probe, Streak())
        streaks = {**self.streaks, result.probe: before.after(result, rules)}
        if result.probe != DATABASE_PROBE:
            return replace(self, streaks=streaks)
        restarts = tuple(moment for moment in self.restarts if result.ended - moment <= RESTART_SECONDS)
        if self._is_started_anew(before, result):
            restarts = (*restarts, result.ended)
        found = result.database
        if found is None:
            return replace(self, streaks=streaks, restarts=restarts)
        if self.seen is not None and found.is_primary != self.seen.is_primary:
            restarts = ()  # a failover or a switchover starts servers anew, and that is no crash
        failures = self.write_failures + 1 if found.write_failed else 0
        return replace(
            self, streaks=streaks, restarts=restarts, seen=found, seen_at=result.began, write_failures=failures
        )

    def _is_started_anew(self, before: Streak, result: ProbeResult) -> bool:
        """Another process than before, or one that recovers after all its sessions were cut."""
        if result.database is not None and self.seen is not None and Sign.RESTARTING not in before.signs:
            return result.database.started != self.seen.started
        return Sign.RESTARTING in result.signs and Sign.RESTARTING not in before.signs

    def is_fresh(self, now: float, seconds: float) -> bool:
        """Whether its database answered within the last `seconds`."""
        return self.seen is not None and now - self.seen_at <= seconds


DATABASE_PROBE: Final = "postgres"
"""The probe whose results carry what a database tells of itself."""


@dataclass(frozen=True, slots=True)
class Observer:
    """How far drd itself can be believed at this moment."""

    late_seconds: float = 0.0
    """How late its own loop came round lately."""
    stepped_seconds: float = 0.0
    """By how much its clock was set lately, or its machine stood still."""
    unrelated: int = 0
    """How many nodes of other clusters it looks at."""
    unrelated_failing: int = 0
    """How many of those have just begun not to answer in time, or far slower than usual."""

    @property
    def suspicion(self) -> str:
        """Why it is not to be believed now; empty where nothing speaks against it."""
        return self.doubt()

    def doubt(self, *, is_timeless: bool = False) -> str:
        """The same of what does not depend on time, where it is `is_timeless`: its lateness says nothing of that."""
        if self.late_seconds > LATE_SECONDS and not is_timeless:
            return f"drd's own loop came round {self.late_seconds:.1f} s late"
        if abs(self.stepped_seconds) > STEP_SECONDS:
            return f"the clock of drd's machine stepped by {self.stepped_seconds:.1f} s, or the machine stood still"
        if self.unrelated_failing >= FEWEST_UNRELATED and 2 * self.unrelated_failing >= self.unrelated:
            return f"{self.unrelated_failing} of {self.unrelated} nodes of other clusters are slow or silent too"
        return ""


LATE_SECONDS: Final = 0.25
"""A loop that is later than this may take its own lateness for a silence of others."""
STEP_SECONDS: Final = 2.0
FEWEST_UNRELATED: Final = 2
"""One other node that fails says nothing about drd."""
SILENT_TOGETHER_SECONDS: Final = 15.0
"""A line of drd's own that breaks shows in everything at once: what has been silent for longer says nothing new."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """The primary that an earlier daemon saw last."""

    node: str
    cluster: str
    timeline: int
    quorum: Quorum | None = None
    """What every commit surely waited for; None where commits did not."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """All that is known of a policy's nodes at one moment."""

    at: float
    """Monotonic seconds."""
    nodes: tuple[NodeView, ...]
    rules: Hysteresis = Hysteresis()
    observer: Observer = Observer()
    primary: str | None = None
    """The node that was the primary when that was last known."""
    recalled: Recalled | None = None
    """What the journal knows of a primary that this daemon may never have seen itself."""

    def node(self, name: str) -> NodeView:
        """The node of that name."""
        return next(each for each in self.nodes if each.name == name)

    def doubt_of(self, name: str | None) -> str:
        """Why drd is not to be believed now about a node: a closed session and a refusal are so at whatever time."""
        found = next((each for each in self.nodes if each.name == name), None)
        database = None if found is None else found.database
        return self.observer.doubt(is_timeless=database is not None and database.has_ended_for_sure)

    def others(self, name: str) -> tuple[NodeView, ...]:
        """All but one."""
        return tuple(each for each in self.nodes if each.name != name)

    @property
    def fresh_seconds(self) -> float:
        """What was seen longer ago than this is no longer known."""
        return fall_seconds(self.rules)


def fall_seconds(rules: Hysteresis) -> float:
    """How long it takes until time-outs in a row count."""
    return rules.fall * max(rules.every_seconds, rules.timeout_seconds) + rules.every_seconds


def recovering_seconds(rto: timedelta | None) -> float:
    """For how long a primary that recovers is waited for: half of the RTO, so that the rest is left to replace it."""
    return RECOVERING_SECONDS if rto is None else max(LEAST_RECOVERING_SECONDS, rto.total_seconds() / 2)


def together_seconds(rules: Hysteresis) -> float:
    """How long an unrelated node that is silent says something about drd: at least until time-outs surely count."""
    return max(SILENT_TOGETHER_SECONDS, 2 * fall_seconds(rules))


def known_primary(nodes: tuple[NodeView, ...], before: str | None, recalled: Recalled | None = None) -> str | None:
    """The node that is the primary: the one of the newest timeline that says so; else the one that was.

    A former primary that comes back says so too, on its old timeline. So does it to a daemon to which the one that an
    earlier daemon saw lead, the `recalled` one, has not answered yet: that one counts on, silent as it is.
    """
    is_silent = any(each.seen is None for each in nodes if recalled is not None and each.name == recalled.node)
    past = recalled if is_silent else None
    claims = [
        (each.seen.position.timeline, each.seen_at, each.name)
        for each in nodes
        if each.seen is not None and each.seen.is_primary
        if past is None or each.seen.cluster != past.cluster or each.seen.position.timeline >= past.timeline
    ]
    newest = max((timeline for timeline, _, _ in claims), default=0)
    names = [name for timeline, _, name in sorted(claims, reverse=True) if timeline == newest]
    if before in names:
        return before
    return names[0] if names else before
