"""A base backup by what a restore has to know of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Tablespace

FORMAT: Final = 1


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
            "tablespaces": [
                {"name": space.name, "oid": space.oid, "location": str(space.location)} for space in self.tablespaces
            ],
        }
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, text: str) -> BaseFacts:
        """What `written` wrote. Raises ValueError when it is damaged or of a later drd."""
        try:
            return _facts(json.loads(text))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the description of a base backup is damaged: {error}") from error


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
        tablespaces=tuple(
            Tablespace(space["name"], int(space["oid"]), PurePosixPath(space["location"]))
            for space in value["tablespaces"]
        ),
    )
