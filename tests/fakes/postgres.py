"""A PostgreSQL server in memory: its WAL is a number, and a standby follows when it is told to."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from drd.core.errors import PermanentError, TransientError
from drd.core.postgres.errors import ServerAway, ServerReadOnly
from drd.core.postgres.heartbeat import Beat, Heartbeat
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Positions, Role, ServerFacts, ServerSettings, Slot, WalStatus
from drd.ports.clock import Clock

FACTS = ServerFacts(
    system_identifier="7000000000000000001",
    version=150018,
    timeline=1,
    is_in_recovery=False,
    has_checksums=True,
    segment_bytes=2**20,
    wal_level="replica",
    archive_mode="off",
    max_slot_wal_keep_bytes=None,
    data_directory=None,
)
ROLE = Role("drd", False, True, False, False, False)
BEGINNING = Lsn(3 * 2**20)
NOTHING_YET = Lsn(0)


@dataclass
class FakeCluster:
    """What a primary and its standbys share: a test writes to it, takes it away, or promotes."""

    clock: Clock
    facts: ServerFacts = FACTS
    role: Role = ROLE
    written: Lsn = BEGINNING
    replayed: Lsn = BEGINNING
    slots: dict[str, Slot] = field(default_factory=dict)
    may_beat: bool = False
    """Whether somebody has made the table, and let the role write it."""
    heartbeats: dict[tuple[str, str], Heartbeat] = field(default_factory=dict)
    """By policy and daemon."""
    seen: dict[tuple[str, str], Heartbeat] = field(default_factory=dict)
    """The same as the standbys have it."""
    points: dict[str, Lsn] = field(default_factory=dict)
    removed: Lsn = NOTHING_YET
    """WAL before it is there no more."""
    away: str = ""
    replayed_until: datetime | None = None

    def write(self, byte_count: int) -> None:
        """A transaction of the platform's."""
        self.written += byte_count

    def replay(self) -> None:
        """The standbys catch up."""
        self.replayed, self.replayed_until = self.written, self.clock.now()
        self.seen = dict(self.heartbeats)

    def promote(self) -> None:
        """A standby becomes the primary, on a timeline of its own."""
        self.facts = replace(self.facts, timeline=self.facts.timeline + 1, is_in_recovery=False)
        self.heartbeats = dict(self.seen)
        self.slots.clear()


class FakePostgres:
    """A server of that cluster, the primary or a standby."""

    def __init__(self, cluster: FakeCluster, *, is_standby: bool = False) -> None:
        self.cluster = cluster
        self.is_standby = is_standby
        self.place = "standby" if is_standby else "primary"

    async def facts(self) -> ServerFacts:
        self._reach()
        return replace(self.cluster.facts, is_in_recovery=self.is_standby)

    async def role(self) -> Role:
        self._reach()
        return self.cluster.role

    async def settings(self) -> ServerSettings:
        self._reach()
        return ServerSettings(10, len(self.cluster.slots), 10, 0, True, True, "scram-sha-256")

    async def try_replication(self) -> None:
        self._reach()

    async def data_bytes(self) -> int:
        self._reach()
        return self.cluster.written.value

    async def positions(self) -> Positions:
        self._reach()
        now, cluster = self.cluster.clock.now(), self.cluster
        if self.is_standby:
            return Positions(
                now, True, received=cluster.written, replayed=cluster.replayed, replayed_until=cluster.replayed_until
            )
        return Positions(now, False, written=cluster.written, flushed=cluster.written)

    async def switch_wal(self) -> Lsn:
        self._reach(writes=True)
        end, size = self.cluster.written, self.cluster.facts.segment_bytes
        if end.value % size:
            self.cluster.written = Lsn((end.value // size + 1) * size)
        return end

    async def create_restore_point(self, name: str) -> Lsn:
        self._reach(writes=True)
        if len(name.encode()) > 63:
            raise PermanentError(f"{self.place}: value too long for restore point", "")
        self.cluster.write(100)
        self.cluster.points[name] = self.cluster.written
        return self.cluster.written

    async def close(self) -> None:
        pass

    async def slot(self, name: str) -> Slot | None:
        self._reach()
        return self.cluster.slots.get(name)

    async def create_slot(self, name: str) -> Slot:
        self._reach()
        if not name.replace("_", "").isalnum() or name != name.lower():
            raise PermanentError(f'{self.place}: replication slot name "{name}" contains invalid character', "")
        made = Slot(name, False, self.cluster.written, WalStatus.RESERVED, self.cluster.facts.max_slot_wal_keep_bytes)
        return self.cluster.slots.setdefault(name, made)

    async def advance_slot(self, name: str, to: Lsn) -> Slot | None:
        self._reach()
        slot = self.cluster.slots.get(name)
        if slot is None or slot.is_active or slot.restart is None or slot.restart >= to:
            return slot
        self.cluster.slots[name] = replace(slot, restart=min(to, (await self.positions()).newest))
        return self.cluster.slots[name]

    async def drop_slot(self, name: str) -> bool:
        self._reach()
        slot = self.cluster.slots.get(name)
        if slot is not None and slot.is_active:
            raise TransientError(f'{self.place}: replication slot "{name}" is active', "")
        return self.cluster.slots.pop(name, None) is not None

    async def may_beat(self) -> bool:
        self._reach()
        return self.cluster.may_beat

    async def beat(self, beat: Beat) -> Heartbeat:
        self._reach()
        if not self.cluster.may_beat:
            raise PermanentError(f"{self.place}: there is no table drd.heartbeat", "")
        self._reach(writes=True)
        before = self.cluster.heartbeats.get((beat.policy, beat.daemon))
        replaced = None if before is None else before.written
        written = Heartbeat(beat, self.cluster.clock.now(), self.cluster.written, replaced)
        self.cluster.write(200)
        self.cluster.heartbeats[beat.policy, beat.daemon] = written
        return written

    async def forget_beats(self, policy: str, daemon: str, older: timedelta) -> tuple[str, ...]:
        self._reach(writes=True)
        mine = self.cluster.heartbeats.get((policy, daemon))
        if mine is None:
            return ()
        gone = [
            key
            for key, each in self.cluster.heartbeats.items()
            if key[0] == policy and key[1] != daemon and each.written < mine.written - older
        ]
        for key in gone:
            del self.cluster.heartbeats[key]
        return tuple(key[1] for key in gone)

    async def heartbeats(self) -> tuple[Heartbeat, ...]:
        self._reach()
        found = self.cluster.seen if self.is_standby else self.cluster.heartbeats
        return tuple(sorted(found.values(), key=lambda each: each.written, reverse=True))

    def _reach(self, *, writes: bool = False) -> None:
        if self.cluster.away:
            raise ServerAway(f"{self.place} does not answer: {self.cluster.away}", "drd tries again by itself")
        if writes and self.is_standby:
            raise ServerReadOnly(f"{self.place} is a standby, or recovers", "ask the primary")
