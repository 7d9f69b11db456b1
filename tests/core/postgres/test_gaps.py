"""Where the WAL is that a restore would need, and when only a new base backup helps."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.points import Copy, RecoveryPoint
from drd.core.policy import Mode, Outcome
from drd.core.postgres.archive import Archive
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.gaps import Piece, Seen, WalState, in_state, joined, numbers_in, numbers_of, pieces
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.renewal import newest_base, why_new_base
from drd.core.postgres.stretches import Stretches
from drd.core.postgres.timeline import History, Switch
from drd.core.postgres.wal import Segment
from tests.fakes.postgres import FACTS

SIZE = 2**20
EMPTY = Archive(SIZE)
MOMENT = datetime(2026, 11, 22, 2, 15, tzinfo=UTC)
numbers = st.sets(st.integers(0, 40))


def at(number: float) -> Lsn:
    return Lsn(int(number * SIZE))


def of(timeline: int, *each: int) -> dict[int, Stretches]:
    return {timeline: Stretches.of(each)}


def states(found: tuple[Piece, ...]) -> list[tuple[str, int, int]]:
    return [(piece.state.value, piece.first.number, piece.last.number) for piece in found]


def a_base(end: Lsn, timeline: int = 1, **more: object) -> BaseRecord:
    base = BaseRecord(FACTS.system_identifier, 150018, timeline, at(0), end, MOMENT, SIZE, True, (), True)
    return replace(base, **more)  # type: ignore[arg-type]


def test_each_stretch_has_the_state_of_where_it_is() -> None:
    seen = Seen(of(1, 2, 3, 4, 8), of(1, 4, 5), at(9.5))
    assert states(pieces(EMPTY, History(1), at(2.2), at(12.7), seen)) == [
        ("found", 2, 4),
        ("uploading", 5, 5),
        ("lost", 6, 7),
        ("found", 8, 8),
        ("delayed", 9, 11),
    ]


def test_across_a_promotion_each_timeline_is_asked_for_what_recovery_reads_of_it() -> None:
    history = History(2, (Switch(1, at(5.5)),))
    seen = Seen(joined(of(1, 3, 4, 5), of(2, 5)), {}, at(7))
    found = pieces(EMPTY, history, at(3), at(8), seen)
    assert [(piece.state.value, piece.first.name, piece.last.name) for piece in found] == [
        ("found", Segment(1, 3, SIZE).name, Segment(1, 4, SIZE).name),
        ("found", Segment(2, 5, SIZE).name, Segment(2, 5, SIZE).name),
        ("lost", Segment(2, 6, SIZE).name, Segment(2, 6, SIZE).name),
        ("delayed", Segment(2, 7, SIZE).name, Segment(2, 7, SIZE).name),
    ]


def test_while_nobody_knows_what_the_server_keeps_nothing_newer_than_what_is_known_is_called_lost() -> None:
    assert pieces(EMPTY, History(1), at(3), at(3.9), Seen()) == ()
    assert states(pieces(EMPTY, History(1), at(3), at(5), Seen())) == [("lost", 3, 4)]


@given(
    store=numbers, near=numbers, held=st.none() | st.integers(0, 40), start=st.integers(0, 40), end=st.integers(0, 45)
)
def test_every_whole_segment_has_exactly_one_state(
    store: set[int], near: set[int], held: int | None, start: int, end: int
) -> None:
    seen = Seen(of(1, *store), of(1, *near), None if held is None else at(held))
    found = pieces(EMPTY, History(1), at(start), at(end), seen)
    told = {number: piece.state for piece in found for number in range(piece.first.number, piece.last.number + 1)}
    assert sum(piece.count for piece in found) == len(told) == max(0, end - start)
    for number, state in told.items():
        expected = (
            WalState.FOUND
            if number in store
            else WalState.UPLOADING
            if number in near
            else WalState.DELAYED
            if held is not None and number >= held
            else WalState.LOST
        )
        assert state is expected


@given(store=numbers, near=numbers, arrived=st.integers(0, 40))
def test_what_arrives_by_another_path_is_lost_no_more(store: set[int], near: set[int], arrived: int) -> None:
    before = in_state(pieces(EMPTY, History(1), at(0), at(41), Seen(of(1, *store), of(1, *near))), WalState.LOST)
    after = in_state(
        pieces(EMPTY, History(1), at(0), at(41), Seen(of(1, *store), of(1, *near, arrived))), WalState.LOST
    )
    was = {number for piece in before for number in range(piece.first.number, piece.last.number + 1)}
    now = {number for piece in after for number in range(piece.first.number, piece.last.number + 1)}
    assert now == was - {arrived}


def test_numbers_are_those_of_each_timeline() -> None:
    found = numbers_of((Segment(1, 3, SIZE), Segment(2, 3, SIZE), Segment(1, 4, SIZE)))
    assert {timeline: list(each) for timeline, each in found.items()} == {1: [3, 4], 2: [3]}


def lost(first: int, last: int) -> tuple[Piece, ...]:
    return (Piece(WalState.LOST, Segment(1, first, SIZE), Segment(1, last, SIZE)),)


@pytest.mark.parametrize(
    ("base", "facts", "way", "said"),
    [
        (a_base(at(3)), FACTS, (), ""),
        (a_base(at(3)), replace(FACTS, timeline=2), (), "the server went over from timeline 1 to 2"),
        (a_base(at(3)), replace(FACTS, has_checksums=False), (), "page checksums were switched off"),
        (a_base(at(3), has_checksums=False), FACTS, (), "page checksums were switched on"),
        (a_base(at(3), has_checksums=None), replace(FACTS, has_checksums=False), (), ""),
        (a_base(at(3), system_identifier="9"), FACTS, (), "the server is another cluster now"),
        (a_base(at(3)), FACTS, lost(5, 6), "WAL is lost"),
        (a_base(at(6.5)), FACTS, lost(5, 6), "WAL is lost"),
        (a_base(at(7)), FACTS, lost(5, 6), ""),
    ],
)
def test_a_new_base_backup_is_needed_when_nothing_leads_on_from_the_newest(
    base: BaseRecord, facts: object, way: tuple[Piece, ...], said: str
) -> None:
    found = why_new_base(base, facts, way)  # type: ignore[arg-type]
    assert (found.message if found else "").startswith(said)
    assert (found is None) is (not said)


@pytest.mark.parametrize(
    ("facts", "way", "can_wait"),
    [
        (replace(FACTS, timeline=2), (), True),
        (replace(FACTS, timeline=2), lost(5, 6), False),
        (FACTS, lost(5, 6), False),
        (replace(FACTS, has_checksums=False), (), False),
    ],
)
def test_only_for_a_change_of_timeline_that_lost_nothing_it_can_wait(
    facts: object, way: tuple[Piece, ...], can_wait: bool
) -> None:
    found = why_new_base(a_base(at(3)), facts, way)  # type: ignore[arg-type]
    assert found is not None
    assert found.can_wait is can_wait


def test_each_reason_has_a_key_of_its_own_and_keeps_it_while_it_lasts() -> None:
    reasons = [
        why_new_base(a_base(at(3)), replace(FACTS, timeline=2)),
        why_new_base(a_base(at(3)), replace(FACTS, timeline=3)),
        why_new_base(a_base(at(3)), replace(FACTS, has_checksums=False)),
        why_new_base(a_base(at(3)), FACTS, lost(5, 6)),
        why_new_base(a_base(at(3)), FACTS, lost(5, 7)),
    ]
    assert len({each.key for each in reasons if each is not None}) == len(reasons)
    assert why_new_base(a_base(at(3)), FACTS, lost(5, 6)) == why_new_base(a_base(at(4)), FACTS, lost(5, 6))


def test_the_newest_base_backup_is_the_good_one_that_ended_last() -> None:
    def point(run: str, outcome: Outcome, base: BaseRecord) -> RecoveryPoint:
        copies = (Copy("local", "main", run),)
        return RecoveryPoint("orders", run, Mode.FULL, MOMENT, outcome, 1, 1, copies, facts={"main": base.tags()})

    newer = a_base(at(5), ended_at=MOMENT + timedelta(hours=1))
    failed = a_base(at(9), ended_at=MOMENT + timedelta(hours=2))
    points = (
        point("1", Outcome.SUCCEEDED, newer),
        point("2", Outcome.SUCCEEDED, a_base(at(3))),
        point("3", Outcome.FAILED, failed),
    )
    assert newest_base(points) == newer
    assert newest_base(()) is None


def test_pieces_are_told_by_their_names_and_cover_their_numbers() -> None:
    [one], [many] = lost(5, 5), lost(6, 8)
    assert str(one) == Segment(1, 5, SIZE).name
    assert str(many) == f"{Segment(1, 6, SIZE).name} to {Segment(1, 8, SIZE).name} (3 segments)"
    assert {timeline: list(each) for timeline, each in numbers_in((one, many)).items()} == {1: [5, 6, 7, 8]}
