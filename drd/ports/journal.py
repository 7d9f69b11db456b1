"""The record of all facts, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from drd.core.catalogue import Pause, PolicyRecord, RestoreRecord, RunRecord, StoreRecord
from drd.core.events import Body, Event
from drd.core.incident import IncidentRecord
from drd.core.points import RecoveryPoint
from drd.core.postgres.groups import ShippedGroup

Observer = Callable[[Event], None]
"""Called on the event loop after an event is durable; it must not block and must not raise."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain."""

    sequence: int
    digest: str
    segment: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying the chain found. `sequence` and `problem` name the first event that does not fit."""

    sound: bool
    events: int
    sequence: int | None = None
    problem: str = ""


class Journal(Protocol):
    """Append-only, hash-chained, durable when `append` returns."""

    async def append(self, *bodies: Body, run: str | None = None) -> tuple[Event, ...]:
        """Write facts in one transaction, with their projections, and tell the observers.

        Raises `StateFull` when even without the ballast there is no room.
        """
        ...

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Have `observer` called for each event from now on; calling what is returned ends that."""
        ...

    async def head(self) -> Head:
        """The last event's place and digest."""
        ...


class JournalReader(Protocol):
    """Reading the chain; safe beside a writer."""

    def events(
        self, after: int = 0, newest: int | None = None, run: str | None = None, kind: str | None = None
    ) -> Iterator[Event]:
        """Events in order, from every segment; with `newest`, only the last so many that fit.

        Blocking: use a thread.
        """
        ...

    def verify(self, anchors: Mapping[int, str] | None = None) -> Verdict:
        """Walk the whole chain through all segments. Blocking: use a thread.

        `anchors` are sequence → head as they were written down outside this machine.
        """
        ...


class Catalogue(Protocol):
    """Projections of the journal, always as new as its last event."""

    async def policies(self) -> dict[str, PolicyRecord]:
        """Every policy that is protected now, by name."""
        ...

    async def policy(self, name: str) -> PolicyRecord | None:
        """One policy's record, or None when it is not protected: one quick look, made at every wake-up."""
        ...

    async def holdings(self, store: str) -> dict[str, str]:
        """Snapshot id → policy of all that the journal believes to be in `store`: what reconciling compares."""
        ...

    async def stores(self) -> dict[str, StoreRecord]:
        """Every store that was ever used, by name."""
        ...

    async def points(self, policy: str) -> tuple[RecoveryPoint, ...]:
        """The recovery points of a policy, oldest first."""
        ...

    async def newest_points(self) -> dict[tuple[str, str], RecoveryPoint]:
        """(policy, store) → the newest good point with an undamaged copy there: what metrics and status need."""
        ...

    async def newest_proven_points(self) -> dict[tuple[str, str], RecoveryPoint]:
        """(policy, store) → the newest good point whose copy there a restore has read."""
        ...

    async def uncopied(self, policy: str, store: str) -> tuple[RecoveryPoint, ...]:
        """Points worth a copy that `store` lacks and that were not forgotten there, oldest first."""
        ...

    async def withheld(self, store: str) -> frozenset[str]:
        """Ids, in other stores, of the snapshots that are not carried into `store`.

        Retention has removed them from there, or it holds the same under another id: snapshots that are not good are
        marked in each store by itself, which makes a new one of each.
        """
        ...

    async def unfinished(self) -> tuple[RunRecord, ...]:
        """Runs that began and whose end nobody recorded."""
        ...

    async def runs(self, policy: str | None = None, newest: int = 20) -> tuple[RunRecord, ...]:
        """The newest runs, newest first."""
        ...

    async def restores(self) -> tuple[RestoreRecord, ...]:
        """The newest restores of each policy, and every one whose end nobody recorded, oldest first."""
        ...

    async def incidents(self, policy: str | None = None, newest: int = 20) -> tuple[IncidentRecord, ...]:
        """The newest runs of runbooks, newest first."""
        ...

    async def incident(self, run: str) -> IncidentRecord | None:
        """One run of a runbook, or None."""
        ...

    async def open_incidents(self) -> tuple[IncidentRecord, ...]:
        """Runs of runbooks without an end, oldest first."""
        ...

    async def pauses(self) -> tuple[Pause, ...]:
        """Pauses that were not ended; whether they are over is a question of time."""
        ...

    async def wal(self, policy: str) -> tuple[ShippedGroup, ...]:
        """The groups of WAL of a policy in all stores, those of each cluster in order.

        A group is left out where its newest batch is damaged or gone: what is lacking there can come again.
        """
        ...

    async def lost_wal(self, store: str) -> tuple[ShippedGroup, ...]:
        """The groups that `wal` leaves out of a store."""
        ...
