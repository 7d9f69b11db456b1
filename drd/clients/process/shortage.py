"""What the system refuses when it is asked for a process, in drd's words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drd.core.errors import DrdError, PermanentError, TransientError

_LACKS = {
    errno.EMFILE: (
        "drd has as many files open as it may",
        "raise LimitNOFILE=: systemctl edit drd; what is open: ls -l /proc/$(pgrep -of 'drd run')/fd",
    ),
    errno.ENFILE: ("this machine has as many files open as it may", "raise it: sysctl fs.file-max; now: lsof | wc -l"),
    errno.ENOMEM: ("this machine has no memory left for it", "see what takes it: ps aux --sort -rss | head"),
    errno.EAGAIN: (
        "there are as many processes as there may be",
        "raise TasksMax=: systemctl edit drd; what runs: ps -eLf | wc -l",
    ),
}
"""These pass: what holds the files, the memory or the processes now ends at some time."""


@contextmanager
def told_of(program: str, folder: Path | None) -> Iterator[None]:
    """Raise what the system refuses for `program` as a DrdError: a `TransientError` for what it lacks just now."""
    try:
        yield
    except OSError as error:
        raise in_our_words(error, program, folder) from error


def in_our_words(error: OSError, program: str, folder: Path | None) -> DrdError:
    """What `error` means for a program that should be started in `folder`."""
    if error.errno in _LACKS:
        lack, hint = _LACKS[error.errno]
        return TransientError(f"{program} cannot be started: {lack}", hint)
    if error.errno == errno.E2BIG:
        return PermanentError(
            f"{program} cannot be started: its arguments or its environment are too long for this system",
            "name folders instead of many files; the longest that it takes: getconf ARG_MAX",
        )
    return PermanentError(f"{program} cannot be started: {error.strerror}", f"ls -ld {program} {folder or ''}".strip())
