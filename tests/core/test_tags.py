"""Tags, from which the catalogue can be rebuilt."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.policy import Mode, Outcome
from drd.core.run import worse
from drd.core.tags import AnchorTags, Origin, anchor_tags, outcome_tag, policy_tags, read_anchor, read_tags

ORIGIN = Origin("orders", "01RUN", "main", Mode.FULL, Outcome.SUCCEEDED, datetime(2026, 3, 2, 8, tzinfo=UTC), "01D", 2)

origins = st.builds(
    Origin,
    policy=st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True),
    run=st.from_regex(r"[0-9A-Z]{26}", fullmatch=True),
    part=st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True),
    mode=st.sampled_from(Mode),
    outcome=st.just(Outcome.SUCCEEDED),
    moment=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda moment: moment.replace(microsecond=0)
    ),
    daemon=st.from_regex(r"[0-9A-Z]{26}", fullmatch=True),
    parts=st.integers(1, 20),
    facts=st.lists(st.from_regex(r"pg-[a-z]{1,8}=[0-9A-Z/:.-]{1,20}", fullmatch=True), unique=True).map(
        lambda facts: tuple(sorted(facts))
    ),
)


@given(origins)
def test_what_is_written_is_read_again(origin: Origin) -> None:
    assert read_tags(origin.tags()) == origin
    assert not any("," in tag for tag in origin.tags())


@given(origins, st.sampled_from([Outcome.INCOMPLETE, Outcome.FAILED, Outcome.CANCELLED]))
def test_a_mark_is_read(origin: Origin, outcome: Outcome) -> None:
    assert read_tags((*origin.tags(), outcome_tag(outcome))) == replace(origin, outcome=outcome)


def test_a_snapshot_that_was_marked_twice_is_as_bad_as_its_worst_mark() -> None:
    for marks in (("outcome=failed", "outcome=incomplete"), ("outcome=incomplete", "outcome=failed")):
        found = read_tags((*ORIGIN.tags(), *marks))
        assert found is not None
        assert found.outcome is Outcome.FAILED


def test_a_moment_is_written_in_utc() -> None:
    there = replace(ORIGIN, moment=ORIGIN.moment.astimezone(timezone(timedelta(hours=8))))
    assert "at=2026-03-02T08:00:00Z" in there.tags()
    assert read_tags(there.tags()) == ORIGIN


@pytest.mark.parametrize(
    "tags",
    [
        (),
        ("drd",),
        tuple(tag for tag in ORIGIN.tags() if tag != "drd"),
        tuple(tag for tag in ORIGIN.tags() if not tag.startswith("run=")),
        tuple("kind=anchor" if tag.startswith("kind=") else tag for tag in ORIGIN.tags()),
        tuple("at=yesterday" if tag.startswith("at=") else tag for tag in ORIGIN.tags()),
        tuple("at=2026-03-02T08:00:00" if tag.startswith("at=") else tag for tag in ORIGIN.tags()),
        tuple("parts=many" if tag.startswith("parts=") else tag for tag in ORIGIN.tags()),
        (*ORIGIN.tags(), "outcome=splendid"),
    ],
)
def test_what_is_no_snapshot_of_a_run_is_not_read_as_one(tags: tuple[str, ...]) -> None:
    assert read_tags(tags) is None


def test_a_snapshot_from_before_parts_were_counted_is_one_part() -> None:
    found = read_tags(tuple(tag for tag in ORIGIN.tags() if not tag.startswith("parts=")))
    assert found is not None
    assert found.parts == 1


def test_the_tags_of_a_policy_stand_in_every_snapshot_of_it() -> None:
    assert set(policy_tags("orders")) <= set(ORIGIN.tags())


@given(st.sampled_from(Outcome), st.sampled_from(Outcome))
def test_the_worse_of_two_is_one_of_them_whichever_comes_first(one: Outcome, other: Outcome) -> None:
    assert worse(one, other) == worse(other, one)
    assert worse(one, other) in (one, other)
    assert worse(one, Outcome.SUCCEEDED) is one


def test_the_head_that_an_anchor_carries_is_read_again_and_nothing_else_is_an_anchor() -> None:
    tags = anchor_tags("01D", 4711, "ff00")
    assert read_anchor(tags) == AnchorTags("01D", 4711, "ff00")
    assert read_tags(tags) is None
    for strange in (ORIGIN.tags(), tags[1:], tuple("sequence=many" if "sequence" in tag else tag for tag in tags)):
        assert read_anchor(strange) is None
