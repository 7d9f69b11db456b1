"""What is due, from the catalogue of successful runs and the time alone; timers only shorten the wait.

A *slot* is a moment at which a run is owed: one that a cron line names, or the last good start plus a whole number of
intervals. Only the newest slot is owed, and a run satisfies it that started at or after it and succeeded; so what was
missed is made up once, and what ran is not run again.

* A full satisfies an incremental. Where both are due, the full runs; where a full of the same slot only waits for its
  spread, the incremental leaves the slot to it, unless the RPO would break. A policy without a good full runs one at
  once, whatever `catch_up` says; the cause of that first run is `schedule`.
* A full that is wanted because nothing leads on from what was saved before is due at once, and as long as none has
  succeeded that began after that.
* A run that did not succeed is tried again after 1, 2, 4 … minutes, at most 30 and at most half the interval, until the
  next slot replaces it.
* A slot is *missed* when nothing tried it within five minutes (or half the interval) of its start: the machine was off,
  or the run before took so long. It is made up with the cause `catch-up`, but not if `catch_up` is false or the next
  one is near: within 30 minutes, or a tenth of the interval where that is less.
* A clock that was set: `every` counts real time. So do real-time cron lines when the clock was set back: a label that
  comes again is not run again within half an interval of the last run. Fixed hours are not run again after a step back
  of up to three hours, as in cron(8); after a longer one the rule for real time holds. Slots that a step forward jumps
  over are missed ones. A start that lies in the future although no step is known of (the clock was changed while drd
  was down) is not believed, and the policy runs at once; for fixed hours only beyond those three hours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from drd.core.cron import last_at_or_before, next_after
from drd.core.crontab import Cron
from drd.core.forbidden import free_from
from drd.core.plan import History, ModeHistory, Plan, Recurrence, Start
from drd.core.policy import Cause, Mode

FIRST_RETRY: Final = timedelta(minutes=1)
LONGEST_RETRY: Final = timedelta(minutes=30)
LATE: Final = timedelta(minutes=5)
NEAR: Final = timedelta(minutes=30)
SMALL_STEP_BACK: Final = timedelta(hours=3)
"""Fixed hours are not run again after the clock was set back by no more than this; the figure is cron(8)'s."""
_CLOCK_SLACK: Final = timedelta(minutes=1)
_NONE: Final = timedelta()


class Reason(StrEnum):
    """Why a policy is due, or what it waits for."""

    DUE = "due"
    RUNNING = "the run under way"
    PAUSED = "the end of the pause"
    UNSCHEDULED = "a person: it has no schedule"
    SLOT = "the next slot"
    SPREAD = "its place in the spread"
    WINDOW = "the end of the forbidden time"
    RETRY = "the time to try again"
    NEAR = "the next slot, which is near enough not to make up for the missed one"
    NOT_CAUGHT_UP = "the next slot, since catch_up is false"


@dataclass(frozen=True, slots=True)
class Due:
    """A run to submit now. `start_at` is when it might have started at the earliest: now − start_at is its lateness."""

    policy: str
    mode: Mode
    slot: datetime
    cause: Cause
    start_at: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `consider` found. `wake` is when to look again, None if only an event can change anything."""

    due: Due | None
    wake: datetime | None
    reason: Reason


@dataclass(frozen=True, slots=True)
class _Slot:
    """The newest slot of a recurrence, and the one after it with its spread."""

    at: datetime
    start: datetime
    next_start: datetime
    interval: timedelta
    is_satisfied: bool = False
    runs_at_once: bool = False
    """Nothing tells that a run protects the policy by now: the slot is never skipped, and any failure delays it."""


def consider(plan: Plan, history: History, now: datetime) -> Verdict:
    """What the policy is due for or waits for at `now`."""
    if history.running is not None:
        return Verdict(None, None, Reason.RUNNING)
    if history.not_before is not None and now < history.not_before:
        return Verdict(None, history.not_before, Reason.PAUSED)
    recurrences = [(mode, found) for mode in Mode if (found := plan.of_mode(mode)) is not None]
    if history.full_wanted is not None:
        return _with_wanted(plan, history, history.full_wanted, now)
    if not recurrences:
        return Verdict(None, None, Reason.UNSCHEDULED)
    if history.full.last_success is None:
        return _judge(plan, history, Mode.FULL, _first_slot(plan, recurrences[0][1], now), now)
    slots = [(mode, _newest_slot(plan, recurrence, mode, history, now)) for mode, recurrence in recurrences]
    verdicts = [_judge(plan, history, mode, slot, now) for mode, slot in slots]
    if len(verdicts) == 1 or verdicts[0].due:
        return verdicts[0]
    full, incremental = verdicts
    wake = min(full.wake or now, incremental.wake or now)
    if not incremental.due:
        return replace(full if full.wake == wake else incremental, wake=wake)
    (_, full_slot), (_, own_slot) = slots
    # The slot of a run that is made at once, whenever that is, meets a full's by chance alone.
    is_left_to_full = full.reason is Reason.SPREAD and full_slot.at == own_slot.at and not own_slot.runs_at_once
    if is_left_to_full and not _breaks_rpo(plan, history, full.wake or now):
        return replace(full, wake=wake)
    return incremental


def _with_wanted(plan: Plan, history: History, since: datetime, now: datetime) -> Verdict:
    """A full is wanted at once; while it waits for its next try or an allowed time, the schedule goes on."""
    at = min(since, now)
    wanted = _judge(plan, history, Mode.FULL, _Slot(at, at, now + LONGEST_RETRY, 2 * LONGEST_RETRY, False, True), now)
    if wanted.due is not None:
        return replace(wanted, due=replace(wanted.due, cause=Cause.NEW_BASE))
    others = consider(plan, replace(history, full_wanted=None), now)
    if others.due is not None or others.wake is None:
        return others if others.due is not None else wanted
    return wanted if wanted.wake is not None and wanted.wake <= others.wake else others


def offset_in(spread: timedelta, policy: str, slot: datetime) -> timedelta:
    """How much later than its slot a run starts: whole seconds in [0, spread), always the same for policy and slot."""
    digest = hashlib.sha256(f"{policy}\n{slot.astimezone(UTC).isoformat()}".encode()).digest()
    seconds = spread.total_seconds() * int.from_bytes(digest[:8]) / 2**64
    return timedelta(seconds=int(seconds))


def _judge(plan: Plan, history: History, mode: Mode, slot: _Slot, now: datetime) -> Verdict:
    """Whether `slot` is due at `now`, and if not, when it or the next one may be."""
    following = _allowed_from(plan, history, slot.next_start)
    if slot.is_satisfied:
        return Verdict(None, following, Reason.SLOT)
    own = history.of_mode(mode)
    retry = _retry_at(own, slot, now)
    start = slot.start if retry is None else retry
    ready = _allowed_from(plan, history, start)
    allowed = max(ready, _allowed_from(plan, history, now))
    if allowed > now:
        waits_for = Reason.WINDOW if allowed > start else Reason.SPREAD if retry is None else Reason.RETRY
        return Verdict(None, min(allowed, following), waits_for)
    is_missed = not slot.runs_at_once and retry is None and now - ready > min(LATE, slot.interval / 2)
    if is_missed and not plan.catch_up:
        return Verdict(None, following, Reason.NOT_CAUGHT_UP)
    if is_missed and following - now <= min(NEAR, slot.interval / 10):
        return Verdict(None, following, Reason.NEAR)
    cause = Cause.CATCH_UP if is_missed else Cause.SCHEDULE
    return Verdict(Due(plan.policy, mode, slot.at, cause, ready), following, Reason.DUE)


def _first_slot(plan: Plan, recurrence: Recurrence, now: datetime) -> _Slot:
    """The slot of a policy without a good full: its creation."""
    at = min(plan.created, now)
    if isinstance(recurrence.when, Cron):
        interval = _cron_slot(plan, recurrence.when, recurrence.spread, (), now).interval
        return _Slot(at, at, now + interval, interval, runs_at_once=True)
    interval = recurrence.when
    # A creation that lies ahead is a clock that was set back: there is nothing to stagger from.
    stagger = offset_in(recurrence.spread, plan.policy, plan.created) if plan.created <= now else _NONE
    return _Slot(at, at + stagger, now + interval, interval, runs_at_once=True)


def _newest_slot(plan: Plan, recurrence: Recurrence, mode: Mode, history: History, now: datetime) -> _Slot:
    satisfying = (history.full,) if mode is Mode.FULL else (history.full, history.incremental)
    starts = tuple(own.last_success for own in satisfying if own.last_success)
    if isinstance(recurrence.when, Cron):
        return _cron_slot(plan, recurrence.when, recurrence.spread, starts, now)
    return _interval_slot(recurrence.when, starts, now)


def _cron_slot(plan: Plan, cron: Cron, spread: timedelta, starts: tuple[Start, ...], now: datetime) -> _Slot:
    at = last_at_or_before(cron, now, plan.zone)
    following = next_after(cron, now, plan.zone)
    interval = following - at
    is_satisfied = any(_satisfies(start, at, interval, cron, now) for start in starts)
    runs_at_once = bool(starts) and not any(_is_believed(start, cron, now) for start in starts)
    if not spread:
        return _Slot(at, at, following, interval, is_satisfied, runs_at_once)
    # The spread never reaches the next slot, so that slots start in their order.
    start = at + offset_in(min(spread, interval), plan.policy, at)
    room = next_after(cron, following, plan.zone) - following
    following += offset_in(min(spread, room), plan.policy, following)
    return _Slot(at, start, following, interval, is_satisfied, runs_at_once)


def _interval_slot(every: timedelta, starts: tuple[Start, ...], now: datetime) -> _Slot:
    believed = [start.real for start in starts if _is_believed(start, None, now)]
    if not believed:
        return _Slot(now, now, now + every, every, runs_at_once=True)
    last = max(believed)
    passed = max((now - last) // every, 0)
    at = last + passed * every
    return _Slot(at, at, at + every, every, is_satisfied=passed == 0)


def _satisfies(start: Start, slot: datetime, interval: timedelta, cron: Cron, now: datetime) -> bool:
    if start.at < slot or not _is_believed(start, cron, now):
        return False
    if not cron.is_real_time and start.stepped >= -SMALL_STEP_BACK:
        return True
    return start.real >= slot - interval / 2


def _is_believed(start: Start, cron: Cron | None, now: datetime) -> bool:
    is_fixed = cron is not None and not cron.is_real_time
    return start.real <= now + (SMALL_STEP_BACK if is_fixed else _CLOCK_SLACK)


def _retry_at(own: ModeHistory, slot: _Slot, now: datetime) -> datetime | None:
    """When to try again, if a run that failed has used this slot up to then."""
    failed = own.failed_at
    if own.failures == 0 or failed is None or (failed < slot.start and not slot.runs_at_once):
        return None
    doubled = FIRST_RETRY * (1 << min(own.failures - 1, 10))
    again = failed + min(doubled, LONGEST_RETRY, slot.interval / 2)
    # A failure that lies ahead is a clock that was set back unseen: the slot need not wait for it.
    return min(slot.start, again) if failed > now else again


def _allowed_from(plan: Plan, history: History, moment: datetime) -> datetime:
    """The first moment from `moment` on at which a run may start."""
    free = free_from(plan.forbidden, moment, plan.zone)
    return moment if free != moment and _breaks_rpo(plan, history, free) else free


def _breaks_rpo(plan: Plan, history: History, start: datetime) -> bool:
    """Whether a run that only starts then comes too late for the RPO."""
    return plan.rpo is not None and start > (history.newest or plan.created) + plan.rpo
