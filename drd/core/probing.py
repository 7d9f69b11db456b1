"""What one look at a node found: how long it took, what kind of failure it was, and what a database told of itself.

Moments are monotonic seconds of the machine that looks, since wall clocks step and those of other machines differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from drd.core.position import Position


class NodeRole(StrEnum):
    """What a server is to its cluster."""

    PRIMARY = "primary"
    STANDBY = "standby"


class Failure(StrEnum):
    """What kind of failure it was; they mean different things, and only some of them that something is gone."""

    REFUSED = "refused"
    """The machine answered that nobody listens there."""
    TIMEOUT = "timeout"
    """Nothing came back in time."""
    PROTOCOL = "protocol"
    """Something answered in a way that is not understood."""
    WRONG_ANSWER = "wrong answer"
    """It answered, and not as it should."""


class Sign(StrEnum):
    """What a failed look showed beside its failure."""

    ACCEPTS_TCP = "accepts TCP"
    """A connection to the port was made all the same."""
    SESSION_CLOSED = "session closed"
    """A session that had been open was closed by the other end."""
    NO_CONNECTION_LEFT = "no connection left"
    RESTARTING = "restarting"
    """The server starts, recovers or shuts down, and says so."""
    NOT_LET_IN = "not let in"
    """Wrong credentials, or a right that is missing: what is looked at may be well."""


@dataclass(frozen=True, slots=True)
class Quorum:
    """What a commit of a synchronous primary waits for."""

    needed: int
    """So many of the named standbys have to confirm."""
    named: tuple[str, ...]
    """By the names under which they replicate."""
    is_any: bool = False
    """Whether any standby of whatever name may confirm, so that nobody can say who else does."""
    lowered_by: tuple[str, ...] = ()
    """Roles and databases, or the server itself, that let commits go without waiting."""
    is_ranked: bool = True
    """Whether the first of those that are there have to confirm, and not any of them."""

    @property
    def is_sure(self) -> bool:
        """Whether every commit waits, and for standbys that are known: what was acknowledged is on so many of them."""
        return self.needed >= 1 and not self.is_any and not self.lowered_by


@dataclass(frozen=True, slots=True)
class Peer:
    """A standby as its primary sees it."""

    name: str
    """Under which it replicates."""
    is_synchronous: bool
    """Whether it counts for commits now."""
    lag_bytes: int | None = None
    """What it has not written to its disk yet, of what its primary has; None where drd may not see that."""


@dataclass(frozen=True, slots=True)
class KeptSlot:
    """A replication slot, for which a primary keeps its log."""

    name: str
    is_active: bool
    """Whether somebody receives by it now."""
    kept_bytes: int | None
    """Of log that is kept for it; None where nothing is, as once it was lost."""
    is_lost: bool = False
    """Whether log that it needs was removed: who receives by it has to be made anew."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The newest row of the heartbeat that one daemon wrote for one policy, as a server has it."""

    daemon: str
    term: int
    age_seconds: float
    """By the server's own clock, when it was looked at."""


@dataclass(frozen=True, slots=True)
class DatabaseSeen:
    """What a database server told of itself. What it did not tell, or drd may not see, is None."""

    cluster: str
    """The identifier that all copies of one database share."""
    role: NodeRole
    position: Position
    """What it has safe on its disk: of a standby what it received."""
    replayed: int | None = None
    """Of a standby: the offset up to which it has replayed."""
    started: str = ""
    """When its process started, in its own words: another one means another process."""
    replicates_as: str = ""
    """Of a standby: the name under which it replicates."""
    heard_seconds_ago: float | None = None
    """Of a standby: when it last heard from its primary; None when nothing is received now."""
    is_receiving: bool | None = None
    """Of a standby: whether it has a connection to a primary. That is no sign of life."""
    is_paused: bool = False
    """Of a standby: whether somebody paused its replay."""
    delay_seconds: float = 0.0
    """Of a standby: how late it replays on purpose."""
    quorum: Quorum | None = None
    """Of a primary: None where commits wait for nobody."""
    peers: tuple[Peer, ...] | None = None
    """Of a primary: who receives from it."""
    slots: tuple[KeptSlot, ...] = ()
    """Of a primary: for whom it keeps log."""
    longest_wait_seconds: float = 0.0
    """Of a primary: for how long a commit has waited for a standby."""
    clients: frozenset[str] | None = None
    """The addresses that its clients come from, drd's own and standbys left out."""
    write_failed: str = ""
    """Of a primary: why a row could not be written; empty where it could, or where nobody tried."""
    beats: tuple[Beat, ...] = ()
    """Of the heartbeat of this policy, newest first."""
    is_cut_off: bool = False
    """Of a standby: whether drd has cut it off from its primary, to keep that from confirming commits."""
    retry_seconds: float | None = None
    """Of a standby: how long it may sleep before it looks for log again, which can hold a promotion up."""
    may_hang: bool = False
    """Of a standby: whether its `restore_command` has no time limit, so that a promotion may wait for that for ever."""
    asks_after_seconds: float | None = None
    """Of a standby: after how long a silence it asks its primary for a sign of life; None: never."""

    @property
    def is_primary(self) -> bool:
        """Whether it takes writes."""
        return self.role is NodeRole.PRIMARY


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of one look by one probe."""

    probe: str
    """The kind, as `postgres`."""
    began: float
    """Monotonic seconds."""
    latency: float
    """Seconds that it took."""
    failure: Failure | None = None
    message: str = ""
    """Why it failed, or what it found, in a few words."""
    signs: frozenset[Sign] = frozenset()
    database: DatabaseSeen | None = None

    @property
    def is_good(self) -> bool:
        """Whether all was as it should be."""
        return self.failure is None

    @property
    def ended(self) -> float:
        """When it was over."""
        return self.began + self.latency
