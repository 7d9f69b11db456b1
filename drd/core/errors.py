"""What can go wrong, as values that a person can act on.

Every foreseen failure is a `DrdError`: one sentence that says what happened and a hint that says what to type or write.
Two families matter to the engines, and only they decide about retrying:

* `TransientError`: the same request may succeed later (a store that is away, a repository that is locked);
* `PermanentError`: it will not until a person changes something (a wrong password, a missing source).
"""

from __future__ import annotations

from typing import ClassVar, Final


class DrdError(Exception):
    """A foreseen failure.

    `message` is one sentence without a final full stop; `hint` says what to type or to write instead and may be empty.
    Neither may hold a secret. `exit_code` is what the command line ends with.

    `message` and `hint` may come to stand in the journal for ever, so neither may hold what lies inside a source.
    `detail` may: the words of the program that failed. It is for the daemon's log and for whoever asks at that moment.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message} — {self.hint}" if self.hint else self.message


class TransientError(DrdError):
    """The same request may succeed later without anybody changing anything."""


class PermanentError(DrdError):
    """The request fails until a person changes something."""


class StoreAway(TransientError):
    """A store cannot be reached now; work for it is caught up later."""


class RepositoryLocked(TransientError):
    """Another process holds a lock that the repository's rules make us wait for."""


class RepositoryMissing(PermanentError):
    """The place is reachable but holds no restic repository."""


class RepositoryDamaged(PermanentError):
    """What a store holds is not what was saved there; another store's copy may be whole."""


class WrongPassword(PermanentError):
    """The repository does not open with the password that was given."""


class ProgramMissing(PermanentError):
    """A program that drd needs is not installed, or too old."""


class SourceRefused(PermanentError):
    """A source is empty, unreadable, not mounted or has shrunk beyond its guard: nothing may be called saved."""


class UsageError(DrdError):
    """The command line or the configuration is wrong; nothing was changed."""

    exit_code = 2


class RefusedByGuard(DrdError):
    """A guard holds the action back; the message names the guard."""

    exit_code = 5


class Busy(TransientError):
    """Somebody else does this already: another daemon holds the state folder, or the policy runs."""

    exit_code = 75


class JournalDamaged(PermanentError):
    """The journal does not verify, or cannot be read by this version."""


class StateFull(TransientError):
    """The disk that holds the state folder is full."""


class JournalUnusable(TransientError):
    """The journal of a living daemon can be neither written nor read: its disk fails, or its file is damaged."""


class AtWork(Busy):
    """Another run works with the same nodes."""


NOT_NOW: Final = (StateFull, Busy, JournalUnusable)
"""Why the journal may take no fact for a while: no room, another process has it locked, or its disk fails. No loop ends
of that.
"""
