"""The chat that people are told in takes connections and answers nothing: the failover does not wait for it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.failover_site import NODES
from tests.postgres_pair import Pair, assert_taken_over
from tests.system.machine import Machine
from tests.system.programs import wait_for
from tests.watched_pair import PEOPLE, Watcher

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]
PATIENCE = 120.0
HANGS = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as chat:
    print(chat.getsockname()[1], flush=True)
    sys.stdin.read()
"""
"""Connections are taken by the kernel, and nobody ever reads from one; it ends with whoever started it."""
TAKEN_FOR_DEAD = timedelta(seconds=10)
"""After which an address that does not answer is given up."""


def test_a_chat_that_hangs_delays_no_promotion_and_is_on_record_as_not_told(
    orders: Pair, machine: Machine, watched: Callable[..., Watcher]
) -> None:
    enter = orders.host("watcher").enter
    with subprocess.Popen(
        [*enter, sys.executable, "-c", HANGS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as chat:
        assert chat.stdout is not None
        address = machine.folder / "chat"
        address.write_text(f"http://127.0.0.1:{int(chat.stdout.readline())}/")
        address.chmod(0o600)
        people = {name: {"name": name, "notify": [{"file": str(address)}]} for name in PEOPLE}
        watcher = watched(is_synchronous=True, people=people)
        clients = orders.start_clients()
        os.kill(orders.servers[NODES[0]].pid, signal.SIGKILL)
        wait_for(watcher.is_switched, "clients are sent to the new primary", PATIENCE)
        assert_taken_over(orders, clients, may_lose=0)
        wait_for(watcher.is_over, "the run has ended", PATIENCE)
        chat.communicate()
    ended = {event["step"]: event for event in machine.events("step-finished")}
    switched, told = ended["Send clients to the new primary"], ended["Tell people"]
    assert told["outcome"] == "unknown"
    begun = next(event for event in machine.events("step-started") if event["step"] == "Tell people")
    assert moment(told) - moment(begun) >= TAKEN_FOR_DEAD
    assert moment(switched) < moment(told)


def moment(event: dict[str, object]) -> datetime:
    return datetime.fromisoformat(str(event["at"]))
