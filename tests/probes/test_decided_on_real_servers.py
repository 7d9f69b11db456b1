"""Verdicts and decisions from what real servers tell: a synchronous primary with two standbys is killed."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from drd.core.decision import Act, Rules, View, decide
from drd.core.fencing import FenceState, revocation
from drd.core.health import ClusterView, Hysteresis, NodeView, known_primary
from drd.core.node_verdicts import Cause, judge
from drd.core.runbook import RunbookMode
from drd.ports.probe import Prober
from drd.probes.postgres import PostgresProbe
from tests.postgres_lab import Cluster, Lab
from tests.probes.watching import GivenSecrets, probing

pytestmark = pytest.mark.slow
RULES = Hysteresis(every_seconds=20.0, timeout_seconds=20.0)
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Looking:
    """What is known of the nodes, from real looks at them."""

    def __init__(self, probers: dict[str, Prober]) -> None:
        self.probers = probers
        self.nodes = {name: NodeView(name) for name in probers}
        self.primary: str | None = None

    async def look(self) -> ClusterView:
        for name in self.probers:
            result = await self.probers[name].look()
            self.nodes[name] = self.nodes[name].after(result, RULES)
        nodes = tuple(self.nodes.values())
        self.primary = known_primary(nodes, self.primary)
        return ClusterView(asyncio.get_running_loop().time(), nodes, RULES, primary=self.primary)

    async def until(self, claim) -> ClusterView:  # type: ignore[no-untyped-def]
        for _ in range(900):
            view = await self.look()
            if claim(view):
                return view
            await asyncio.sleep(0.1)
        raise AssertionError(f"never: {view}")


def in_force(view: ClusterView) -> bool:
    seen = view.node("one").seen
    return seen is not None and seen.quorum is not None and any(peer.is_synchronous for peer in seen.peers or ())


def are_cut(view: ClusterView) -> bool:
    return all(each.seen is not None and each.seen.is_receiving is False for each in view.others("one"))


async def test_a_killed_synchronous_primary_is_fenced_by_cutting_its_standbys_off(postgres_lab: Lab) -> None:
    one = postgres_lab.new("one", segment_mib=1)
    standbys = {name: postgres_lab.standby(one, name) for name in ("alpha", "beta")}
    one.configure({"synchronous_standby_names": "FIRST 1 (alpha, beta)"})
    one.reload()
    async with AsyncExitStack() as stack:
        clusters: dict[str, Cluster] = {"one": one, **standbys}
        looking = Looking(
            {
                name: await stack.enter_async_context(
                    probing(PostgresProbe(timeout="20s"), None, GivenSecrets(cluster.dsn()))
                )
                for name, cluster in clusters.items()
            }
        )
        well = await looking.until(in_force)
        assert {verdict.cause for verdict in judge(well, {}).values()} == {Cause.WELL}
        one.execute("CREATE TABLE orders (number int)")
        await looking.look()
        one.kill()

        lost = await looking.until(lambda view: judge(view, {})["one"].cause is Cause.PROCESS_DEAD)
        assert revocation(lost).state is FenceState.AVAILABLE
        assert decided(lost) is Act.FENCE
        for standby in standbys.values():
            standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
            standby.reload()
        cut = await looking.until(are_cut)
        assert revocation(cut, ["alpha"]).state is FenceState.AVAILABLE
        assert revocation(cut, ["alpha", "beta"]).state is FenceState.CONFIRMED
        assert decided(cut, "alpha", "beta") is Act.PROMOTE
    for standby in standbys.values():
        standby.stop()


def decided(view: ClusterView, *cut: str) -> Act:
    rules = Rules(RunbookMode.AUTOMATIC, max_lag_bytes=16 * 2**20)
    return decide(View("orders", view, judge(view, {}), rules, (revocation(view, cut),)), NOW).act
