"""A small database cluster and drd's eyes on it.

What is really so stands in `Server`; drd knows of it only what its looks have told. Clients reach every server that
runs, also those that drd does not reach: the worst case for whoever promotes another one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from drd.core.decision import View
from drd.core.fencing import Clients, Fence, FenceState, Rung, proxy, revocation
from drd.core.health import ClusterView, NodeView, Recalled, known_primary
from drd.core.node_verdicts import NodeVerdict, judge
from drd.core.policy import Cause
from drd.core.position import Order, Position
from drd.core.postgres.synchronous import setting_of
from drd.core.probing import DatabaseSeen, Failure, Peer, ProbeResult, Quorum, Sign
from tests.core.watched import RULES, bad, good, primary, refused, standby

NAMES = ("one", "two", "three")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PROXY = "10.0.1.5"


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
    is_shut: bool = False
    """At the proxy."""
    receives: bool = True
    """Of a standby: whether it is not cut off."""
    told_by: Cause | None = None
    """Of a standby: why the run was begun that has told it to take over, which it does when it likes; None: nobody."""
    heard_at: float = 0.0
    starts: int = 1
    rule: Quorum | None = None
    """What commits wait for where it leads."""
    shown: Quorum | None = None
    """What it has shown drd of that."""

    @property
    def is_alive(self) -> bool:
        """Whether its database serves whoever reaches it."""
        return self.has_power and self.runs

    @property
    def answers(self) -> bool:
        """Whether it answers drd."""
        return self.is_alive and self.is_reached

    @property
    def leads(self) -> bool:
        """Whether it answers drd as a primary."""
        return self.answers and self.is_primary

    @property
    def position(self) -> Position:
        """What it has on its disk."""
        return Position(self.timeline, self.offset, self.forks)

    def stop(self) -> None:
        """End its process, and an order to take over with it: PostgreSQL removes what is left of one when it starts."""
        self.runs, self.told_by = False, None

    def start(self) -> None:
        """Start its process, unless it runs or somebody has seen to it that it does not start."""
        if not self.runs and not self.is_masked:
            self.runs, self.starts = True, self.starts + 1

    def take_over(self) -> None:
        """Lead from here on, on a timeline of its own."""
        self.forks = (*self.forks, (self.timeline, self.offset))
        self.is_primary, self.timeline, self.receives, self.told_by = True, self.timeline + 1, True, None

    def follow(self, leader: Server) -> None:
        """Be started anew as a copy of who leads."""
        self.stop()
        self.is_primary, self.is_masked, self.receives = False, False, True
        self.timeline, self.forks, self.offset = leader.timeline, leader.forks, leader.offset
        self.start()


@dataclass
class Cluster:
    """Three nodes, of which the first was made the primary."""

    is_synchronous: bool
    rungs: tuple[Rung, ...]
    now: float = 0.0
    servers: dict[str, Server] = field(default_factory=dict)
    acknowledged: dict[int, set[str]] = field(default_factory=dict)
    """Timeline → who acknowledged commits on it."""
    confirmed: Position | None = None
    """The newest commit that was acknowledged under a rule that drd has seen; None where there is none."""

    def __post_init__(self) -> None:
        self.servers = {name: Server(name) for name in NAMES}
        self.servers["one"].is_primary = True
        for name, server in self.servers.items():
            others = tuple(each for each in NAMES if each != name)
            server.rule = Quorum(1, others, is_ranked=False) if self.is_synchronous else None

    @property
    def clients(self) -> Clients:
        """How clients come: those of a cluster that is fenced at its proxy all through that."""
        return Clients.PROXY if Rung.PROXY in self.rungs else Clients.LIBPQ

    def others(self, name: str) -> list[Server]:
        """All but one."""
        return [each for each in self.servers.values() if each.name != name]

    def followers(self, leader: Server) -> list[Server]:
        """The standbys that receive what it writes."""
        return [
            each
            for each in self.servers.values()
            if not each.is_primary and each.is_alive and each.receives and each.is_linked and leader.is_linked
            if each.timeline == leader.timeline
        ]

    def confirming(self, leader: Server) -> list[Server]:
        """Those of them whose word counts for a commit."""
        return [each for each in self.followers(leader) if leader.rule is not None and each.name in leader.rule.named]

    def writers(self) -> list[Server]:
        """The nodes that act as a primary: whoever reaches them gets commits acknowledged."""
        return [
            each
            for each in self.servers.values()
            if each.is_alive and each.is_primary and not each.is_shut
            if each.rule is None or len(self.confirming(each)) >= each.rule.needed
        ]

    def write(self, quick: Collection[str]) -> None:
        """Clients commit wherever they can; of the standbys the quick ones get it at once, and as many as have to."""
        for each in self.writers():
            each.offset += 100
            confirming = sorted(self.confirming(each), key=lambda server: server.name not in quick)
            needed = confirming[: each.rule.needed] if each.rule is not None else []
            for follower in self.followers(each):
                if follower.name in quick or follower in needed:
                    follower.offset = each.offset
            self.acknowledged.setdefault(each.timeline, set()).add(each.name)
            if each.rule is not None and each.rule == each.shown:
                self.confirmed = each.position

    def has_confirmed(self, server: Server) -> bool:
        """Whether a node has all that was acknowledged after others had confirmed it."""
        return self.confirmed is None or server.position.compare(self.confirmed) in (Order.AHEAD, Order.EQUAL)

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

    def looked_at(self, name: str, is_lost: bool) -> ProbeResult:
        """What one look of drd at a node finds; `is_lost`: its answer does not come back."""
        server = self.servers[name]
        if is_lost or not server.is_reached or not server.has_power:
            return bad(self.now, Failure.TIMEOUT)
        if not server.runs:
            return refused(self.now, Sign.SESSION_CLOSED)
        server.shown = server.rule
        return good(self.now, self._told_by(server))

    def _told_by(self, server: Server) -> DatabaseSeen:
        started = f"{server.name} {server.starts}"
        if server.is_primary:
            rule = server.rule
            peers = tuple(Peer(each.name, each in self.confirming(server)) for each in self.followers(server))
            clients = frozenset({PROXY if self.clients is Clients.PROXY else "10.0.7.1"})
            found = primary(server.offset, server.timeline, forks=server.forks, clients=clients)
            return replace(found, quorum=rule, peers=peers, started=started)
        is_joined = any(server in self.followers(each) for each in self.servers.values() if each.is_primary)
        found = standby(server.offset, server.timeline, forks=server.forks, is_receiving=server.receives and is_joined)
        heard = self.now - server.heard_at
        told = replace(found, heard_seconds_ago=heard, replicates_as=server.name, started=started)
        return replace(told, is_cut_off=not server.receives)


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
        self.primary = known_primary(tuple(self.nodes.values()), self.primary, self.recalled)
        self.verdicts = judge(self.view, self.verdicts)

    @property
    def view(self) -> ClusterView:
        """All that is known of the cluster now."""
        before = self.recalled.node if self.primary is None and self.recalled is not None else self.primary
        return ClusterView(self.now, tuple(self.nodes.values()), RULES, primary=before, recalled=self.recalled)

    @property
    def awaited(self) -> str:
        """What commits of the primary wait for, as a run that begins now keeps it; empty where that was not seen."""
        seen = self.nodes[self.primary].seen if self.primary is not None else None
        return "" if seen is None or not seen.is_primary else setting_of(seen.quorum)

    def situation(self, cluster: Cluster) -> View:
        """What a decision is made from, before what the journal knows."""
        found = {
            Rung.REVOKE: revocation(self.view),
            Rung.PROXY: proxy(self.view, cluster.clients, frozenset({PROXY})),
        }
        fences = tuple(found.get(rung, Fence(rung, FenceState.AVAILABLE)) for rung in cluster.rungs)
        return View("orders", self.view, self.verdicts, fences=fences)


def wall(seconds: float) -> datetime:
    """The moment of the clock on the wall."""
    return NOON + timedelta(seconds=seconds)
