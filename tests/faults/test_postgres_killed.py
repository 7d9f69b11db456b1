"""drd and what works for it are killed in the middle of all that they do for a PostgreSQL cluster; nothing is lost."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.faults.shops import POLICY, Shop, left_in, works_on
from tests.postgres_lab import Cluster, Lab
from tests.system.machine import Machine
from tests.system.programs import Running, is_gone, kill_hard, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Middle:
    """Work under way: who does it, the command that follows it, and where it would have led."""

    child: int
    command: Running | None = None
    place: Cluster | None = None


@pytest.fixture
def shop(two_stores: Machine, postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(two_stores, postgres_lab, f"killed{abs(hash(request.node.name)) % 10000}")
    yield made
    made.cluster.kill()


def amid_a_base_backup(shop: Shop) -> Middle:
    """pg_basebackup has written a part."""
    shop.open()
    daemon = shop.machine.daemon
    assert daemon is not None
    shop.protect(rate="4 MiB/s")
    shop.machine.drd("reload").done()
    command = shop.machine.command("backup", POLICY, "--full")

    def writing() -> int | None:
        child = daemon.child("pg_basebackup")
        return child if child and list((shop.machine.state / "staging").glob("*/*/base")) else None

    return Middle(wait_for(writing, "pg_basebackup writes"), command)


def amid_a_batch(shop: Shop) -> Middle:
    """restic saves a batch of WAL into the first store."""
    shop.limit(local={"upload": "512 KiB/s"})
    shop.open()
    daemon = shop.machine.daemon
    assert daemon is not None
    shop.sell(2000)
    group = str(shop.machine.state / "spool")
    return Middle(wait_for(lambda: works_on(daemon, group, "backup"), "a batch is saved"))


def amid_a_copy_of_a_batch(shop: Shop) -> Middle:
    """The carrier brings a batch of WAL to the second store."""
    shop.limit(offsite={"upload": "512 KiB/s"})
    shop.open()
    daemon = shop.machine.daemon
    assert daemon is not None
    shop.sell(2000)
    return Middle(wait_for(lambda: daemon.child("drd.clients.carrier"), "a batch is carried"))


def amid_a_fetch_of_wal(shop: Shop) -> Middle:
    """restic brings the WAL of a restore."""
    shop.open()
    shop.sell(4000)
    shop.wait_shipped("local")
    shop.limit(local={"download": "2 MiB/s"})
    daemon = shop.machine.restart()
    place = shop.place()
    command = shop.machine.command("restore", POLICY, "--to", str(place.data), "--from", "local")
    wal = f"{shop.machine.repository}-wal"
    return Middle(wait_for(lambda: works_on(daemon, wal, "restore"), "WAL is fetched"), command, place)


def amid_a_replay(shop: Shop) -> Middle:
    """A server of drd's own replays WAL."""
    shop.open()
    shop.sell(8000)
    shop.wait_shipped("local")
    daemon = shop.machine.daemon
    assert daemon is not None
    place = shop.place()
    command = shop.machine.command("restore", POLICY, "--to", str(place.data), "--from", "local")
    return Middle(wait_for(lambda: daemon.child("postgres", "-D"), "WAL is replayed"), command, place)


MIDDLES: dict[str, Callable[[Shop], Middle]] = {
    "base backup": amid_a_base_backup,
    "batch": amid_a_batch,
    "copy of a batch": amid_a_copy_of_a_batch,
    "fetch of WAL": amid_a_fetch_of_wal,
    "replay": amid_a_replay,
}


@pytest.mark.parametrize("work", MIDDLES)
def test_kill_9_of_drd_loses_no_order(shop: Shop, work: str) -> None:
    middle = MIDDLES[work](shop)
    daemon = shop.machine.daemon
    assert daemon is not None
    children = daemon.children()
    daemon.kill()
    # pg_basebackup starts another one to receive WAL, which lives until the next base backup takes its place away.
    dying = [pid for pid, line in children.items() if pid == middle.child or not line[0].endswith("pg_basebackup")]
    wait_for(lambda: all(is_gone(pid) for pid in dying), "its children die with it")
    if middle.command is not None:
        assert middle.command.ended(30) != 0, "the command must not take this for success"
        assert "Traceback" not in middle.command.said(), middle.command.said()
    if middle.place is not None:
        assert not middle.place.data.exists(), "nothing half-restored looks whole"
    shop.sell(50)
    shop.assert_all_is_sound()
    assert all(is_gone(pid) for pid in children)


@pytest.mark.parametrize("work", MIDDLES)
def test_kill_9_of_who_does_the_work_is_told_and_made_up_for(shop: Shop, work: str) -> None:
    middle = MIDDLES[work](shop)
    daemon = shop.machine.daemon
    assert daemon is not None
    kill_hard(middle.child)
    if middle.command is not None:
        assert middle.command.ended(60) == 1, middle.command.said()
        assert "Traceback" not in middle.command.said(), middle.command.said()
        kind = "run-finished" if middle.place is None else "restore-finished"
        last = shop.machine.events(kind)[-1]
        assert (last["outcome"], bool(last["message"])) == ("failed", True), last
    if middle.place is not None:
        assert not middle.place.data.exists()
        assert not left_in(middle.place.folder)
    assert daemon.is_alive, daemon.said()
    shop.assert_all_is_sound()
