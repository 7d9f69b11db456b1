"""The password of a protected PostgreSQL server stands nowhere that others could read, and neither does a wrong one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drd.core.postgres.names import slot_name
from tests.postgres_lab import Lab
from tests.system.machine import Machine
from tests.system.programs import Running, kill_hard, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PASSWORD = "open-sesame-4471"
WRONG = "guessed-wrongly-8032"
PROGRAMS = ("pg_basebackup", "pg_receivewal", "pg_verifybackup", "postgres", "restic", "drd.clients.carrier")


class Watch:
    """Arguments and environment of every process below the daemon, again and again."""

    def __init__(self, daemon: Running) -> None:
        self._daemon = daemon
        self.seen: dict[str, str] = {}
        """Arguments → environment; both with their words on lines of their own."""

    def look(self) -> None:
        for pid in (self._daemon.pid, *self._daemon.children()):
            with suppress(OSError):
                arguments, variables = (
                    Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b"\n").decode(errors="replace")
                    for name in ("cmdline", "environ")
                )
                self.seen[arguments] = variables


@contextmanager
def watched(daemon: Running) -> Iterator[Watch]:
    watch, done = Watch(daemon), threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            watch.look()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        done.set()
        thread.join()


def test_the_password_of_a_server_is_in_no_argument_environment_log_journal_metric_or_error(
    two_stores: Machine, postgres_lab: Lab
) -> None:
    machine, shop = two_stores, postgres_lab.new("watched", segment_mib=1)
    shop.make_role("drd", PASSWORD, "REPLICATION")
    shop.admit("drd")
    shop.reload()
    shop.execute("CREATE TABLE orders (note text)")
    machine.set_secret("dsn", shop.dsn("drd", PASSWORD).decode())
    machine.protect("orders", {"postgres": {"dsn": {"file": str(machine.folder / "secrets/dsn")}, "wal": "continuous"}})
    daemon = machine.start()
    answers: list[str] = []

    def answered(*words: str, code: int = 0) -> str:
        ended = machine.drd(*words).done(code)
        answers.append(ended.stdout + ended.stderr)
        return answers[-1]

    def has_shipped(moment: datetime) -> bool:
        shipped = machine.events("wal-shipped", "orders")
        told = [datetime.fromisoformat(each["moment"]) for each in shipped if each["moment"]]
        return max(told, default=moment) > moment

    with watched(daemon) as watch:
        wait_for(lambda: machine.points("orders"), "there is a base backup")
        shop.execute("INSERT INTO orders SELECT repeat('x', 200) FROM generate_series(1, 20000)")
        moment = datetime.now(UTC)
        wait_for(lambda: has_shipped(moment), "WAL is shipped")
        answered("backup", "orders", "--full", "--json")
        answered("restore", "orders", "--to", str(postgres_lab._place("watched-copy", False).data))
        for words in (("status",), ("points", "orders"), ("explain", "orders"), ("validate", "--reach")):
            answered(*words, "--json")
        metrics = machine.metrics()

        machine.set_secret("dsn", shop.dsn("drd", WRONG).decode())
        assert "password" in answered("backup", "orders", "--full", code=1)
        answered("validate", "--reach", code=1)
        receiver = daemon.child("pg_receivewal", f"--slot={slot_name('orders')}")
        assert receiver is not None
        kill_hard(receiver)
        wait_for(lambda: [each for each in machine.events("wal-interrupted") if "password" in each["message"]], "told")
        metrics += machine.metrics()
        answered("status")
    ran = "\n".join(watch.seen)
    for program in PROGRAMS:
        assert program in ran, f"{program} was not seen at all"
    machine.stop()
    places = {
        "arguments": ran,
        "the environment": "\n".join(watch.seen.values()),
        "answers": "\n".join(answers),
        "metrics": metrics,
        "the log": daemon.said(),
        "the journal": machine.drd("journal", "show", "--all", "--json").done().stdout,
        **{str(path): path.read_bytes().decode("latin-1") for path in files_below(machine.state)},
    }
    for secret in (PASSWORD, WRONG):
        for name, content in places.items():
            assert secret not in content, f"a password stands in {name}"
    shop.kill()


def files_below(folder: Path) -> list[Path]:
    # The ballast is empty by design, and large.
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 32 * 2**20]
