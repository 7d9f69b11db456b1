"""What is done about a primary now, and why: one pure function, every reason with it.

Nothing here acts. A decision to promote needs a fence that is confirmed; a decision to fence needs a rung that can be
tried. A person who starts a runbook asks nobody here; its steps themselves refuse to promote without a fence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from drd.core.candidates import Candidate, candidates, unheard_confirmations
from drd.core.fencing import Fence, FenceState
from drd.core.health import ClusterView
from drd.core.node_verdicts import Cause, NodeVerdict
from drd.core.policy import DisasterClass
from drd.core.runbook import NodeState, RunbookMode
from drd.core.units import format_duration, format_size

DAY: Final = timedelta(days=1)


class Act(StrEnum):
    """What is done now."""

    HOLD = "hold"
    """Nothing: nothing is wrong, or something keeps drd from acting."""
    ASK = "ask"
    """A person has to approve."""
    RESTART = "restart"
    """Start the process again in its place first."""
    FENCE = "fence"
    """Make certain that the old primary acknowledges no write, then decide again."""
    PROMOTE = "promote"


class Guard(StrEnum):
    """What keeps drd from acting, in a word that stays the same."""

    OBSERVER = "observer"
    VIEW = "view"
    RIVAL = "rival"
    TWO_PRIMARIES = "two primaries"
    PRIMARY_ANSWERS = "primary answers"
    PAUSED = "paused"
    NO_RUNBOOK = "no runbook"
    MODE = "mode"
    BUSY = "run under way"
    TRIED = "tried before"
    SHARED = "shared cluster"
    HOLD_DOWN = "hold-down"
    PER_DAY = "per day"
    CANDIDATE = "candidate"
    LAG = "lag"
    QUORUM = "quorum"
    FENCE = "fence"


HELD_BACK: Final = "held back by"
"""How a line begins that tells one of them."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """One thing that keeps drd from acting."""

    guard: Guard
    why: str

    def __str__(self) -> str:
        return f"{self.guard}: {self.why}"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the policy and the runbook for a lost machine say."""

    mode: RunbookMode | None = None
    """Of the runbook; None where no runbook is for this disaster."""
    hold_down: timedelta | None = None
    per_day: int | None = None
    max_lag_bytes: int | None = None
    max_lag: timedelta | None = None
    """By the heartbeat: what may be lost at most."""
    restart: RunbookMode | None = None
    """Of the runbook that starts a dead process again, which is tried first; None where there is none."""
    is_triggered: bool = True
    """Whether the runbook names the loss of the primary among its triggers."""


@dataclass(frozen=True, slots=True)
class Rival:
    """Another daemon that keeps a heartbeat of the same policy."""

    daemon: str
    term: int


@dataclass(frozen=True, slots=True)
class View:
    """Everything that a decision is made from."""

    policy: str
    cluster: ClusterView
    verdicts: dict[str, NodeVerdict]
    rules: Rules = Rules()
    fences: tuple[Fence, ...] = ()
    failovers: tuple[datetime, ...] = ()
    """When failovers of the policy were completed; one that was not does not count."""
    paused: str = ""
    """Why failover is paused now; empty where it is not."""
    busy: str = ""
    """Which run works with the nodes now; empty where none does."""
    tried: str = ""
    """Which run was started for this outage already, and is over; empty where none was."""
    shared: str = ""
    """Which other policy replaces the primary of the same cluster by itself; empty where none does."""
    rivals: tuple[Rival, ...] = ()
    restart_is_over: bool = False
    """Whether starting the process again was tried in this outage, and did not help."""

    @property
    def primary(self) -> NodeVerdict | None:
        """The verdict on the primary; None where it is not known which node that is."""
        return None if self.cluster.primary is None else self.verdicts.get(self.cluster.primary)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done now, and why."""

    act: Act
    summary: str
    """One sentence."""
    aim: Act | None = None
    """What is done as soon as nothing stands in the way; None while nothing has to be."""
    primary: str | None = None
    cause: Cause | None = None
    disaster: DisasterClass | None = None
    """The class of what happened; None while nothing has."""
    candidate: Candidate | None = None
    blockers: tuple[Blocker, ...] = ()
    """All that keeps drd from acting, not the first alone."""
    candidates: tuple[Candidate, ...] = ()
    fences: tuple[Fence, ...] = ()

    @property
    def fence(self) -> Fence | None:
        """The rung that was confirmed; else the first that can be tried."""
        return _first(self.fences, FenceState.CONFIRMED) or _first(self.fences, FenceState.AVAILABLE)


def decide(view: View, now: datetime) -> Decision:
    """What is done about the primary now, all that blocks it, and what it would cost, also where nothing is wrong."""
    found = candidates(view.cluster)
    best = next((each for each in found if not each.why_not), None)
    primary = view.primary
    fences = view.fences
    disaster = _disaster(primary)
    blockers = tuple(_blockers(view, best, found, now))

    def decided(act: Act, summary: str, aim: Act | None = None) -> Decision:
        return Decision(
            act=act,
            summary=summary,
            aim=aim,
            primary=view.cluster.primary,
            cause=None if primary is None else primary.cause,
            disaster=disaster,
            candidate=best,
            blockers=blockers,
            candidates=found,
            fences=fences,
        )

    if primary is None:
        return decided(Act.HOLD, "no primary is known")
    if not primary.is_lost:
        return decided(Act.HOLD, _of_one_that_is_not_lost(primary))
    lost = f"{primary.node} is lost: {primary.cause}"
    if view.rules.restart is not None and not view.restart_is_over and primary.cause is Cause.PROCESS_DEAD:
        # Starting it where it was makes no second primary, so neither a candidate nor a fence is needed.
        held = (*_of_the_view(view), *_of_people(view, view.rules.restart), *_of_other_runs(view))
        done, aim = "it is started again in its place first", Act.RESTART
    else:
        held = blockers
        confirmed = _first(fences, FenceState.CONFIRMED)
        done, aim = f"{primary.node} is fenced before a standby is promoted", Act.FENCE
        if confirmed is not None and best is not None:
            done, aim = f"{best.node} is promoted, since {primary.node} was fenced by {confirmed.rung}", Act.PROMOTE
    if not _only_asks(held):
        return decided(Act.HOLD, f"{lost}; nothing is done: {_named(held)}", aim)
    if held:
        return decided(Act.ASK, f"{lost}; a person has to approve: {_named(held)}", aim)
    return decided(aim, f"{lost}; {done}", aim)


def _disaster(primary: NodeVerdict | None) -> DisasterClass | None:
    if primary is None or not primary.is_lost:
        return None
    is_process = primary.cause in (Cause.PROCESS_DEAD, Cause.RESTARTS_TOO_LONG, Cause.CRASH_LOOP)
    return DisasterClass.PROCESS if is_process else DisasterClass.HARDWARE


def _first(fences: tuple[Fence, ...], state: FenceState) -> Fence | None:
    return next((fence for fence in fences if fence.state is state), None)


def _only_asks(blockers: tuple[Blocker, ...]) -> bool:
    """Whether nothing stands in the way but what a person may give: an approval, or the word that it is stopped."""
    return all(each.guard in (Guard.MODE, Guard.FENCE) for each in blockers)


def _named(blockers: tuple[Blocker, ...]) -> str:
    return "; ".join(map(str, blockers))


def _of_one_that_is_not_lost(primary: NodeVerdict) -> str:
    if primary.cause is Cause.WELL:
        return f"{primary.node} is the primary, and well"
    return f"{primary.node} is the primary, and not lost: {primary.cause}"


def _blockers(view: View, best: Candidate | None, found: tuple[Candidate, ...], now: datetime) -> Iterator[Blocker]:
    yield from _of_the_view(view)
    yield from _of_people(view, view.rules.mode)
    if view.rules.mode not in (None, RunbookMode.MANUAL) and not view.rules.is_triggered:
        yield Blocker(Guard.NO_RUNBOOK, "the runbook's `triggers:` do not name `health: {node: primary, is: down}`")
    yield from _of_other_runs(view)
    if view.tried:
        yield Blocker(Guard.TRIED, view.tried)
    yield from _of_repetition(view, now)
    yield from _of_candidates(view, best, found)
    yield from _of_fences(view)


def _of_the_view(view: View) -> Iterator[Blocker]:
    """What is seen is not enough, or speaks against it."""
    if suspicion := view.cluster.doubt_of(view.cluster.primary):
        yield Blocker(Guard.OBSERVER, suspicion)
    primary = view.primary
    if primary is None:
        yield Blocker(Guard.VIEW, "no primary has been seen since drd started")
    elif primary.state is NodeState.UP:
        yield Blocker(Guard.PRIMARY_ANSWERS, f"{primary.node} answers")
    elif not primary.is_lost:
        yield Blocker(Guard.VIEW, f"it is not certain that {primary.node} is lost: {primary.cause}")
    writers = [
        node.name
        for node in view.cluster.nodes
        if node.seen is not None
        and node.seen.is_primary
        and node.database is not None
        and node.database.failing_since is None
    ]
    if primary is not None and primary.is_lost and primary.node in writers:
        yield Blocker(Guard.PRIMARY_ANSWERS, f"{primary.node} answers at this moment")
    if primary is not None and primary.is_lost and (others := [name for name in writers if name != primary.node]):
        yield Blocker(Guard.TWO_PRIMARIES, f"{' and '.join(others)} takes writes")
    for rival in view.rivals:
        term = f" (term {rival.term})" if rival.term else ""
        yield Blocker(Guard.RIVAL, f"daemon {rival.daemon}{term} keeps the heartbeat of {view.policy} too")


def _of_people(view: View, mode: RunbookMode | None) -> Iterator[Blocker]:
    if view.paused:
        yield Blocker(Guard.PAUSED, view.paused)
    if mode is None:
        yield Blocker(Guard.NO_RUNBOOK, "the policy names no runbook for lost hardware")
    elif mode is RunbookMode.APPROVE:
        yield Blocker(Guard.MODE, "the runbook's mode is approve")
    elif mode is RunbookMode.MANUAL:
        yield Blocker(Guard.MODE, "the runbook's mode is manual: a person starts it")


def _of_other_runs(view: View) -> Iterator[Blocker]:
    if view.busy:
        yield Blocker(Guard.BUSY, view.busy)
    if view.shared:
        yield Blocker(Guard.SHARED, view.shared)


def _of_repetition(view: View, now: datetime) -> Iterator[Blocker]:
    rules = view.rules
    # One that seems to come yet was before the clock was set back: it counts, since nobody knows how long ago it was.
    last = max(view.failovers, default=None)
    if rules.hold_down is not None and last is not None and now - last < rules.hold_down:
        left = rules.hold_down - (now - last)
        yield Blocker(Guard.HOLD_DOWN, f"the last failover is too young; it ends in {_rounded(left)}")
    lately = sum(1 for moment in view.failovers if now - moment < DAY)
    if rules.per_day is not None and lately >= rules.per_day:
        yield Blocker(Guard.PER_DAY, f"there were {lately} failovers within a day, and {rules.per_day} are allowed")


def _of_candidates(view: View, best: Candidate | None, found: tuple[Candidate, ...]) -> Iterator[Blocker]:
    if best is None:
        why = "; ".join(f"{each.node}: {each.why_not}" for each in found) or "the policy names no other node"
        yield Blocker(Guard.CANDIDATE, f"no standby can be promoted: {why}")
        return
    if unheard := unheard_confirmations(view.cluster):
        yield Blocker(Guard.QUORUM, unheard)
    yield from _of_lag(view.rules, best)


def _of_lag(rules: Rules, best: Candidate) -> Iterator[Blocker]:
    """What would be lost is more than is allowed, or nobody can tell.

    What it has received decides that, not what it has replayed: the rest of that only takes time. A limit whose own
    quantity is not known holds, unless the other limit is known to be kept.
    """
    if best.lag_bytes == 0 or best.has_all:
        return
    is_little = rules.max_lag_bytes is not None and best.lag_bytes is not None and best.lag_bytes <= rules.max_lag_bytes
    is_young = rules.max_lag is not None and best.lag is not None and best.lag <= rules.max_lag
    if rules.max_lag_bytes is not None and not is_little and not (best.lag_bytes is None and is_young):
        lacks = "an unknown amount" if best.lag_bytes is None else format_size(best.lag_bytes)
        yield Blocker(Guard.LAG, f"{best.node} lacks {lacks}, and {format_size(rules.max_lag_bytes)} are allowed")
    if rules.max_lag is not None and not is_young and not (best.lag is None and is_little):
        lacks = "nobody knows how much time" if best.lag is None else _rounded(best.lag)
        allowed = format_duration(rules.max_lag)
        yield Blocker(Guard.LAG, f"{best.node} may lack {lacks}, and {allowed} are allowed")


def _of_fences(view: View) -> Iterator[Blocker]:
    """Only a rung that is confirmed, or that can be tried, makes an end of the old primary."""
    if not any(fence.state in (FenceState.CONFIRMED, FenceState.AVAILABLE) for fence in view.fences):
        why = "; ".join(f"{fence.rung}: {fence.why or fence.state}" for fence in view.fences) or "no rung is set up"
        yield Blocker(Guard.FENCE, f"nothing makes certain that the old primary takes no writes: {why}")


def _rounded(value: timedelta) -> str:
    return format_duration(timedelta(seconds=max(1, round(value.total_seconds()))))
