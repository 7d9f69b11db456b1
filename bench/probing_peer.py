"""prometheus-blackbox-exporter as Prometheus would ask it: each target once in its interval, over kept connections."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = "prometheus-blackbox-exporter"
CONFIGURATION = "modules: {tcp: {prober: tcp, timeout: 1s}}\n"
ASKERS = 20
"""Connections over which it is asked, side by side."""


@dataclass
class Asked:
    """What came of asking it."""

    looks: int = 0
    failed: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    memory_bytes: int = 0
    late: list[float] = field(default_factory=list)
    """How much later than its moment each question was put."""


def find() -> str:
    """Where it is. Exits with what to type when it is not installed."""
    found = shutil.which(PROGRAM)
    if found is None:
        sys.exit(f"{PROGRAM} is not installed: scripts/apt-install {PROGRAM}; or leave it out by --alone")
    return found


async def ask(
    program: str, port: int, targets: list[int], nodes: int, seconds: float, every: float, core: int
) -> Asked:
    """Let it run on one core and ask for every node in its turn."""
    with running(program, port, core) as process:
        await _listening(port)
        found = Asked()
        due: asyncio.Queue[tuple[float, int]] = asyncio.Queue()
        askers = [asyncio.create_task(_asker(port, due, found)) for _ in range(ASKERS)]
        before, began = _processor_seconds(process.pid), time.monotonic()
        for number in range(int(nodes * seconds / every)):
            moment = began + number * every / nodes
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            due.put_nowait((moment, targets[number % len(targets)]))
        await due.join()
        found.seconds = time.monotonic() - began
        found.processor_seconds = _processor_seconds(process.pid) - before
        found.memory_bytes = _peak_memory(process.pid)
        for asker in askers:
            asker.cancel()
        return found


@contextmanager
def running(program: str, port: int, core: int) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "blackbox.yml"
        file.write_text(CONFIGURATION)
        words = [f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.sched_setaffinity(process.pid, {core})
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def _listening(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    sys.exit(f"{PROGRAM} does not listen")


async def _asker(port: int, due: asyncio.Queue[tuple[float, int]], found: Asked) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        moment, target = await due.get()
        found.late.append(time.monotonic() - moment)
        writer.write(f"GET /probe?module=tcp&target=127.0.0.1:{target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        found.looks += 1
        found.failed += b"\nprobe_success 1" not in body
        due.task_done()


def _processor_seconds(pid: int) -> float:
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def _peak_memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
