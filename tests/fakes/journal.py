"""A journal and catalogue in memory, folded by the very functions that the real one uses."""

import asyncio
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, TypeVar

from drd.core.catalogue import (
    Anchored,
    Damage,
    Pause,
    PolicyRecord,
    RestoreRecord,
    RunRecord,
    StoreRecord,
)
from drd.core.encoding import encode, moment, read_fact, restore
from drd.core.errors import Busy, DrdError, JournalUnusable, StateFull
from drd.core.events import Body, Event
from drd.core.incident import IncidentRecord, incident_of
from drd.core.points import RecoveryPoint
from drd.core.postgres.groups import ShippedGroup
from drd.core.projections import fold
from drd.core.projections.points import withheld
from drd.core.rows import MemoryShelf
from drd.core.wal_rows import bad_snapshots, shipped_groups
from drd.ports.clock import Clock
from drd.ports.journal import Head, Observer, Verdict

SomeBody = TypeVar("SomeBody", bound=Body)


@dataclass
class MemoryTables:
    policies: MemoryShelf[Any] = field(default_factory=MemoryShelf)
    runs: MemoryShelf[Any] = field(default_factory=MemoryShelf)
    open_runs: MemoryShelf[Any] = field(default_factory=MemoryShelf)
    points: MemoryShelf[Any] = field(default_factory=MemoryShelf)
    places: MemoryShelf[Any] = field(default_factory=MemoryShelf)
    stores: MemoryShelf[Any] = field(default_factory=MemoryShelf)
    restores: MemoryShelf[Any] = field(default_factory=MemoryShelf)
    incidents: MemoryShelf[Any] = field(default_factory=MemoryShelf)
    pauses: MemoryShelf[Any] = field(default_factory=MemoryShelf)
    wal: MemoryShelf[Any] = field(default_factory=MemoryShelf)


class FakeJournal:
    """Journal and Catalogue; `marks` counts the signs of life.

    Nothing is written while it `is_full`, `is_locked` or `is_failing`.
    """

    def __init__(self, clock: Clock, daemon: str = "01DAEMON") -> None:
        self.daemon = daemon
        self.events: list[Event] = []
        self.is_full = False
        self.is_locked = False
        self.is_failing = False
        self.seal: str | DrdError | None = None
        """What sealing gives once, or raises each time."""
        self.verdict: Verdict | DrdError | None = None
        self.verified = 0
        self.marks = 0
        self.lived: datetime | None = None
        """When an earlier daemon noted a moment last."""
        self._clock = clock
        self._tables = MemoryTables()
        self._observers: list[Observer] = []

    # --- Journal ---

    async def append(self, *bodies: Body, run: str | None = None) -> tuple[Event, ...]:
        await asyncio.sleep(0)
        self._demand_room()
        written = tuple(self._write(body, run) for body in bodies)
        for event in written:
            for observer in tuple(self._observers):
                asyncio.get_running_loop().call_soon(observer, event)
        await asyncio.sleep(0)
        return written

    def observe(self, observer: Observer) -> Callable[[], None]:
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    async def head(self) -> Head:
        last = self.events[-1] if self.events else None
        return Head(last.sequence if last else 0, last.head if last else "", "journal")

    # --- what the daemon's tick does ---

    async def mark(self) -> None:
        self._demand_room()
        self.marks += 1

    async def lived_until(self) -> datetime | None:
        return self.lived

    async def tend_ballast(self) -> bool:
        self._demand_room()
        return False

    async def seal_if_due(self) -> str | None:
        if isinstance(self.seal, Exception):
            raise self.seal
        sealed, self.seal = self.seal, None
        return sealed

    def verify(self, anchors: Mapping[int, str] | None = None) -> Verdict:
        self.verified += 1
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict or Verdict(True, len(self.events))

    # --- Catalogue ---

    async def policies(self) -> dict[str, PolicyRecord]:
        await asyncio.sleep(0)
        rows = sorted(self._tables.policies.rows.items())
        return {str(key[0]): _policy(str(key[0]), row) for key, row in rows if row["protected"]}

    async def policy(self, name: str) -> PolicyRecord | None:
        await asyncio.sleep(0)
        row = self._tables.policies.get((name,))
        return _policy(name, row) if row is not None and row["protected"] else None

    async def holdings(self, store: str) -> dict[str, str]:
        await asyncio.sleep(0)
        return {str(key[1]): row["policy"] for key, row in self._tables.places.rows.items() if key[0] == store}

    async def stores(self) -> dict[str, StoreRecord]:
        await asyncio.sleep(0)
        return {str(key[0]): _store(str(key[0]), row) for key, row in sorted(self._tables.stores.rows.items())}

    async def points(self, policy: str) -> tuple[RecoveryPoint, ...]:
        await asyncio.sleep(0)
        found = [
            restore(RecoveryPoint, {"policy": key[0], "run": key[1], **deepcopy(row)})
            for key, row in self._tables.points.rows.items()
            if key[0] == policy
        ]
        return tuple(sorted(found, key=lambda point: (point.moment, point.run)))

    async def newest_points(self) -> dict[tuple[str, str], RecoveryPoint]:
        newest: dict[tuple[str, str], RecoveryPoint] = {}
        for policy in sorted({str(key[0]) for key in self._tables.points.rows}):
            for point in await self.points(policy):
                if point.is_good:
                    newest.update({(policy, store): point for store in point.stores})
        return newest

    async def newest_proven_points(self) -> dict[tuple[str, str], RecoveryPoint]:
        newest: dict[tuple[str, str], RecoveryPoint] = {}
        for policy in sorted({str(key[0]) for key in self._tables.points.rows}):
            for point in await self.points(policy):
                if point.is_good:
                    newest.update({(policy, store): point for store in point.proven_in})
        return newest

    async def uncopied(self, policy: str, store: str) -> tuple[RecoveryPoint, ...]:
        return tuple(point for point in await self.points(policy) if point.is_lacking_in(store))

    async def withheld(self, store: str) -> frozenset[str]:
        await asyncio.sleep(0)
        return frozenset(each for row in self._tables.points.rows.values() for each in withheld(row, store))

    async def unfinished(self) -> tuple[RunRecord, ...]:
        await asyncio.sleep(0)
        return tuple(_run(row) for row in sorted(self._tables.open_runs.rows.values(), key=lambda r: r["sequence"]))

    async def runs(self, policy: str | None = None, newest: int = 20) -> tuple[RunRecord, ...]:
        await asyncio.sleep(0)
        rows = [row for key, row in self._tables.runs.rows.items() if policy in (None, key[0])]
        return tuple(_run(row) for row in sorted(rows, key=lambda row: -row["sequence"])[:newest])

    async def restores(self) -> tuple[RestoreRecord, ...]:
        await asyncio.sleep(0)
        found = [
            restore(RestoreRecord, {"policy": key[0], **each})
            for key, row in self._tables.restores.rows.items()
            for each in row["restores"]
        ]
        return tuple(sorted(found, key=lambda record: (record.started, record.run)))

    async def incidents(self, policy: str | None = None, newest: int = 20) -> tuple[IncidentRecord, ...]:
        await asyncio.sleep(0)
        rows = [row for row in self._tables.incidents.rows.values() if policy in (None, row["policy"])]
        rows.sort(key=lambda row: -row["sequence"])
        return tuple(incident_of(deepcopy(row)) for row in rows[:newest])

    async def incident(self, run: str) -> IncidentRecord | None:
        await asyncio.sleep(0)
        row = self._tables.incidents.get((run,))
        return None if row is None else incident_of(deepcopy(row))

    async def open_incidents(self) -> tuple[IncidentRecord, ...]:
        return tuple(each for each in reversed(await self.incidents(newest=1000)) if each.finished is None)

    async def pauses(self) -> tuple[Pause, ...]:
        await asyncio.sleep(0)
        rows = sorted(self._tables.pauses.rows.items())
        return tuple(restore(Pause, {"policy": key[0], "what": key[1], **row}) for key, row in rows)

    async def wal(self, policy: str) -> tuple[ShippedGroup, ...]:
        await asyncio.sleep(0)
        groups = shipped_groups([(key, row) for key, row in self._tables.wal.rows.items() if key[0] == policy])
        return tuple(each for each in groups if each.snapshot_id not in self._bad_snapshots(each.store))

    async def lost_wal(self, store: str) -> tuple[ShippedGroup, ...]:
        await asyncio.sleep(0)
        groups = shipped_groups([(key, row) for key, row in self._tables.wal.rows.items() if key[1] == store])
        return tuple(each for each in groups if each.snapshot_id in self._bad_snapshots(store))

    def _bad_snapshots(self, store: str) -> frozenset[str]:
        return bad_snapshots(self._tables.stores.get((store,)))

    # --- for tests ---

    def of(self, kind: type[SomeBody]) -> list[SomeBody]:
        """All facts of one kind, in order."""
        return [event.body for event in self.events if isinstance(event.body, kind)]

    def _write(self, body: Body, run: str | None) -> Event:
        last = self.events[-1].head if self.events else ""
        event = Event(
            self.daemon,
            len(self.events) + 1,
            self._clock.now(),
            self._clock.boot_id,
            round(self._clock.monotonic() * 1e9),
            run,
            0,
            body,
        )
        data = encode(event)
        event = replace(event, head=sha256(last.encode() + data).hexdigest())
        self.events.append(event)
        fold(self._tables, read_fact(data))
        return event

    def _demand_room(self) -> None:
        if self.is_full:
            raise StateFull("the disk of the state folder is full", "free some space below /var/lib/drd")
        if self.is_locked:
            raise Busy("another process keeps the journal locked", "fuser -v /var/lib/drd/journal.db")
        if self.is_failing:
            raise JournalUnusable("/var/lib/drd/journal.db cannot be used: disk I/O error", "dmesg")


def _policy(name: str, row: dict[str, Any]) -> PolicyRecord:
    row = deepcopy(row)
    row.pop("protected")
    last = row.pop("last_run")
    record = restore(PolicyRecord, {"policy": name, "last_run": None, **row})
    return replace(record, last_run=_run(last) if last else None)


def _run(row: dict[str, Any]) -> RunRecord:
    return restore(RunRecord, {key: value for key, value in row.items() if key not in ("sequence", "slot")})


def _store(name: str, row: dict[str, Any]) -> StoreRecord:
    moments = {key: moment(row[key]) if row[key] else None for key in ("away_since", "last_checked", "last_pruned")}
    return StoreRecord(
        store=name,
        repository_id=row["repository_id"],
        check_sound=None if row["last_checked"] is None and not row["unsound"] else not row["unsound"],
        last_reconciled=moment(row["last_reconciled"]) if row["last_reconciled"] else None,
        hold=row["hold"],
        last_retained=moment(row["last_retained"]) if row["last_retained"] else None,
        is_prune_owed=row["is_prune_owed"],
        anchors=tuple(Anchored(anchor["snapshot_id"], moment(anchor["at"])) for anchor in row["anchors"]),
        forgotten_anchors=tuple(row["forgotten_anchors"]),
        is_identity_held=row["is_identity_held"],
        last_released=moment(row["last_released"]) if row["last_released"] else None,
        known_since=moment(row["known_since"]) if row["known_since"] else None,
        parts_read=tuple(moment(each) if each else None for each in row["parts_read"]),
        part_seconds=row["part_seconds"],
        probed=moment(row["probed"]) if row["probed"] else None,
        is_protected=row["is_protected"],
        protection=row["protection"],
        risks=tuple(row["risks"]),
        keys=tuple(row["keys"]),
        foreign_keys=tuple(row["foreign_keys"]),
        damage=None if row["damage"] is None else restore(Damage, row["damage"]),
        is_damage_held=row["is_damage_held"],
        healed=row["healed"],
        leaving=frozenset(row["leaving"]),
        last_given_up=moment(row["last_given_up"]) if row["last_given_up"] else None,
        is_replaced=row["is_replaced"],
        **moments,
    )
