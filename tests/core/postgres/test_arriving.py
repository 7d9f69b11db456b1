"""What archive_command brings, beside what is received."""

from hypothesis import given
from hypothesis import strategies as st

from drd.core.postgres.arriving import RECEIVED, arrivals
from drd.core.postgres.merging import Better, better, written
from drd.core.postgres.pages import PAGE_BYTES
from drd.core.postgres.spooling import Found, GroupFolder, Move
from drd.core.postgres.stretches import Stretches
from drd.core.postgres.wal import Segment
from tests.fakes.postgres_tools import wal_of

SIZE = 2**20
SYSTEM = "7000000000000000001"


def segment(number: int, timeline: int = 1) -> Segment:
    return Segment(timeline, number, SIZE)


def name(number: int, timeline: int = 1) -> str:
    return segment(number, timeline).name


def group(*numbers: int, more: tuple[str, ...] = ()) -> GroupFolder:
    return GroupFolder(segment(numbers[0]), frozenset({*(name(each) for each in numbers), *more}))


def test_what_was_received_already_is_only_compared() -> None:
    found = Found(groups=(group(3, 4, more=(f"{name(5)}.partial",)),))
    told = arrivals(found, [name(4), name(3)], SIZE, {})
    assert told.compared == (Move(name(3), name(3), segment(3)), Move(name(4), name(3), segment(4)))
    assert not told.entering


def test_what_was_not_enters_the_group_that_it_continues_or_one_of_its_own() -> None:
    found = Found(groups=(group(3, 4), group(9)))
    told = arrivals(found, [name(7), name(5), name(6), name(10), name(12)], SIZE, {})
    places = [(each.name, each.group) for each in told.entering]
    assert places == [
        (name(5), name(3)),
        (name(6), name(3)),
        (name(7), name(3)),
        (name(10), name(9)),
        (name(12), name(12)),
    ]


def test_a_group_that_is_full_takes_no_more() -> None:
    told = arrivals(Found(groups=(group(3, 4),)), [name(5), name(6), name(7)], SIZE, {}, group_bytes=2 * SIZE)
    assert [each.group for each in told.entering] == [name(5), name(5), name(7)]


def test_what_every_store_has_is_superfluous() -> None:
    told = arrivals(Found(groups=(group(9),)), [name(3), name(4)], SIZE, {1: Stretches.of([3])})
    assert told.superfluous == (name(3),)
    assert [each.name for each in told.entering] == [name(4)]


def test_histories_stand_where_wal_is_received_and_labels_in_the_newest_group() -> None:
    history, label = "00000002.history", f"{name(3)}.00000028.backup"
    of_two = GroupFolder(segment(9, 2), frozenset({name(9, 2)}))
    assert arrivals(Found(groups=(group(3),)), [history], SIZE, {}) == arrivals(Found(), [], SIZE, {}), "it waits"
    found = Found(groups=(group(3), of_two))
    assert arrivals(found, [history, label], SIZE, {}).entering == (Move(label, name(9, 2)), Move(history, RECEIVED))
    there = Found(received=frozenset({history}), groups=(group(3, more=(label,)),))
    assert arrivals(there, [history, label], SIZE, {}).compared == (Move(label, name(3)), Move(history, RECEIVED))
    assert arrivals(Found(), [label], SIZE, {}) == arrivals(Found(), [], SIZE, {}), "it waits for a group"


def test_the_partial_end_of_a_timeline_goes_where_it_is_awaited() -> None:
    partial = f"{name(5)}.partial"
    assert arrivals(Found(groups=(group(3, 4),)), [partial], SIZE, {}).entering[0].group == name(3)
    assert arrivals(Found(groups=(group(3, 4, 5),)), [partial], SIZE, {}).compared[0].group == name(3)
    assert arrivals(Found(groups=(group(7),)), [partial], SIZE, {}).superfluous == (partial,)


@given(have=st.sets(st.integers(0, 30)), pushed=st.sets(st.integers(0, 30)), stored=st.sets(st.integers(0, 30)))
def test_each_segment_is_dealt_with_once_and_every_group_stays_without_a_gap(
    have: set[int], pushed: set[int], stored: set[int]
) -> None:
    stretches = Stretches.of(have).parts
    groups = tuple(group(*range(part.first, part.last + 1)) for part in stretches)
    told = arrivals(Found(groups=groups), [name(each) for each in pushed], SIZE, {1: Stretches.of(stored)})
    names = [*(each.name for each in (*told.entering, *told.compared)), *told.superfluous]
    assert sorted(names) == sorted(name(each) for each in pushed)
    assert {each.name for each in told.compared} == {name(each) for each in pushed & have}
    assert set(told.superfluous) == {name(each) for each in (pushed & stored) - have}
    after: dict[str, set[int]] = {each.name: {*range(each.first.number, each.following.number)} for each in groups}
    for move in told.entering:
        assert move.segment is not None
        after.setdefault(move.group, set()).add(move.segment.number)
    for numbers in after.values():
        assert max(numbers) - min(numbers) == len(numbers) - 1


def filled(of: Segment, pages: int, tail: bytes = b"") -> bytes:
    """A segment with records in its first pages, and behind them `tail` and zeros."""
    whole = wal_of(of, SYSTEM)
    body = b"".join(
        whole[at : at + 40].ljust(PAGE_BYTES, bytes([1 + at // PAGE_BYTES % 250]))
        for at in range(0, pages * PAGE_BYTES, PAGE_BYTES)
    )
    return (body + tail).ljust(SIZE, b"\0")[:SIZE]


def test_behind_a_switch_zeros_and_what_lay_there_before_say_the_same() -> None:
    recycled = wal_of(segment(2), SYSTEM)[10 * PAGE_BYTES :]
    zeroed, old = filled(segment(5), 10), filled(segment(5), 10, recycled)
    assert zeroed != old
    assert better(segment(5), zeroed, old) is Better.FIRST
    assert better(segment(5), old, zeroed) is Better.FIRST


@given(one=st.integers(1, 128), other=st.integers(1, 128), cut=st.integers(0, 4000))
def test_the_one_with_more_is_kept(one: int, other: int, cut: int) -> None:
    longer = filled(segment(5), max(one, other))
    at = min(one, other) * PAGE_BYTES - cut
    shorter = longer[:at].ljust(SIZE, b"\0")
    assert better(segment(5), longer, shorter) is Better.FIRST
    expected = Better.FIRST if shorter.rstrip(b"\0") == longer.rstrip(b"\0") else Better.SECOND
    assert better(segment(5), shorter, longer) is expected


@given(at=st.integers(0, 10 * PAGE_BYTES - 1))
def test_two_that_contradict_one_another_are_told(at: int) -> None:
    one = filled(segment(5), 10)
    other = one[:at] + bytes([one[at] ^ 0xFF]) + one[at + 1 :]
    told = better(segment(5), one, other)
    if at % PAGE_BYTES >= 20:  # a header that is damaged ends what is written
        assert told is Better.NEITHER
    else:
        assert told in (Better.NEITHER, Better.FIRST)


def test_nothing_is_written_in_zeros() -> None:
    assert written(segment(5), bytes(SIZE)) == b""
