"""What happened to the journal itself: its files and its anchors outside."""

from __future__ import annotations

from dataclasses import dataclass

from drd.core.events.body import Body


@dataclass(frozen=True)
class SegmentOpened(Body):
    """The first event of a journal file: it carries the last head of the file before."""

    KIND = "segment-opened"
    previous_segment: str | None
    previous_head: str
    previous_sequence: int


@dataclass(frozen=True)
class HeadAnchored(Body):
    """The chain's head was written into a store, where no one on this machine can change it unseen."""

    KIND = "head-anchored"
    store: str
    snapshot_id: str
    anchored_sequence: int
    anchored_head: str


@dataclass(frozen=True)
class AnchorsForgotten(Body):
    """Old anchors were removed from a store; enough newer ones stand there."""

    KIND = "anchors-forgotten"
    store: str
    snapshot_ids: tuple[str, ...]
