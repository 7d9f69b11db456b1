"""What keeps a standby from taking over in order."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.switching import MOST_LAG_BYTES, Handover, Successor, has_all, why_not

FAR = Lsn(MOST_LAG_BYTES * 4)
FIT = Successor("orders-2", replayed=FAR)
HANDOVER = Handover("orders-1", FAR, (FIT,))


@pytest.mark.parametrize(
    ("handover", "successor", "reasons"),
    [
        (HANDOVER, FIT, ()),
        (HANDOVER, replace(FIT, why_not="it receives nothing"), ("orders-2: it receives nothing",)),
        (HANDOVER, replace(FIT, is_paused=True), ("the replay of orders-2 is paused",)),
        (HANDOVER, replace(FIT, delay_seconds=3600.0), ("orders-2 replays 3600 s late on purpose",)),
        (
            HANDOVER,
            replace(FIT, replayed=Lsn(MOST_LAG_BYTES)),
            ("orders-2 has 48 MiB to replay, and at most 16 MiB may be left",),
        ),
        (HANDOVER, Successor("orders-1"), ("orders-1 is the primary already",)),
        (
            replace(HANDOVER, other_primaries=("orders-3",)),
            replace(FIT, is_paused=True, delay_seconds=1.0),
            (
                "orders-3 takes writes beside orders-1",
                "the replay of orders-2 is paused",
                "orders-2 replays 1 s late on purpose",
            ),
        ),
    ],
)
def test_all_that_keeps_a_standby_from_taking_over_is_told(
    handover: Handover, successor: Successor, reasons: tuple[str, ...]
) -> None:
    assert tuple(why_not(handover, successor)) == reasons


def test_the_one_that_has_replayed_the_most_takes_over_and_the_preferred_one_among_equals() -> None:
    behind = Successor("orders-3", replayed=Lsn(FAR.value - 1), priority=9)
    equal = replace(FIT, name="orders-4", priority=1)
    assert replace(HANDOVER, successors=(behind, FIT)).best() == FIT
    assert replace(HANDOVER, successors=(FIT, equal)).best() == equal
    assert replace(HANDOVER, successors=(replace(FIT, is_paused=True),)).best() is None


@given(some.integers(0, 2**40), some.integers(0, 2**40))
def test_a_standby_has_all_once_it_is_beyond_the_checkpoint_of_the_shutdown(replayed: int, checkpoint: int) -> None:
    assert has_all(Lsn(replayed), Lsn(checkpoint)) is (replayed > checkpoint)
    assert not has_all(None, Lsn(checkpoint))


def test_who_does_not_answer_has_no_lag_that_is_known() -> None:
    assert HANDOVER.lag_bytes(Successor("orders-3")) == 0
