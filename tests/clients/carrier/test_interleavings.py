"""Carrying without a lock, while a model of restic works on the origin between any two calls of the carrier."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from drd.clients.carrier.carrying import Round
from drd.clients.carrier.files import FileKind
from drd.clients.carrier.job import Saying
from drd.clients.carrier.pace import Pace
from drd.clients.carrier.report import Report
from drd.core.errors import RepositoryMissing, TransientError
from tests.clients.carrier.memory import Killed, MemoryFiles, Restic, is_sound

COMMANDS = st.lists(st.sampled_from(["prune", "backup", "forget"]), max_size=8)
BURSTS = st.lists(st.tuples(st.integers(0, 25), st.integers(1, 15)), max_size=6)
"""How many calls of the carrier go by, and how many steps restic then does at once."""
EXAMPLES = 400


class Working:
    """restic at the origin: some steps of its commands, one after another, before each of the carrier's calls."""

    def __init__(self, commands: list[str], bursts: list[tuple[int, int]]) -> None:
        self.origin = MemoryFiles("origin", self.some_steps)
        self._restic = Restic(self.origin)
        for _ in range(2):
            finish(self._restic.backup())
        self._work = self._steps(commands)
        self._bursts = iter(bursts)
        self._burst = next(self._bursts, None)
        self._quiet_calls = 0

    def some_steps(self) -> None:
        if self._burst is None:
            return
        calls, steps = self._burst
        if self._quiet_calls < calls:
            self._quiet_calls += 1
            return
        self._burst, self._quiet_calls = next(self._bursts, None), 0
        for _ in range(steps):
            next(self._work, None)

    def _steps(self, commands: list[str]) -> Iterator[None]:
        for command in commands:
            work: Callable[[], Iterator[None]] = getattr(self._restic, command)
            yield from work()


class Heard:
    """Which snapshots the carrier claims."""

    def __init__(self) -> None:
        self.report = Report(lambda line: None)
        self.report.names = self._names  # type: ignore[method-assign] (what is said is heard here, not printed)
        self.claimed: set[str] = set()

    def _names(self, saying: Saying, names: list[str]) -> None:
        assert saying is Saying.STANDING
        self.claimed |= set(names)


@settings(max_examples=EXAMPLES)
@given(COMMANDS, BURSTS, st.integers(min_value=1, max_value=3))
def test_whatever_restic_does_meanwhile_the_mirror_is_sound(
    commands: list[str], bursts: list[tuple[int, int]], rounds: int
) -> None:
    working = Working(commands, bursts)
    mirror = MemoryFiles("mirror")
    for _ in range(rounds):
        heard = Heard()
        try:
            complete = Round(working.origin, mirror, Pace(None), heard.report, threads=1).run()
        except TransientError:
            event("gave up")
            assert is_sound(mirror)
            continue
        assert complete
        assert is_sound(mirror)
        assert heard.claimed <= set(mirror.files[FileKind.SNAPSHOT])


@settings(max_examples=EXAMPLES)
@given(COMMANDS, BURSTS, st.integers(min_value=0, max_value=40))
def test_a_carrier_that_dies_anywhere_leaves_a_sound_mirror(
    commands: list[str], bursts: list[tuple[int, int]], calls: int
) -> None:
    left = iter(range(calls))

    def die() -> None:
        if next(left, None) is None:
            raise Killed

    working = Working(commands, bursts)
    mirror = MemoryFiles("mirror", die)
    try:
        Round(working.origin, mirror, Pace(None), Heard().report, threads=1).run()
    except (Killed, TransientError):
        event("died")
    assert is_sound(mirror)


@settings(max_examples=EXAMPLES)
@given(COMMANDS, BURSTS, st.integers(min_value=0, max_value=6), st.integers(min_value=0, max_value=40))
def test_whatever_went_ahead_the_round_behind_leaves_a_sound_mirror(
    commands: list[str], bursts: list[tuple[int, int]], looks: int, calls: int
) -> None:
    left, lives = iter(range(looks)), iter(range(calls))

    def die() -> None:
        if next(lives, None) is None:
            raise Killed

    working = Working(commands, bursts)
    mirror = MemoryFiles("mirror", die)
    try:
        ahead = Round(working.origin, mirror, Pace(None), Heard().report, threads=1)
        ahead.run_ahead(lambda: next(left, None) is None, 0)
    except Killed:
        event("died")
    assert mirror.files[FileKind.INDEX] == mirror.files[FileKind.SNAPSHOT] == {}
    mirror, sent = MemoryFiles("mirror"), mirror.files[FileKind.DATA]
    mirror.files[FileKind.DATA] |= sent
    heard = Heard()
    try:
        assert Round(working.origin, mirror, Pace(None), heard.report, threads=1).run()
    except TransientError:
        event("gave up")
    assert is_sound(mirror)
    assert heard.claimed <= set(mirror.files[FileKind.SNAPSHOT])


def test_packs_that_somebody_else_has_brought_do_not_go_ahead_again() -> None:
    working, mirror = Working([], []), MemoryFiles("mirror")
    mirror.files[FileKind.DATA] |= working.origin.files[FileKind.DATA]
    heard = Heard()
    looks = iter(range(3))
    Round(working.origin, mirror, Pace(None), heard.report, threads=1).run_ahead(lambda: next(looks, None) is None, 0)
    assert heard.report.files == 0


def test_nothing_goes_ahead_into_a_place_that_became_another_repository() -> None:
    working, mirror = Working(["backup"], [(0, 99)]), MemoryFiles("mirror")
    looks = iter(range(3))

    def exchanged() -> bool:
        mirror.files[FileKind.CONFIG] = {}
        return next(looks, None) is None

    with pytest.raises(RepositoryMissing):
        Round(working.origin, mirror, Pace(None), Heard().report, threads=1).run_ahead(exchanged, 0)
    assert mirror.files[FileKind.DATA] == {}


@given(st.integers(min_value=0, max_value=3))
def test_a_quiet_origin_is_claimed_whole(backups: int) -> None:
    working = Working(["backup"] * backups, [(0, 99)])
    mirror, heard = MemoryFiles("mirror"), Heard()
    assert Round(working.origin, mirror, Pace(None), heard.report, threads=2).run()
    assert heard.claimed == set(working.origin.files[FileKind.SNAPSHOT]) == set(mirror.files[FileKind.SNAPSHOT])


@given(st.integers(min_value=1, max_value=4), st.integers(min_value=0))
def test_a_withheld_snapshot_stays_away_and_hinders_no_other(backups: int, which: int) -> None:
    working = Working(["backup"] * backups, [(0, 999)])
    working.some_steps()
    snapshots = sorted(working.origin.files[FileKind.SNAPSHOT])
    withheld = frozenset(snapshots[which % len(snapshots) :])
    mirror, heard = MemoryFiles("mirror"), Heard()
    assert Round(working.origin, mirror, Pace(None), heard.report, threads=2, withheld=withheld).run()
    assert heard.claimed == set(mirror.files[FileKind.SNAPSHOT]) == set(snapshots) - withheld
    assert is_sound(mirror)


@given(COMMANDS, st.integers(min_value=0))
def test_a_damaged_pack_keeps_every_new_index_and_snapshot_back(commands: list[str], which: int) -> None:
    working = Working(commands, [(0, 999)])
    working.some_steps()
    packs = sorted(working.origin.files[FileKind.DATA])
    mirror, heard = MemoryFiles("mirror"), Heard()
    if not packs:
        return
    damaged = packs[which % len(packs)]
    working.origin.files[FileKind.DATA][damaged] = b"rot"
    carrying = Round(working.origin, mirror, Pace(None), heard.report, threads=2)
    assert not carrying.run()
    assert list(carrying.refused) == [f"data/{damaged[:2]}/{damaged}"]
    assert damaged not in mirror.files[FileKind.DATA]
    assert not mirror.files[FileKind.INDEX]
    assert not mirror.files[FileKind.SNAPSHOT]
    assert heard.claimed == set()


def test_an_index_that_is_replaced_behind_a_listings_cursor_is_not_missed() -> None:
    origin, mirror = MemoryFiles("origin"), MemoryFiles("mirror")
    restic = Restic(origin)
    finish(restic.backup())
    [known] = origin.files[FileKind.INDEX]
    assert Round(origin, mirror, Pace(None), Heard().report, threads=1).run()
    while max(origin.files[FileKind.INDEX]) == known:
        finish(restic.backup())
    pruning = [restic.prune()]

    def prune_once(kind: FileKind) -> None:
        # The known index has been listed and stands at the mirror already, so nobody will miss it at the origin.
        if kind is FileKind.INDEX and pruning:
            finish(pruning.pop())

    origin.after_listing_one = prune_once
    heard = Heard()
    assert Round(origin, mirror, Pace(None), heard.report, threads=1).run()
    assert is_sound(mirror)
    assert heard.claimed == set(origin.files[FileKind.SNAPSHOT])


def finish(work: Iterator[None]) -> None:
    for _ in work:
        pass
