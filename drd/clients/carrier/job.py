"""What the daemon tells its carrier and what it hears from it: one JSON document in, JSON lines out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Verb(StrEnum):
    """What the child is to do."""

    LOOK = "look"
    KEYS = "keys"
    CARRY = "carry"
    AHEAD = "ahead"
    FETCH = "fetch"
    FOUND = "found"
    CLEAR = "clear"
    EXAMINE = "examine"
    MEND = "mend"
    PROBE = "probe"
    EXTEND = "extend"
    PUT_ASIDE = "put-aside"
    REMOVE = "remove"
    UNCOVER = "uncover"


@dataclass(frozen=True, slots=True)
class Place:
    """A repository's files: `drd.ports.store.Backend` as the child sees it."""

    scheme: str
    settings: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work. It may hold secrets, so it travels over a descriptor."""

    verb: Verb
    target: Place
    origin: Place | None = None
    upload: int | None = None
    """Bytes a second."""
    names: tuple[str, ...] = ()
    """Files by their path in the repository, for `mend`; snapshots that stay where they are, for `carry`."""
    days: int = 0
    """For how long the target is to keep what it holds, for `probe` and `extend`."""
    now: str = ""
    """The moment, for `extend`; since when, for `uncover`."""
    only_look: bool = False
    """Whether `uncover` changes nothing."""
    aside: str = ""
    """A folder of this machine for what is replaced or removed; for `uncover`, with what was."""

    def to_bytes(self) -> bytes:
        """The document that goes through the descriptor."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, document: bytes) -> Job:
        """Read what `to_bytes` wrote."""
        fields: dict[str, Any] = json.loads(document)
        origin = fields["origin"]
        return cls(
            verb=Verb(fields["verb"]),
            target=Place(**fields["target"]),
            origin=None if origin is None else Place(**origin),
            upload=fields["upload"],
            names=tuple(fields["names"]),
            days=fields["days"],
            now=fields["now"],
            aside=fields["aside"],
            only_look=fields["only_look"],
        )


class Saying(StrEnum):
    """What a line of the child is about: the value of its key `say`."""

    PROGRESS = "progress"
    REFUSED = "refused"
    STANDING = "standing"
    """Names of snapshots that stand whole at the target, some at a time."""
    KEYS = "keys"
    UNCOVERED = "uncovered"
    """Paths of files that were deleted or overwritten and are there again, some at a time."""
    LOOK = "look"
    PROTECTION = "protection"
    EXTENDED = "extended"
    DONE = "done"
    ERROR = "error"


class Family(StrEnum):
    """The kind of an error, as the daemon raises it."""

    AWAY = "away"
    TRANSIENT = "transient"
    MISSING = "missing"
    PERMANENT = "permanent"
