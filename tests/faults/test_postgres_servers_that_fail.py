"""The server that is protected stops in the middle, or another one takes its place."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.shops import POLICY, Shop
from tests.postgres_lab import Cluster, Lab
from tests.system.machine import Machine
from tests.system.programs import Running, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

STOPS: dict[str, Callable[[Cluster], None]] = {
    "stopped": Cluster.stop,
    "stopped at once": lambda cluster: cluster.stop(signal.SIGQUIT),
    "killed": Cluster.kill,
}


@pytest.fixture
def shop(two_stores: Machine, postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(two_stores, postgres_lab, f"fails{abs(hash(request.node.name)) % 10000}")
    yield made
    made.cluster.kill()


@pytest.mark.parametrize("how", STOPS)
def test_a_server_that_stops_in_the_middle_of_a_base_backup(shop: Shop, how: str) -> None:
    shop.open()
    command = amid_a_base_backup(shop)
    STOPS[how](shop.cluster)
    _assert_failed(shop, command)
    shop.cluster.start()
    shop.assert_all_is_sound()


def test_a_failover_in_the_middle_of_a_base_backup_and_of_receiving(shop: Shop, postgres_lab: Lab) -> None:
    first = shop.cluster
    second = postgres_lab.standby(first, f"{first.name}_b")
    # So that nothing that was acknowledged is lost with the first.
    first.execute(f"ALTER SYSTEM SET synchronous_standby_names = '\"{second.name}\"'")
    first.reload()
    shop.serve_by({"one": first, "two": second})
    shop.open()
    before = shop.orders
    command = amid_a_base_backup(shop)
    shop.sell(500)
    shop.sell(5)
    first.kill()
    second.promote()
    shop.cluster = second
    _assert_failed(shop, command)
    shop.sell(500)
    moment = second.value("SELECT clock_timestamp()")
    shop.sell(5)
    shop.assert_all_is_sound()
    assert shop.machine.restart().is_alive
    across = shop.restored("--at", moment.isoformat())
    assert before + 1005 == across
    second.kill()


def amid_a_base_backup(shop: Shop) -> Running:
    """A base backup is under way, slowly."""
    shop.protect(rate="4 MiB/s")
    shop.machine.drd("reload").done()
    command = shop.machine.command("backup", POLICY, "--full")
    wait_for(lambda: staged(shop), "pg_basebackup writes")
    return command


def staged(shop: Shop) -> list[Path]:
    """What there is of base backups in the making."""
    return list((shop.machine.state / "staging").glob("*/base.unfinished/base/*"))


def _assert_failed(shop: Shop, command: Running) -> None:
    assert command.ended(60) == 1, command.said()
    assert "Traceback" not in command.said(), command.said()
    assert "error: " in command.said() or "failed" in command.said()
    last = shop.machine.events("run-finished", POLICY)[-1]
    assert (last["outcome"], bool(last["message"]), bool(last["hint"])) == ("failed", True, True), last
    assert not list((shop.machine.state / "staging").iterdir())
