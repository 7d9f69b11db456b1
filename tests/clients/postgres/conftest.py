"""Servers with roles of every kind: one that may replicate, one that may nothing, one with a password full of traps."""

import asyncio

import pytest

from drd.clients.postgres_tools import ProgramsOfPostgres, find_programs
from drd.clients.process import ChildRunner
from tests.postgres_lab import Cluster, Lab

AWKWARD = "p'a\\ss \"w#rd; =%40 {drd_service} $HOME ü"


@pytest.fixture(scope="module")
def shop(postgres_lab: Lab) -> Cluster:
    """A small cluster with its roles."""
    cluster = postgres_lab.new("shop", segment_mib=1, has_port=True)
    cluster.make_role("drd", AWKWARD, "REPLICATION")
    cluster.make_role("clerk", "clerk's own")
    cluster.make_role("stranger", "stranger's own", "REPLICATION")
    cluster.admit("drd", "clerk")
    cluster.reload()
    cluster.execute("CREATE TABLE orders (number int, filler text)")
    return cluster


@pytest.fixture(scope="module")
def tools(postgres_lab: Lab) -> ProgramsOfPostgres:
    """The programs of the lab's own version."""
    found = asyncio.run(find_programs(postgres_lab.major, ChildRunner(), [postgres_lab.programs]))
    return ProgramsOfPostgres(found, ChildRunner())
