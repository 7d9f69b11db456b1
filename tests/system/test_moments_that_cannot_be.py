"""What a restore of a database refuses: each with one clear error, and nothing half-restored is left."""

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.postgres_lab import Cluster, Lab
from tests.system.disks import small_disk
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.system.test_to_a_moment import Client, has_reached, protected

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def machine(postgres_lab: Lab, newest_restic: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One whose cluster has orders, a restore point and a base backup, and whose daemon is stopped."""
    cluster: Cluster = postgres_lab.new("refusals", is_durable=True, segment_mib=1)
    cluster.make_role("drd", "secret", "REPLICATION")
    cluster.admit("drd")
    cluster.reload()
    cluster.execute("CREATE TABLE orders (number int PRIMARY KEY, note text)")
    made = protected(Machine(tmp_path_factory.mktemp("machine"), newest_restic), cluster)
    try:
        made.start()
        wait_for(lambda: made.points("orders") and made.points("orders")[0]["stores"], "there is a base backup", 60)
        client = Client(cluster)
        client.write(20)
        cluster.execute("SELECT pg_create_restore_point('before-migration')")
        client.write(20)
        wait_for(lambda: has_reached(made, "local.wal", client.acknowledged[-1]), "WAL is shipped", 90)
        made.stop()
        made.settings["timezone"] = "Europe/Berlin"
        made.write()
        yield made
    finally:
        made.shut_down()
        cluster.kill()


@pytest.fixture
def room(postgres_lab: Lab) -> Iterator[Path]:
    """A folder that the server's user gets into."""
    folder = postgres_lab.folder / "room"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--at", "2020-01-01 00:00:00Z"], "cannot be reached; covered: "),
        (["--at", "NOW"], "cannot be reached; covered: "),
        (["--at", "2025-10-26 02:30"], "showed 2025-10-26 02:30 twice"),
        (["--at", "2026-03-29 02:30"], "there was no such time"),
        (["--at", "FF/0"], "position FF/0 cannot be reached"),
        (
            ["--at", "name:after-migration"],
            "no restore point after-migration in the WAL that is kept; those that there ",
        ),
        (["--at", "after-migration"], "before-migration"),
        (["--at", "10:15"], "'10:15' is no moment to go back to"),
        (["--database", "shop"], "the cluster has no database shop"),
        (["--database", "shop"], "those that it has: postgres"),
        (["--programs", "/bin"], "/bin lacks pg_"),
        (["--into", "file:/etc/drd/dsn"], "nothing says which database"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_is_refused_in_a_sentence_and_leaves_nothing(
    machine: Machine, room: Path, words: list[str], sentence: str
) -> None:
    place = room / "orders"
    now = datetime.now(UTC).isoformat()
    typed = [now if word == "NOW" else word for word in words]
    refused = machine.drd("restore", "orders", "--to", str(place), *typed)
    assert refused.code not in (0, 3)
    assert sentence in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
    assert list(place.parent.iterdir()) == []


def test_a_place_that_is_not_empty_is_left_as_it_is(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "mine").write_text("here")
    refused = machine.drd("restore", "orders", "--to", str(tmp_path / "orders"))
    assert refused.code == 2
    assert "is not empty" in refused.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["orders", "mine"]


def test_a_place_that_is_too_small_is_refused_before_anything_is_written(machine: Machine, room: Path) -> None:
    with small_disk(room / "small", 4) as disk:
        disk.chmod(0o755)
        refused = machine.drd("restore", "orders", "--to", str(disk / "orders"))
        assert refused.code == 2
        assert "do not fit into" in refused.stderr
        assert list(disk.iterdir()) == []


def test_a_place_that_the_servers_user_cannot_reach_is_refused(machine: Machine, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root starts servers as somebody else")
    (tmp_path / "closed").mkdir(mode=0o700)
    refused = machine.drd("restore", "orders", "--to", str(tmp_path / "closed" / "orders"))
    assert refused.code == 2
    assert "who may not pass through /" in refused.stderr
    assert list((tmp_path / "closed").iterdir()) == []


def test_the_name_of_a_restore_point_leads_there(machine: Machine, room: Path) -> None:
    restored = machine.drd(
        "restore", "orders", "--to", str(room / "orders"), "--at", "name:before-migration",
        "--verify", "SELECT count(*) = 20 FROM orders", "--verify", "SELECT count(*) = 40 FROM orders",
    )  # fmt: skip
    assert restored.code == 1
    assert "check passed: SELECT count(*) = 20 FROM orders → True" in restored.stdout
    assert "check FAILED: SELECT count(*) = 40 FROM orders → False" in restored.stdout
    assert "1 of 2 checks failed" in restored.stderr
    assert (room / "orders" / "PG_VERSION").exists()
