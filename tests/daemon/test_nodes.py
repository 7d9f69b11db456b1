"""What people are told of nodes, and workers that come and go with the policies that name them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rich.console import Console, RenderableType

from drd.core.events import Paused, PolicyAdded, PrimarySeen
from drd.core.health import Hysteresis
from drd.core.policy import Disaster, DisasterClass
from drd.core.probing import Failure, KeptSlot, Peer, Sign
from drd.daemon.control import HouseControl
from drd.daemon.explaining import explained
from drd.daemon.nodes import failover_lines, node_status
from drd.daemon.watchers import Watchers
from drd.ports.configuration import Protected
from drd.ports.probe import Target, Watch
from drd.reports.incidents import plan_page
from tests.core.watched import primary, standby
from tests.engines.test_watch_rules import FAILOVER
from tests.fakes.clock import START
from tests.fakes.house import FakeHouse, a_policy, protected
from tests.fakes.probe import Answers, FakeProbe

pytestmark = pytest.mark.looptime


def watched(name: str = "orders", digest: str = "1", nodes: tuple[str, ...] = ("one", "two"), **more: Any) -> Protected:
    targets = tuple(Target(name, node, "127.0.0.1", has_shell=True) for node in nodes)
    policy = a_policy(name).model_copy(update=more)
    return replace(protected(policy, digest), watch=Watch(targets, (FakeProbe(),), Hysteresis(timeout_seconds=0.5)))


@asynccontextmanager
async def a_house(*policies: Protected) -> AsyncIterator[tuple[FakeHouse, Watchers, asyncio.TaskGroup]]:
    FakeProbe.ANSWERS.clear()
    FakeProbe.ANSWERS.update(one=Answers(primary(2000)), two=Answers(standby(1000, replayed=1000)))
    house = FakeHouse(*policies)
    async with asyncio.TaskGroup() as group:
        watchers = Watchers(house.watching, house.serving)
        watchers.staff(house.in_force().policies, group)
        await asyncio.sleep(2.5)
        yield house, watchers, group
        watchers.stop()


async def test_each_node_is_told_with_its_verdict_role_and_latency() -> None:
    async with a_house(watched()) as (house, _, _):
        one, two = node_status(house.house)

        assert (one.policy, one.node, one.role, one.state, one.verdict) == ("orders", "one", "primary", "up", "well")
        assert (two.role, two.seconds, two.failures) == ("standby", 0.001, {"postgres": 0})
        assert one.since is not None


async def test_explain_says_what_would_be_done_and_what_it_would_cost() -> None:
    policy = watched(disasters={DisasterClass.HARDWARE: Disaster(runbook="failover")})
    async with a_house(policy) as (house, _, _):
        configuration = house.in_force()
        house.in_force.replace(replace(configuration, runbooks={"failover": FAILOVER}))
        lines = await failover_lines(house.house, "orders")

        assert "failover: one is the primary, and well" in lines
        assert any(
            line.startswith("if it were lost now, two would be promoted, in about 500ms; it lacks 0.977 KiB")
            for line in lines
        )
        assert "fence by ssh: available" in lines
        assert any(line.startswith("fence by power: impossible") for line in lines)
        assert "held back by primary answers: one answers" in lines

        until = house.clock.now() + timedelta(hours=1)
        await house.journal.append(Paused("orders", "failover", until, "kernel updates", "ann"))
        assert any(
            "held back by paused: paused until" in line and "kernel updates" in line
            for line in await failover_lines(house.house, "orders")
        )
        FakeProbe.ANSWERS["one"].failure, FakeProbe.ANSWERS["one"].signs = Failure.REFUSED, (Sign.SESSION_CLOSED,)
        FakeProbe.ANSWERS["two"].seen = standby(1000, is_receiving=False, heard_seconds_ago=None, is_paused=True)
        await asyncio.sleep(2)
        lines = await failover_lines(house.house, "orders")
        assert any(line.startswith("node one, primary: process dead") for line in lines)
        assert "two would not be promoted: its replay is paused" in lines
        assert any(line.startswith("held back by candidate") for line in lines)


async def test_explain_tells_who_receives_from_the_primary_and_for_whom_it_keeps_log() -> None:
    async with a_house(watched()) as (house, _, _):
        assert not any(line.startswith(("standby ", "slot ")) for line in await failover_lines(house.house, "orders"))
        peers = (Peer("two", is_synchronous=True, lag_bytes=2048), Peer("three", is_synchronous=False))
        slots = (KeptSlot("a", True, 0), KeptSlot("b", False, 2**20), KeptSlot("c", False, None, True))
        FakeProbe.ANSWERS["one"].seen = primary(2000, peers=peers, slots=slots)
        await asyncio.sleep(2)
        lines = await failover_lines(house.house, "orders")
        assert [line for line in lines if line.startswith(("standby ", "slot "))] == [
            "standby two receives, 2 KiB behind; commits wait for it",
            "standby three receives",
            "slot a keeps 0 B of log",
            "slot b keeps 1 MiB of log, and nobody receives by it",
            "slot c has lost log that it needs",
        ]
        FakeProbe.ANSWERS["one"].failure = Failure.TIMEOUT
        await asyncio.sleep(2)
        assert not any(line.startswith(("standby ", "slot ")) for line in await failover_lines(house.house, "orders"))


async def test_the_plan_of_a_failover_says_what_it_would_cost_and_what_keeps_drd_from_starting_it() -> None:
    policy = watched(disasters={DisasterClass.HARDWARE: Disaster(runbook="failover")})
    async with a_house(policy) as (house, _, _):
        house.in_force.replace(replace(house.in_force(), runbooks={"failover": FAILOVER}))
        control = HouseControl(house.house, START, nothing_to_reload)
        plan = await control.runbook_plan("failover", {})
        page = printed(plan_page(plan))

    assert plan.blockers == ()
    assert "if it were lost now, two would be promoted, in about 500ms; it lacks 0.977 KiB" in page
    assert "fence by ssh: available" in page
    assert "not by itself: primary answers: one answers" in page


async def nothing_to_reload() -> tuple[str, ...]:
    return ()


def printed(page: RenderableType) -> str:
    with (console := Console(width=200)).capture() as captured:
        console.print(page)
    return captured.get()


async def test_without_a_daemon_that_looks_explain_says_that_nobody_does_and_who_led_last() -> None:
    house = FakeHouse(watched())
    [line] = await failover_lines(house.house, "orders")
    assert "the nodes are not looked at here, so what would be done now is not known" in line
    await house.journal.append(PolicyAdded("orders"), PrimarySeen("orders", "one", "c1", 3))
    assert "the primary was one when a daemon saw it last" in (await failover_lines(house.house, "orders"))[1]


async def test_a_policy_without_nodes_tells_nothing_of_them() -> None:
    async with a_house(protected(a_policy())) as (house, _, _):
        assert node_status(house.house) == ()
        assert await failover_lines(house.house, "orders") == []
        assert not any("failover" in line for line in await explained(house.house, "orders"))


async def test_workers_come_change_and_go_with_their_policies() -> None:
    async with a_house(watched()) as (house, watchers, group):
        first = house.watching.of("orders")
        changed = {"orders": watched(digest="2", nodes=("two",))}
        house.in_force.replace(replace(house.in_force(), policies=changed))
        watchers.staff(changed, group)
        await asyncio.sleep(1)
        second = house.watching.of("orders")

        assert first is not None
        assert second is not None
        assert set(second.nodes) == {"two"}
        watchers.staff({}, group)
        await asyncio.sleep(1)
        assert house.watching.of("orders") is None
