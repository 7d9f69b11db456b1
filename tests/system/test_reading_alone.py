"""Without a daemon that answers, commands that only read take no lock, write nothing, and say whose words they show."""

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.machine import DRD, NO_READ_OVERRIDE, Machine
from tests.system.programs import Finished
from tests.system.trees import grow

pytestmark = pytest.mark.system
QUESTIONS = [
    ["status"],
    ["points", "shop"],
    ["explain", "shop"],
    ["journal", "show"],
    ["journal", "verify"],
    ["runbook", "list"],
    ["validate"],
]
OF_THE_DAEMON = QUESTIONS[:3]


@pytest.fixture
def used(machine: Machine) -> Machine:
    """A machine on which one backup was made, and on which no daemon runs."""
    machine.protect("shop")
    grow(machine.data / "shop")
    machine.drd("backup", "shop").done()
    return machine


def everything_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder, with the moment at which it was changed, and its bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in (folder, *folder.rglob("*"))
        if not path.is_socket()
    }


def ask_all(machine: Machine, questions: list[list[str]]) -> list[Finished]:
    with ThreadPoolExecutor(len(questions)) as pool:
        return list(pool.map(lambda words: machine.drd(*words), questions))


@contextmanager
def held(path: Path) -> Iterator[None]:
    """The lock of the state folder, as a daemon holds it that does not listen yet."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def test_questions_leave_every_byte_of_the_state_as_it_was(used: Machine) -> None:
    before = everything_in(used.state)
    for words in QUESTIONS:
        answered = used.drd(*words).done()
        assert everything_in(used.state) == before, words
        if words in OF_THE_DAEMON:
            assert "no daemon answers: this is what its journal says" in answered.stderr
    assert "no daemon is running" in used.drd("status").stdout


def test_questions_are_answered_all_at_once_while_a_daemon_that_is_starting_has_the_lock(used: Machine) -> None:
    before = everything_in(used.state)
    with held(used.state / "lock"):
        answers = ask_all(used, [*OF_THE_DAEMON, *OF_THE_DAEMON, ["journal", "show"]])
    for answered in answers:
        answered.done()
    assert everything_in(used.state) == before


def test_questions_need_no_restic(used: Machine) -> None:
    used.settings["restic"] = "/nowhere/restic"
    used.write()
    for answered in ask_all(used, OF_THE_DAEMON):
        answered.done()


def test_a_daemon_that_hangs_is_named_and_its_journal_is_read(machine: Machine) -> None:
    machine.protect("shop")
    grow(machine.data / "shop")
    daemon = machine.start()
    run = machine.drd("backup", "shop", "--json").done().json["run"]
    daemon.signal(signal.SIGSTOP)
    try:
        status, points, explained = ask_all(machine, [[*words, "--json"] for words in OF_THE_DAEMON])
    finally:
        daemon.signal(signal.SIGCONT)
    for answered in (status.done(), points.done(), explained.done()):
        assert "the daemon has said nothing for 10 s" in answered.stderr
        assert "systemctl status drd" in answered.stderr
    assert (status.json["running"], status.json["silent"]) == (False, True)
    assert [point["run"] for point in points.json["points"]] == [run]
    machine.stop()


def test_a_journal_that_a_killed_daemon_left_is_read_where_nothing_can_be_written(machine: Machine) -> None:
    machine.protect("shop")
    grow(machine.data / "shop")
    daemon = machine.start()
    machine.drd("backup", "shop").done()
    daemon.kill()
    for path in (*machine.state.rglob("*"), machine.state):
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = everything_in(machine.state)
    for words in QUESTIONS:
        answered = without_override(machine, *words)
        assert answered.returncode == 0, (words, answered.stderr)
    assert everything_in(machine.state) == before
    machine.state.chmod(0o700)


def test_a_user_who_may_not_read_the_journal_is_told_who_may(used: Machine) -> None:
    if os.geteuid() == 0:
        os.chown(used.state, 65534, 65534)
    used.state.chmod(0o700 if os.geteuid() == 0 else 0)
    for words in (["status"], ["points", "shop"], ["journal", "show"]):
        answered = without_override(used, *words)
        assert answered.returncode == 2, answered.stderr
        assert f"you may not read {used.state}/journal.db" in answered.stderr
        assert f"sudo -u {used.state.owner()} drd …" in answered.stderr
    answered = without_override(used, "backup", "shop")
    assert answered.returncode == 2
    assert f"you may not use {used.state}/control.sock" in answered.stderr
    assert f"sudo -u {used.state.owner()} drd …" in answered.stderr
    used.settings_file.chmod(0)
    answered = without_override(used, "status")
    assert answered.returncode == 2
    assert "drd.yaml:1:1: the file may not be read: give its group" in answered.stderr
    used.state.chmod(0o700)


def test_before_the_first_start_there_is_a_status_and_no_state(machine: Machine) -> None:
    machine.protect("shop")
    assert "never run" in machine.drd("status").done().stdout
    assert "a full run is due now" in machine.drd("explain", "shop").done().stdout
    assert not machine.state.exists()


def test_a_new_machine_is_told_what_the_stores_hold_and_nothing_is_kept_of_it(used: Machine) -> None:
    [known] = used.drd("points", "shop", "--json").done().json["points"]
    shutil.rmtree(used.state)
    answered = used.drd("points", "shop", "--json").done()
    assert [point["run"] for point in answered.json["points"]] == [known["run"]]
    assert "this is what the stores say" in answered.stderr
    assert not used.state.exists()


def without_override(machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    """As a user for whom modes mean something; root is one only without two of its rights."""
    wrapper = NO_READ_OVERRIDE if os.geteuid() == 0 else ()
    return subprocess.run(
        [*wrapper, str(DRD), "--config", str(machine.settings_file), *words],
        env=machine.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
