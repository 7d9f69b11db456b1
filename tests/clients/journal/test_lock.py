"""One daemon a state folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drd.clients.journal import StateLock
from drd.core.errors import Busy
from tests.clients.journal.made import StillClock

HOLDER = """
import sys, time
from pathlib import Path
from drd.clients.journal import StateLock
from tests.clients.journal.made import StillClock
StateLock(Path(sys.argv[1]), StillClock()).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_daemon_is_told_who_holds_the_state(tmp_path: Path, clock: StillClock) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=rf"process {holder.pid}, since 2026-10-01T12:00:00.* — .*stop it first"):
            StateLock(tmp_path, clock).acquire()
        os.kill(holder.pid, signal.SIGKILL)
    with StateLock(tmp_path, clock) as lock:
        assert lock.path.read_text() == f"{os.getpid()} 2026-10-01T12:00:00.000000Z\n"


def test_a_full_disk_keeps_nobody_from_the_lock(tmp_path: Path, clock: StillClock) -> None:
    (tmp_path / "lock").symlink_to("/dev/full")
    with StateLock(tmp_path, clock):
        pass


def test_a_note_that_is_shorter_than_the_last_one_leaves_nothing_of_it(tmp_path: Path, clock: StillClock) -> None:
    (tmp_path / "lock").write_text("4194304 2026-10-01T12:00:00.000000Z and more\n")
    with StateLock(tmp_path, clock) as lock:
        assert lock.path.read_text() == f"{os.getpid()} 2026-10-01T12:00:00.000000Z\n"


def test_the_lock_can_be_taken_again(tmp_path: Path, clock: StillClock) -> None:
    lock = StateLock(tmp_path / "new", clock)
    for _ in range(2):
        lock.acquire()
        lock.release()
    lock.release()
