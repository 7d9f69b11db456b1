"""A host is cut off; clients write through PgBouncer and know an address: both lead to the new primary afterwards."""

import os
import pwd
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.failover_site import NODES, PORT, QUICK, assert_one_writer_at_a_time
from tests.namespaces import NAMESPACES, Host
from tests.postgres_lab import OWNER, lab, unprivileged_user
from tests.postgres_pair import Pair, lost, pair
from tests.run_ends import BY_HAND, assert_it_ends, run_of
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
PATIENCE = 120.0
OLD, NEW = NODES
POOL = 6432
MOVED = "10.77.0.200"
SSH = """#!/bin/sh
for word; do shift; case $word in *@*) host=${{word#*@}};; --) break;; esac; done
exec nsenter --net={folder}/$host env PATH={folder}:$PATH:/usr/sbin sh -c "$*"
"""


@pytest.fixture
def orders(postgres_programs: Path, tmp_path: Path) -> Iterator[Pair]:
    """The pair's hosts; its servers are not started yet."""
    with lab(postgres_programs) as laboratory, pair(laboratory, tmp_path) as made:
        yield made


@pytest.fixture
def shells(orders: Pair, arping: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Programs `ssh` and `sudo` by which the nodes' shells are reached."""
    folder = tmp_path / "shells"
    folder.mkdir()
    for name, text in (("ssh", SSH.format(folder=folder)), ("sudo", '#!/bin/sh\nshift\nexec "$@"\n')):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "arping").symlink_to(arping)
    for name in NODES:
        (folder / orders.host(name).address).symlink_to(NAMESPACES / orders.host(name).namespace)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def databases(orders: Pair, pgbouncer: Path) -> Iterator[Path]:
    """PgBouncer on the proxy's host, in session mode, whose databases stand in that file."""
    with tempfile.TemporaryDirectory(prefix="drd-pooler-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = folder / "databases.ini"
        file.write_text(
            f"[databases]\norders = host={orders.host(OLD).address} port={PORT} dbname=postgres user={OWNER}\n"
        )
        (folder / "pgbouncer.ini").write_text(
            f"%include {file}\n[pgbouncer]\nlisten_addr = {orders.host('proxy').address}\nlisten_port = {POOL}\n"
            "unix_socket_dir =\nauth_type = any\nadmin_users = drd\nserver_login_retry = 1\n"
        )
        account = pwd.getpwnam(unprivileged_user() or OWNER)
        words = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]
        orders.run("proxy", [*words, str(pgbouncer), str(folder / "pgbouncer.ini")], "pgbouncer.log")
        yield file


def watching(machine: Machine, orders: Pair, databases: Path, shells: Path) -> Watcher:
    """drd with the shipped failover, which sends clients to the new primary in these two ways."""
    watcher = Watcher(machine, orders)
    console = machine._secret("console", f"host={orders.host('proxy').address} port={POOL} user=drd dbname=pgbouncer")
    for node in machine.settings["nodes"].values():
        node["ssh"] = {"user": "drd", "key": {"file": str(shells / "key")}, "known_hosts": str(shells / "known_hosts")}
    machine.write()
    file = machine.folder / "runbooks" / "orders-failover.yaml"
    text = file.read_text()
    [old] = re.findall(r"        haproxy:\n(?: {10}.*\n)*", text)
    machine._secret("orders-users", f"host={MOVED} port={PORT} user={OWNER} dbname=postgres {QUICK}")
    new = (
        f"        pgbouncer: {{database: orders, server: new_primary, console: {console}, file: {databases}}}\n"
        "        parallel: true\n"
        "      - step: Move the address\n"
        f"        address: {{address: {MOVED}/24, interface: eth0, node: new_primary}}\n"
        "        parallel: true\n"
    ).replace("'", "")
    file.write_text(text.replace(old, new))
    return watcher


def hardware(host: Host) -> str:
    words = host.run("ip", "-o", "link", "show", "eth0").split()
    return words[words.index("link/ether") + 1]


def known(host: Host) -> str:
    """Where a host sends what is meant for the address; it asks nobody now."""
    words = host.run("ip", "neighbour", "show", MOVED).split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


def test_clients_of_a_pooler_and_of_an_address_find_the_new_primary(
    machine: Machine, orders: Pair, databases: Path, shells: Path
) -> None:
    orders.start(is_synchronous=True)
    neighbour = orders.host("client")
    orders.host(OLD).run("ip", "address", "add", f"{MOVED}/24", "dev", "eth0")
    neighbour.run("bash", "-c", f"echo > /dev/udp/{MOVED}/9")
    wait_for(lambda: known(neighbour) == hardware(orders.host(OLD)), "the neighbour knows the address", PATIENCE)
    watcher = watching(machine, orders, databases, shells)
    watcher.start()
    planned = machine.drd("runbook", "plan", "orders-failover").done().stdout
    assert f"on {NEW}: sudo -n ip address add {MOVED}/24 dev eth0" in planned
    client = orders.start_client(f"host={orders.host('proxy').address} port={POOL} user=app dbname=orders")

    orders.host(OLD).run("ip", "link", "set", "eth0", "down")
    wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
    client.writes_at(orders.host(NEW).address, PATIENCE)
    rows = client.stop()
    assert_one_writer_at_a_time(rows)
    assert lost(rows, orders.servers[NEW]) == []
    assert orders.host(NEW).address in databases.read_text()
    wait_for(lambda: known(neighbour) == hardware(orders.host(NEW)), "the neighbour was told", PATIENCE)
    assert MOVED in orders.host(NEW).run("ip", "-4", "address", "show", "eth0")
    assert_it_ends(watcher, run_of(watcher, "orders-failover"), without=BY_HAND)
