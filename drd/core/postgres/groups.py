"""WAL as it stands in stores: in groups of segments that follow one another on one timeline.

A group is one folder of the spool, named for its first segment. Each batch is a snapshot of the whole folder, so the
newest one holds all that the earlier ones held, and those are superseded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from drd.core.postgres.archive import Archive
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.stretches import Stretch, Stretches
from drd.core.postgres.timeline import History, Switch
from drd.core.postgres.wal import Segment
from drd.core.tags import MINE, policy_tags

KIND: Final = "wal"


@dataclass(frozen=True, slots=True)
class Group:
    """How far one group goes."""

    system_identifier: str
    first: Segment
    through: Lsn
    """The end of its WAL: all before it is there, and safe on a disk."""
    moment: datetime | None = None
    """By the server's clock: all that was committed before it lies before `through`; None when nobody could ask."""
    switches: tuple[Switch, ...] = ()
    """What its timeline continues."""

    @property
    def name(self) -> str:
        """What its folder is called."""
        return self.first.name

    @property
    def timeline(self) -> int:
        """The one that all of its segments are of."""
        return self.first.timeline

    @property
    def numbers(self) -> Stretches:
        """The numbers of its segments that are there from beginning to end."""
        return Stretches.joined([Stretch(self.first.number, self.through.value // self.first.size - 1)])

    @property
    def whole(self) -> tuple[Segment, ...]:
        """The same as segments."""
        return tuple(Segment(self.timeline, each, self.first.size) for each in self.numbers)

    @property
    def partial(self) -> Segment | None:
        """The segment of which only the beginning is there."""
        if self.through.value % self.first.size == 0:
            return None
        return Segment.at(self.timeline, self.through, self.first.size)

    def tags(self, policy: str) -> tuple[str, ...]:
        """The tags of a batch's snapshot."""
        moment = () if self.moment is None else (f"moment={self.moment.astimezone(UTC).isoformat()}",)
        return (
            *policy_tags(policy),
            f"kind={KIND}",
            f"system={self.system_identifier}",
            f"group={self.name}",
            f"segment={self.first.size}",
            f"timeline={self.timeline}",
            f"from={self.first.start}",
            f"through={self.through}",
            *moment,
            *(f"switch={each}" for each in switch_texts(self.switches)),
        )


@dataclass(frozen=True, slots=True)
class ShippedGroup:
    """A group in one store."""

    policy: str
    store: str
    group: Group
    snapshot_id: str
    """The newest batch's."""
    superseded: tuple[str, ...] = ()
    """Snapshots of earlier batches that are there still."""
    marks: tuple[Mark, ...] = ()
    """Of its batches, oldest first; of a long group some are left out, never the newest."""
    shipped: datetime | None = None
    """When the newest batch was put on record."""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.policy}, WAL from {self.group.first.start} to {self.group.through}"


def wal_tags(policy: str) -> tuple[str, ...]:
    """The tags that all WAL of a policy carries, and nothing else."""
    return (*policy_tags(policy), f"kind={KIND}")


def read_group(tags: Sequence[str]) -> Group | None:
    """The group that a snapshot is of; None when it is of something else."""
    values = dict(tag.split("=", 1) for tag in tags if "=" in tag)
    if MINE not in tags or values.get("kind") != KIND:
        return None
    try:
        first = Segment.parse(values["group"], int(values["segment"]))
        moment = datetime.fromisoformat(values["moment"]) if "moment" in values else None
        through = Lsn.parse(values["through"])
        system = values["system"]
        switches = read_switches(tag.removeprefix("switch=") for tag in tags if tag.startswith("switch="))
    except (KeyError, ValueError, ZeroDivisionError):
        return None
    if first is None or (moment is not None and moment.tzinfo is None):
        return None
    return Group(system, first, through, moment, switches)


def switch_texts(switches: Iterable[Switch]) -> tuple[str, ...]:
    """As they stand in events, without the reasons: those are the server's words."""
    return tuple(f"{switch.timeline}@{switch.at}" for switch in switches)


def read_switches(texts: Iterable[str]) -> tuple[Switch, ...]:
    """What `switch_texts` wrote."""
    pairs = (text.split("@", 1) for text in texts)
    # Tags of a snapshot, from which they are read as well, may come in any order.
    return tuple(sorted((Switch(int(timeline), Lsn.parse(at)) for timeline, at in pairs), key=_timeline))


def _timeline(switch: Switch) -> int:
    return switch.timeline


def systems(shipped: Iterable[ShippedGroup]) -> tuple[str, ...]:
    """The clusters that there is WAL of, the one of which the newest was shipped last."""
    newest: dict[str, datetime] = {}
    for each in shipped:
        name, known = each.group.system_identifier, each.shipped or datetime.min.replace(tzinfo=UTC)
        newest[name] = max(known, newest.get(name, known))
    return tuple(sorted(newest, key=lambda name: newest[name]))


def archive_of(shipped: Iterable[ShippedGroup], segment_bytes: int) -> Archive:
    """All WAL in these groups, which are of one cluster, in whichever stores they are."""
    groups = [each.group for each in shipped]
    partials: dict[Segment, Lsn] = {}
    for group in groups:
        if (partial := group.partial) is not None:
            partials[partial] = max(group.through, partials.get(partial, Lsn(0)))
    histories: Mapping[int, History] = {
        group.timeline: History(group.timeline, group.switches) for group in groups if group.switches
    }
    stretches: dict[int, list[Stretch]] = {}
    for group in groups:
        stretches.setdefault(group.timeline, []).extend(group.numbers.parts)
    segments = {timeline: Stretches.joined(found) for timeline, found in stretches.items() if found}
    return Archive(segment_bytes, segments, partials, histories)


def marks_of(shipped: Iterable[ShippedGroup]) -> tuple[Mark, ...]:
    """What was committed when, as far as these groups tell, oldest first."""
    return tuple(sorted({mark for each in shipped for mark in each.marks}, key=lambda mark: (mark.moment, mark.lsn)))
