"""What the journal's tests are made of: a clock that stands still unless told, and the events of a day."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from drd.core.events import Body, CopyCreated, RunFinished, RunStarted, SnapshotCreated
from drd.core.policy import Cause, Mode, Outcome

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


@dataclass
class StillClock:
    """A clock that moves only when it is told to."""

    wall: datetime = NOON
    seconds: float = 1000.0
    boot_id: str = field(default="3e1d1a3c-boot", init=False)

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.move(timedelta(seconds=seconds))
        await asyncio.sleep(0)

    def move(self, duration: timedelta) -> None:
        self.wall += duration
        self.seconds += duration.total_seconds()


def started(policy: str, mode: Mode = Mode.FULL) -> RunStarted:
    return RunStarted(policy, mode, Cause.SCHEDULE, None)


def saved(
    policy: str, snapshot_id: str, store: str = "local", moment: datetime = NOON, **other: object
) -> SnapshotCreated:
    fields: dict[str, object] = {
        "part": "files", "mode": Mode.FULL, "outcome": Outcome.SUCCEEDED, "total_bytes": 1000, "total_files": 10,
        "added_bytes": 100, "seconds": 1.5,
    }  # fmt: skip
    return SnapshotCreated(policy=policy, store=store, snapshot_id=snapshot_id, moment=moment, **(fields | other))


def copied(policy: str, snapshot_id: str, store: str = "offsite", moment: datetime = NOON) -> CopyCreated:
    return CopyCreated(policy, "files", store, snapshot_id, "local", moment)


def finished(policy: str, outcome: Outcome = Outcome.SUCCEEDED, mode: Mode = Mode.FULL) -> RunFinished:
    return RunFinished(policy, mode, outcome, "", "", 2.0, 1000, 100)


def whole_run(policy: str, number: int) -> tuple[Body, ...]:
    """All events of one successful run with a copy."""
    snapshot = f"{policy}-{number}"
    return started(policy), saved(policy, snapshot), copied(policy, snapshot), finished(policy)
