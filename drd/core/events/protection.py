"""Whether stores keep what they hold from somebody who would delete it, and who may open them."""

from __future__ import annotations

from dataclasses import dataclass

from drd.core.events.body import Body


@dataclass(frozen=True)
class ProtectionProbed(Body):
    """A store that is declared immutable was tried: drd attempted to delete from it, and made locks longer."""

    KIND = "protection-probed"
    store: str
    is_held: bool
    """Whether it refused everything, and every lock is as long as was declared."""
    reason: str
    """What it refused, or what it let pass."""
    risks: tuple[str, ...]
    """Who could still delete, and what weakens its lock."""
    mode: str
    days: int | None
    """For how long its bucket locks by default."""
    files: int
    """Whose lock was looked at."""
    extended: int
    """Whose lock was made longer."""


@dataclass(frozen=True)
class KeysListed(Body):
    """The keys of a repository are others than they were; those that are foreign drd did not add."""

    KIND = "keys-listed"
    store: str
    keys: tuple[str, ...]
    foreign: tuple[str, ...]
