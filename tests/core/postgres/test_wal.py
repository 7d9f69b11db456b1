"""Names, positions and gaps of WAL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.pages import segment_header
from drd.core.postgres.timeline import History, Switch
from drd.core.postgres.wal import FileKind, Segment, gaps, history_name, kind_of, needed, timeline_of
from tests.fakes.postgres_tools import wal_of

MIB = 2**20
SIZES = st.sampled_from([1 * MIB, 16 * MIB, 64 * MIB, 1024 * MIB])
LSNS = st.integers(0, 2**64 - 1).map(Lsn)


@given(LSNS)
def test_a_position_reads_as_it_was_written(lsn: Lsn) -> None:
    assert Lsn.parse(str(lsn)) == lsn


@pytest.mark.parametrize("text", ["", "16", "16/", "/1", "16/B374D848/1", "G/1", "123456789/0", "16/B374D848 "])
def test_what_is_no_position_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it as in"):
        Lsn.parse(text)


@given(st.integers(1, 2**32 - 1), LSNS, SIZES)
def test_a_segment_is_found_by_its_name(timeline: int, lsn: Lsn, size: int) -> None:
    segment = Segment.at(timeline, lsn, size)
    assert Segment.parse(segment.name, size) == segment
    assert segment.start <= lsn < segment.end


def test_names_are_those_that_postgresql_gives() -> None:
    assert Segment.at(1, Lsn.parse("0/0"), 16 * MIB).name == "000000010000000000000000"
    assert Segment.at(3, Lsn.parse("16/B374D848"), 16 * MIB).name == "0000000300000016000000B3"
    assert Segment.at(3, Lsn.parse("16/B374D848"), 1 * MIB).name == "000000030000001600000B37"
    assert Segment.at(1, Lsn.parse("0/FF000000"), 16 * MIB).following.name == "000000010000000100000000"


def test_a_name_that_does_not_fit_the_size_of_segments_is_no_segment() -> None:
    assert Segment.parse("000000010000000000000100", 16 * MIB) is None
    assert Segment.parse("000000010000000000000100", 1 * MIB) is not None
    assert Segment.parse("archive_status", 16 * MIB) is None


def test_files_of_an_archive_are_told_by_their_names() -> None:
    assert kind_of("0000000300000016000000B3") is FileKind.SEGMENT
    assert kind_of("0000000300000016000000B3.partial") is FileKind.PARTIAL
    assert kind_of("00000003.history") is FileKind.HISTORY
    assert kind_of("0000000300000016000000B3.00000028.backup") is FileKind.LABEL
    assert kind_of("0000000300000016000000B3.gz") is None
    assert timeline_of("00000003.history") == 3


def test_recovery_reads_the_newer_timeline_from_the_segment_in_which_it_began() -> None:
    history = History(2, (Switch(1, Lsn(5 * 16 * MIB + 100)),))
    names = [each.name for each in needed(history, Lsn(3 * 16 * MIB), Lsn(7 * 16 * MIB), 16 * MIB)]
    assert names == [
        "000000010000000000000003",
        "000000010000000000000004",
        "000000020000000000000005",
        "000000020000000000000006",
    ]


@given(st.integers(0, 200), st.integers(0, 200), st.sets(st.integers(0, 60)))
def test_what_is_present_and_what_is_missing_make_up_what_is_needed(start: int, length: int, held: set[int]) -> None:
    size = MIB
    wanted = tuple(needed(History(1), Lsn(start * 1000), Lsn(start * 1000 + length * size // 4), size))
    present = frozenset(Segment(1, number, size) for number in held)
    missing = {
        Segment(1, number, size)
        for gap in gaps(wanted, present)
        for number in range(gap.first.number, gap.last.number + 1)
    }
    assert missing == set(wanted) - present
    assert sum(gap.count for gap in gaps(wanted, present)) == len(missing)


def test_missing_segments_that_follow_one_another_are_one_gap() -> None:
    wanted = [Segment(1, number, MIB) for number in range(10)]
    present = frozenset(wanted) - {wanted[2], wanted[3], wanted[7]}
    assert [(gap.first.number, gap.last.number) for gap in gaps(wanted, present)] == [(2, 3), (7, 7)]


@given(timeline=st.integers(1, 2**32 - 1), number=st.integers(0, 10**6))
def test_the_timeline_of_every_file_of_an_archive_is_told_by_its_name(timeline: int, number: int) -> None:
    segment = Segment(timeline, number, 2**24).name
    for name in (segment, f"{segment}.partial", f"{segment}.00000028.backup", history_name(timeline)):
        assert timeline_of(name) == timeline
    with pytest.raises(ValueError, match="is no file of a WAL archive"):
        timeline_of(f"{segment}.gz")


def test_a_page_without_the_mark_of_a_long_header_is_no_beginning_of_a_segment() -> None:
    content = wal_of(Segment(1, 3, MIB), "7000")
    found = segment_header(content)
    assert found is not None
    assert (found.system_identifier, found.segment_bytes) == ("7000", MIB)
    assert segment_header(content[:2] + b"\0\0" + content[4:]) is None
