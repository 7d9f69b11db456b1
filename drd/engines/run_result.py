"""What is asked of a run of a policy, what comes of it, and by which figures it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from drd.core.errors import PermanentError
from drd.core.figures import RunFigures
from drd.core.policy import Cause, Mode, Outcome
from drd.core.units import format_size
from drd.engines.wal_standing import Stood
from drd.ports.repository import Saved, SaveOutcome
from drd.ports.source import Source


@dataclass(frozen=True, slots=True)
class Request:
    """A request that a policy be run."""

    policy: str
    mode: Mode
    cause: Cause
    slot: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run; `message` and `hint` are for people."""

    outcome: Outcome
    message: str = ""
    hint: str = ""
    total_bytes: int = 0
    added_bytes: int = 0
    detail: str = ""
    """What the program that failed said itself: to be shown now, and never journaled."""
    stood: Stood | None = None
    """Of a run that made no snapshot, because WAL leads on from the last base backup: what of it stands where."""
    figures: RunFigures | None = None
    """What it saw of its sources, where it came so far."""

    @property
    def whole_message(self) -> str:
        """The message with its detail, for whoever waits for the run."""
        return f"{self.message}: {self.detail}" if self.detail else self.message


def judge(
    saved: Mapping[str, Saved], baseline: int | None, shrink: float, must_hold: frozenset[str] = frozenset()
) -> RunResult:
    """What a run amounts to: incomplete when anything could not be read, failed when it saved nothing or shrank.

    `baseline` is the size of the last good run in bytes, `shrink` the share (0 to 1) by which this one may be smaller,
    `must_hold` the parts that are nothing without a single file.
    """
    total = sum(each.total_bytes for each in saved.values())
    added = sum(each.added_bytes for each in saved.values())
    empty = sorted(name for name in must_hold & saved.keys() if saved[name].total_files == 0)
    if empty:
        return RunResult(
            Outcome.FAILED,
            f"not a single file of the source was saved ({', '.join(empty)})",
            "look at exclude: and one_file_system: in the policy, or set allow_empty: true",
            total,
            added,
        )
    if baseline and total < baseline * (1 - shrink):
        return RunResult(
            Outcome.FAILED,
            f"the source has shrunk from {format_size(baseline)} to {format_size(total)}, "
            "more than guard: shrink: allows",
            "look at the source; if this is right, raise backup: guard: shrink: for one run",
            total,
            added,
        )
    unreadable = sum(each.unreadable for each in saved.values())
    if any(each.outcome is SaveOutcome.INCOMPLETE for each in saved.values()):
        return RunResult(
            Outcome.INCOMPLETE,
            f"{unreadable or 'some'} {'item' if unreadable == 1 else 'items'} of the source could not be read",
            "let drd's user read them, or name them under exclude:",
            total,
            added,
        )
    if not saved:
        raise PermanentError("the policy has no source", "add backup: source: to the policy")
    return RunResult(Outcome.SUCCEEDED, total_bytes=total, added_bytes=added)


def must_hold(sources: Mapping[str, Source]) -> frozenset[str]:
    """The parts that are nothing without a single file."""
    return frozenset(name for name, source in sources.items() if not source.may_be_empty)
