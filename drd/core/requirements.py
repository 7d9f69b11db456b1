"""What a policy requires of its copies, clause by clause, held against where they really are now.

Each clause of `require:` is a rule of its own: it names the stores that can meet it, counts those whose copy is
current, and says why the others do not count. A further clause is a further rule in `_RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from drd.core.geography import format_away, format_distance
from drd.core.policy import DisasterClass, Policy, Require
from drd.core.units import format_duration

RECEIVED_WITHIN = timedelta(seconds=1)
"""How soon WAL that is received all the time is safe on this machine's disk."""
SHIPPED_WITHIN = timedelta(minutes=1)
"""How soon it is in every store that can be reached."""


@dataclass(frozen=True, slots=True)
class Place:
    """A store that a policy's points go to, as it is known now."""

    store: str
    newest: datetime | None
    """Moment of the newest good point with an undamaged copy there."""
    rpo: timedelta | None = None
    """How old that point may be for its copy to count; None: as old as it is."""
    is_offsite: bool = False
    distance_metres: float = 0.0
    is_immutable: bool = False
    """Whether the store is declared immutable."""
    broken_promise: str = ""
    """What the last look found of the store's immutability, if it is not as declared."""
    doubt: str = ""
    """Why no copy there is counted, however new it is."""
    medium: str = ""
    """The kind of the store, as `local` or `s3`."""
    known_since: datetime | None = None
    """When the journal heard of its repository first; None: nothing was ever done there."""
    verified: datetime | None = None
    """When a restore read a whole recovery point of the policy from it last."""
    unread_since: datetime | None = None
    """Since when some of its data was not read."""

    def fault(self, now: datetime) -> str:
        """Why the copy in this store does not count; empty when it does."""
        if self.doubt:
            return self.doubt
        if self.newest is None:
            return "has none"
        if self.rpo is not None and now - self.newest > self.rpo:
            age = timedelta(seconds=int((now - self.newest).total_seconds()))
            return f"has one that is {format_duration(age)} old, not within the RPO of {format_duration(self.rpo)}"
        return ""


@dataclass(frozen=True, slots=True)
class Clause:
    """How one clause of `require:` stands."""

    name: str
    """Its key under `require:`."""
    is_met: bool
    reason: str
    """Which copies count and why others do not, for people."""
    is_late: bool = False
    """Not met, and copies that are only late would meet it: nobody has to repair anything first."""

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def rpo_in(policy: Policy, *, is_offsite: bool, ships_wal: bool = False) -> timedelta | None:
    """How old the newest point in a store may be; off-site, what is promised for the loss of a site, if anything is.

    WAL keeps a shorter one than `SHIPPED_WITHIN` where it is received, and no store is asked for more than that.
    """
    disaster = policy.disasters.get(DisasterClass.SITE) if is_offsite else None
    rpo = disaster.rpo if disaster is not None and disaster.rpo is not None else policy.objectives.rpo
    return max(rpo, SHIPPED_WITHIN) if rpo is not None and ships_wal else rpo


def hold_against(require: Require, places: Sequence[Place], now: datetime) -> tuple[Clause, ...]:
    """Every clause that a policy has, in the order in which it matters, judged by its stores as they are known now."""
    return tuple(clause for rule in _RULES if (clause := rule(require, places, now)) is not None)


def _copies(require: Require, places: Sequence[Place], now: datetime) -> Clause:
    return _counted("copies", require.copies, places, now)


def _offsite(require: Require, places: Sequence[Place], now: datetime) -> Clause | None:
    if not require.offsite:
        return None
    return _counted("offsite", require.offsite, [place for place in places if place.is_offsite], now)


def _distance(require: Require, places: Sequence[Place], now: datetime) -> Clause | None:
    """As many copies as have to be off-site, and one at least, are that far away."""
    if require.distance is None:
        return None
    far = [place for place in places if place.distance_metres >= (require.distance or 0.0)]
    clause = _counted("distance", max(require.offsite, 1), far, now)
    current = [place for place in places if not place.fault(now)]
    farthest = max(current, key=lambda place: place.distance_metres, default=None)
    where = (
        "no store has a current copy"
        if farthest is None
        else f"the farthest current copy, in {farthest.store}, is {format_away(farthest.distance_metres)}"
    )
    wanted = f"{where}, {format_distance(require.distance)} required"
    return replace(clause, reason=wanted if clause.is_met else f"{wanted}; {clause.reason}")


def _immutable(require: Require, places: Sequence[Place], now: datetime) -> Clause | None:
    if not require.immutable:
        return None
    declared = [replace(place, doubt=place.broken_promise or place.doubt) for place in places if place.is_immutable]
    return _counted("immutable", require.immutable, declared, now)


def _media(require: Require, places: Sequence[Place], now: datetime) -> Clause | None:
    """Two copies on disks of one kind share what can go wrong with that kind."""
    if not require.media:
        return None
    current = [place for place in places if not place.fault(now)]
    media = list(dict.fromkeys(place.medium for place in current))
    if len(media) >= require.media:
        return Clause("media", True, f"{len(media)}, {require.media} required: {', '.join(media)}")
    others = [place for place in places if place.medium not in media]
    missing = "; ".join(f"store {place.store} ({place.medium}) {place.fault(now)}" for place in others)
    is_late = len({place.medium for place in places if not place.doubt}) >= require.media
    there = f"{len(media)} of {require.media}"
    return Clause("media", False, f"{there}: {missing or 'the policy has no store of another kind'}", is_late)


def _verified(require: Require, places: Sequence[Place], now: datetime) -> Clause | None:
    """A new policy has the same time for its first restore."""
    if require.verified_within is None:
        return None
    within = f"{format_duration(require.verified_within)} allowed"
    tried = [(place.verified, place.store) for place in places if place.verified is not None]
    known = [place.known_since for place in places if place.known_since is not None]
    if tried:
        last, store = max(tried)
        words = f"a restore read all of a point from {store} {_ago(last, now)} ago, {within}"
        return Clause("verified_within", now - last <= require.verified_within, words)
    since = min(known, default=now)
    return Clause(
        "verified_within",
        now - since <= require.verified_within,
        f"no restore has read a whole point yet, in the {_ago(since, now)} since its stores are used, {within}",
    )


def _read(require: Require, places: Sequence[Place], now: datetime) -> Clause | None:
    """Whatever its copies are worth: of data that nobody reads nobody knows that it is still there."""
    if require.read_within is None:
        return None
    within = f"{format_duration(require.read_within)} allowed"
    unread = [(place.unread_since, place.store) for place in places if place.unread_since is not None]
    if not unread:
        return Clause("read_within", True, f"nothing was stored yet, {within}")
    oldest, store = min(unread)
    words = f"some data of {store} was not read for {_ago(oldest, now)}, {within}"
    return Clause("read_within", now - oldest <= require.read_within, words)


def _ago(moment: datetime, now: datetime) -> str:
    """How long ago, in its two greatest units."""
    age = timedelta(seconds=max(0, int((now - moment).total_seconds())))
    return " ".join(format_duration(age).split(" ")[:2])


_RULES: tuple[Callable[[Require, Sequence[Place], datetime], Clause | None], ...] = (
    _copies,
    _offsite,
    _distance,
    _immutable,
    _media,
    _verified,
    _read,
)


def _counted(name: str, wanted: int, able: Sequence[Place], now: datetime) -> Clause:
    """A clause that asks for so many current copies in the stores that are `able` to meet it."""
    faults = {place.store: place.fault(now) for place in able}
    good = [store for store, fault in faults.items() if not fault]
    if len(good) >= wanted:
        return Clause(name, True, f"{len(good)}, {wanted} required: {', '.join(good)}")
    missing = "; ".join(f"store {store} {fault}" for store, fault in faults.items() if fault)
    is_late = sum(not place.doubt for place in able) >= wanted
    return Clause(name, False, f"{len(good)} of {wanted}: {missing or 'no store of the policy can meet it'}", is_late)
