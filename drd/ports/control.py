"""What can be asked of drd, by its command line, over its control socket, or in-process without a daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from drd.core.outage import ServiceState
from drd.core.run import Mode, Outcome
from drd.ports.incidents import IncidentQuestions, RunbookOrders
from drd.ports.restoring import RestoreOrder
from drd.ports.steps import Step


class Message(BaseModel):
    """A value that crosses the control socket as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreStatus(Message):
    """One store, as `drd status` shows it."""

    name: str
    kind: str
    site: str
    distance_km: float
    state: Literal["ok", "away", "never used", "damaged", "held"]
    note: str = ""
    free_bytes: int | None = None
    last_checked: datetime | None = None
    unread_since: datetime | None = None
    """All that it holds was read after this moment, as far as is known."""
    read_within: timedelta | None = None
    """Within which time all of it is to be read; None where nobody asks for it."""
    mirror_of: str | None = None


class CopyStatus(Message):
    """The newest good recovery point of a policy in one store."""

    store: str
    moment: datetime | None
    proven_at: datetime | None = None
    points: int = 0
    is_damaged: bool = False
    """Whether damage was found in the store, so that what it holds does not count."""


class PolicyStatus(Message):
    """One policy, as `drd status` shows it."""

    name: str
    description: str = ""
    state: Literal["ok", "running", "late", "lacking", "failed", "incomplete", "never run", "paused", "suspect"]
    note: str = ""
    hint: str = ""
    rpo: timedelta | None = None
    copies: tuple[CopyStatus, ...] = ()
    next_run: datetime | None = None
    next_mode: Mode | None = None
    running: str | None = None
    last_outcome: Outcome | None = None
    last_finished: datetime | None = None
    heartbeat: str = ""
    """How a copy of its database tells its own moment; empty where it protects none, or nobody knows."""


class ServiceStatus(Message):
    """A service as its users reach it, as `drd status` shows it."""

    policy: str
    what: str
    """What is asked of it."""
    state: ServiceState
    since: datetime | None = None
    """Since when it does not answer; None while it does, or nobody knows."""
    why: str = ""
    seconds: float | None = None
    """How long the newest answer took."""
    down: timedelta
    """How long it was seen not to answer in the last `period`."""
    down_at_most: timedelta
    """The same if it did not answer either while nobody saw it."""
    left: tuple[timedelta, timedelta] | None = None
    """How long it may not answer any more, at least and at most; None where nothing was promised."""
    allowed: timedelta | None = None
    """How long it may not answer in that time; None where nothing was promised."""
    period: timedelta


class StoredWal(Message):
    """The WAL of a policy in the store beside one of its stores, by that one's name."""

    store: str
    moment: datetime | None
    """All that was committed before it is there."""
    segments: dict[str, int] = {}
    """State (`found`, `uploading`, `delayed`, `lost`) → how many of the segments that are needed."""


class WalStatus(Message):
    """The WAL of one policy, as `drd status` shows it."""

    policy: str
    node: str = ""
    is_received: bool = False
    received: datetime | None = None
    """All that was committed before it is safe on drd's disk."""
    received_lsn: int | None = None
    behind_bytes: int | None = None
    """What the server has and drd has not."""
    stores: tuple[StoredWal, ...] = ()
    spool_bytes: int = 0
    is_full: bool = False
    """Whether nothing is received for lack of room on drd's disk."""
    retained_bytes: int | None = None
    """What the server keeps for the slot."""
    safe_bytes: int | None = None
    """What can be written until the slot is lost; None: without limit, or nobody knows."""
    restarts: int = 0
    lost: tuple[str, ...] = ()
    """Stretches of segments that are nowhere."""
    needs: dict[str, str] = {}
    """What a person should know, one sentence each → what to type."""


class NodeStatus(Message):
    """One node of one policy, as `drd status` shows it."""

    policy: str
    node: str
    role: str = ""
    """`primary` or `standby`; empty where it is not known or there is none."""
    state: Literal["up", "down", "unknown"]
    verdict: str
    """What is the matter, as `process dead`; `well` where nothing is."""
    why: str = ""
    since: datetime | None = None
    """Since when that is the verdict."""
    seconds: float | None = None
    """How long its newest good answer took."""
    failures: dict[str, int] = {}
    """Probe → failed looks since the daemon's start."""


class Status(Message):
    """Everything at a glance."""

    daemon: str
    version: str
    running: bool
    """Whether a daemon told this; else it is what the journal says."""
    silent: bool = False
    """A daemon is there and does not answer."""
    site: str
    since: datetime | None
    policies: tuple[PolicyStatus, ...]
    stores: tuple[StoreStatus, ...]
    wal: tuple[WalStatus, ...] = ()
    services: tuple[ServiceStatus, ...] = ()
    nodes: tuple[NodeStatus, ...] = ()
    """What is watched, by the daemon that told this."""
    warnings: tuple[str, ...] = ()


class PointStatus(Message):
    """One recovery point."""

    run: str
    mode: Mode
    moment: datetime
    outcome: Outcome
    total_bytes: int
    total_files: int
    stores: tuple[str, ...]
    """Those that hold a good copy."""
    proven_in: tuple[str, ...] = ()
    damaged_in: tuple[str, ...] = ()
    """Those that hold a copy which does not count, since damage was found there."""
    notes: tuple[str, ...] = ()
    """What it is, where that says more than its moment."""
    why_kept: dict[str, tuple[str, ...]] = {}
    """Store → restic's reasons; only with `why`."""


class CoveredRange(Message):
    """Moments to which a policy's database can be brought back out of one store, both ends included."""

    store: str
    system_identifier: str
    timeline: int
    first: datetime
    last: datetime
    gap: str = ""
    """Why the moments between the range before and this one are not covered; empty where there are none."""
    is_damaged: bool = False
    """Whether damage was found in the store, so that it may not hold what it should."""


class ForgetLine(Message):
    """What retention would do with one snapshot, or why it may not."""

    policy: str
    store: str
    snapshot_id: str
    moment: datetime
    action: Literal["keep", "forget", "guarded"]
    reasons: tuple[str, ...] = ()


class Anchors(Message):
    """The heads of the journal that one store holds, or why it could not be asked."""

    store: str
    heads: dict[int, str] = {}
    """Sequence → head, as this daemon wrote them there."""
    problem: str = ""


class Questions(IncidentQuestions, Protocol):
    """What can be told by reading alone, with or without a daemon."""

    async def status(self) -> Status:
        """Everything at a glance."""
        ...

    async def points(self, policy: str) -> tuple[PointStatus, ...]:
        """The recovery points of a policy, newest first."""
        ...

    async def covered(self, policy: str) -> tuple[CoveredRange, ...]:
        """The moments that replaying write-ahead log leads to, by store, oldest first; none where none is kept."""
        ...

    async def explain(self, policy: str) -> tuple[str, ...]:
        """What drd would do with a policy now and why, as lines for people."""
        ...


class Control(Questions, RunbookOrders, Protocol):
    """The questions and orders that drd takes. Orders that take long answer with a stream of steps."""

    def backup(self, policy: str, full: bool, by: str) -> AsyncIterator[Step]:
        """Run a policy now, or join the run that is under way."""
        ...

    async def points(self, policy: str, why: bool = False) -> tuple[PointStatus, ...]:
        """The recovery points of a policy, newest first; with `why` also why retention keeps them, of the stores."""
        ...

    def restore(self, order: RestoreOrder) -> AsyncIterator[Step]:
        """Bring a policy's data back."""
        ...

    async def forget_plan(self, policy: str) -> tuple[ForgetLine, ...]:
        """What retention would do now in each store, with reasons."""
        ...

    def forget(self, policy: str, by: str) -> AsyncIterator[Step]:
        """Apply retention now."""
        ...

    async def pause(self, policy: str, what: str, until: datetime, reason: str, by: str) -> None:
        """Stop work for a time."""
        ...

    async def resume(self, policy: str, by: str) -> None:
        """End a pause before its time."""
        ...

    def check(self, store: str, by: str) -> AsyncIterator[Step]:
        """Check the structure of a store's repository now."""
        ...

    async def release(self, store: str, by: str) -> str:
        """End the hold on a store's retention and return its reason. Raises `UsageError` when there is none."""
        ...

    async def release_policy(self, policy: str, by: str) -> str:
        """End the suspicion of a policy's runs and return its reasons. Raises `UsageError` when there is none."""
        ...

    async def accept(self, store: str, by: str) -> str:
        """Take what a store holds now for what it shall hold, when the old repository is lost; returns its id."""
        ...

    async def anchors(self) -> tuple[Anchors, ...]:
        """What every store holds of the journal's heads."""
        ...

    async def reload(self) -> tuple[str, ...]:
        """Read the configuration again; returns what changed, raises `UsageError` with all errors when it is wrong."""
        ...
