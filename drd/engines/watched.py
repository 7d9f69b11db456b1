"""How the nodes of one policy stand, as far as this daemon and, before it, the journal know."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime

from drd.core.catalogue import PolicyRecord
from drd.core.events import NodeJudged, PrimarySeen
from drd.core.health import NodeView, Recalled
from drd.core.node_verdicts import NodeVerdict
from drd.core.postgres.synchronous import quorum_of, setting_of
from drd.ports.probe import Watch


@dataclass(slots=True)
class Watched:
    """How the nodes of one policy stand."""

    watch: Watch
    nodes: dict[str, NodeView]
    verdicts: dict[str, NodeVerdict] = field(default_factory=dict)
    changed: dict[str, datetime] = field(default_factory=dict)
    """Node → when its verdict became what it is, by the wall clock."""
    primary: str | None = None
    recalled: Recalled | None = None
    """What the journal knew of the primary when the watch began."""
    noted: Recalled | None = None
    """The primary that is on record, since it answers; None while it is lost."""
    failures: dict[tuple[str, str], int] = field(default_factory=dict)
    """(node, probe) → failed looks since the daemon's start."""
    notes: tuple[str, ...] = ()
    """Probes that do not fit a node."""
    wanted_since: float = float("-inf")
    """When a look by everybody was last wanted at once; one that began before does not count."""
    sleepers: set[asyncio.Event] = field(default_factory=set)
    """Of the probes that wait until their next look is due: set when they shall look at once."""

    @property
    def policy(self) -> str:
        """Whose nodes they are."""
        return self.watch.targets[0].policy

    @property
    def is_lost(self) -> bool:
        """Whether the primary is lost."""
        verdict = self.verdicts.get(self.primary or "")
        return verdict is not None and verdict.is_lost

    def recall(self, record: PolicyRecord | None) -> None:
        """Take over from the journal which node was the primary before this daemon began: it may have died since."""
        if record is not None and record.last_primary is not None and record.last_primary.node in self.nodes:
            was = record.last_primary
            self.primary = was.node
            self.recalled = Recalled(was.node, was.cluster, was.timeline, quorum_of(was.synchronous))

    def take_over(self, before: Watched) -> None:
        """Go on with what was seen before the policy was changed, of the nodes that are reached as they were then.

        How often looks at them failed is counted anew: by other probes and other rules, it may be.
        """
        reached = {(target.node, target.host, target.dsn) for target in before.watch.targets}
        for target in self.watch.targets:
            if (target.node, target.host, target.dsn) in reached:
                self.nodes[target.node] = replace(before.nodes[target.node], priority=target.priority, streaks={})
        if before.recalled is not None and before.recalled.node in self.nodes:
            self.recalled = before.recalled
        if before.primary in self.nodes:
            self.primary = before.primary

    def primary_to_note(self) -> PrimarySeen | None:
        """What has to be put on record of the primary: once, after it was lost, and when commits wait otherwise."""
        if self.is_lost:
            self.noted = None
            return None
        node = self.nodes.get(self.primary or "")
        if node is None or node.seen is None or not node.seen.is_primary or node.database is None:
            return None
        quorum = node.seen.quorum
        surely = quorum if quorum is not None and quorum.is_sure else None
        found = Recalled(node.name, node.seen.cluster, node.seen.position.timeline, surely)
        if found == self.noted or node.database.failing_since is not None:
            return None
        self.noted = self.recalled = found
        return PrimarySeen(self.policy, found.node, found.cluster, found.timeline, setting_of(surely))

    def judged(self, node: str, verdict: NodeVerdict) -> NodeJudged:
        """A verdict as it is put on record."""
        seen = self.nodes[node].seen
        role = "" if seen is None else seen.role.value
        return NodeJudged(self.policy, node, role, verdict.cause, verdict.state, verdict.why[:300])
