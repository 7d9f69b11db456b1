"""Finding restore points by their names: nothing but the WAL tells of them, so the stores' WAL is searched."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from drd.core.errors import UsageError
from drd.core.postgres.groups import Group, ShippedGroup
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.recovery import RestorePoint
from drd.core.postgres.restore_points import RestorePointSearch
from drd.core.postgres.target import HOW_TO_WRITE, AtName
from drd.core.postgres.timeline import History
from drd.core.postgres.wal import FileKind, Segment, kind_of
from drd.core.units import format_size
from drd.engines.wal_fetching import MOVE_SECONDS, WalFetching
from drd.ports.cancelling import to_the_end
from drd.ports.host import Host

MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Named:
    """Restore points of one cluster."""

    system_identifier: str
    points: tuple[RestorePoint, ...]


class Naming:
    """Searches WAL, the newest first, one group at a time."""

    def __init__(self, fetching: WalFetching, host: Host, scratch: Path | None) -> None:
        """`scratch` is a folder that is made where it lacks; None: where temporary files lie on this machine."""
        self._fetching = fetching
        self._host = host
        self._scratch = scratch

    async def find(self, run: str, target: AtName, shipped: tuple[ShippedGroup, ...]) -> Named:
        """The newest restore point of that name. Raises `UsageError` with those that there are instead."""
        work = await self._host.within(MOVE_SECONDS, lambda: _work(self._scratch))
        try:
            seen: dict[str, None] = {}
            for group in _newest_first(shipped):
                points = await self._searched(run, group, shipped, work)
                named = [point for point in points if point.name == target.name]
                if named:
                    return Named(group.system_identifier, (named[-1],))
                seen.update(dict.fromkeys(point.name for point in reversed(points)))
        finally:
            await to_the_end(self._host.within(MOVE_SECONDS, lambda: shutil.rmtree(work, ignore_errors=True)))
        more = f" and {len(seen) - MOST_SHOWN} more" if len(seen) > MOST_SHOWN else ""
        there = f"those that there are: {', '.join([*seen][:MOST_SHOWN])}{more}" if seen else "there is none at all"
        raise UsageError(f"there is no restore point {target.name} in the WAL that is kept; {there}", HOW_TO_WRITE)

    async def _searched(
        self, run: str, group: Group, shipped: tuple[ShippedGroup, ...], work: Path
    ) -> list[RestorePoint]:
        """All restore points of a group, in order. The newest of each store is tried where one does not give it."""
        bytes_of_it = group.through - group.first.start
        free = await self._host.free_bytes(work)
        if free < bytes_of_it:
            raise UsageError(
                f"to look for a restore point {format_size(bytes_of_it)} of WAL are read, and {work.parent} has "
                f"{format_size(free)} free",
                "name its position or its time instead",
            )
        of_it = tuple(each for each in shipped if _key(each.group) == _key(group))

        def needed(known: Sequence[ShippedGroup], stores: Sequence[str]) -> list[ShippedGroup]:
            there = [each for each in known if each.store in stores]
            return sorted(there, key=lambda each: (-each.group.through.value, stores.index(each.store)))[:1]

        folder = work / group.name
        await self._fetching.fetch(run, of_it, needed, _all_files, folder, bytes_of_it)
        try:
            return await self._host.within(MOVE_SECONDS, lambda: _points_in(folder, group))
        finally:
            await to_the_end(self._host.within(MOVE_SECONDS, lambda: _empty(work)))


def _newest_first(shipped: tuple[ShippedGroup, ...]) -> list[Group]:
    """Each group once, as far as any store has it."""
    farthest: dict[tuple[str, str], Group] = {}
    for each in shipped:
        known = farthest.get(_key(each.group))
        if known is None or each.group.through > known.through:
            farthest[_key(each.group)] = each.group

    def age(group: Group) -> tuple[float, int, int]:
        return (group.moment.timestamp() if group.moment else 0.0, group.timeline, group.first.number)

    return sorted(farthest.values(), key=age, reverse=True)


def _key(group: Group) -> tuple[str, str]:
    return group.system_identifier, group.name


def _all_files(_: Group) -> tuple[str, ...]:
    return ()


def _work(scratch: Path | None) -> Path:
    if scratch is not None:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="drd-names-", dir=scratch))


def _empty(work: Path) -> None:
    for each in work.iterdir():
        shutil.rmtree(each, ignore_errors=True)


def _points_in(folder: Path, group: Group) -> list[RestorePoint]:
    """All in a folder, each on the timeline that it was made on: a timeline's first segment begins with the older's."""
    search, history, found = RestorePointSearch(), History(group.timeline, group.switches), list[RestorePoint]()
    for path in sorted(folder.iterdir()):
        segment = Segment.parse(path.name, group.first.size)
        if segment is not None and kind_of(path.name) in (FileKind.SEGMENT, FileKind.PARTIAL):
            found += search.take(segment, path.read_bytes())
    return [replace(point, timeline=history.owner_of(Lsn(point.lsn.value - 1))) for point in found]
