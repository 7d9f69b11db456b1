"""Where two servers parted, and what one of them has committed beyond that."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from drd.core.postgres.divergence import CommittedTransaction, Fork, WalRange, beyond, committed, fork_of
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.timeline import History, Switch


def history(timeline: int, *switches: tuple[int, int]) -> History:
    return History(timeline, tuple(Switch(name, Lsn(at)) for name, at in switches))


@pytest.mark.parametrize(
    ("one", "other", "fork"),
    [
        (history(1), history(1), None),
        (history(1), history(2, (1, 50)), Fork(1, Lsn(50))),
        (history(3, (1, 50), (2, 70)), history(2, (1, 50)), Fork(2, Lsn(70))),
        (history(2, (1, 40)), history(2, (1, 50)), Fork(1, Lsn(40))),  # two promotions gave the same number
        (history(3, (1, 40)), history(2, (1, 40)), Fork(1, Lsn(40))),
        (history(2, (1, 40)), history(2, (1, 40)), None),
        (history(4, (1, 40), (3, 60)), history(3, (1, 40), (2, 60)), Fork(1, Lsn(40))),
    ],
)
def test_two_timelines_part_where_the_first_of_them_left(one: History, other: History, fork: Fork | None) -> None:
    assert fork_of(one, other) == fork_of(other, one) == fork


def test_timelines_without_a_common_beginning_are_told() -> None:
    with pytest.raises(ValueError, match="timelines 2 and 3 have no beginning in common"):
        fork_of(history(2), history(3))


def test_what_lies_beyond_a_fork_may_be_of_several_timelines() -> None:
    assert beyond(history(1), Fork(1, Lsn(40))) == (WalRange(1, Lsn(40), None),)
    assert beyond(history(3, (1, 50), (2, 70)), Fork(1, Lsn(40))) == (
        WalRange(1, Lsn(40), Lsn(50)),
        WalRange(2, Lsn(50), Lsn(70)),
        WalRange(3, Lsn(70), None),
    )
    assert beyond(history(3, (1, 40), (2, 70)), Fork(1, Lsn(40)))[0] == WalRange(2, Lsn(40), Lsn(70))


@given(some.lists(some.integers(1, 99), min_size=1, max_size=4, unique=True), some.integers(1, 99))
def test_nothing_beyond_a_fork_is_left_out(ends: list[int], at: int) -> None:
    switches = tuple((timeline, end) for timeline, end in enumerate(sorted(ends), 1))
    whole = history(len(switches) + 1, *switches)
    timeline = whole.owner_of(Lsn(at))
    ranges = beyond(whole, Fork(timeline, Lsn(at)))
    assert ranges[0].start == Lsn(at)
    assert [each.end for each in ranges[:-1]] == [each.start for each in ranges[1:]]
    assert (ranges[-1].timeline, ranges[-1].end) == (whole.timeline, None)


WALDUMP = """\
rmgr: Transaction len (rec/tot):     34/    34, tx:        740, lsn: 0/01523C40, prev 0/01523C08, desc: COMMIT \
2026-11-23 03:10:11.123456 UTC
rmgr: Transaction len (rec/tot):     46/    46, tx:        741, lsn: 0/01523C68, prev 0/01523C40, desc: ABORT \
2026-11-23 03:10:12.123456 UTC
rmgr: Transaction len (rec/tot):    157/   157, tx:          0, lsn: 0/01523D00, prev 0/01523C68, desc: \
COMMIT_PREPARED 742: 2026-11-23 03:10:13 UTC; inval msgs: catcache 80
rmgr: Standby     len (rec/tot):     42/    42, tx:        743, lsn: 0/01523E00, prev 0/01523D00, desc: LOCK xid 743
"""


def test_commits_are_told_from_all_else_with_their_transaction_and_moment() -> None:
    found = list(committed(WALDUMP.splitlines()))
    moment = datetime(2026, 11, 23, 3, 10, 11, 123456, UTC)
    assert found == [
        CommittedTransaction(740, Lsn.parse("0/1523C40"), moment),
        CommittedTransaction(742, Lsn.parse("0/1523D00"), moment.replace(second=13, microsecond=0)),
    ]
    assert str(found[0]) == "transaction 740 at 0/1523C40, committed 2026-11-23 03:10:11.123456 UTC"
