"""Another daemon that keeps the heartbeat of the same policy: two that decide about one database are one too many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from drd.core.decision import Rival
from drd.core.probing import Beat

ALIVE_SECONDS: Final = 30.0
"""A row that is at most so much older than this daemon's newest one is that of a living daemon."""
WRITE_CHECK: Final = "/probe"
"""What the name ends in under which a daemon's write checks stand in the heartbeat, beside its own row."""
VERIFICATION: Final = " verify"
"""The same of the row that a step writes which uses the service as a client does."""


def rivals(found: Iterable[Beat], daemon: str) -> tuple[Rival, ...]:
    """Other daemons that are alive, by rows that one server has.

    Ages are compared with that of this daemon's own row, since on a standby of a dead primary all rows grow old.
    """
    beats = tuple(found)
    own = min((beat.age_seconds for beat in beats if _is_of(beat, daemon)), default=0.0)
    alive = {
        _daemon(beat): beat.term
        for beat in sorted(beats, key=lambda beat: beat.term)
        if not _is_of(beat, daemon) and beat.age_seconds - own <= ALIVE_SECONDS
    }
    return tuple(Rival(name, term) for name, term in sorted(alive.items()))


def _is_of(beat: Beat, daemon: str) -> bool:
    return _daemon(beat) == daemon


def _daemon(beat: Beat) -> str:
    return beat.daemon.removesuffix(WRITE_CHECK).removesuffix(VERIFICATION)
