"""How far WAL goes, and what is missing of it: the same as if every segment were looked at."""

from hypothesis import given
from hypothesis import strategies as st

from drd.core.postgres.archive import Archive
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.wal import Segment, gaps, needed
from tests.core.postgres.cluster_model import SIZE, ClusterModel, clusters


@given(clusters(), st.integers(0, 200), st.integers(0, 200))
def test_the_same_is_missing_as_segment_by_segment(model: ClusterModel, start: int, length: int) -> None:
    archive, low, high = model.kept.archive, Lsn(start), Lsn(start + length)
    held = frozenset(Segment(timeline, number, SIZE) for timeline, each in archive.segments.items() for number in each)
    for history in model.histories.values():
        missing = gaps(needed(history, low, high, SIZE), held)
        bare = Archive(SIZE, archive.segments, {}, archive.histories)
        assert bare.gaps(history, low, high) == missing
        assert (archive.gaps(history, low, high) == ()) is model.is_complete(history, low, high)


@given(clusters(), st.integers(0, 200))
def test_wal_reaches_as_far_as_nothing_is_missing(model: ClusterModel, start: int) -> None:
    archive, low = model.kept.archive, Lsn(start)
    for history in model.histories.values():
        reach = archive.reach(history, low)
        assert reach >= low
        assert model.is_complete(history, low, reach)
        assert not model.is_complete(history, low, Lsn(reach.value + 1))
        assert archive.reach(history, low) <= max(low, archive.end(history))


def test_a_timeline_without_its_history_file_is_followed_from_itself_only() -> None:
    archive = Archive.of(SIZE, [Segment(2, 5, SIZE), Segment(2, 6, SIZE)])
    assert archive.timelines == (2,)
    assert archive.reach(archive.history(2), Lsn(85)) == Lsn(112)
    assert archive.written(2) == Lsn(112)
    assert archive.written(1) == Lsn(0)
