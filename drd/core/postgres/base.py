"""A base backup by what a restore has to know of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Tablespace

FORMAT: Final = 1
READ_IN_PLACE: Final = "pg-read=data_directory"
"""A fact, and a tag, of a base backup that has no manifest, since restic read its files where they lay."""
_WITH_WAL: Final = {"stream": True, "none": False}
_CHECKSUMS: Final = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What a base backup is of. Recovery from it has to reach `end`, or what it holds is not consistent."""

    system_identifier: str
    version: int
    """As the server counts: 150018 is 15.18."""
    timeline: int
    start: Lsn
    end: Lsn
    ended_at: datetime
    """By the server's clock, read after the end: all that was committed before `end` was committed before this."""
    segment_bytes: int
    has_checksums: bool
    is_of_standby: bool
    holds_wal: bool
    """Whether the WAL from `start` to `end` is in it, so that it can be restored by itself."""
    tablespaces: tuple[Tablespace, ...] = ()
    """Where they lay on the server; in the backup each is in a folder named by its OID."""
    read_from: PurePosixPath | None = None
    """The data directory that restic read while the server ran; None: the server sent its files."""
    role: str = ""
    """Who made it: a role of the cluster that may log in; empty in a description that does not tell."""

    def written(self) -> str:
        """As a file that lies beside the backup."""
        value: dict[str, Any] = {
            "format": FORMAT,
            "system_identifier": self.system_identifier,
            "version": self.version,
            "timeline": self.timeline,
            "start": str(self.start),
            "end": str(self.end),
            "ended_at": self.ended_at.astimezone(UTC).isoformat(),
            "segment_bytes": self.segment_bytes,
            "has_checksums": self.has_checksums,
            "is_of_standby": self.is_of_standby,
            "holds_wal": self.holds_wal,
            "role": self.role,
            "read_from": None if self.read_from is None else str(self.read_from),
            "tablespaces": [
                {"name": space.name, "oid": space.oid, "location": str(space.location)} for space in self.tablespaces
            ],
        }
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

    @property
    def record(self) -> BaseRecord:
        """What a catalogue keeps of it."""
        return BaseRecord(
            system_identifier=self.system_identifier,
            version=self.version,
            timeline=self.timeline,
            start=self.start,
            end=self.end,
            ended_at=self.ended_at,
            segment_bytes=self.segment_bytes,
            holds_wal=self.holds_wal,
            tablespaces=tuple(sorted(space.oid for space in self.tablespaces)),
            has_checksums=self.has_checksums,
        )

    @classmethod
    def read(cls, text: str) -> BaseFacts:
        """What `written` wrote. Raises ValueError when it is damaged or of a later drd."""
        try:
            return _facts(json.loads(text))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the description of a base backup is damaged: {error}") from error


@dataclass(frozen=True, slots=True)
class BaseRecord:
    """A base backup by what stands in the tags of its snapshot and in the journal: no name or path of the server's.

    The fields are those of `BaseFacts`.
    """

    system_identifier: str
    version: int
    timeline: int
    start: Lsn
    end: Lsn
    ended_at: datetime
    segment_bytes: int
    holds_wal: bool
    tablespaces: tuple[int, ...] = ()
    """The OIDs of those that lay outside the data directory."""
    has_checksums: bool | None = None
    """Of its pages; None in a record that does not tell."""

    @property
    def major(self) -> int:
        """The version that programs have to match, as 15."""
        return self.version // 10_000

    def __str__(self) -> str:
        alone = "" if self.holds_wal else ", which needs WAL"
        return f"base backup of PostgreSQL {self.major}{alone}, as of its end at {self.end} on timeline {self.timeline}"

    def tags(self) -> tuple[str, ...]:
        """As tags of a snapshot."""
        ended = self.ended_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return (
            f"pg-system={self.system_identifier}",
            f"pg-version={self.version}",
            f"pg-timeline={self.timeline}",
            f"pg-start={self.start}",
            f"pg-end={self.end}",
            f"pg-ended={ended}",
            f"pg-segment={self.segment_bytes}",
            f"pg-wal={'stream' if self.holds_wal else 'none'}",
            *(f"pg-tablespace={oid}" for oid in self.tablespaces),
            *(() if self.has_checksums is None else (f"pg-checksums={'on' if self.has_checksums else 'off'}",)),
        )

    @classmethod
    def of_tags(cls, tags: Iterable[str]) -> BaseRecord | None:
        """What `tags` wrote, among any others; None when there is no base backup in them, or a damaged one."""
        pairs = [(name, value) for name, _, value in (tag.partition("=") for tag in tags)]
        values = dict(pairs)
        try:
            ended_at = datetime.fromisoformat(values["pg-ended"])
            if ended_at.tzinfo is None:
                return None
            return cls(
                system_identifier=values["pg-system"],
                version=int(values["pg-version"]),
                timeline=int(values["pg-timeline"]),
                start=Lsn.parse(values["pg-start"]),
                end=Lsn.parse(values["pg-end"]),
                ended_at=ended_at.astimezone(UTC),
                segment_bytes=int(values["pg-segment"]),
                holds_wal=_WITH_WAL[values["pg-wal"]],
                tablespaces=tuple(sorted(int(value) for name, value in pairs if name == "pg-tablespace")),
                has_checksums=_CHECKSUMS.get(values.get("pg-checksums", "")),
            )
        except (KeyError, ValueError):
            return None


def _facts(value: Mapping[str, Any]) -> BaseFacts:
    if value["format"] != FORMAT:
        raise ValueError(f"the description of a base backup has the format {value['format']!r} of a later drd")
    ended_at = datetime.fromisoformat(value["ended_at"])
    if ended_at.tzinfo is None:
        raise ValueError("the description of a base backup names a moment without its offset from UTC")
    return BaseFacts(
        system_identifier=str(value["system_identifier"]),
        version=int(value["version"]),
        timeline=int(value["timeline"]),
        start=Lsn.parse(value["start"]),
        end=Lsn.parse(value["end"]),
        ended_at=ended_at.astimezone(UTC),
        segment_bytes=int(value["segment_bytes"]),
        has_checksums=bool(value["has_checksums"]),
        is_of_standby=bool(value["is_of_standby"]),
        holds_wal=bool(value["holds_wal"]),
        role=str(value.get("role", "")),
        read_from=PurePosixPath(value["read_from"]) if value.get("read_from") else None,
        tablespaces=tuple(
            Tablespace(space["name"], int(space["oid"]), PurePosixPath(space["location"]))
            for space in value["tablespaces"]
        ),
    )
