"""Runs that look as if what they read had been destroyed, and days that only look unusual."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drd.core.entropy import RANDOM_BITS, Samples, entropy
from drd.core.figures import FEWEST_BYTES, RunFigures, Sighting, figures
from drd.core.policy import Guard, Mode
from drd.core.suspicion import FEWEST_RUNS, suspect

GUARD = Guard()
MIB = 2**20
A_DAY = RunFigures(
    files=1000,
    bytes=100 * MIB,
    files_before=1000,
    gone_files=2,
    changed_files=20,
    new_bytes=2 * MIB,
    stored_bytes=MIB // 2,
)
USUAL = [replace(A_DAY, gone_files=each % 4, changed_files=15 + each % 9) for each in range(20)]


def test_an_ordinary_day_is_not_suspected() -> None:
    assert suspect(A_DAY, USUAL, GUARD) == ()


def test_files_that_are_encrypted_in_place_are_suspected_for_all_that_it_does() -> None:
    encrypted = replace(A_DAY, changed_files=990, new_bytes=99 * MIB, stored_bytes=99 * MIB)
    assert suspect(encrypted, USUAL, GUARD) == (
        "99 % of the files changed, usual is 1.8 %",
        "99 % of the data is new (99 MiB), usual is 2 %",
        "compression makes the new data 0 % smaller, usual is 75 %: it looks encrypted",
    )


def test_files_that_are_renamed_when_they_are_encrypted_are_gone() -> None:
    assert "90 % of the files are gone, usual is 0.15 %" in suspect(replace(A_DAY, gone_files=900), USUAL, GUARD)


def test_a_tenth_that_is_encrypted_shows_in_how_little_it_compresses() -> None:
    a_tenth = replace(A_DAY, changed_files=100, new_bytes=10 * MIB, stored_bytes=10 * MIB)
    [reason] = suspect(a_tenth, USUAL, GUARD)
    assert reason.endswith("it looks encrypted")


def test_a_single_archive_among_documents_is_not_suspected() -> None:
    an_archive = replace(A_DAY, new_bytes=4 * MIB, stored_bytes=4 * MIB)
    assert suspect(an_archive, USUAL, GUARD) == ()


def test_much_that_changes_and_compresses_as_ever_is_told_for_its_share_alone() -> None:
    rewritten = replace(A_DAY, changed_files=800, new_bytes=40 * MIB, stored_bytes=10 * MIB)
    assert suspect(rewritten, USUAL, GUARD) == ("80 % of the files changed, usual is 1.8 %",)


def test_before_enough_runs_nothing_is_suspected() -> None:
    encrypted = replace(A_DAY, changed_files=1000, new_bytes=100 * MIB, stored_bytes=100 * MIB)
    assert suspect(encrypted, USUAL[: FEWEST_RUNS - 1], GUARD) == ()
    assert suspect(encrypted, USUAL[:FEWEST_RUNS], GUARD)


def test_a_dump_that_is_new_each_time_is_what_its_policy_is_used_to() -> None:
    dump = RunFigures(1, 50 * MIB, 1, 0, 1, 50 * MIB, 50 * MIB)
    assert suspect(dump, [dump] * 10, GUARD) == ()


def test_what_was_released_once_is_not_asked_again() -> None:
    upgraded = replace(A_DAY, changed_files=900, new_bytes=90 * MIB, stored_bytes=30 * MIB)
    assert suspect(upgraded, USUAL, GUARD)
    assert suspect(upgraded, [upgraded, *USUAL], GUARD) == ()


def test_much_new_data_of_a_policy_whose_data_never_compressed_is_not_called_encrypted() -> None:
    photos = [replace(each, stored_bytes=each.new_bytes) for each in USUAL]
    many = replace(A_DAY, changed_files=120, new_bytes=20 * MIB, stored_bytes=20 * MIB)
    assert suspect(many, photos, GUARD) == ()
    assert suspect(many, USUAL, GUARD)


def test_that_all_is_new_to_a_store_that_held_nothing_says_nothing_of_the_source() -> None:
    assert A_DAY.new is not None
    assert replace(A_DAY, new_bytes=A_DAY.bytes, is_first_there=True).new is None


def test_limits_of_the_policy_are_kept() -> None:
    half = replace(A_DAY, changed_files=600)
    assert suspect(half, USUAL, GUARD)
    assert suspect(half, USUAL, Guard(changed="70 %")) == ()  # type: ignore[arg-type]


def test_without_compression_told_the_other_figures_speak() -> None:
    unknown = [replace(each, stored_bytes=None) for each in USUAL]
    encrypted = replace(A_DAY, changed_files=990, new_bytes=99 * MIB, stored_bytes=None)
    assert len(suspect(encrypted, unknown, GUARD)) == 2


def test_a_full_compares_with_nothing_and_tells_only_how_many_files_are_fewer() -> None:
    seen = Sighting(files=90, bytes=MIB, new_files=90, changed_files=0, unmodified_files=0, new_bytes=0, stored_bytes=0)
    full = figures([seen], Mode.FULL, replace(A_DAY, files=100))
    assert (full.gone_files, full.changed_files, full.files_before) == (10, None, 100)


def test_an_incremental_counts_what_is_gone_behind_what_is_new() -> None:
    seen = Sighting(100, MIB, new_files=60, changed_files=5, unmodified_files=35, new_bytes=7, stored_bytes=None)
    found = figures([seen], Mode.INCREMENTAL, replace(A_DAY, files=100))
    assert (found.gone_files, found.changed_files, found.stored_bytes) == (60, 5, None)
    assert (found.gone, found.changed) == (0.6, 0.05)


def test_an_incremental_with_nothing_to_compare_calls_nothing_gone() -> None:
    seen = Sighting(100, MIB, new_files=100, changed_files=0, unmodified_files=0, new_bytes=MIB, stored_bytes=MIB)
    found = figures([seen], Mode.INCREMENTAL, replace(A_DAY, files=100))
    assert (found.gone_files, found.changed_files, found.new) == (0, None, 1.0)


COUNTS = st.integers(0, 10**6)
MAYBE = st.none() | COUNTS
ANY_FIGURES = st.builds(RunFigures, COUNTS, COUNTS, MAYBE, MAYBE, MAYBE, COUNTS, MAYBE)


@given(ANY_FIGURES, st.lists(ANY_FIGURES, max_size=30))
def test_a_run_like_one_before_it_is_never_suspected(run: RunFigures, before: list[RunFigures]) -> None:
    assert suspect(run, [*before, run], GUARD) == ()


@given(ANY_FIGURES, st.lists(ANY_FIGURES, min_size=FEWEST_RUNS, max_size=30))
def test_every_reason_is_a_sentence_and_shares_stay_between_none_and_all(
    run: RunFigures, before: list[RunFigures]
) -> None:
    assert all("usual is" in reason for reason in suspect(run, before, GUARD))
    assert all(0 <= share <= 1 for share in (run.gone, run.changed, run.new) if share is not None and run.files)


@given(st.integers(FEWEST_RUNS, 40), st.integers(0, 9), st.integers(50, 100))
def test_any_usual_share_below_a_tenth_and_any_attack_on_half_is_told_apart(
    runs: int, usual: int, attacked: int
) -> None:
    before = [replace(A_DAY, changed_files=(usual + each % 3) * 9) for each in range(runs)]
    attack = replace(A_DAY, changed_files=attacked * 10)
    assert not suspect(before[0], before, GUARD)
    assert suspect(attack, before, GUARD)


@pytest.mark.parametrize("new_bytes", [0, 1, FEWEST_BYTES - 1])
def test_little_new_data_says_nothing(new_bytes: int) -> None:
    assert replace(A_DAY, new_bytes=new_bytes).new == 0.0


def test_files_that_look_random_are_suspected_although_little_changes_a_day_and_restic_tells_no_sizes() -> None:
    usual = [
        replace(each, stored_bytes=None, blocks=48, random_blocks=4 + number % 3) for number, each in enumerate(USUAL)
    ]
    creeping = replace(A_DAY, stored_bytes=None, blocks=48, random_blocks=22)
    assert suspect(creeping, usual, GUARD) == (
        "46 % of the files look random inside, usual is 10 %: it looks encrypted",
    )
    assert suspect(replace(creeping, random_blocks=16), usual, GUARD) == ()
    assert suspect(replace(creeping, blocks=10, random_blocks=10), usual, GUARD) == ()


def test_blocks_that_are_random_are_told_from_words() -> None:
    draw = Random(7)
    words = b"order 4711, paid and sent on the second of March\n" * 100
    assert Samples.of([draw.randbytes(4096), words[:4096], b"short"]) == Samples(2, 1)
    assert all(entropy(draw.randbytes(4096)) >= RANDOM_BITS for _ in range(500))


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=5))
def test_samples_of_several_parts_add_up(parts: list[tuple[int, int]]) -> None:
    whole = sum((Samples(*part) for part in parts), Samples())
    assert (whole.blocks, whole.random) == (sum(blocks for blocks, _ in parts), sum(drawn for _, drawn in parts))
