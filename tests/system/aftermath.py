"""What has to hold after anything that went wrong."""

from tests.system.machine import Machine
from tests.system.trees import portrait


def assert_all_is_sound(machine: Machine, policy: str) -> None:
    """The next run succeeds, stores check clean, the journal verifies, and no copy is claimed that is not there.

    Wants a running daemon, and leaves it stopped.
    """
    backup = machine.drd("backup", policy, "--json").done()
    assert backup.json["outcome"] == "succeeded"
    for store in machine.settings["stores"]:
        # It needs the repository alone, so a lock that a dead process left would be in its way.
        machine.drd("check", store).done()
    points = machine.points(policy)
    assert set(points[0]["stores"]) == set(machine.policies[policy]["backup"]["to"])
    assert_what_is_claimed_is_there(machine, policy)
    target = machine.folder / "after"
    machine.drd("restore", policy, "--to", str(target), "--from", points[0]["stores"][-1]).done()
    assert portrait(target) == portrait(machine.data / policy)
    machine.stop()
    assert_stores_are_sound(machine)
    assert machine.drd("journal", "verify", "--json").done().json["sound"]


def assert_what_is_claimed_is_there(machine: Machine, policy: str) -> None:
    """Every copy of every recovery point is listed by restic in its store."""
    listed = {
        store: {tag for snapshot in machine.snapshots_in(store) for tag in snapshot.get("tags") or ()}
        for store in machine.settings["stores"]
    }
    for point in machine.points(policy):
        for store in point["stores"]:
            assert f"run={point['run']}" in listed[store], f"{store} does not hold the point of {point['moment']}"


def assert_stores_are_sound(machine: Machine) -> None:
    """restic reads every byte of every store and finds nothing wrong."""
    for store in machine.settings["stores"]:
        machine.restic_in(store, "--no-lock", "check", "--read-data").done()
