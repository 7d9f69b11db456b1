"""Following long work: a bar with rate and remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from drd.core.errors import TransientError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from drd.cli.session import Session
    from drd.ports.steps import Step

PLAIN_LINE_SECONDS = 5.0
"""How often a line of progress is written where there is no terminal."""
WINDOW_SECONDS = 15.0
"""The rate is that of the last so many seconds."""
LONGEST_SECONDS = 365 * 86400.0
"""A longer remaining time says only that the work has not begun in earnest."""


class Pace:
    """How fast something grows, from samples of the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, at_seconds: float, done: int) -> None:
        """Take a sample; one that is less than the last begins anew."""
        if self._samples and done < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((at_seconds, done))
        while len(self._samples) > 2 and at_seconds - self._samples[1][0] >= WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def rate(self) -> float | None:
        """Units a second; None until two samples lie apart."""
        if not self._samples:
            return None
        (begin, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - begin) if end - begin >= 1 else None

    def remaining_seconds(self, total: int) -> float | None:
        """Seconds until `total` at this rate; None while that cannot be said, or is more than a year."""
        rate = self.rate
        if not self._samples or not rate:
            return None
        left = max(0, total - self._samples[-1][1]) / rate
        return left if left <= LONGEST_SECONDS else None


class Progress:
    """The newest state of long work, in words."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._phase = ""
        self.step: Step | None = None

    def take(self, step: Step, at_seconds: float) -> None:
        """Take a step of kind progress."""
        if step.phase != self._phase:
            self._phase, self._pace = step.phase, Pace()
        self._pace.note(at_seconds, step.done_bytes)
        self.step = step

    @property
    def share(self) -> float | None:
        """0 to 1; None while the total is not known."""
        if self.step is None or self.step.total_bytes <= 0:
            return None
        return min(1.0, self.step.done_bytes / self.step.total_bytes)

    def words(self) -> str:
        """`41 %  820 MiB of 1.95 GiB  104 MiB/s  11 s left`."""
        from datetime import timedelta

        from drd.core.units import format_size
        from drd.reports.moments import number, span

        if self.step is None:
            return ""
        parts = [f"{self.share:4.0%}".replace("%", " %")] if self.share is not None else []
        of = f" of {format_size(self.step.total_bytes)}" if self.step.total_bytes else ""
        if self.step.done_bytes or of or not self._phase:
            parts.append(f"{format_size(self.step.done_bytes)}{of}")
        if self.step.done_files:
            parts.append(f"{number(self.step.done_files)} files")
        rate = self._pace.rate
        if rate is not None:
            parts.append(f"{format_size(rate)}/s")
        left = self._pace.remaining_seconds(self.step.total_bytes) if self.step.total_bytes else None
        if left is not None:
            parts.append(f"{span(timedelta(seconds=left))} left")
        return "  ".join(parts)

    def line(self) -> str:
        """The words with the phase before them."""
        return ": ".join(words for words in (self._phase, self.words()) if words)

    def bar(self) -> RenderableType:
        """One line with a bar, for a terminal."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        grid = Table.grid(padding=(0, 2, 0, 0))
        share = self.share
        bar = ProgressBar(total=1.0, completed=share or 0.0, width=24, pulse=share is None)
        grid.add_row(self._phase, bar, self.words())
        return grid


async def follow(session: Session, steps: AsyncIterator[Step]) -> int:
    """Show the steps of long work and then its result; returns the exit code."""
    facts: list[str] = []
    finished: Step | None = None
    with _Display(session) as display:
        async for step in steps:
            if step.kind == "progress":
                display.progress(step)
            elif step.kind == "finished":
                finished = step
            else:
                display.say(f"{step.text}, run {step.run}" if step.kind == "started" and step.run else step.text)
                facts += [step.text] if step.kind == "fact" else []
    if finished is None:
        raise TransientError("the work ended without a result", "drd status tells what became of it")
    _show_result(session, finished, facts)
    return finished.exit_code


def _show_result(session: Session, finished: Step, facts: list[str]) -> None:
    if session.as_json:
        session.emit(_document(finished, facts))
    else:
        session.conclude(
            finished.outcome.value if finished.outcome else "done", f": {finished.text}" if finished.text else ""
        )
    if finished.message:
        is_error = finished.exit_code not in (0, 3)
        session.say(
            f"error: {finished.message}" if is_error else f"but {finished.message}", "red" if is_error else "yellow"
        )
    for line_of_hint in finished.hint.splitlines():
        session.say(f"  {line_of_hint}")


def _document(finished: Step, facts: list[str]) -> dict[str, Any]:
    return {
        "run": finished.run,
        "outcome": finished.outcome.value if finished.outcome else None,
        "text": finished.text,
        "message": finished.message,
        "hint": finished.hint,
        "exit_code": finished.exit_code,
        "facts": facts,
        "result": finished.result,
    }


class _Display:
    """Where progress goes: a live line on a terminal, a line every few seconds elsewhere."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._progress = Progress()
        self._live: Live | None = None
        self._last_line = float("-inf")

    def __enter__(self) -> _Display:
        if sys.stderr.isatty():
            from rich.live import Live

            console: Console = self._session.error_console
            self._live = Live(console=console, transient=True, refresh_per_second=5)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def progress(self, step: Step) -> None:
        now = time.monotonic()
        self._progress.take(step, now)
        if self._live is not None:
            self._live.update(self._progress.bar())
        elif now - self._last_line >= PLAIN_LINE_SECONDS:
            self._last_line = now
            self._session.say(self._progress.line())

    def say(self, words: str) -> None:
        if words:
            self._session.say(words)
