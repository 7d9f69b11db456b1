"""A small database cluster, drd's eyes on it, and the effects of a runbook's steps on it, all of which may fail.

What is really so stands in `Server`; drd knows of it only what its looks have told. Clients reach every server that
runs, also those that drd does not reach: the worst case for whoever promotes another one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from drd.core.decision import View
from drd.core.fencing import Fence, FenceState, Rung, revocation
from drd.core.health import ClusterView, NodeView, Recalled, known_primary
from drd.core.node_verdicts import NodeVerdict, judge
from drd.core.position import Position
from drd.core.probing import DatabaseSeen, Failure, Peer, ProbeResult, Quorum, Sign
from tests.core.watched import RULES, bad, good, primary, refused, standby

NAMES = ("one", "two", "three")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class NotDone(Exception):
    """What a step tried has no effect."""


@dataclass
class Server:
    """What is really the case with one node."""

    name: str
    is_primary: bool = False
    timeline: int = 1
    offset: int = 1000
    forks: tuple[tuple[int, int], ...] = ()
    has_power: bool = True
    runs: bool = True
    is_masked: bool = False
    """Whether its database does not start any more, reboot or not."""
    is_reached: bool = True
    """By drd."""
    is_linked: bool = True
    """With its peers."""
    receives: bool = True
    """Of a standby: whether its receiver was not stopped."""
    heard_at: float = 0.0
    starts: int = 1
    awaits: int = 0
    """Of a primary: how many standbys have to confirm a commit."""

    @property
    def is_alive(self) -> bool:
        """Whether its database serves whoever reaches it."""
        return self.has_power and self.runs

    @property
    def position(self) -> Position:
        """What it has on its disk."""
        return Position(self.timeline, self.offset, self.forks)


@dataclass
class Cluster:
    """Three nodes, of which the first was made the primary."""

    is_synchronous: bool
    rungs: tuple[Rung, ...]
    now: float = 0.0
    servers: dict[str, Server] = field(default_factory=dict)
    acknowledged: dict[int, set[str]] = field(default_factory=dict)
    """Timeline → who acknowledged commits on it."""
    newest: Position = field(default_factory=lambda: Position(1, 1000))
    """The newest commit that was acknowledged."""

    def __post_init__(self) -> None:
        self.servers = {name: Server(name) for name in NAMES}
        self.servers["one"].is_primary = True
        self.servers["one"].awaits = 1 if self.is_synchronous else 0

    def followers(self, leader: Server) -> list[Server]:
        """The standbys that receive what it writes."""
        return [
            each
            for each in self.servers.values()
            if not each.is_primary and each.is_alive and each.receives and each.is_linked and leader.is_linked
            if each.timeline == leader.timeline
        ]

    def writers(self) -> list[Server]:
        """The nodes that act as a primary: whoever reaches them gets commits acknowledged."""
        return [
            each
            for each in self.servers.values()
            if each.is_alive and each.is_primary and len(self.followers(each)) >= each.awaits
        ]

    def write(self, how_many_follow: int) -> None:
        """Clients commit wherever they can; so many standbys at most get it at once."""
        for each in self.writers():
            each.offset += 100
            for follower in self.followers(each)[: max(how_many_follow, each.awaits)]:
                follower.offset = each.offset
            self.acknowledged.setdefault(each.timeline, set()).add(each.name)
            self.newest = each.position

    def tick(self) -> None:
        """A second goes by; standbys hear from their primary, and follow one of a newer timeline where they can."""
        self.now += 1.0
        for leader in [each for each in self.servers.values() if each.is_alive and each.is_primary]:
            for each in self.servers.values():
                is_joined = each.is_alive and each.receives and each.is_linked and leader.is_linked
                if not is_joined or each.is_primary or each.timeline > leader.timeline:
                    continue
                if each.timeline < leader.timeline:
                    if each.offset > dict(leader.forks).get(each.timeline, -1):
                        continue  # it has gone on where the new timeline has not
                    each.timeline, each.forks = leader.timeline, leader.forks
                each.offset, each.heard_at = leader.offset, self.now

    # --- what drd sees ------------------------------------------------------------------------------------------------

    def looked_at(self, name: str, is_lost: bool) -> ProbeResult:
        """What one look of drd at a node finds; `is_lost`: its answer does not come back."""
        server = self.servers[name]
        if is_lost or not server.is_reached or not server.has_power:
            return bad(self.now, Failure.TIMEOUT)
        if not server.runs:
            return refused(self.now, Sign.SESSION_CLOSED)
        return good(self.now, self._told_by(server))

    def _told_by(self, server: Server) -> DatabaseSeen:
        started = f"{server.name} {server.starts}"
        if server.is_primary:
            following = [each.name for each in self.followers(server)]
            others = tuple(name for name in NAMES if name != server.name)
            found = primary(server.offset, server.timeline, forks=server.forks)
            rule = Quorum(server.awaits, others, is_ranked=False) if server.awaits else None
            peers = tuple(Peer(name, is_synchronous=bool(server.awaits)) for name in following)
            return replace(found, quorum=rule, peers=peers, started=started)
        is_joined = any(server in self.followers(each) for each in self.servers.values() if each.is_primary)
        found = standby(server.offset, server.timeline, forks=server.forks, is_receiving=server.receives and is_joined)
        return replace(found, heard_seconds_ago=self.now - server.heard_at, replicates_as=server.name, started=started)

    # --- what the steps of a runbook do -------------------------------------------------------------------------------

    def fence(self, name: str, view: ClusterView | None) -> dict[str, str]:
        """Try the rungs in order; raises NotDone where none is seen to hold."""
        server = self.servers[name]
        for rung in self.rungs:
            if rung is Rung.SSH and server.is_reached and server.has_power:
                server.is_masked, server.runs = True, False
                return {"fenced": name, "fenced_by": rung}
            if rung is Rung.POWER:
                server.has_power, server.runs, server.is_masked = False, False, True
                return {"fenced": name, "fenced_by": rung}
            if rung is Rung.REVOKE and view is not None and revocation(view).state is FenceState.AVAILABLE:
                cut = [each for each in self.others(name) if each.is_reached and each.is_alive]
                if len(cut) == len(NAMES) - 1:
                    for each in cut:
                        each.receives = False
                    return {"fenced": name, "fenced_by": rung}
        raise NotDone(f"{name} is not fenced")

    def give_back(self) -> None:
        """Let every standby receive again."""
        for each in self.servers.values():
            each.receives = True

    def others(self, name: str) -> list[Server]:
        """All but one."""
        return [each for each in self.servers.values() if each.name != name]

    def answering(self, old: str) -> list[Server]:
        """The nodes beside the old primary that drd reaches."""
        return [each for each in self.others(old) if each.is_reached and each.is_alive]

    def promoted(self, old: str) -> Server | None:
        """The one of them that is a primary. Raises NotDone where none answers."""
        answering = self.answering(old)
        if not answering:
            raise NotDone("nobody answers")
        return next((each for each in answering if each.is_primary), None)

    def promote(self, old: str, best: str, view: ClusterView | None, ordered: str = "") -> Server:
        """Make the standby that has the most the primary; raises NotDone with what keeps it from that.

        `ordered`: the one that was told before and may have obeyed although that was not seen.
        """
        first = self.servers[old]
        if first.is_reached and first.is_alive and first.is_primary:
            if first.awaits:
                self.give_back()
            raise NotDone(f"{old} answers again")
        if self.promoted(old) is not None:
            raise NotDone("another node is a primary already")
        chosen = max(self.answering(old), key=lambda each: (each.timeline, each.offset))
        seen = None if view is None else view.node(best).seen
        if view is not None and seen is None and self.servers[best] not in self.answering(old):
            raise NotDone(f"{chosen.name} may lack what {best} has")
        if seen is not None and (chosen.timeline, chosen.offset) < (seen.position.timeline, seen.position.offset):
            raise NotDone(f"{chosen.name} lacks what {best} was seen to have")
        if ordered and chosen.name != ordered and self.servers[ordered] not in self.answering(old):
            raise NotDone(f"{ordered} may be a primary by now, and does not answer")
        chosen.forks = (*chosen.forks, (chosen.timeline, chosen.offset))
        chosen.is_primary, chosen.timeline, chosen.receives, chosen.awaits = True, chosen.timeline + 1, True, 0
        return chosen


@dataclass
class Eyes:
    """What one life of drd has seen."""

    nodes: dict[str, NodeView] = field(default_factory=lambda: {name: NodeView(name) for name in NAMES})
    verdicts: dict[str, NodeVerdict] = field(default_factory=dict)
    primary: str | None = None
    recalled: Recalled | None = None
    now: float = 0.0

    def look(self, cluster: Cluster, lost: frozenset[str]) -> None:
        """Look at every node once, and judge."""
        self.now = cluster.now + 0.6
        self.nodes = {
            name: node.after(cluster.looked_at(name, name in lost), RULES) for name, node in self.nodes.items()
        }
        self.primary = known_primary(tuple(self.nodes.values()), self.primary)
        self.verdicts = judge(self.view, self.verdicts)

    @property
    def view(self) -> ClusterView:
        """All that is known of the cluster now."""
        before = self.recalled.node if self.primary is None and self.recalled is not None else self.primary
        return ClusterView(self.now, tuple(self.nodes.values()), RULES, primary=before, recalled=self.recalled)

    def situation(self, cluster: Cluster) -> View:
        """What a decision is made from, before what the journal knows."""
        found = [
            revocation(self.view) if rung is Rung.REVOKE else Fence(rung, FenceState.AVAILABLE)
            for rung in cluster.rungs
        ]
        return View("orders", self.view, self.verdicts, fences=tuple(found))


def wall(seconds: float) -> datetime:
    """The moment of the clock on the wall."""
    return NOON + timedelta(seconds=seconds)
