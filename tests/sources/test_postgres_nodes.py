"""A source that finds its server among a policy's nodes, by what each is when it is needed."""

from pathlib import Path
from typing import Any

import pytest

from drd.core.errors import SourceRefused
from drd.core.postgres.errors import ServerAway
from drd.core.postgres.nodes import NodeRole
from drd.core.secrets import SecretReference
from drd.ports.servers import Node
from drd.ports.world import World
from drd.sources.postgres import PostgresSource
from tests.postgres_lab import Cluster, Lab

pytestmark = pytest.mark.slow
EITHER = {"from": "standby", "fallback": "primary"}


def node(folder: Path, name: str, cluster: Cluster | None) -> Node:
    place = folder / name
    place.touch(mode=0o600)
    place.write_bytes(b"host=/nowhere user=drd" if cluster is None else cluster.dsn())
    return Node(name, {"postgres": SecretReference(file=place)})


def source(lab: Lab, *nodes: Node, **options: Any) -> PostgresSource:
    written = PostgresSource.model_validate({"programs": str(lab.programs), **options})
    return written.among(nodes)


@pytest.fixture(scope="module")
def pair(postgres_lab: Lab) -> tuple[Cluster, Cluster]:
    primary = postgres_lab.new("one", segment_mib=1)
    return primary, postgres_lab.standby(primary, "two")


async def test_a_base_backup_comes_from_the_standby_and_says_so(
    pair: tuple[Cluster, Cluster], postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    nodes = (node(tmp_path, "orders-1", pair[0]), node(tmp_path, "orders-2", pair[1]))
    async with source(postgres_lab, *nodes, **EITHER).opened(world) as prepared:
        assert prepared.note == "taken from orders-2, a standby"
        assert "pg-node=orders-2" in prepared.facts


async def test_without_a_standby_it_comes_from_the_primary_and_says_why(
    pair: tuple[Cluster, Cluster], postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    nodes = (node(tmp_path, "orders-1", pair[0]), node(tmp_path, "orders-2", None))
    async with source(postgres_lab, *nodes, **EITHER).opened(world) as prepared:
        assert prepared.note.startswith("taken from orders-1, the primary; no standby could be used: orders-2: ")
        assert "pg-node=orders-1" in prepared.facts


async def test_without_a_fallback_it_waits_for_who_is_away_and_else_refuses(
    pair: tuple[Cluster, Cluster], postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    here, away = node(tmp_path, "orders-1", pair[0]), node(tmp_path, "orders-2", None)
    with pytest.raises(ServerAway, match="no standby was found"):
        await source(postgres_lab, here, away, **{"from": "standby"}).look(world)
    with pytest.raises(SourceRefused, match="orders-1 is a primary on timeline 1"):
        await source(postgres_lab, here, **{"from": "standby"}).look(world)


async def test_nodes_of_two_clusters_are_refused(
    pair: tuple[Cluster, Cluster], postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    stranger = postgres_lab.new("stranger", segment_mib=1)
    nodes = (node(tmp_path, "orders-1", pair[0]), node(tmp_path, "orders-2", stranger))
    with pytest.raises(SourceRefused, match="the nodes are of different clusters"):
        await source(postgres_lab, *nodes).look(world)
    stranger.kill()


async def test_wal_comes_from_whoever_is_primary_now(postgres_lab: Lab, world: World, tmp_path: Path) -> None:
    first = postgres_lab.new("first", segment_mib=1)
    second = postgres_lab.standby(first, "second")
    nodes = (node(tmp_path, "orders-1", first), node(tmp_path, "orders-2", second))
    origin = source(postgres_lab, *nodes, wal="continuous", **EITHER).wal_origin
    assert origin is not None
    async with origin.reached(world) as reached:
        assert (reached.node, reached.facts.timeline) == ("orders-1", 1)
    second.promote()
    async with origin.reached(world) as reached:
        assert (reached.node, reached.facts.timeline) == ("orders-2", 2)
    first.kill()
    async with origin.reached(world) as reached:
        assert reached.node == "orders-2"
    second.kill()
    with pytest.raises(ServerAway, match=r"orders-1: .*; orders-2: "):
        async with origin.reached(world):
            pytest.fail("nobody is there")


async def test_a_node_is_reached_by_its_name_whatever_it_is(
    pair: tuple[Cluster, Cluster], postgres_lab: Lab, world: World, tmp_path: Path
) -> None:
    servers = source(postgres_lab, node(tmp_path, "orders-2", pair[1])).servers
    async with servers.reached_by_name(world, "orders-2") as reached:
        assert reached.facts.is_in_recovery
    async with servers.reached(world, (NodeRole.STANDBY,)) as reached:
        assert reached.name == "orders-2"
