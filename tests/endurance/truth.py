"""What must be so, whatever drd says: what was acknowledged, where it stands, and what was done to the stores."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from drd.core.events import (
    CopyCreated,
    Event,
    ForgetStarted,
    SnapshotCreated,
    SnapshotFound,
    SnapshotMissing,
    SnapshotsForgotten,
)

Content = dict[str, bytes]


class Violated(AssertionError):
    """Something that always has to hold does not."""


@dataclass(frozen=True)
class Acknowledged:
    """A recovery point of which drd has said that it stands."""

    policy: str
    run: str
    moment: datetime
    content: Content = field(repr=False, hash=False)


@dataclass
class Truth:
    """Follows the journal's events, and what the runner did itself."""

    points: dict[str, Acknowledged] = field(default_factory=dict)
    """Run → what was acknowledged."""
    standing: dict[str, set[str]] = field(default_factory=dict)
    """Run → the stores that hold it as far as drd has told, without what the runner destroyed itself."""
    damaged: dict[str, dict[Path, bytes]] = field(default_factory=dict)
    """Store → path of a damaged file → what it held."""
    torn: set[str] = field(default_factory=set)
    """Stores whose snapshots were damaged since all was put right last: what they list may be less than they hold."""
    away: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    """What was done, injected and seen, for people."""
    violations: list[str] = field(default_factory=list)
    _runs: dict[str, str] = field(default_factory=dict)
    _leaving: set[tuple[str, str]] = field(default_factory=set)
    """Store and id of what retention began to forget: where restic was killed in the middle, it may be gone."""

    def notice(self, event: Event) -> None:
        """Hear of an event; called in the middle of drd's work, so a violation is only noted."""
        body = event.body
        if isinstance(body, SnapshotCreated | CopyCreated | SnapshotFound):
            run = body.run if isinstance(body, SnapshotFound) else event.run or ""
            self._runs[body.snapshot_id] = run
            self.standing.setdefault(run, set()).add(body.store)
        elif isinstance(body, SnapshotsForgotten):
            for each in body.snapshot_ids:
                self._forgotten(body.policy, body.store, self._runs.get(each, ""))
        elif isinstance(body, ForgetStarted):
            self._leaving |= {(body.store, each) for each in body.snapshot_ids}
        elif isinstance(body, SnapshotMissing) and (body.store, body.snapshot_id) in self._leaving:
            self._forgotten(body.policy, body.store, self._runs.get(body.snapshot_id, ""))
        elif isinstance(body, SnapshotMissing) and body.store not in self.torn:
            run = self._runs.get(body.snapshot_id, "")
            if run in self.points:
                self.violations.append(f"the point of {run} is missing in {body.store}, and nobody took it away")

    def is_sound(self, *stores: str) -> bool:
        """Whether nothing is wrong with these stores that the runner knows of."""
        return not any(self.damaged.get(store) or store in self.away or store in self.torn for store in stores)

    def newest(self, policy: str) -> Acknowledged | None:
        """The last point that was acknowledged."""
        return next((each for each in reversed(self.points.values()) if each.policy == policy), None)

    def run_of(self, snapshot_id: str) -> str:
        """The run whose snapshot this is, or nothing."""
        return self._runs.get(snapshot_id, "")

    def lost(self, store: str, *, but: frozenset[str] = frozenset()) -> None:
        """The runner has destroyed what a store held, except for these runs."""
        for run, stores in self.standing.items():
            if run not in but:
                stores.discard(store)

    def _forgotten(self, policy: str, store: str, run: str) -> None:
        self.standing.get(run, set()).discard(store)
        newest = self.newest(policy)
        self.done["points forgotten"] += 1
        if newest is not None and newest.run == run:
            self.violations.append(f"retention removed the newest point of {policy} from {store}")
