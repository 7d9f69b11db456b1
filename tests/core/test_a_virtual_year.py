"""A year of scheduling, lived in a loop: the clock is set, the machine sleeps or is off, runs fail, summer comes.

Whatever happens, every run that is owed happens once: none is doubled, and none is lost but for the reasons that
`drd/core/schedule.py` gives. The log of the year is held against those reasons here, by other means than its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest

from drd.core.cadence import longest_cron_gap
from drd.core.cron import Cron, last_at_or_before, next_after
from drd.core.forbidden import ForbiddenTime, free_from
from drd.core.plan import History, Plan, Recurrence
from drd.core.policy import Cause, Mode, Outcome
from drd.core.schedule import Due, consider, offset_in

NONE = timedelta()
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN, NEW_YORK, LORD_HOWE, SHANGHAI, UTC_ZONE = (
    ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai", "UTC")
)


def cron(line: str, spread: timedelta = NONE) -> Recurrence:
    return Recurrence(cron=Cron.parse(line), spread=spread)


def every(interval: timedelta, spread: timedelta = NONE) -> Recurrence:
    return Recurrence(every=interval, spread=spread)


def plan(
    name: str, zone: ZoneInfo, full: Recurrence | None, incremental: Recurrence | None = None, **more: object
) -> Plan:
    return replace(Plan(name, zone, NEW_YEAR, full, incremental), **more)  # type: ignore[arg-type]


def forbid(*texts: str) -> tuple[ForbiddenTime, ...]:
    return tuple(ForbiddenTime.parse(text) for text in texts)


PLANS = [
    plan("daily", BERLIN, cron("30 2 * * *")),
    plan("daily-spread", NEW_YORK, cron("0 2 * * *", spread=45 * MINUTE)),
    plan("daily-not-caught-up", LORD_HOWE, cron("15 2 * * *"), catch_up=False),
    plan("daily-and-half-hourly", BERLIN, cron("0 2 * * *", spread=15 * MINUTE), every(30 * MINUTE)),
    plan("daily-and-hourly", NEW_YORK, cron("0 1 * * *", spread=20 * MINUTE), cron("0 * * * *")),
    plan("office-hours", SHANGHAI, cron("0 8-18 * * mon-fri")),
    plan("weekly-and-daily", LORD_HOWE, cron("45 1 * * sun"), cron("45 1 * * *")),
    plan("weekly-and-six-hourly", BERLIN, cron("@weekly", spread=HOUR), every(6 * HOUR)),
    plan("monthly-and-daily", NEW_YORK, cron("30 1 1 * *"), cron("30 1 * * *", spread=HOUR)),
    plan("hourly", BERLIN, cron("0 * * * *")),
    plan("half-hourly-not-caught-up", LORD_HOWE, cron("*/30 * * * *"), catch_up=False),
    plan("two-hourly", NEW_YORK, cron("20 */2 * * *")),
    plan("every-hour", UTC_ZONE, every(HOUR)),
    plan("every-day", SHANGHAI, every(DAY), catch_up=False),
    plan("every-week-and-hour", BERLIN, every(7 * DAY, spread=HOUR), every(HOUR)),
    plan("incremental-only", UTC_ZONE, None, cron("10 4 * * *")),
    plan("not-in-the-morning", BERLIN, cron("0 10 * * *"), every(HOUR), forbidden=forbid("09:00-11:00")),
    plan("not-by-night", NEW_YORK, cron("30 1 * * *"), forbidden=forbid("23:00-05:30", "Sun 05:00-09:00")),
    plan("not-by-day-but-rpo", BERLIN, every(DAY), every(HOUR), forbidden=forbid("08:00-18:00"), rpo=3 * HOUR),
    plan("first-or-monday", SHANGHAI, cron("0 3 1,15 * mon", spread=30 * MINUTE)),
]


@dataclass(frozen=True)
class Disturbance:
    """Something that happens to the machine at a real moment."""

    at: datetime
    kind: str  # down, asleep, set (the clock) or outage (of every store)
    lasts: timedelta = NONE
    step: timedelta = NONE  # of the clock


@dataclass
class Run:
    due: Due
    real: datetime
    wall: datetime
    ends: datetime
    is_good: bool = False
    ended_at: datetime = NEW_YEAR  # by the wall clock, as the daemon recorded it


@dataclass(frozen=True)
class Idle:
    """A stretch of real time in which the daemon lived, and no run did. `offset`: wall time minus real time."""

    begin: datetime
    end: datetime
    offset: timedelta


@dataclass
class Log:
    runs: list[Run] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    wakes: int = 0


def disturbances(seed: int, days: int) -> list[Disturbance]:
    draw = Random(seed)
    found: list[Disturbance] = []
    real, offset = NEW_YEAR + 2 * DAY, NONE
    while real < NEW_YEAR + days * DAY:
        kind = draw.choice(["down", "down", "asleep", "asleep", "set", "set", "outage"])
        lasts = int(2 ** draw.uniform(0, 12.5)) * MINUTE  # a minute to four days
        step = NONE
        if kind == "set" or (kind == "down" and draw.random() < 0.3):
            step = draw.choice([-1, 1]) * draw.choice(
                [MINUTE, 20 * MINUTE, HOUR, HOUR, 170 * MINUTE, 5 * HOUR, 40 * HOUR]
            )
            step = -offset if offset and draw.random() < 0.7 else step
            offset += step
        found.append(Disturbance(real, kind, NONE if kind == "set" else lasts, step))
        real += (lasts if kind in ("down", "asleep") else NONE) + int(draw.expovariate(1 / 1800) + 1) * MINUTE
    return found


class Machine:
    """One daemon with one policy: it looks at its schedule when it wakes, or every `poll`."""

    def __init__(
        self,
        plan: Plan,
        events: list[Disturbance],
        seed: int,
        poll: timedelta | None = None,
        begins: datetime = NEW_YEAR,
    ) -> None:
        self.plan = plan
        self.events = list(reversed(events))
        self.draw = Random(seed)
        self.poll = poll
        self.begins = self.real = begins
        self.offset = NONE
        self.outage_ends = begins
        self.history = History()
        self.run: Run | None = None
        self.log = Log()

    @property
    def wall(self) -> datetime:
        return self.real + self.offset

    def live(self, days: int) -> Log:
        end = self.begins + days * DAY
        while self.real < end:
            verdict = consider(self.plan, self.history, self.wall)
            if verdict.due:
                self.start(verdict.due)
            moments = [end, self.run.ends if self.run else self.next_look(verdict.wake)]
            if self.events:
                moments.append(self.events[-1].at)
            self.wait_until(max(min(moments), self.real))
            if self.run and self.run.ends <= self.real:
                self.finish(
                    Outcome.SUCCEEDED if self.run.is_good else self.draw.choice([Outcome.FAILED, Outcome.INCOMPLETE])
                )
            elif self.events and self.events[-1].at <= self.real:
                self.suffer(self.events.pop())
        return self.log

    def next_look(self, wake: datetime | None) -> datetime:
        assert wake is not None
        assert wake > self.wall, "it is not due, so there is nothing to look at yet"
        return self.real + self.poll if self.poll else wake - self.offset

    def wait_until(self, moment: datetime) -> None:
        self.log.wakes += 1
        if self.run is None and moment > self.real:
            self.log.idle.append(Idle(self.real, moment, self.offset))
        self.real = moment

    def start(self, found: Due) -> None:
        self.history = self.history.started(found.mode, self.wall)
        minutes = 200 if self.draw.random() < 0.01 else self.draw.randint(1, 25)
        is_good = self.real >= self.outage_ends and self.draw.random() > 0.03
        self.run = Run(found, self.real, self.wall, self.real + minutes * MINUTE, is_good)
        self.log.runs.append(self.run)

    def finish(self, outcome: Outcome) -> None:
        assert self.run is not None
        self.run.ended_at = self.wall
        self.history = self.history.finished(outcome, self.wall)
        self.run = None

    def suffer(self, event: Disturbance) -> None:
        if event.kind == "outage":
            self.outage_ends = self.real + event.lasts
            return
        self.real += event.lasts
        self.offset += event.step
        if event.kind == "down" and self.run:  # the run died with the daemon, which finds that out when it is back
            self.run.is_good = False
            self.run.ends = self.real - event.lasts
            self.finish(Outcome.FAILED)
        if event.kind == "asleep" and self.run:
            self.run.ends += event.lasts
        if event.kind == "set":
            self.history = self.history.after_step(event.step)


class Auditor:
    """Holds the log of a year against what `schedule` promises."""

    def __init__(self, plan: Plan, log: Log, events: list[Disturbance]) -> None:
        self.plan = plan
        self.log = log
        self.events = events
        self.gaps = {
            found: longest_cron_gap(found.cron, plan.zone, NEW_YEAR.year)
            for found in (plan.full, plan.incremental)
            if found and found.cron
        }
        self.seen: Counter[str] = Counter(runs=len(log.runs))
        self.good = {
            Mode.FULL: [run for run in log.runs if run.is_good and run.due.mode is Mode.FULL],
            Mode.INCREMENTAL: [run for run in log.runs if run.is_good],
        }
        self.real_starts = {mode: [run.real for run in runs] for mode, runs in self.good.items()}
        # Until there is a full, incrementals become fulls.
        first = next(run.real for run in log.runs if run.is_good)
        self.failed = {
            mode: [run for run in log.runs if not run.is_good and (run.due.mode is mode or run.real < first)]
            for mode in Mode
        }

    def audit(self) -> Counter[str]:
        self.no_run_starts_before_its_time()
        for mode in Mode:
            recurrence = self.plan.of_mode(mode)
            if recurrence is None:
                continue
            self.none_is_doubled(mode, recurrence)
            for idle in self.log.idle:
                for point in self.points(recurrence, idle):
                    self.nothing_is_owed(mode, recurrence, point, point + idle.offset)
        return self.seen

    def no_run_starts_before_its_time(self) -> None:
        first_good = next(run.real for run in self.log.runs if run.is_good)
        for run in self.log.runs:
            assert run.due.slot <= run.due.start_at <= run.wall or run.real <= first_good or run.due.slot <= run.wall
            assert self.plan.catch_up or run.due.cause is Cause.SCHEDULE
            self.seen[run.due.cause] += 1
            self.seen["failed"] += not run.is_good
            if self.plan.rpo is None:
                assert free_from(self.plan.forbidden, run.wall, self.plan.zone) == run.wall
            if run.real <= first_good:
                assert run.due.mode is Mode.FULL

    def none_is_doubled(self, mode: Mode, recurrence: Recurrence) -> None:
        runs = self.good[mode]
        for before, run in pairwise(runs):
            if run.due.mode is not mode or self.was_set_unseen(before.real, run.real):
                continue
            passed = run.real - before.real
            if recurrence.every is not None:
                # A step forward that nobody saw looks like time off, in which time passes.
                unseen = sum((e.step for e in self.between(before.real, run.real) if e.kind == "down"), NONE)
                assert passed + unseen >= recurrence.every, (before, run)
            elif before.due.slot == run.due.slot and before.due.mode is run.due.mode:
                self.seen["labels run again after the clock was set back"] += 1
                assert recurrence.cron is not None
                interval = next_after(recurrence.cron, run.due.slot, self.plan.zone) - run.due.slot
                back = -sum((e.step for e in self.between(before.real, run.real) if e.step < NONE), NONE)
                assert passed >= interval / 2, (before, run)
                assert recurrence.cron.is_real_time or back > 3 * HOUR, (before, run)

    def points(self, recurrence: Recurrence, idle: Idle) -> Iterator[datetime]:
        """Real moments to look at: the ends of the stretch, and just after each slot in it was to start."""
        if idle.end - idle.begin > SECOND:
            yield idle.begin + SECOND
        yield idle.end - SECOND
        if recurrence.cron is None:
            return
        slot = next_after(recurrence.cron, idle.begin + idle.offset, self.plan.zone)
        while (moment := slot + self.spread(recurrence, slot) - idle.offset + SECOND) < idle.end:
            if moment > idle.begin:
                yield moment
            slot = next_after(recurrence.cron, slot, self.plan.zone)

    def nothing_is_owed(self, mode: Mode, recurrence: Recurrence, real: datetime, wall: datetime) -> None:
        """At a moment at which the daemon lives and does nothing, there is a reason for it."""
        count = bisect_right(self.real_starts[mode], real)
        newest = self.good[mode][count - 1] if count else None
        if newest is None and mode is Mode.INCREMENTAL and self.plan.full:
            return  # the first full comes first
        slot, start, following, interval = self.slot(recurrence, newest, real, wall)
        if self.satisfies(mode, recurrence, slot, real, wall):
            reason = "satisfied"
        elif wall < start:
            reason = "waits for its spread"
        elif self.is_held(wall):
            reason = "waits for the window"
        elif self.waits_to_retry(mode, real, wall, interval):
            reason = "waits to retry"
        elif self.is_left_to_a_full(mode, slot, wall):
            reason = "left to a full"
        else:
            assert self.was_away(self.freed(start), real, wall), (
                f"{self.plan.policy} {mode} owes {slot} at {wall}, newest {newest}"
            )
            is_near = following - wall <= min(30 * MINUTE, interval / 10) + SECOND
            assert is_near or not self.plan.catch_up, f"{self.plan.policy} {mode} does not make up {slot} at {wall}"
            reason = "near" if is_near else "not caught up"
        self.seen[reason] += 1

    def slot(
        self, recurrence: Recurrence, newest: Run | None, real: datetime, wall: datetime
    ) -> tuple[datetime, datetime, datetime, timedelta]:
        if recurrence.cron is not None:
            slot = last_at_or_before(recurrence.cron, wall, self.plan.zone)
            following = next_after(recurrence.cron, slot, self.plan.zone)
            start = slot + self.spread(recurrence, slot)
            return slot, start, self.freed(following + self.spread(recurrence, following)), following - slot
        interval = recurrence.every
        assert interval is not None
        if newest is None:
            return NEW_YEAR, NEW_YEAR + self.spread(recurrence, NEW_YEAR), NEW_YEAR + interval, interval
        begin = self.reading(newest, real)
        slot = begin + max((wall - begin) // interval, 0) * interval
        return slot, slot, self.freed(slot + interval), interval

    def satisfies(self, mode: Mode, recurrence: Recurrence, slot: datetime, real: datetime, wall: datetime) -> bool:
        count = bisect_right(self.real_starts[mode], real)
        runs = self.good[mode][max(count - 3, 0) : count]
        if recurrence.every is None:
            return any(self.satisfied_by(run, recurrence, slot, real) for run in runs)
        # A step that nobody saw, followed by a long time off, cannot be told from a shorter time off.
        return any(
            real - run.real < recurrence.every
            or (self.was_set_unseen(run.real, real) and wall - self.reading(run, real) < recurrence.every)
            for run in runs
        )

    def reading(self, run: Run, real: datetime) -> datetime:
        """When a run started, by a clock that is set as the daemon saw it being set since."""
        return run.wall + sum((e.step for e in self.between(run.real, real) if e.kind == "set"), NONE)

    def satisfied_by(self, run: Run, recurrence: Recurrence, slot: datetime, real: datetime) -> bool:
        assert recurrence.cron is not None
        if run.wall < slot:
            return False
        slack = recurrence.spread + (MINUTE if recurrence.cron.is_real_time else 3 * HOUR)
        is_fresh = real - run.real <= self.gaps[recurrence] * 1.5 + slack
        return is_fresh or self.was_set_unseen(run.real, real)

    def spread(self, recurrence: Recurrence, slot: datetime) -> timedelta:
        if recurrence.cron is None:
            return offset_in(recurrence.spread, self.plan.policy, slot)
        if not recurrence.spread:
            return NONE
        room = next_after(recurrence.cron, slot, self.plan.zone) - slot
        return offset_in(min(recurrence.spread, room), self.plan.policy, slot)

    def freed(self, moment: datetime) -> datetime:
        return free_from(self.plan.forbidden, moment, self.plan.zone)

    def is_held(self, wall: datetime) -> bool:
        return self.freed(wall) > wall or self.freed(wall - SECOND) > wall - SECOND

    def waits_to_retry(self, mode: Mode, real: datetime, wall: datetime, interval: timedelta) -> bool:
        count = bisect_right(self.failed[mode], real, key=lambda run: run.ends)
        if not count:
            return False
        failed = self.failed[mode][count - 1]
        seen = sum((e.step for e in self.between(failed.ends, real) if e.kind == "set"), NONE)
        return wall - failed.ended_at - seen <= min(30 * MINUTE, interval / 2)

    def is_left_to_a_full(self, mode: Mode, slot: datetime, wall: datetime) -> bool:
        full = self.plan.full
        if mode is Mode.FULL or full is None or full.cron is None:
            return False
        own = last_at_or_before(full.cron, wall, self.plan.zone)
        return own == slot and wall <= own + self.spread(full, own)

    def was_away(self, start: datetime, real: datetime, wall: datetime) -> bool:
        """Whether the daemon never lived idle within five minutes of a start, since the wall clock came there."""
        begin = start - (wall - real)
        return not any(
            idle.begin <= begin < idle.end and idle.offset == wall - real for idle in self.idle_around(begin)
        )

    def idle_around(self, real: datetime) -> list[Idle]:
        place = bisect_right(self.log.idle, real, key=lambda idle: idle.begin)
        return self.log.idle[max(place - 1, 0) : place + 1]

    def between(self, begin: datetime, end: datetime) -> list[Disturbance]:
        first = max(bisect_right(self.events, begin, key=lambda event: event.at) - 1, 0)
        last = bisect_right(self.events, end, key=lambda event: event.at)
        return [event for event in self.events[first:last] if begin <= event.at + event.lasts]

    def was_set_unseen(self, begin: datetime, end: datetime) -> bool:
        return any(event.kind == "down" and event.step for event in self.between(begin, end))


@pytest.mark.slow
@pytest.mark.timeout(600)  # a busy machine, or one that counts branches, takes several minutes
def test_in_a_year_every_due_run_happens_once() -> None:
    seen: Counter[str] = Counter()
    for number, one in enumerate(PLANS):
        events = disturbances(seed=number, days=365)
        log = Machine(one, events, seed=number).live(days=365)
        seen += Auditor(one, log, events).audit()
    # The year was no quiet one, or it would prove nothing.
    assert seen["runs"] > 50_000
    for what in (
        *("satisfied", "waits for its spread", "waits for the window", "waits to retry", "left to a full", "near"),
        *("not caught up", "failed", Cause.CATCH_UP, "labels run again after the clock was set back"),
    ):
        assert seen[what] > 20, what


POLLED = [
    plan("daily-and-hourly", BERLIN, cron("0 2 * * *"), every(HOUR)),
    plan("hourly", LORD_HOWE, cron("30 1 * * *"), cron("*/30 * * * *"), catch_up=False),
    plan("windowed", NEW_YORK, cron("0 1 * * *"), every(2 * HOUR), forbidden=forbid("01:30-05:00"), rpo=5 * HOUR),
    plan("fixed", BERLIN, None, cron("0,30 1-4 * * *"), forbidden=forbid("Sun 03:00-04:00")),
]


@pytest.mark.parametrize("one", POLLED, ids=lambda one: str(one.policy))
@pytest.mark.parametrize("month", [3, 10])
def test_looking_only_at_the_wake_ups_gives_the_same_runs_as_looking_each_minute(one: Plan, month: int) -> None:
    shift = datetime(2026, month, 20, tzinfo=UTC) - NEW_YEAR
    moved = replace(one, created=NEW_YEAR + shift)
    events = [replace(event, at=event.at + shift) for event in disturbances(seed=month, days=20)]
    runs, polled = (
        Machine(moved, events, month, poll, begins=NEW_YEAR + shift).live(days=20).runs for poll in (None, MINUTE)
    )
    assert len(runs) > 20
    assert runs == polled
