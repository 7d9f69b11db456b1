"""What a try to delete from a store found. It imports next to nothing: the carrier is to be ready at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Protection:
    """How a store withstood somebody who holds drd's own credentials and wants its contents gone."""

    is_held: bool
    """Whether it refused everything that would have taken something away before its time."""
    reason: str
    """What it refused, or what it let pass; a few words."""
    mode: str = ""
    """How the bucket locks by default, as `COMPLIANCE`; empty where there is no object lock."""
    days: int | None = None
    """For how long it locks by default."""
    risks: tuple[str, ...] = ()
    """Who could still delete, and what weakens the lock; a few words each."""


@dataclass(frozen=True, slots=True)
class Extended:
    """What became of the locks of a repository's files."""

    files: int
    """Whose lock was looked at."""
    extended: int
    """Whose lock was made longer."""
    failed: int = 0
    """Whose lock could not be made longer."""
    message: str = ""
    """Why the first of those could not."""
