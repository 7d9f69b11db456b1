"""What the scheduler decides by: when a policy wants to run, and what became of its runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from drd.core.catalogue import PolicyRecord
from drd.core.crontab import Cron
from drd.core.forbidden import ForbiddenTime, is_always_forbidden
from drd.core.policy import Mode, Outcome, Policy, Timing

_NONE = timedelta()


@dataclass(frozen=True, slots=True)
class Recurrence:
    """When one mode of a policy wants to run: exactly one of a cron line and an interval between starts.

    Each slot of a cron line starts up to `spread` later. An interval has no slots to spread: there it only staggers the
    first run, and with it all that follow. Raises ValueError on values that make no sense together.
    """

    cron: Cron | None = None
    every: timedelta | None = None
    spread: timedelta = _NONE

    def __post_init__(self) -> None:
        if (self.cron is None) == (self.every is None):
            raise ValueError("a schedule has either cron or every; write one of them")
        if self.every is not None and self.every <= _NONE:
            raise ValueError("every is longer than nothing; write 15m")
        if self.spread < _NONE:
            raise ValueError("spread is not negative; write 0s")

    @classmethod
    def of(cls, timing: Timing) -> Self:
        """A policy's `full:` or `incremental:`. Raises CronError or ValueError."""
        cron = None if timing.cron is None else Cron.parse(timing.cron)
        return cls(cron, timing.every, timing.spread)

    @property
    def when(self) -> Cron | timedelta:
        """The line or the interval, whichever it is."""
        return self.cron or self.every or _NONE


@dataclass(frozen=True, slots=True)
class Plan:
    """The schedule of one policy. Raises ValueError if `forbidden` leaves no time to run in.

    `rpo` is None where backups do not have to keep it: none is promised, or continuous WAL keeps it.
    `created` is when the policy was first loaded: from then on its first run is owed and its RPO counts.
    """

    policy: str
    zone: ZoneInfo
    created: datetime
    full: Recurrence | None = None
    incremental: Recurrence | None = None
    catch_up: bool = True
    forbidden: tuple[ForbiddenTime, ...] = ()
    rpo: timedelta | None = None

    def __post_init__(self) -> None:
        if is_always_forbidden(self.forbidden):
            raise ValueError("the forbidden times leave no minute of the week; write shorter ones")

    @classmethod
    def of(cls, policy: Policy, zone: ZoneInfo, created: datetime, *, keeps_rpo: bool = True) -> Self:
        """The plan of a policy as it was read. `keeps_rpo`: its backups, and not its WAL, have to keep the RPO."""
        backup = policy.backup
        return cls(
            policy=policy.name,
            zone=zone,
            created=created,
            full=None if backup.full is None else Recurrence.of(backup.full),
            incremental=None if backup.incremental is None else Recurrence.of(backup.incremental),
            catch_up=backup.catch_up,
            forbidden=tuple(ForbiddenTime.parse(text) for text in backup.window.not_),
            rpo=policy.objectives.rpo if keeps_rpo else None,
        )

    def of_mode(self, mode: Mode) -> Recurrence | None:
        """When runs of one mode are wanted."""
        return self.full if mode is Mode.FULL else self.incremental


@dataclass(frozen=True, slots=True)
class Start:
    """When a run started: what the clock read, and how far the clock has been set since (negative: back)."""

    at: datetime
    stepped: timedelta = _NONE

    @property
    def real(self) -> datetime:
        """The start by the clock as it goes now: real time since then is counted from here."""
        return self.at + self.stepped

    def after_step(self, by: timedelta) -> Start:
        """The same start once the clock has been set by `by`."""
        return replace(self, stepped=self.stepped + by)

    def not_after(self, later: Start) -> Start:
        """The same start, known to come before `later`: if its reading does not, the clock was set back unseen."""
        return self.after_step(min(later.real - self.real, _NONE))


@dataclass(frozen=True, slots=True)
class ModeHistory:
    """What became of the runs of one mode."""

    last_success: Start | None = None
    """The newest run, in the journal's order, that succeeded."""
    failures: int = 0
    """Runs in a row since then that did not."""
    failed_at: datetime | None = None
    """When the last of them ended."""


@dataclass(frozen=True, slots=True)
class History:
    """What became of a policy's runs. `running` is the run that is queued or under way; there is at most one."""

    full: ModeHistory = ModeHistory()
    incremental: ModeHistory = ModeHistory()
    running: tuple[Mode, Start] | None = None
    not_before: datetime | None = None
    """Nothing is due before this moment: a person has paused the policy."""
    full_wanted: datetime | None = None
    """Since when a full is wanted at once, because nothing that was saved before leads on."""

    @classmethod
    def of(cls, record: PolicyRecord, *, is_running: bool = False, not_before: datetime | None = None) -> Self:
        """What the journal's record tells, with no step of the clock since."""
        modes = {mode: ModeHistory(_start(record.last_success_start.get(mode))) for mode in Mode}
        last = record.last_run
        if last is not None and record.failures_in_a_row > 0 and not is_running:
            modes[last.mode] = replace(
                modes[last.mode], failures=record.failures_in_a_row, failed_at=last.finished or last.started
            )
        if last is not None and last.outcome is Outcome.SUCCEEDED:
            modes = {mode: _not_after(history, Start(last.started)) for mode, history in modes.items()}
        running = (last.mode, Start(last.started)) if is_running and last is not None else None
        wanted = None if record.new_base is None else record.new_base.since
        return cls(modes[Mode.FULL], modes[Mode.INCREMENTAL], running, not_before, wanted)

    def of_mode(self, mode: Mode) -> ModeHistory:
        """The runs of one mode."""
        return self.full if mode is Mode.FULL else self.incremental

    @property
    def newest(self) -> datetime | None:
        """The start of the newest good run of either mode, by the clock as it goes now."""
        starts = [mode.last_success.real for mode in (self.full, self.incremental) if mode.last_success]
        return max(starts, default=None)

    def wanting_full(self, since: datetime) -> History:
        """A full is wanted at once: only one that starts from now on will do."""
        return replace(self, full_wanted=since)

    def started(self, mode: Mode, at: datetime) -> History:
        """A run was submitted."""
        return replace(self, running=(mode, Start(at)))

    def finished(self, outcome: Outcome, at: datetime) -> History:
        """The run ended. Only `succeeded` satisfies a slot; everything else is tried again. ValueError if none ran."""
        if self.running is None:
            raise ValueError("a run ended that never started")
        mode, start = self.running
        modes = {Mode.FULL: self.full, Mode.INCREMENTAL: self.incremental}
        if outcome is Outcome.SUCCEEDED:
            modes = {other: _not_after(history, start) for other, history in modes.items()}
            modes[mode] = ModeHistory(last_success=start)
        else:
            modes[mode] = replace(modes[mode], failures=modes[mode].failures + 1, failed_at=at)
        wanted = None if mode is Mode.FULL and outcome is Outcome.SUCCEEDED else self.full_wanted
        full, incremental = modes[Mode.FULL], modes[Mode.INCREMENTAL]
        return replace(self, full=full, incremental=incremental, running=None, full_wanted=wanted)

    def after_step(self, by: timedelta) -> History:
        """The same history once the clock has been set by `by`, negative for back; intervals go on counting real time.

        Measure it against a clock that goes on while the machine sleeps (CLOCK_BOOTTIME): a sleep is no step. Where the
        two cannot be told apart, pass only steps back; a step forward then counts as time that passed.
        """
        return replace(
            self,
            full=_stepped(self.full, by),
            incremental=_stepped(self.incremental, by),
            running=None if self.running is None else (self.running[0], self.running[1].after_step(by)),
        )


def _start(at: datetime | None) -> Start | None:
    return None if at is None else Start(at)


def _not_after(history: ModeHistory, later: Start) -> ModeHistory:
    return replace(history, last_success=history.last_success and history.last_success.not_after(later))


def _stepped(history: ModeHistory, by: timedelta) -> ModeHistory:
    return replace(
        history,
        last_success=history.last_success and history.last_success.after_step(by),
        failed_at=history.failed_at and history.failed_at + by,
    )
