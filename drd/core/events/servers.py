"""The servers of a policy's database: how a copy will tell its moment, and what they hold back for a failover."""

from __future__ import annotations

from dataclasses import dataclass

from drd.core.events.body import Body


@dataclass(frozen=True)
class HeartbeatKept(Body):
    """From now on the heartbeat is kept in this way; also told when it is kept again."""

    KIND = "heartbeat-kept"
    policy: str
    means: str
    """`row`: written into drd.heartbeat; `marks`: the marks of received WAL stand in; `none`: nothing does."""
    message: str
    hint: str = ""
    """What to type for a better one."""


@dataclass(frozen=True)
class HeartbeatInterrupted(Body):
    """The heartbeat is not written now."""

    KIND = "heartbeat-interrupted"
    policy: str
    message: str
    hint: str


@dataclass(frozen=True)
class StandbySlotFailed(Body):
    """A node has no slot that holds WAL back: when it becomes the primary, what nobody received may lack."""

    KIND = "standby-slot-failed"
    policy: str
    node: str
    message: str
    hint: str
