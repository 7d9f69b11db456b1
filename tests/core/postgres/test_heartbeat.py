"""What a copy's newest heartbeat says about it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.postgres.heartbeat import LEAST, MOST, Beat, Heartbeat, interval, lost, newest, rights
from drd.core.postgres.lsn import Lsn

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def beat(policy: str, seconds: float, daemon: str = "01DAEMON") -> Heartbeat:
    return Heartbeat(Beat(policy, daemon), NOW + timedelta(seconds=seconds), Lsn(1))


@pytest.mark.parametrize(
    ("rpo", "seconds"),
    [
        (None, 60),
        (timedelta(hours=1), 60),
        (timedelta(seconds=30), 6),
        (timedelta(seconds=2), 0.4),
        (timedelta(seconds=1), 0.2),
    ],
)
def test_it_is_written_five_times_within_what_may_be_lost(rpo: timedelta | None, seconds: float) -> None:
    assert interval(rpo).total_seconds() == seconds


@given(st.timedeltas(min_value=timedelta(milliseconds=1)))
def test_its_interval_is_always_sensible(rpo: timedelta) -> None:
    assert LEAST <= interval(rpo) <= MOST
    assert interval(rpo) <= max(rpo / 5, LEAST)


def test_a_copy_is_as_new_as_the_newest_row_of_its_policy() -> None:
    found = [beat("orders", 5), beat("carts", 9), beat("orders", 7, "02DAEMON")]
    assert newest(found, "orders") == found[2]
    assert newest(found, "users") is None


def test_what_was_lost_is_what_lies_behind_the_newest_row() -> None:
    assert lost(NOW, beat("orders", -3)) == timedelta(seconds=3)
    assert lost(NOW, beat("orders", 3)) == timedelta(0)


def test_its_rights_are_to_read_and_write_that_table_alone() -> None:
    assert rights("Drd") == (
        'GRANT USAGE ON SCHEMA drd TO "Drd";',
        'GRANT SELECT, INSERT, UPDATE, DELETE ON drd.heartbeat TO "Drd";',
    )
