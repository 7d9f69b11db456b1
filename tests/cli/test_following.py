"""Rate, remaining time and share of long work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.cli.following import WINDOW_SECONDS, Pace, Progress
from drd.ports.steps import Step


def a_step(done: int, total: int = 0, phase: str = "local", files: int = 0) -> Step:
    return Step(kind="progress", phase=phase, done_bytes=done, total_bytes=total, done_files=files)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    for second in range(100):
        pace.note(second, 1000 * second)
    for second in range(100, 140):
        pace.note(second, 99_000 + 10 * (second - 99))
    assert pace.rate == pytest.approx(10)
    assert pace.remaining_seconds(99_000 + 400 + 100) == pytest.approx(10)


def test_nothing_is_said_about_the_rate_before_it_can_be_known() -> None:
    pace = Pace()
    assert (pace.rate, pace.remaining_seconds(10)) == (None, None)
    pace.note(0, 0)
    pace.note(0.1, 5)
    assert (pace.rate, pace.remaining_seconds(10)) == (None, None)


def test_work_that_stands_still_has_no_remaining_time() -> None:
    pace = Pace()
    for second in range(int(2 * WINDOW_SECONDS)):
        pace.note(second, 7)
    assert pace.rate == 0
    assert pace.remaining_seconds(10) is None


def test_what_is_only_waited_for_has_no_size() -> None:
    progress = Progress()
    progress.take(a_step(0, phase="waiting for the check in store local"), 0)
    assert progress.line() == "waiting for the check in store local"


def test_a_phase_begins_with_a_rate_of_its_own() -> None:
    progress = Progress()
    for second in range(10):
        progress.take(a_step(second * 2**20, 100 * 2**20), second)
    assert progress.line() == "local:   9 %  9 MiB of 100 MiB  1 MiB/s  1 min left"
    progress.take(a_step(0, 100 * 2**20, phase="offsite", files=12345), 10)
    assert progress.line() == "offsite:   0 %  0 B of 100 MiB  12 345 files"


def test_work_of_unknown_size_has_no_share() -> None:
    progress = Progress()
    assert progress.words() == ""
    progress.take(a_step(4096, phase=""), 0)
    assert (progress.share, progress.line()) == (None, "4 KiB")


def test_a_first_byte_of_very_many_makes_no_remaining_time() -> None:
    progress = Progress()
    for second, done in ((0, 0), (1, 1)):
        progress.take(a_step(done, 2**50), second)
    assert progress.line() == "local:   0 %  1 B of 1024 TiB  1 B/s"


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 2**50)), max_size=30), st.integers(0, 2**50))
def test_no_samples_make_a_negative_or_broken_figure(samples: list[tuple[float, int]], total: int) -> None:
    progress, now = Progress(), 0.0
    for wait, done in samples:
        now += wait
        progress.take(a_step(done, total), now)
        assert progress.share is None or 0 <= progress.share <= 1
        assert "-" not in progress.line()
