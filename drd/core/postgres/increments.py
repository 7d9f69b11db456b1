"""Incremental base backups, each whole only together with all those that it follows, back to a full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from drd.core.points import RecoveryPoint, Standing
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.server import ServerFacts

OLDEST: Final = 17
"""The first version with incremental base backups."""
_MANIFEST: Final = "pg-manifest="
_PRIOR: Final = "pg-prior="


@dataclass(frozen=True, slots=True)
class Member:
    """A base backup that others may follow, by the SHA-256 of its manifest, in hexadecimal digits."""

    manifest: str
    prior: str = ""
    """The manifest of the one that it follows; empty for a full."""

    @property
    def is_incremental(self) -> bool:
        """Whether it needs the one that it follows."""
        return bool(self.prior)

    def tags(self) -> tuple[str, ...]:
        """As tags of a snapshot."""
        return (f"{_MANIFEST}{self.manifest}", *((f"{_PRIOR}{self.prior}",) if self.prior else ()))

    @classmethod
    def of_tags(cls, tags: Iterable[str]) -> Member | None:
        """What `tags` wrote, among any others; None where nothing can follow it."""
        found = {name: value for name in (_MANIFEST, _PRIOR) for value in _values(name, tags)}
        manifest = found.get(_MANIFEST, "")
        return cls(manifest, found.get(_PRIOR, "")) if manifest else None


def why_full(newest: Iterable[str], server: ServerFacts) -> str:
    """Why no incremental can follow a base backup that was saved, by its tags; empty where the server may be asked.

    Pages get other checksums without any WAL, and another timeline has other WAL.
    """
    tags = tuple(newest)
    base, member = BaseRecord.of_tags(tags), Member.of_tags(tags)
    if server.major < OLDEST:
        return f"PostgreSQL {server.major} gives no incremental base backups"
    if base is None:
        return "there is none in this store that it could follow"
    if base.system_identifier != server.system_identifier:
        return "the newest one in this store is of another cluster"
    if member is None:
        return "the newest one in this store has no manifest"
    if base.major != server.major:
        return f"the newest one is of PostgreSQL {base.major}"
    if base.timeline != server.timeline:
        return f"the newest one is of timeline {base.timeline}"
    if base.has_checksums is not server.has_checksums:
        return "page checksums were switched since the newest one"
    return ""


def earlier_points(point: RecoveryPoint, part: str, points: Sequence[RecoveryPoint]) -> tuple[RecoveryPoint, ...]:
    """The points that a part of a point needs beside itself, oldest first; none for a full.

    Raises LookupError when one is not among `points`.
    """
    return tuple(_points_before(point, part, _by_manifest(points)))


def needed_runs(kept: Iterable[RecoveryPoint], points: Sequence[RecoveryPoint]) -> frozenset[str]:
    """The runs of all points that those which are kept need beside themselves, as far as they are known."""
    by_manifest = _by_manifest(points)
    found: set[str] = set()
    for point in kept:
        for part in point.facts:
            try:
                found |= {each.run for each in _points_before(point, part, by_manifest)}
            except LookupError:
                found |= {each.run for each in _known_before(point, part, by_manifest)}
    return frozenset(found)


def with_whole_chains(points: Sequence[RecoveryPoint]) -> tuple[RecoveryPoint, ...]:
    """The points as they can be restored: without the copies in stores that lack one of those that they need."""
    by_manifest = _by_manifest(points)
    return tuple(_with_whole_chains(point, by_manifest) for point in points)


def _with_whole_chains(point: RecoveryPoint, by_manifest: Mapping[str, RecoveryPoint]) -> RecoveryPoint:
    if not any(member.is_incremental for member in _members(point).values()):
        return point
    whole = set(point.stores)
    for part in point.facts:
        try:
            before = _points_before(point, part, by_manifest)
        except LookupError:
            before, whole = [], set()
        for each in before:
            whole &= set(each.stores) if each.is_good else set()
    copies = [copy if copy.store in whole else replace(copy, standing=Standing.DAMAGED) for copy in point.copies]
    return replace(point, copies=tuple(copies))


def _points_before(point: RecoveryPoint, part: str, by_manifest: Mapping[str, RecoveryPoint]) -> list[RecoveryPoint]:
    found = _known_before(point, part, by_manifest)
    oldest = _member(found[0] if found else point, part)
    if oldest is not None and oldest.is_incremental:
        raise LookupError(f"the base backup with the manifest {oldest.prior} is not known")
    return found


def _known_before(point: RecoveryPoint, part: str, by_manifest: Mapping[str, RecoveryPoint]) -> list[RecoveryPoint]:
    found: list[RecoveryPoint] = []
    seen = {point.run}
    member = _member(point, part)
    while member is not None and member.is_incremental:
        before = by_manifest.get(member.prior)
        if before is None or before.run in seen:
            break
        seen.add(before.run)
        found.insert(0, before)
        member = _member(before, part)
    return found


def _by_manifest(points: Iterable[RecoveryPoint]) -> dict[str, RecoveryPoint]:
    return {member.manifest: point for point in points for member in _members(point).values()}


def _members(point: RecoveryPoint) -> dict[str, Member]:
    found = {part: Member.of_tags(facts) for part, facts in point.facts.items()}
    return {part: member for part, member in found.items() if member is not None}


def _member(point: RecoveryPoint, part: str) -> Member | None:
    return Member.of_tags(point.facts.get(part, ()))


def _values(name: str, tags: Iterable[str]) -> tuple[str, ...]:
    return tuple(tag.removeprefix(name) for tag in tags if tag.startswith(name))
