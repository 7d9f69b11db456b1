"""The catalogue of events: every fact that drd records, written first.

An event's body is a frozen dataclass of plain values. `VERSION` grows when the fields change, and `core.upcast` gets a
reader for the older form; what is stored is never rewritten. No secret, and no path or value from inside a source, may
stand in a body.
"""

from __future__ import annotations

from drd.core.events.body import FORMAT, Body, Event
from drd.core.events.chain import AnchorsForgotten, HeadAnchored, SegmentOpened
from drd.core.events.daemon import (
    BallastReleased,
    BallastRestored,
    BugFound,
    ClockStepped,
    ConfigurationLoaded,
    ConfigurationRefused,
    DaemonStarted,
    DaemonStopped,
    JobFailed,
)
from drd.core.events.healing import DamageFound, DamageGivenUp, DamageHealed, DamageLeft, DamageMended
from drd.core.events.incidents import (
    AbortAsked,
    DeadlineMissed,
    IncidentFinished,
    IncidentStarted,
    LossMeasured,
    PeopleTold,
    PrimaryLastSeen,
    RunbookEdited,
    StepAnswered,
    StepChecked,
    StepFinished,
    StepOrdered,
    StepStarted,
    TriggerHeld,
)
from drd.core.events.nodes import FailoverHeld, NodeJudged, OwnerTold, PrimarySeen, StandbysGivenBack
from drd.core.events.policies import (
    Paused,
    PolicyAdded,
    PolicyRemoved,
    Resumed,
    SuspicionRaised,
    SuspicionReleased,
)
from drd.core.events.protection import KeysListed, ProtectionProbed
from drd.core.events.restores import RestoreFinished, RestoreStarted
from drd.core.events.runs import RunFinished, RunStarted
from drd.core.events.servers import HeartbeatInterrupted, HeartbeatKept, StandbySlotFailed
from drd.core.events.services import ServiceFailed, ServiceRestored, ServiceUnseen
from drd.core.events.snapshots import (
    CopyCreated,
    ForgetStarted,
    MirrorFinished,
    RetentionApplied,
    RetentionHeld,
    SnapshotCreated,
    SnapshotFound,
    SnapshotMissing,
    SnapshotsForgotten,
)
from drd.core.events.stores import (
    HoldPlaced,
    HoldReleased,
    StoreCameBack,
    StoreChecked,
    StoreCreated,
    StorePruned,
    StoreReconciled,
    StoreWentAway,
)
from drd.core.events.wal import (
    NewBaseWanted,
    WalForgotten,
    WalGapClosed,
    WalGapFound,
    WalHeldBack,
    WalInterrupted,
    WalResumed,
    WalShipped,
)

__all__ = [
    "FORMAT",
    "AbortAsked",
    "AnchorsForgotten",
    "BallastReleased",
    "BallastRestored",
    "Body",
    "BugFound",
    "ClockStepped",
    "ConfigurationLoaded",
    "ConfigurationRefused",
    "CopyCreated",
    "DaemonStarted",
    "DaemonStopped",
    "DamageFound",
    "DamageGivenUp",
    "DamageHealed",
    "DamageLeft",
    "DamageMended",
    "DeadlineMissed",
    "Event",
    "FailoverHeld",
    "ForgetStarted",
    "HeadAnchored",
    "HeartbeatInterrupted",
    "HeartbeatKept",
    "HoldPlaced",
    "HoldReleased",
    "IncidentFinished",
    "IncidentStarted",
    "JobFailed",
    "KeysListed",
    "LossMeasured",
    "MirrorFinished",
    "NewBaseWanted",
    "NodeJudged",
    "OwnerTold",
    "Paused",
    "PeopleTold",
    "PolicyAdded",
    "PolicyRemoved",
    "PrimaryLastSeen",
    "PrimarySeen",
    "ProtectionProbed",
    "RestoreFinished",
    "RestoreStarted",
    "Resumed",
    "RetentionApplied",
    "RetentionHeld",
    "RunFinished",
    "RunStarted",
    "RunbookEdited",
    "SegmentOpened",
    "ServiceFailed",
    "ServiceRestored",
    "ServiceUnseen",
    "SnapshotCreated",
    "SnapshotFound",
    "SnapshotMissing",
    "SnapshotsForgotten",
    "StandbySlotFailed",
    "StandbysGivenBack",
    "StepAnswered",
    "StepChecked",
    "StepFinished",
    "StepOrdered",
    "StepStarted",
    "StoreCameBack",
    "StoreChecked",
    "StoreCreated",
    "StorePruned",
    "StoreReconciled",
    "StoreWentAway",
    "SuspicionRaised",
    "SuspicionReleased",
    "TriggerHeld",
    "WalForgotten",
    "WalGapClosed",
    "WalGapFound",
    "WalHeldBack",
    "WalInterrupted",
    "WalResumed",
    "WalShipped",
    "kinds",
]


def kinds() -> dict[str, type[Body]]:
    """Every kind of event by its stored name."""
    return {body.KIND: body for body in Body.__subclasses__()}
