"""Damage in a store: how it was found, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from drd.core.events.body import Body

BY_RESTORE = "restore"
"""The subset of a store in which a restore met damage: healing, or a check of all of it, takes that back."""
BY_MIRROR = "mirror"
"""The files of a store that a mirror of it refused, because they are not what they are called."""

BY_OPENING = "open"
"""The config and the keys of a store, without which it opens no more."""
BY_LISTING = "listing"
"""Snapshots that a store lists no more and that drd did not forget: healing, or a person's word, takes that back."""


@dataclass(frozen=True)
class DamageFound(Body):
    """A store does not hold what it was given: an incident is open there until it is healed."""

    KIND = "damage-found"
    store: str
    subset: str
    """How it was found: the subset of a check (empty for the structure alone), `restore`, `mirror` or `open`."""
    files: tuple[str, ...]
    """Damaged files that were named, by their path in the repository."""
    message: str


@dataclass(frozen=True)
class DamageMended(Body):
    """Damaged files were replaced by good ones of the same name; what was damaged lies aside."""

    KIND = "damage-mended"
    store: str
    origin: str
    """The store from which the good files came."""
    files: tuple[str, ...]
    aside: str
    """The folder of this machine in which the damaged files lie."""


@dataclass(frozen=True)
class DamageGivenUp(Body):
    """Damaged files were taken away of which no good ones are to be had; what was whole in them is kept."""

    KIND = "damage-given-up"
    store: str
    files: tuple[str, ...]
    aside: str
    """The folder of this machine in which they lie."""


@dataclass(frozen=True)
class DamageLeft(Body):
    """Some of the damage could not be healed: the incident stays open."""

    KIND = "damage-left"
    store: str
    files: tuple[str, ...]
    message: str
    hint: str
    lost: tuple[str, ...] = ()
    """What recovery points cannot give back any more, as `policy, point of moment: path`; the first of them."""
    lost_count: int = 0
    """How many there are altogether."""


@dataclass(frozen=True)
class DamageHealed(Body):
    """All that was damaged is good again, and was read again: the incident is closed."""

    KIND = "damage-healed"
    store: str
    subsets: tuple[str, ...]
    """How the damage was found."""
    files: tuple[str, ...]
    """What was damaged, as far as it was named."""
    means: str
    """How it was healed."""
    seconds: float
