"""What follows from batches of WAL, however many there were."""

import json
from datetime import UTC, datetime, timedelta

from drd.core.encoding import Fact, moment_text, plain
from drd.core.events import Body, WalForgotten, WalShipped
from drd.core.postgres.lsn import Lsn
from drd.core.projections import fold
from drd.core.projections.wal import MARKS_KEPT
from drd.core.wal_rows import shipped_groups, wal_key
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
