"""When a service counts as failing its users, and how long that was."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from drd.core.outage import Look, Outage, ServiceState, ServiceView, Unseen, downtime, downtime_at_most, ended

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FALL, RISE = 3, 2


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def looked(results: str) -> list[ServiceView]:
    """The views after each look, one a second that takes 0.1 s: `+` good, `-` failed, `?` in doubt."""
    views = [ServiceView()]
    for second, result in enumerate(results):
        look = Look(at(second), at(second + 0.1), "refused" if result == "-" else "")
        views.append(views[-1].unseen() if result == "?" else views[-1].after(look, FALL, RISE))
    return views[1:]


def test_an_outage_begins_with_the_first_failure_of_a_row_and_ends_with_the_first_success_of_one() -> None:
    views = looked("++----++")
    assert [view.state for view in views] == [
        *[ServiceState.ANSWERS] * 4,
        *[ServiceState.FAILS] * 3,
        ServiceState.ANSWERS,
    ]
    assert views[5].outage == Outage(at(2), at(1.1), None, "refused")
    assert views[5].outage.doubt == timedelta(seconds=0.9)
    assert ended(views[6], views[7]) == Outage(at(2), at(1.1), at(6.1), "refused")
    assert ended(views[5], views[6]) is None
    assert ended(views[0], views[1]) is None


def test_single_failures_are_no_outage_and_a_single_success_ends_none() -> None:
    assert all(view.outage is None for view in looked("+--+--+--"))
    assert looked("---+-+-+")[-1].outage == Outage(at(0), None, None, "refused")
    assert looked("---")[-1].outage == Outage(at(0), None, None, "refused")
    assert Outage(at(0)).doubt == timedelta()


def test_what_was_not_seen_is_unknown_and_begins_no_outage() -> None:
    views = looked("+--?--")
    assert views[3].state is ServiceState.UNKNOWN
    assert all(view.outage is None for view in views)
    assert looked("---?")[-1].outage is not None, "one that was seen to begin is not over because nobody looks"
    assert looked("---?++")[-1].state is ServiceState.ANSWERS


def test_outages_that_overlap_count_once_and_only_inside_the_time_that_is_asked_for() -> None:
    outages = [Outage(at(10), up=at(20)), Outage(at(15), up=at(25)), Outage(at(40)), Outage(at(-5), up=at(3))]
    assert downtime(outages, at(0), at(50)) == timedelta(seconds=3 + 15 + 10)
    assert downtime([], at(0), at(50)) == timedelta()
    assert downtime([Outage(at(1), up=at(2))], at(5), at(6)) == timedelta()


@given(st.text("+-?", max_size=60))
def test_an_outage_is_never_seen_to_begin_before_a_success_that_was_counted(results: str) -> None:
    before = ServiceView()
    for view in looked(results):
        over = ended(before, view)
        if over is not None:
            assert over.up is not None
            assert over.bad < over.up
        if view.outage is not None and view.outage.good is not None:
            assert view.outage.good <= view.outage.bad
        assert (view.state is ServiceState.FAILS) <= (view.outage is not None)
        before = view


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=8))
def test_downtime_is_the_seconds_that_some_outage_covers(pairs: list[tuple[int, int]]) -> None:
    spans = [(min(pair), max(pair)) for pair in pairs]
    covered = sum(any(begin <= second < end for begin, end in spans) for second in range(20, 80))
    outages = [Outage(at(begin), up=at(end)) for begin, end in spans]
    assert downtime(outages, at(20), at(80)) == timedelta(seconds=covered)


def test_what_nobody_saw_may_have_been_an_outage_too() -> None:
    outage = Outage(at(10), good=at(9), up=at(20))
    unseen = [Unseen(at(15), at(25)), Unseen(at(40), at(50))]
    assert downtime_at_most([outage], unseen, at(0), at(60)) == timedelta(seconds=26)
    assert downtime_at_most([outage], unseen, at(45), at(60)) == timedelta(seconds=5)
    assert downtime_at_most([], [], at(0), at(60)) == timedelta()
