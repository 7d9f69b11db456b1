"""What the child says while it works: JSON lines on standard output, progress at most four times a second."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable

from drd.clients.carrier.job import Saying

PROGRESS_SECONDS = 0.25
NAMES_A_LINE = 500


class Report:
    """Counts what has passed and says so. Calls come from several threads at once."""

    def __init__(self, write: Callable[[str], object] = sys.stdout.write) -> None:
        self.files = 0
        self.bytes = 0
        self._complete = True
        self._absent = 0
        self._write = write
        self._lock = threading.Lock()
        self._phase = ""
        self._done_bytes = self._total_bytes = self._done_files = self._total_files = 0
        self._next_at = 0.0

    def phase(self, name: str) -> None:
        """What is being done now."""
        with self._lock:
            self._phase = name
            self._say_progress()

    def expect(self, files: int, size: int) -> None:
        """How much there is to send in all."""
        with self._lock:
            self._done_bytes = self._done_files = 0
            self._total_files, self._total_bytes = files, size
            self._say_progress()

    def passed(self, count: int) -> None:
        """So many bytes went by; negative where they have to go again."""
        with self._lock:
            self._done_bytes += count
            if time.monotonic() >= self._next_at:
                self._say_progress()

    def sent(self, size: int) -> None:
        """A file of that size stands at the target."""
        with self._lock:
            self._done_files += 1
            self.files += 1
            self.bytes += size

    def finish(self, *, complete: bool, absent: int) -> None:
        """How a round of carrying ended."""
        self._complete, self._absent = complete, absent

    def done(self) -> None:
        """The last line of a job that was done."""
        self.say(Saying.DONE, files=self.files, bytes=self.bytes, complete=self._complete, absent=self._absent)

    def refuse(self, path: str, reason: str) -> None:
        """A file that does not go."""
        self.say(Saying.REFUSED, path=path, reason=reason)

    def names(self, saying: Saying, names: Iterable[str]) -> None:
        """Names, some at a time: a line stays short whatever their number."""
        rest = list(names)
        while rest:
            self.say(saying, names=rest[:NAMES_A_LINE])
            rest = rest[NAMES_A_LINE:]

    def say(self, saying: Saying, **fields: object) -> None:
        """One line."""
        with self._lock:
            self._put(saying, fields)

    def _say_progress(self) -> None:
        self._next_at = time.monotonic() + PROGRESS_SECONDS
        fields = {
            "phase": self._phase,
            "done_bytes": self._done_bytes,
            "total_bytes": self._total_bytes,
            "done_files": self._done_files,
            "total_files": self._total_files,
        }
        self._put(Saying.PROGRESS, fields)

    def _put(self, saying: Saying, fields: dict[str, object]) -> None:
        self._write(json.dumps({"say": saying.value, **fields}) + "\n")
        sys.stdout.flush()
