"""What follows from batches of WAL, however many there were."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from drd.core.encoding import Fact, moment_text, plain
from drd.core.events import Body, DamageFound, WalForgotten, WalShipped
from drd.core.events.healing import BY_LISTING
from drd.core.postgres.lsn import Lsn
from drd.core.projections import fold
from drd.core.projections.wal import MARKS_KEPT
from drd.core.wal_rows import bad_snapshots, shipped_groups, wal_key
from tests.fakes.journal import MemoryTables

SEGMENT = 2**24
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


class Told(MemoryTables):
    """Rows in memory, and a history that is told event by event."""

    def tell(self, *bodies: Body) -> None:
        for body in bodies:
            fold(self, Fact(1, moment_text(NOON), None, body.KIND, plain(body)))


def batch(number: int, *, group: str, system: str = "7", through: int | None = None) -> WalShipped:
    moment = NOON + timedelta(seconds=15 * number)
    end = Lsn(number * 1000 if through is None else through)
    return WalShipped("orders", "local.wal", f"{number:064}", system, group, SEGMENT, str(end), moment, ())


def test_after_twenty_thousand_batches_rows_are_as_small_as_after_a_hundred() -> None:
    told, superseded = Told(), []
    for number in range(20_000):
        told.tell(batch(number, group="000000010000000000000000"))
        if number:
            superseded.append(f"{number - 1:064}")
        if len(superseded) == 60:
            told.tell(WalForgotten("orders", "local.wal", tuple(superseded)))
            superseded = []
    [row] = told.wal.rows.values()
    assert len(told.places.rows) <= 61
    assert len(row["superseded"]) <= 60
    assert len(row["marks"]) <= MARKS_KEPT
    assert row["marks"][-1][0] == moment_text(NOON + timedelta(seconds=15 * 19_999))
    assert len(json.dumps(row)) < 10_000


def test_a_group_of_which_nothing_is_left_leaves_no_row() -> None:
    told = Told()
    told.tell(batch(1, group="000000010000000000000000"), batch(2, group="000000010000000000000000"))
    ids = (f"{1:064}", f"{2:064}")
    told.tell(WalForgotten("orders", "local.wal", ids, ("000000010000000000000000",)))
    assert told.wal.rows == {}
    assert told.places.rows == {}


def test_another_clusters_wal_of_the_same_name_is_another_group() -> None:
    told = Told()
    told.tell(batch(1, group="000000010000000000000001", system="7", through=3 * SEGMENT))
    told.tell(batch(2, group="000000010000000000000001", system="8", through=2 * SEGMENT))
    found = {each.group.system_identifier: each for each in shipped_groups(list(told.wal.rows.items()))}
    assert {name: each.snapshot_id for name, each in found.items()} == {"7": f"{1:064}", "8": f"{2:064}"}
    assert {each.group.name for each in found.values()} == {"000000010000000000000001"}
    assert ("orders", "local.wal", wal_key("8", "000000010000000000000001")) in told.wal.rows


GROUP = "000000010000000000000000"


def test_an_older_batch_that_is_found_later_and_one_that_is_told_twice_change_nothing_of_how_far_a_group_goes() -> None:
    told = Told()
    told.tell(batch(2, group=GROUP), batch(1, group=GROUP), batch(2, group=GROUP))
    [row] = told.wal.rows.values()
    assert (row["snapshot_id"], row["through"], row["superseded"]) == (f"{2:064}", str(Lsn(2000)), [f"{1:064}"])


def test_a_batch_that_is_there_again_counts_although_something_else_is_damaged_there() -> None:
    told = Told()
    told.tell(batch(1, group=GROUP), batch(2, group="000000010000000000000010"))
    first, second = (f"snapshots/{number:064}" for number in (1, 2))
    told.tell(
        DamageFound("local.wal", BY_LISTING, (first, second), "gone"),
        DamageFound("local.wal", "1/100", ("data/ab/abcd",), "a pack is bad"),
    )
    assert bad_snapshots(told.stores.get(("local.wal",))) == {f"{1:064}", f"{2:064}"}
    told.tell(batch(1, group=GROUP))
    store = told.stores.get(("local.wal",))
    assert bad_snapshots(store) == {f"{2:064}"}
    assert store is not None
    assert store["damage"] is not None
    assert store["damage"]["files"] == ["data/ab/abcd", second]
    assert store["unsound"] == ["1/100", BY_LISTING]


def test_a_batch_that_is_damaged_and_not_gone_is_not_there_again_because_its_name_is() -> None:
    told = Told()
    told.tell(batch(1, group=GROUP), DamageFound("local.wal", "1/100", (f"snapshots/{1:064}",), "it is bad"))
    told.tell(batch(1, group=GROUP))
    assert bad_snapshots(told.stores.get(("local.wal",))) == {f"{1:064}"}


def test_that_nothing_was_forgotten_owes_no_prune() -> None:
    told = Told()
    told.tell(batch(1, group=GROUP), WalForgotten("orders", "local.wal", ()))
    assert told.stores.rows == {}
    told.tell(WalForgotten("orders", "local.wal", ("never-known",)))
    assert told.stores.get(("local.wal",))["is_prune_owed"]
    assert len(told.wal.rows) == 1


def test_a_row_that_names_no_segment_is_refused() -> None:
    told = Told()
    told.tell(batch(1, group="no-segment"))
    with pytest.raises(ValueError, match="7/no-segment' is no group of WAL"):
        shipped_groups(list(told.wal.rows.items()))


def test_which_snapshots_of_a_store_are_damaged_or_gone_is_read_from_what_is_known_of_its_damage() -> None:
    told = Told()
    assert bad_snapshots(told.stores.get(("local.wal",))) == frozenset()
    told.tell(batch(1, group=GROUP), WalForgotten("orders", "local.wal", ("never-known",)))
    assert bad_snapshots(told.stores.get(("local.wal",))) == frozenset()
    told.tell(DamageFound("local.wal", "listing", ("snapshots/aa", "data/bb"), "not listed"))
    assert bad_snapshots(told.stores.get(("local.wal",))) == {"aa"}


def test_a_group_is_called_by_its_policy_and_by_how_far_it_goes() -> None:
    told = Told()
    told.tell(batch(2, group=GROUP))
    [group] = shipped_groups(list(told.wal.rows.items()))
    assert group.label == "orders, WAL from 0/0 to 0/7D0"
