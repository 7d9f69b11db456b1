"""A thousand nodes, each looked at once a second on one core: the processor time that takes, and how late looks are.

The nodes are ports of this machine that accept connections; who accepts them is a process of its own, on another core.
prometheus-blackbox-exporter looks at the same ports in the same rhythm then, on the same core.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import resource
import selectors
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from bench.probing_peer import PROGRAM, ask, find
from drd.clients.clock import SystemClock
from drd.clients.journal import SqliteJournal
from drd.clients.process import ChildRunner
from drd.clients.secrets import SystemSecrets
from drd.core.health import Hysteresis
from drd.core.policy import Policy
from drd.core.probing import ProbeResult
from drd.engines.observing import Observing
from drd.engines.watched import Watched
from drd.engines.watching import Watching
from drd.ports.configuration import Configuration, Protected
from drd.ports.probe import Probe, Target, Watch
from drd.ports.world import World
from drd.probes.tcp import TcpProbe

PER_POLICY = 2
"""Nodes of one policy: a primary and its standby."""


class Lateness(Watching):
    """Notes how late each look begins, against the rhythm that its first one set."""

    def __init__(
        self, configuration: Configuration, observing: Observing, journal: SqliteJournal, world: World, every: float
    ) -> None:
        super().__init__(lambda: configuration, observing, journal, journal, world, "bench")
        self._every = every
        self._before: dict[str, float] = {}
        self.late: list[float] = []
        self.failed = 0

    def _take(self, watched: Watched, target: Target, result: ProbeResult) -> None:
        before = self._before.get(target.node)
        if before is not None:
            self.late.append(result.began - before - self._every)
        self._before[target.node] = result.began
        self.failed += not result.is_good
        super()._take(watched, target, result)


def a_configuration(nodes: int, ports: list[int], every: float) -> Configuration:
    policies = {}
    for number in range(nodes // PER_POLICY):
        name = f"policy-{number}"
        policy = Policy.model_validate({"policy": name, "backup": {"to": ("local",), "keep": {"last": 1}}})
        for probe_port in (ports[number % len(ports)],):
            targets = tuple(Target(name, f"{name}-{index}", "127.0.0.1") for index in range(PER_POLICY))
            probes: tuple[Probe, ...] = (TcpProbe(port=probe_port),)
            watch = Watch(targets, probes, Hysteresis(every_seconds=every))
            policies[name] = replace(Protected(policy, {}, "1", Path("/dev/null")), watch=watch)
    nowhere = Path("/nonexistent")
    return Configuration("here", ZoneInfo("UTC"), nowhere, None, "restic", None, {}, policies, {}, {}, "1")


async def measure(nodes: int, seconds: float, every: float, ports: list[int]) -> None:
    configuration = a_configuration(nodes, ports, every)
    clock, runner = SystemClock(), ChildRunner()
    world = World(clock, runner, SystemSecrets(runner, {}))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="probing-")))
        journal = await stack.enter_async_context(await SqliteJournal.open(folder, clock))
        watching = Lateness(configuration, Observing(clock), journal, world, every)
        await look(watching, configuration, nodes, seconds, every)


async def look(watching: Lateness, configuration: Configuration, nodes: int, seconds: float, every: float) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watching.serve_record())]
        for number, name in enumerate(configuration.policies):
            tasks.append(group.create_task(watching.serve(name)))
            if number % 10 == 0:
                await asyncio.sleep(10 * every / len(configuration.policies))
        await asyncio.sleep(2 * every)
        watching.late.clear()
        used, began = processor_seconds(), time.monotonic()
        await asyncio.sleep(seconds)
        used, took = processor_seconds() - used, time.monotonic() - began
        for task in tasks:
            task.cancel()
    late = sorted(watching.late)
    print(
        f"{nodes} nodes each {every:g} s for {took:.0f} s:"
        f" {len(late) / took:.0f} looks a second, {watching.failed} failed"
    )
    print(f"processor: {100 * used / took:.0f} % of one core")
    for share in (0.5, 0.99, 0.999):
        print(f"lateness p{100 * share:g}: {1000 * late[int(share * len(late))]:.1f} ms")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB at most")


def processor_seconds() -> float:
    used = os.times()
    return used.user + used.system


def accept(ports: Connection) -> None:
    """Accept connections on ten ports and close them, until killed."""
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(10)]
    ports.send([listener.getsockname()[1] for listener in listeners])
    with selectors.DefaultSelector() as ready:
        for listener in listeners:
            ready.register(listener, selectors.EVENT_READ, listener)
        while True:
            for key, _ in ready.select():
                key.data.accept()[0].close()


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--nodes", type=int, default=1000)
    given.add_argument("--seconds", type=float, default=30.0)
    given.add_argument("--every", type=float, default=1.0)
    given.add_argument("--alone", action="store_true", help=f"not beside {PROGRAM}")
    said = given.parse_args()
    program = "" if said.alone else find()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=accept, args=(there,), daemon=True)
    cores = sorted(os.sched_getaffinity(0))
    server.start()
    ports = here.recv()
    os.sched_setaffinity(server.pid or 0, {cores[-1]})
    os.sched_setaffinity(0, {cores[0]})
    asyncio.run(measure(said.nodes, said.seconds, said.every, ports))
    if program:
        os.sched_setaffinity(0, {cores[-1]})
        beside(said, program, ports, cores[0])
    server.kill()


def beside(said: argparse.Namespace, program: str, ports: list[int], core: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    asked = asyncio.run(ask(program, port, ports, said.nodes, said.seconds, said.every, core))
    late = sorted(asked.late)
    print(f"{PROGRAM}: {asked.looks / asked.seconds:.0f} looks a second, {asked.failed} failed")
    print(f"processor: {100 * asked.processor_seconds / asked.seconds:.0f} % of one core, without whoever asks it")
    print(f"asked late by p99: {1000 * late[int(0.99 * len(late))]:.1f} ms")
    print(f"memory: {asked.memory_bytes / 2**20:.0f} MiB at most")


if __name__ == "__main__":
    main()
