"""drd, restic and the carrier are ended in the middle of all that they do; nothing is lost and nothing is pretended."""

import signal
from collections.abc import Callable

import pytest

from tests.faults.middles import MIDDLES, POLICY, Middle, let_go
from tests.system.aftermath import assert_all_is_sound
from tests.system.machine import Machine
from tests.system.programs import is_gone, kill_hard, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.mark.parametrize("work", MIDDLES)
def test_sigterm_lets_a_run_finish_and_ends_the_rest(two_stores: Machine, work: str) -> None:
    machine, middle = _amid(two_stores, MIDDLES[work])
    daemon = machine.daemon
    assert daemon is not None
    daemon.signal(signal.SIGTERM)
    assert daemon.ended(90) == 0, daemon.said()
    _assert_it_left_nothing_behind(machine, middle)
    if work in ("backup", "restore"):
        last = machine.events("run-finished" if work == "backup" else "restore-finished")[-1]
        assert last["outcome"] == "succeeded", last
    assert machine.events()[-1]["kind"] == "daemon-stopped"
    _assert_it_goes_on(machine)


@pytest.mark.parametrize("work", MIDDLES)
def test_sigterm_twice_cuts_everything_short(two_stores_each_restic: Machine, work: str) -> None:
    machine, middle = _amid(two_stores_each_restic, MIDDLES[work])
    daemon = machine.daemon
    assert daemon is not None
    daemon.signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in daemon.said(), "it says that it stops")
    daemon.signal(signal.SIGTERM)
    assert daemon.ended(45) == 0, daemon.said()
    _assert_it_left_nothing_behind(machine, middle)
    for store in ("local", "offsite"):
        assert not machine.restic_in(store, "list", "locks", "--no-lock").done().stdout.split(), "a lock is left"
    _assert_it_goes_on(machine)


@pytest.mark.parametrize("work", MIDDLES)
def test_kill_9_of_drd(two_stores_each_restic: Machine, work: str) -> None:
    machine, middle = _amid(two_stores_each_restic, MIDDLES[work])
    daemon = machine.daemon
    assert daemon is not None
    children = list(daemon.children())
    daemon.kill()
    wait_for(lambda: all(is_gone(pid) for pid in children), "its children die with it")
    if middle.command is not None:
        assert middle.command.ended(30) != 0, "the command must not take this for success"
        assert "Traceback" not in middle.command.said(), middle.command.said()
    # Nothing half-restored looks whole: it lies under a name that says what it is.
    assert not (machine.folder / "interrupted").exists()
    _assert_it_goes_on(machine)


def test_a_restore_that_drd_was_killed_in_has_an_end_and_its_place_can_be_restored_to(two_stores: Machine) -> None:
    machine, _ = _amid(two_stores, MIDDLES["restore"])
    daemon = machine.daemon
    assert daemon is not None
    children = list(daemon.children())
    daemon.kill()
    wait_for(lambda: all(is_gone(pid) for pid in children), "its children die with it")
    [left] = machine.folder.glob("interrupted.*.drd-restoring")
    of_another = left.with_name(f"interrupted.{'z' * 6}.drd-restoring")
    of_another.mkdir()
    let_go(machine)
    machine.restart()
    [begun], [ended] = machine.events("restore-started"), machine.events("restore-finished")
    assert (ended["run"], ended["outcome"]) == (begun["run"], "cancelled")
    assert ended["message"] == "drd ended in the middle of the restore"
    assert left.exists(), "a start deletes nothing"
    machine.drd("restore", POLICY, "--to", str(machine.folder / "interrupted"), "--from", "local").done()
    assert list(machine.folder.glob("interrupted.*")) == [of_another]
    assert machine.events("restore-finished")[-1]["outcome"] == "succeeded"


@pytest.mark.parametrize("work", MIDDLES)
def test_kill_9_of_restic_or_the_carrier(two_stores_each_restic: Machine, work: str) -> None:
    machine, middle = _amid(two_stores_each_restic, MIDDLES[work])
    daemon = machine.daemon
    assert daemon is not None
    kill_hard(middle.child)
    if middle.command is not None:
        # A copy is caught up later, which is no failure of the run: done, but late.
        assert middle.command.ended(60) in ((0, 3) if work == "copy" else (1,)), middle.command.said()
        assert "Traceback" not in middle.command.said(), middle.command.said()
    if work in ("backup", "restore"):
        last = machine.events("run-finished" if work == "backup" else "restore-finished")[-1]
        assert last["outcome"] == "failed"
        assert last["message"]
    assert daemon.is_alive, daemon.said()
    assert not list(machine.folder.glob("*.drd-restoring"))
    _assert_it_goes_on(machine)


def _amid(machine: Machine, begin: Callable[[Machine], Middle]) -> tuple[Machine, Middle]:
    return machine, begin(machine)


def _assert_it_left_nothing_behind(machine: Machine, middle: Middle) -> None:
    wait_for(lambda: is_gone(middle.child), "its children have ended")
    if middle.command is not None:
        middle.command.ended(30)
        assert "Traceback" not in middle.command.said(), middle.command.said()
    assert not (machine.state / "control.sock").exists()
    assert not list(machine.folder.glob("*.drd-restoring"))


def _assert_it_goes_on(machine: Machine) -> None:
    """Every run that began has ended on record, and the next one succeeds on sound stores."""
    let_go(machine)
    machine.restart()
    begun = {event["run"] for event in machine.events("run-started")}
    assert begun <= {event["run"] for event in machine.events("run-finished")}
    assert_all_is_sound(machine, POLICY)
