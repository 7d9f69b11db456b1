"""Which received file enters which group, and what may leave."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.postgres.groups import (
    Group,
    ShippedGroup,
    archive_of,
    marks_of,
    read_group,
    read_switches,
    switch_texts,
    wal_tags,
)
from drd.core.postgres.lineage import Mark
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.names import slot_name
from drd.core.postgres.pages import fault, page_header
from drd.core.postgres.spooling import Found, GroupFolder, Move, is_news, moves, removable, settled
from drd.core.postgres.timeline import History, Switch
from drd.core.postgres.wal import Segment
from drd.core.tags import read_tags
from tests.fakes.postgres_tools import wal_of

SIZE = 2**20
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
SYSTEM = "7000000000000000001"


def segment(number: int, timeline: int = 1) -> Segment:
    return Segment(timeline, number, SIZE)


def partial(number: int, timeline: int = 1) -> str:
    return segment(number, timeline).name + ".partial"


def mark(number: int, offset: int = 0, minute: int = 0, timeline: int = 1) -> Mark:
    return Mark(NOW + timedelta(minutes=minute), timeline, Lsn(number * SIZE + offset))


def done(found: Found, size: int = SIZE, group_bytes: int = 4 * SIZE) -> Found:
    """The spool after what was decided was done."""
    decided = moves(found, size, NOW, group_bytes)
    groups = {group.name: group for group in found.groups}
    for move in decided.entering:
        first = Segment.parse(move.group, size)
        assert first is not None
        group = groups.get(move.group, GroupFolder(first))
        gone = {f"{move.segment.name}.partial"} if move.segment is not None else set()
        groups[move.group] = replace(group, names=(group.names | {move.name}) - gone)
    received = found.received - set(decided.leaving)
    return Found(received, tuple(sorted(groups.values(), key=lambda group: group.first)))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_whatever_comes_in_every_segment_is_in_one_group_and_receiving_goes_on_behind_the_newest(
    steps: list[tuple[int, bool, bool, bool]],
) -> None:
    found, timeline, number = Found(), 1, 3
    whole: set[str] = set()
    for finished, has_partial, is_promoted, is_looked_at in steps:
        received = set(found.received) - {partial(number, timeline)}
        for _ in range(finished):
            received.add(segment(number, timeline).name)
            whole.add(segment(number, timeline).name)
            number += 1
        if is_promoted:
            received |= {partial(number, timeline)}
            timeline += 1
            received |= {f"{timeline:08X}.history", partial(number, timeline)}
        elif has_partial:
            received |= {partial(number, timeline)}
        found = replace(found, received=frozenset(received))
        if is_looked_at:
            newest = max((name for name in received if not name.endswith("history")), default=None)
            found = done(found)
            assert newest is None or newest in found.received
            assert len([name for name in found.received if not name.endswith("history")]) <= 1
    found = done(found)
    held = [name for group in found.groups for name in group.names if not name.endswith(("partial", "history"))]
    assert sorted(held) == sorted(whole)
    for group in found.groups:
        numbers = sorted(name for name in group.names if not name.endswith(("partial", "history")))
        assert numbers == [segment(group.first.number + each, group.first.timeline).name for each in range(group.count)]
        assert group.count <= 4
        history = f"{group.first.timeline:08X}.history"
        assert (history in group.names) == (group.first.timeline > 1)


def test_what_was_decided_and_done_is_decided_no_more() -> None:
    found = done(Found(frozenset({segment(3).name, segment(4).name, partial(5)})))
    assert moves(found, SIZE, NOW) == moves(done(found), SIZE, NOW)
    assert not moves(found, SIZE, NOW).entering
    assert found.received == {partial(5)}


def test_a_gap_begins_a_group_of_its_own() -> None:
    found = done(Found(frozenset({segment(3).name, segment(5).name, partial(6)})))
    assert [(group.name, group.count) for group in found.groups] == [(segment(3).name, 1), (segment(5).name, 1)]


def test_a_group_of_yesterday_gets_no_further_segment() -> None:
    old = GroupFolder(segment(3), frozenset({segment(3).name}), (mark(3, 5, minute=-1500),))
    decided = moves(Found(frozenset({segment(3).name, segment(4).name}), (old,)), SIZE, NOW)
    assert decided.entering == (Move(segment(4).name, segment(4).name, segment(4)),)


def test_a_mark_is_noted_when_its_wal_is_flushed_and_in_the_newest_group_of_its_timeline() -> None:
    group = GroupFolder(segment(3), frozenset({segment(3).name, partial(4)}))
    found = Found(groups=(group,))
    pending = [mark(3, 7), mark(4, 7), mark(4, 9), mark(5, 1)]
    assert list(settled(pending, found, {1: Lsn(4 * SIZE + 8)})) == [(group, (mark(3, 7), mark(4, 7)))]
    assert list(settled(pending, found, {1: Lsn(9 * SIZE)})) == [(group, (mark(3, 7), mark(4, 7), mark(4, 9)))]
    assert not list(settled(pending, found, {}))
    assert not list(settled([mark(4, 7, timeline=2)], found, {1: Lsn(9 * SIZE), 2: Lsn(9 * SIZE)}))


def test_the_last_marks_of_a_timeline_that_was_left_are_noted_with_it() -> None:
    left = GroupFolder(segment(3), frozenset({segment(3).name, partial(4)}))
    followed = GroupFolder(segment(4, timeline=2), frozenset({partial(4, timeline=2)}))
    pending = [mark(4, 7), mark(4, 9), mark(4, 30, timeline=2)]
    found, received = Found(groups=(left, followed)), {1: Lsn(4 * SIZE + 8), 2: Lsn(4 * SIZE + 30)}
    assert list(settled(pending, found, received)) == [(left, (mark(4, 7),)), (followed, (mark(4, 30, timeline=2),))]


def test_a_group_goes_as_far_as_its_whole_segments_and_its_marks_tell() -> None:
    names = frozenset({segment(3).name, partial(4)})
    assert GroupFolder(segment(3), names).group(SYSTEM).through == Lsn(4 * SIZE)
    within = GroupFolder(segment(3), names, (mark(4, 77),)).group(SYSTEM)
    assert (within.through, within.moment) == (Lsn(4 * SIZE + 77), NOW)
    assert (within.whole, within.partial) == ((segment(3),), segment(4))
    beyond = GroupFolder(segment(3), names - {partial(4)}, (mark(4, 77),)).group(SYSTEM)
    assert (beyond.through, beyond.partial) == (Lsn(4 * SIZE), None)


def test_a_batch_is_due_when_it_goes_farther_or_an_idle_minute_has_passed() -> None:
    group = Group(SYSTEM, segment(3), Lsn(4 * SIZE), NOW)
    idle = timedelta(minutes=1)
    assert is_news(group, None, idle)
    assert not is_news(Group(SYSTEM, segment(3), Lsn(3 * SIZE)), None, idle)
    assert not is_news(group, group, idle)
    assert is_news(replace(group, through=Lsn(4 * SIZE + 1)), group, idle)
    assert not is_news(replace(group, through=Lsn(4 * SIZE - 1)), group, idle)
    assert not is_news(replace(group, moment=NOW + timedelta(seconds=59)), group, idle)
    assert is_news(replace(group, moment=NOW + idle), group, idle)


def test_only_closed_groups_that_every_store_has_leave_the_spool() -> None:
    folders = [GroupFolder(segment(number), frozenset({segment(number).name})) for number in (3, 4, 5)]

    def shipped(number: int, store: str, through: int | None = None) -> ShippedGroup:
        end = Lsn((number + 1) * SIZE if through is None else through)
        return ShippedGroup("orders", store, Group(SYSTEM, segment(number), end), "id")

    everywhere = [shipped(number, store) for number in (3, 4, 5) for store in ("a.wal", "b.wal")]
    assert removable(folders, SYSTEM, everywhere, ("a.wal", "b.wal")) == (segment(3).name, segment(4).name)
    assert removable(folders, SYSTEM, everywhere[:3], ("a.wal", "b.wal")) == (segment(3).name,)
    assert removable(folders, SYSTEM, [shipped(3, "a.wal", 3 * SIZE + 5)], ("a.wal",)) == ()
    assert removable(folders, "another", everywhere, ("a.wal",)) == ()
    assert removable(folders, SYSTEM, everywhere, ()) == ()


def test_the_tags_of_a_batch_say_all_that_a_catalogue_needs_and_are_those_of_no_run() -> None:
    switches = (Switch(1, Lsn(3 * SIZE + 5)),)
    group = Group(SYSTEM, segment(3, timeline=2), Lsn(5 * SIZE + 77), NOW, switches)
    assert read_group(group.tags("orders")) == group
    assert read_group(replace(group, moment=None).tags("orders")) == replace(group, moment=None)
    assert read_tags(group.tags("orders")) is None
    assert all("," not in tag for tag in group.tags("orders"))


@pytest.mark.parametrize("broken", ["through=x", "segment=0", "group=03", "moment=2026-03-02T08:00:00"])
def test_damaged_tags_are_of_no_batch(broken: str) -> None:
    name = broken.partition("=")[0]
    tags = [
        tag for tag in Group(SYSTEM, segment(3), Lsn(5 * SIZE), NOW).tags("orders") if not tag.startswith(f"{name}=")
    ]
    assert read_group([*tags, broken]) is None


def test_an_archive_is_put_together_from_groups_in_any_stores() -> None:
    switches = (Switch(1, Lsn(4 * SIZE + 9)),)
    assert read_switches(switch_texts(switches)) == switches
    groups = [
        ShippedGroup("orders", "a.wal", Group(SYSTEM, segment(3), Lsn(4 * SIZE + 9)), "x", (), (mark(4, 9),)),
        ShippedGroup("orders", "b.wal", Group(SYSTEM, segment(3), Lsn(4 * SIZE + 5)), "y", (), (mark(4, 5),)),
        ShippedGroup("orders", "b.wal", Group(SYSTEM, segment(4, 2), Lsn(6 * SIZE), NOW, switches), "z"),
    ]
    archive = archive_of(groups, SIZE)
    assert archive.reach(History(2, switches), Lsn(3 * SIZE)) == Lsn(6 * SIZE)
    assert archive.reach(History(1), Lsn(3 * SIZE)) == Lsn(4 * SIZE + 9)
    assert marks_of(groups) == (mark(4, 5), mark(4, 9))


def test_a_segment_is_what_its_name_says_or_is_told_why_not() -> None:
    content = wal_of(segment(3), SYSTEM)
    assert fault(segment(3), SYSTEM, content) == ""
    assert "is of the cluster" in fault(segment(3), "1", content)
    assert "begins at" in fault(segment(4), SYSTEM, content)
    assert "timeline 2" in fault(segment(3), SYSTEM, wal_of(segment(3, 2), SYSTEM))
    assert fault(segment(3, 2), SYSTEM, content) == ""
    assert "segments of" in fault(Segment(1, 3 * SIZE // 2**19, 2**19), SYSTEM, content)
    assert "page of WAL" in fault(segment(3), SYSTEM, b"\0" * 8192)
    assert page_header(content[8192:]) is not None
    assert page_header(b"") is None


def test_a_slot_has_a_name_that_a_server_takes_and_no_other_policy_has() -> None:
    assert slot_name("shop-orders") == "drd_shop_orders"
    long = {slot_name("a" * 62 + each) for each in "bc"}
    assert len(long) == 2
    assert all(len(each) == 63 for each in long)


def test_the_tags_of_all_wal_of_a_policy_stand_in_every_batch_of_it() -> None:
    tags = Group(SYSTEM, segment(3), Lsn(4 * SIZE)).tags("orders")
    assert set(wal_tags("orders")) <= set(tags)
    assert not set(wal_tags("shop")) <= set(tags)
    assert read_group(wal_tags("orders")) is None
    assert read_group(tuple(tag for tag in tags if tag != "drd")) is None, "another program's"


def test_a_beginning_of_a_segment_that_is_there_whole_enters_no_group_and_what_is_no_segment_stays_out() -> None:
    odd = segment(3).name[:-8] + "FFFFFFFF"  # no server names a segment so
    decided = moves(Found(frozenset({segment(3).name, partial(3), odd}), ()), SIZE, NOW)
    assert {move.name for move in decided.entering} == {segment(3).name}


def test_that_nobody_could_ask_for_the_time_is_no_news() -> None:
    group = Group(SYSTEM, segment(3), Lsn(4 * SIZE))
    assert not is_news(group, replace(group, moment=NOW), timedelta(0))
    assert is_news(replace(group, moment=NOW), group, timedelta(hours=1))
