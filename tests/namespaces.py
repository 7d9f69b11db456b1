"""A network for tests: machines that are network namespaces with addresses of their own, on one bridge.

A process that runs in a namespace reaches the others over the bridge and nothing else; files and unix sockets it shares
with everybody. Each run's namespaces carry a name of their own and end with it: also those of a run that was killed,
which the next one removes. It needs root.
"""

import fcntl
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLAIMS = Path("/run/drd-lab")
"""A file for each run, locked as long as it lives."""
NAMESPACES = Path("/run/netns")
SUBNET = "10.77.0."
WIDTH = 24
SWITCH = "switch"
FIRST_HOST = 10
ENDING_SECONDS = 10.0
SWITCH_OFF = """#!/bin/sh
# Switches a host of the lab off: nothing lives there any more when this has succeeded.
tries=0
while pids=$(ip netns pids {namespace}) && [ -n "$pids" ]; do
    kill -9 $pids 2>/dev/null
    tries=$((tries + 1))
    [ "$tries" -lt 500 ] || exit 1
    sleep 0.01
done
"""
"""A program that does so, as a node's `power:` command or behind one."""


class Host:
    """A machine: a namespace with one interface."""

    def __init__(self, run: str, name: str, number: int) -> None:
        self.name = name
        self.namespace = f"{run}-{name}"
        self.address = f"{SUBNET}{number}"
        self.port = f"port{number}"
        """Its end on the bridge."""

    @property
    def enter(self) -> list[str]:
        """Words before a command that has it run there, under the same process number."""
        return ["nsenter", f"--net={NAMESPACES / self.namespace}"]

    def run(self, *words: str) -> str:
        """Run a program there to its end."""
        return _run(*self.enter, *words)

    def silence(self) -> None:
        """Drop every packet from and to it: connections stay, and nobody hears anything."""
        self._filter("-I", "INPUT", "!", "-i", "lo")
        self._filter("-I", "OUTPUT", "!", "-o", "lo")

    def cut_from(self, other: "Host") -> None:
        """Drop what it and another one send each other."""
        self._filter("-I", "INPUT", "-s", other.address)
        self._filter("-I", "OUTPUT", "-d", other.address)

    def lose(self, share: float) -> None:
        """Lose a share of the packets, in both directions."""
        words = ("-m", "statistic", "--mode", "random", "--probability", f"{share:.3f}")
        self._filter("-I", "INPUT", "!", "-i", "lo", *words)
        self._filter("-I", "OUTPUT", "!", "-o", "lo", *words)

    def heal(self) -> None:
        """Take back whatever keeps packets from it."""
        self.run("iptables", "-w", "-F")

    def pids(self) -> list[int]:
        """The processes that live there."""
        inode = (NAMESPACES / self.namespace).stat().st_ino
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and (entry / "ns/net").stat().st_ino == inode:
                    found.append(int(entry.name))
        return found

    def signal_all(self, number: int) -> None:
        """Send a signal to all that live there, as SIGSTOP to a machine that hangs."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def lose_power(self) -> None:
        """End all processes at once, and return when none is left."""
        deadline = time.monotonic() + ENDING_SECONDS
        while self.pids():
            self.signal_all(signal.SIGKILL)
            assert time.monotonic() < deadline, f"{self.namespace} has processes that do not end"
            time.sleep(0.005)

    def _filter(self, do: str, chain: str, *words: str) -> None:
        self.run("iptables", "-w", do, chain, *words, "-j", "DROP")


class Network:
    """The bridge and the hosts on it."""

    def __init__(self) -> None:
        self.run = f"drd-{secrets.token_hex(3)}"
        self.hosts: dict[str, Host] = {}
        with _alone():
            _remove_leftovers()
            self._claim = _claimed(self.run)
        self._switch = f"{self.run}-{SWITCH}"
        _run("ip", "netns", "add", self._switch)
        _run("ip", "-n", self._switch, "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        _run("ip", "-n", self._switch, "link", "set", "bridge", "up")

    def add(self, name: str) -> Host:
        """One more host, with the next address."""
        host = Host(self.run, name, FIRST_HOST + len(self.hosts))
        _run("ip", "netns", "add", host.namespace)
        ends = (host.port, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        _run("ip", "-n", self._switch, "link", "add", *ends)
        _run("ip", "-n", self._switch, "link", "set", host.port, "master", "bridge", "up")
        _run("ip", "-n", host.namespace, "address", "add", f"{host.address}/{WIDTH}", "dev", "eth0")
        for interface in ("lo", "eth0"):
            _run("ip", "-n", host.namespace, "link", "set", interface, "up")
        self.hosts[name] = host
        return host

    def close(self) -> None:
        """End every process in it, and take it away."""
        _remove(self.run)
        (CLAIMS / self.run).unlink(missing_ok=True)
        os.close(self._claim)


@contextmanager
def network() -> Iterator[Network]:
    """A network as long as the context lasts. An AssertionError says what keeps it from being made."""
    assert os.geteuid() == 0, "network namespaces need root: run these tests as root"
    missing = [each for each in ("ip", "nsenter", "iptables") if _is_missing(each)]
    assert not missing, f"missing here: {' '.join(missing)}; type: scripts/apt-install ip=iproute2 iptables"
    made = Network()
    try:
        yield made
    finally:
        made.close()


def _is_missing(program: str) -> bool:
    return not any((Path(folder) / program).exists() for folder in (*os.environ["PATH"].split(":"), "/usr/sbin"))


@contextmanager
def _alone() -> Iterator[None]:
    CLAIMS.mkdir(exist_ok=True)
    with (CLAIMS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _claimed(run: str) -> int:
    descriptor = os.open(CLAIMS / run, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _remove_leftovers() -> None:
    """Those of runs whose claim nobody holds any more."""
    for claim in CLAIMS.glob("drd-*"):
        with claim.open() as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(claim.name)
            claim.unlink()


def _remove(run: str) -> None:
    for namespace in NAMESPACES.glob(f"{run}-*"):
        Host(run, namespace.name.removeprefix(f"{run}-"), 0).lose_power()
        _run("ip", "netns", "del", namespace.name)


def _run(*words: str) -> str:
    environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"
    return done.stdout
