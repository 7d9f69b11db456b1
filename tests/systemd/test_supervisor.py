"""What systemd hears from the daemon, on a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from drd.clients.systemd import SystemdSupervisor, watchdog_interval
from drd.ports.supervisor import Supervisor


class Systemd:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.socket.settimeout(5)
        self.environment = {"NOTIFY_SOCKET": address}

    def hears(self) -> list[str]:
        return self.socket.recv(65536).decode().split("\n")

    def hears_nothing(self) -> bool:
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(65536)
        except BlockingIOError:
            return True


@pytest.fixture(params=["a path", "an abstract name"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    abstract = f"@drd-test-{os.getpid()}-{id(request)}"
    listening = Systemd(str(tmp_path / "notify") if request.param == "a path" else abstract)
    yield listening
    listening.socket.close()


def test_systemd_hears_each_turn_of_the_daemons_life(systemd: Systemd) -> None:
    supervisor: Supervisor = SystemdSupervisor(systemd.environment)
    supervisor.ready("2 policies,\n2 stores")
    assert systemd.hears() == ["READY=1", "STATUS=2 policies, 2 stores"]
    supervisor.reloading()
    reloading, moment = systemd.hears()
    assert reloading == "RELOADING=1"
    assert int(moment.removeprefix("MONOTONIC_USEC=")) > 0
    supervisor.status("x" * 1000)
    assert systemd.hears() == ["STATUS=" + "x" * 300]
    supervisor.stopping()
    assert systemd.hears()[0] == "STOPPING=1"


def test_the_watchdog_is_pinged_from_the_first_tick_but_not_from_every_one(systemd: Systemd) -> None:
    supervisor = SystemdSupervisor({**systemd.environment, "WATCHDOG_USEC": "60000000"})
    for _ in range(100):
        supervisor.ping()
    assert systemd.hears() == ["WATCHDOG=1"]
    assert systemd.hears_nothing()


def test_without_a_watchdog_there_is_no_ping(systemd: Systemd) -> None:
    SystemdSupervisor(systemd.environment).ping()
    assert systemd.hears_nothing()


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000"}, timedelta(seconds=30)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "12"}, timedelta(seconds=30)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "13"}, None),
    ],
)
def test_the_watchdogs_interval_is_read_for_this_process_only(
    environment: dict[str, str], interval: timedelta | None
) -> None:
    assert watchdog_interval(environment, process=12) == interval


def test_started_by_hand_nothing_is_said() -> None:
    supervisor = SystemdSupervisor({})
    supervisor.ready("")
    supervisor.ping()


def test_a_systemd_that_does_not_listen_does_not_end_the_daemon(tmp_path: Path) -> None:
    SystemdSupervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("")
