"""The shop's PostgreSQL: customers order all the time, what they were told of is there, a kill leaves no trouble."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from drd.core.errors import DrdError
from drd.core.postgres.grants import grants
from drd.demo.database import USE
from drd.demo.orders import Acknowledged
from drd.demo.ports import free_port
from drd.demo.sold import sold as sold_in
from drd.demo.standby import newest
from tests.demo.conftest import Demonstration
from tests.system.programs import wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]
MINIMUM = 5


def sold(demo: Demonstration, *copy: str) -> dict[str, Any]:
    """What `drd demo orders` tells; nothing while the shop's database is not there."""
    answered = demo.drd("demo", "orders", *copy, "--folder", str(demo.folder), "--json")
    return answered.json if answered.code == 0 else {}


def orders(demo: Demonstration) -> int:
    """How many orders there are; 0 while the shop's database is not there."""
    with suppress(DrdError):
        return asyncio.run(sold_in(demo.folder, None)).count
    return 0


def data(demo: Demonstration) -> Path:
    return demo.folder / "database" / "orders-1" / "data"


def postmaster(demo: Demonstration) -> int:
    return int((data(demo) / "postmaster.pid").read_text().split()[0])


def test_customers_order_all_the_time_and_a_restored_copy_has_all_they_were_told_of(
    demonstration: Callable[[str], Demonstration],
) -> None:
    demo = demonstration("demo")
    daemon = demo.start()
    wait_for(demo.is_protected, "points of every policy in both stores", 120)
    before = orders(demo)
    assert wait_for(lambda: orders(demo) > before + MINIMUM, "customers go on")
    copy = demo.folder.with_name("copy")
    moment = datetime.now(UTC)
    wait_for(lambda: orders(demo) > before + 2 * MINIMUM, "customers go on")

    def comes_back() -> bool:
        # The WAL of the last seconds is on its way to the store.
        return demo.drd("restore", "orders", "--at", moment.isoformat(), "--to", str(copy)).code == 0

    wait_for(comes_back, "the moment can be restored", 60)
    there = sold(demo, str(copy))
    assert there["missing"] == []
    assert before + MINIMUM < there["orders"] <= there["acknowledged"] + 1
    newest = datetime.fromisoformat(there["newest"][0]["placed_at"])
    assert moment - timedelta(seconds=10) < newest <= moment
    assert not (copy / "postmaster.pid").exists()
    assert daemon.stop() == 0, daemon.said()


def test_drd_has_the_rights_that_grants_prints_and_no_others(
    demonstration: Callable[[str], Demonstration],
) -> None:
    demo = demonstration("demo")
    demo.start()
    wait_for(lambda: orders(demo), "customers order")
    secret = (demo.folder / "secrets" / "orders-1").read_text().strip()
    with psycopg.connect(secret, connect_timeout=10) as connection:
        attributes = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
        assert attributes == (False, False, False, False, True)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM orders")
    hba = (data(demo) / "pg_hba.conf").read_text().splitlines()
    assert [line for line in hba if " drd " in line and line[0] != "#"] == [
        line.replace("hostssl", "host") for line in grants(USE).hba
    ]
    secrets = [path.read_text().strip() for path in (demo.folder / "secrets").iterdir()]
    running = [" ".join(line) for line in demo.started[-1].children().values()]
    assert not [line for line in running if any(each in line for each in secrets)]


def test_after_a_kill_the_next_start_goes_on_with_every_order(
    demonstration: Callable[[str], Demonstration],
) -> None:
    demo = demonstration("demo")
    for kill in range(3):
        daemon = demo.start()
        before = orders(demo)
        wait_for(lambda before=before: orders(demo) > before + MINIMUM, "customers order")  # type: ignore[misc]
        daemon.kill()
        lock = data(demo) / "postmaster.pid"
        if kill == 1:
            # As after a boot, when the number is another process's.
            lock.write_text(lock.read_text().replace(str(postmaster(demo)), str(os.getpid()), 1))
    daemon = demo.start()
    wait_for(lambda: orders(demo), "the shop is open again")
    assert sold(demo)["missing"] == []
    assert daemon.stop() == 0, daemon.said()
    assert not (data(demo) / "postmaster.pid").exists()


def test_a_server_that_still_runs_there_is_stopped_and_a_port_that_is_taken_is_left(
    demonstration: Callable[[str], Demonstration],
) -> None:
    demo = demonstration("demo")
    daemon = demo.start()
    wait_for(lambda: orders(demo), "customers order")
    assert daemon.stop() == 0, daemon.said()
    port = int((demo.folder / "database" / "orders-1" / "port").read_text())
    as_owner = ["setpriv", f"--reuid={data(demo).stat().st_uid}", "--clear-groups"] if os.geteuid() == 0 else []
    left = subprocess.Popen(
        [*as_owner, demo.postgres / "postgres", "-D", data(demo), "-c", f"port={free_port()}"], cwd="/"
    )
    wait_for((data(demo) / "postmaster.pid").exists, "a server runs there")
    with socket.create_server(("127.0.0.1", port)):
        daemon = demo.start()
        wait_for(lambda: orders(demo), "customers order")
        assert f"a server that still ran in {data(demo)} is stopped" in daemon.said()
        assert f"port {port} is taken by another program" in daemon.said()
        assert left.wait(30) is not None
        assert int((demo.folder / "database" / "orders-1" / "port").read_text()) != port
        assert daemon.stop() == 0, daemon.said()


def test_a_database_that_was_only_half_made_is_made_anew(demonstration: Callable[[str], Demonstration]) -> None:
    demo = demonstration("demo")
    half = data(demo).with_name("data.unfinished")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("15\n")
    demo.start()
    wait_for(lambda: orders(demo), "customers order")
    assert not half.exists()


def signalled(family: list[psutil.Process], sign: signal.Signals) -> None:
    """A session of the server may end at any moment."""
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(sign)


def test_while_the_database_is_away_customers_try_again(demonstration: Callable[[str], Demonstration]) -> None:
    demo = demonstration("demo")
    demo.start()
    wait_for(lambda: orders(demo), "customers order")
    family = [psutil.Process(postmaster(demo)), *psutil.Process(postmaster(demo)).children()]
    signalled(family, signal.SIGSTOP)
    noted = Acknowledged(demo.folder / "database" / "acknowledged.csv")
    before = noted.ids()
    signalled(family, signal.SIGCONT)
    wait_for(lambda: len(noted.ids()) > len(before) + MINIMUM, "customers order again")
    assert sold(demo)["missing"] == []


def test_orders_that_are_lost_are_told_with_their_numbers(demonstration: Callable[[str], Demonstration]) -> None:
    demo = demonstration("demo")
    demo.start()
    wait_for(lambda: orders(demo) > MINIMUM, "customers order")
    with psycopg.connect((demo.folder / "secrets" / "shop").read_text().strip(), autocommit=True) as connection:
        connection.execute("DELETE FROM orders WHERE id = 3")
    answered = demo.drd("demo", "orders", "--folder", str(demo.folder))
    assert answered.code == 1
    assert "1 that customers were told of are missing: 3" in answered.stdout


def test_what_cannot_be_shown_is_said(demonstration: Callable[[str], Demonstration], tmp_path: Path) -> None:
    demo = demonstration("demo")
    nowhere = demo.drd("demo", "orders", "--folder", str(tmp_path)).done(2)
    assert f"there is no demonstration in {tmp_path}" in nowhere.stderr
    demo.start()
    wait_for(lambda: orders(demo), "customers order")
    no_copy = demo.drd("demo", "orders", str(tmp_path), "--folder", str(demo.folder)).done(2)
    assert f"{tmp_path} is no data directory of PostgreSQL" in no_copy.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root does the server run as somebody else")
def test_a_folder_that_the_servers_user_cannot_enter_is_told(
    demonstration: Callable[[str], Demonstration],
) -> None:
    demo = demonstration("closed/demo")
    demo.folder.parent.mkdir(mode=0o700)
    daemon = demo.start()
    assert daemon.ended() == 2
    assert f"cannot enter {demo.folder.parent}" in daemon.said()
    shutil.rmtree(demo.folder.parent)


def test_the_note_begins_with_the_newest_and_a_torn_line_counts_for_nothing(tmp_path: Path) -> None:
    note = Acknowledged(tmp_path / "note")
    assert note.ids() == frozenset()
    note.begin()
    for number in range(4):
        note.add(f"{number},then,now,1.00")
    with (tmp_path / "note").open("a") as file:
        file.write("41,th")
    assert note.ids() == {0, 1, 2, 3}
    note.begin()
    note.add("5,then,now,1.00")
    assert 5 in note.ids()


def test_where_every_server_was_left_a_standby_the_one_that_took_writes_last_is_the_primary(tmp_path: Path) -> None:
    production, recovery = 6, 2
    for name, state in (("orders-1", recovery), ("orders-2", production)):
        data = tmp_path / name
        (data / "global").mkdir(parents=True)
        (data / "pg_wal").mkdir()
        (data / "standby.signal").touch()
        (data / "global" / "pg_control").write_bytes(bytes(16) + state.to_bytes(4, sys.byteorder))
    assert newest([tmp_path / "orders-1", tmp_path / "orders-2"]) == tmp_path / "orders-2"
    (tmp_path / "orders-1" / "standby.signal").unlink()
    assert newest([tmp_path / "orders-1", tmp_path / "orders-2"]) == tmp_path / "orders-1"
