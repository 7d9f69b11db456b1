"""WAL that cannot be brought away, that is missing or damaged, or that is taken away while a server replays it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.shops import POLICY, SLOT, Shop, left_in
from tests.postgres_lab import OWNER, Lab
from tests.system.machine import Machine
from tests.system.programs import wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

HOUR_SEGMENTS = 60
"""Those of an hour on a server that is told to end one each minute (`archive_timeout = 60`)."""


@pytest.fixture
def shop(two_stores: Machine, postgres_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(two_stores, postgres_lab, f"wal{abs(hash(request.node.name)) % 10000}")
    yield made
    made.cluster.kill()


def test_an_off_site_store_that_is_away_for_an_hour_of_wal_is_caught_up(shop: Shop) -> None:
    machine = shop.machine
    assert machine.s3 is not None
    shop.open()
    machine.s3.stop()
    first = spooled(shop)
    while len(spooled(shop) - first) < HOUR_SEGMENTS:
        shop.sell(5000)
    shop.wait_shipped("local")
    wait_for(lambda: machine.state_of("offsite.wal") == "away", "it is told")
    assert shop.restored("--from", "local") == shop.orders
    machine.s3.start()
    shop.wait_shipped("offsite", seconds=150)
    assert shop.restored("--from", "offsite") == shop.orders
    shop.assert_all_is_sound()


def test_a_missing_and_a_damaged_segment_are_found_and_named_before_they_are_needed(shop: Shop) -> None:
    shop.open()
    machine = shop.machine
    machine.stop()
    segments = received_by_hand(shop, 9)
    damaged, missing = segments[2], segments[5]
    with damaged.open("r+b") as file:
        file.write(bytes(64))
    missing.unlink()
    behind = shop.cluster.value("SELECT clock_timestamp()")
    machine.start()
    told = wait_for(lambda: lost(shop, damaged.name), "the damaged one is told")
    assert told["hint"]
    assert list((machine.state / "spool").glob(f"**/refused/{damaged.name}")), "it is put aside"
    wait_for(lambda: lost(shop, missing.name), "the missing one is told")
    # The moment leads over both; whoever asks for it is told which is missing, before anything is read.
    place = shop.place()
    refused = machine.drd("restore", POLICY, "--at", behind.isoformat(), "--to", str(place.data))
    assert refused.code, refused.stdout
    assert damaged.name in refused.stderr or missing.name in refused.stderr
    assert "covered: " in refused.stderr
    assert not place.data.exists()
    wait_for(lambda: len(machine.points(POLICY)) > 1, "a new base backup is made by itself", 120)
    shop.assert_all_is_sound()


def test_a_store_whose_wal_is_damaged_says_so_and_another_one_leads_there(shop: Shop) -> None:
    machine = shop.machine
    shop.open()
    shop.sell(3000)
    shop.wait_shipped()
    largest = max(Path(f"{machine.repository}-wal/data").rglob("*"), key=lambda path: path.stat().st_size)
    largest.chmod(0o600)
    with largest.open("r+b") as file:
        file.seek(largest.stat().st_size // 2)
        file.write(b"damage" * 20)
    place = shop.place()
    failed = machine.drd("restore", POLICY, "--to", str(place.data), "--from", "local").done(1)
    assert "error: " in failed.stderr
    assert not place.data.exists()
    assert not left_in(place.folder)
    assert shop.restored("--from", "offsite") == shop.orders


def test_a_store_that_goes_while_its_wal_is_fetched_fails_the_restore(shop: Shop) -> None:
    machine = shop.machine
    assert machine.s3 is not None
    shop.open()
    shop.sell(4000)
    shop.wait_shipped()
    shop.limit(offsite={"download": "2 MiB/s"})
    machine.restart()
    place = shop.place()
    command = machine.command("restore", POLICY, "--to", str(place.data), "--from", "offsite")
    wait_for(lambda: list(place.folder.glob("*.drd-restoring/wal*")), "WAL is fetched")
    machine.s3.stop()
    assert command.ended(100) == 1, command.said()
    assert "Traceback" not in command.said()
    assert "away" in command.said() or "answers" in command.said(), command.said()
    assert not place.data.exists()
    assert not left_in(place.folder)
    machine.s3.start()
    shop.assert_all_is_sound(seconds=150)


def test_wal_that_goes_away_while_it_is_replayed_stops_recovery_and_never_ends_it_early(shop: Shop) -> None:
    machine = shop.machine
    shop.open()
    shop.sell(12_000)
    shop.wait_shipped("local")
    daemon = machine.daemon
    assert daemon is not None
    place = shop.place()
    command = machine.command("restore", POLICY, "--to", str(place.data), "--from", "local")
    wait_for(lambda: daemon.child("postgres", "-D"), "WAL is replayed")
    for wal in place.folder.glob("*.drd-restoring/wal"):
        wal.rename(wal.with_name("gone"))
    assert command.ended(60) == 1, command.said()
    assert "recovery was stopped, and did not end early" in command.said()
    assert not place.data.exists()
    assert not left_in(place.folder)
    assert shop.restored("--from", "local") == shop.orders


def spooled(shop: Shop) -> set[str]:
    """Whole segments in the groups of the spool."""
    found = (shop.machine.state / "spool").glob("**/*")
    return {path.name for path in found if len(path.name) == 24 and path.is_file()}


def lost(shop: Shop, name: str) -> dict[str, object] | None:
    """What was told of a segment that is lost."""
    events = shop.machine.events(policy=POLICY)
    return next((each for each in events if name in str(each["body"]) and each["kind"].startswith("wal-")), None)


def received_by_hand(shop: Shop, count: int) -> list[Path]:
    """Segments that are received while drd is stopped, as by a drd that was killed before it looked at them."""
    [folder] = (shop.machine.state / "spool").glob(f"{POLICY}/*/received")
    before = {path.name for path in folder.iterdir()}
    words = ["-h", str(shop.cluster.sockets), "-p", str(shop.cluster.port), "-U", OWNER]
    receiver = subprocess.Popen(
        [shop.lab.programs / "pg_receivewal", *words, "-D", folder, f"--slot={SLOT}", "--synchronous", "--no-password"]
    )
    try:

        def whole() -> list[Path]:
            found = sorted(path for path in folder.iterdir() if len(path.name) == 24 and path.name not in before)
            return found if len(found) >= count else []

        while not whole():
            shop.sell(500)
        return wait_for(whole, "it is received")
    finally:
        psutil.Process(receiver.pid).terminate()
        receiver.wait(30)
