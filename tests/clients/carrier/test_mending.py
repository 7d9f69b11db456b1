"""Looking for damaged files and putting good ones in their place: verified first, and what was there lies aside."""

from hashlib import sha256
from pathlib import Path

import pytest

from drd.clients.carrier.files import CONFIG_NAME, FileKind, path_of
from drd.clients.carrier.mending import examine, mend, put_all_aside, remove
from drd.clients.carrier.pace import Pace
from drd.clients.carrier.report import Report
from drd.core.errors import PermanentError
from tests.clients.carrier.memory import MemoryFiles

GOOD = b"what was stored"
NAME = sha256(GOOD).hexdigest()
PATH = path_of(FileKind.DATA, NAME)


class Refusals(Report):
    """Keeps what is refused."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.refused: dict[str, str] = {}

    def refuse(self, path: str, reason: str) -> None:
        self.refused[path] = reason


class AppendingFiles(MemoryFiles):
    """As a server that only appends: it refuses to remove whatever it is asked to."""

    replaces = False

    def remove(self, kind: FileKind, name: str) -> None:
        raise PermanentError(f"{self.place} answers 403 Forbidden")


def a_repository(content: bytes | None = GOOD, kind: FileKind = FileKind.DATA) -> MemoryFiles:
    files = MemoryFiles("a place")
    if content is not None:
        files.files[kind][NAME] = content
    return files


@pytest.mark.parametrize("suspects", [(PATH,), ("data",)])
@pytest.mark.parametrize("content", [b"what was changed", b"", GOOD + b"!"])
def test_a_file_that_is_not_what_it_is_called_is_named(content: bytes, suspects: tuple[str, ...]) -> None:
    report = Refusals()
    examine(a_repository(content), suspects, report)
    assert report.refused.keys() == {PATH}
    examine(a_repository(), suspects, sound := Refusals())
    assert sound.refused == {}


def test_a_suspect_that_is_missing_is_named_and_what_nobody_suspects_is_not_read() -> None:
    report = Refusals()
    examine(a_repository(None), (PATH, "keys", "index"), report)
    assert report.refused == {PATH: "it is not there"}
    examine(a_repository(b"damaged"), ("keys", "snapshots", "index"), unread := Refusals())
    assert unread.refused == {}


@pytest.mark.parametrize("damaged", [b"damaged", None])
def test_a_good_file_takes_the_place_of_a_damaged_one_which_lies_aside(damaged: bytes | None, tmp_path: Path) -> None:
    target, report = a_repository(damaged), Refusals()
    mend(a_repository(), target, (PATH,), Pace(None), report, tmp_path)
    assert target.files[FileKind.DATA][NAME] == GOOD
    assert report.refused == {}
    kept = tmp_path / PATH
    assert (kept.read_bytes() if kept.exists() else None) == damaged


@pytest.mark.parametrize("lies_aside", [True, False])
def test_where_nothing_may_be_removed_a_missing_file_is_put_all_the_same(lies_aside: bool, tmp_path: Path) -> None:
    target, report = AppendingFiles("a place"), Refusals()
    mend(a_repository(), target, (PATH,), Pace(None), report, tmp_path if lies_aside else None)
    assert (target.files[FileKind.DATA][NAME], report.refused) == (GOOD, {})
    target.files[FileKind.DATA][NAME] = b"damaged"
    with pytest.raises(PermanentError):
        mend(a_repository(), target, (PATH,), Pace(None), report, tmp_path if lies_aside else None)
    assert target.files[FileKind.DATA][NAME] == b"damaged"


@pytest.mark.parametrize("content", [b"damaged too", None])
def test_what_is_damaged_or_missing_in_both_stores_stays_as_it_is(content: bytes | None, tmp_path: Path) -> None:
    target, report = a_repository(b"damaged"), Refusals()
    mend(a_repository(content), target, (PATH,), Pace(None), report, tmp_path)
    assert target.files[FileKind.DATA][NAME] == b"damaged"
    assert report.refused.keys() == {PATH}


def test_files_of_another_repository_are_never_taken(tmp_path: Path) -> None:
    origin, target = a_repository(), a_repository(b"damaged")
    origin.place = "another place"
    origin.files[FileKind.CONFIG][CONFIG_NAME] = b"another repository"
    with pytest.raises(PermanentError):
        mend(origin, target, (PATH,), Pace(None), Refusals(), tmp_path)
    assert target.files[FileKind.DATA][NAME] == b"damaged"


@pytest.mark.parametrize("config", [b"damaged", None])
def test_a_config_is_replaced_only_for_who_asks_for_it(config: bytes | None, tmp_path: Path) -> None:
    target = a_repository()
    del target.files[FileKind.CONFIG][CONFIG_NAME]
    if config is not None:
        target.files[FileKind.CONFIG][CONFIG_NAME] = config
    mend(a_repository(), target, (CONFIG_NAME,), Pace(None), Refusals(), tmp_path)
    assert target.files[FileKind.CONFIG][CONFIG_NAME] == b"the same repository"
    assert (tmp_path / CONFIG_NAME).exists() is (config is not None)


def test_only_damaged_files_are_removed_and_none_that_does_not_lie_aside(tmp_path: Path) -> None:
    damaged, good = a_repository(b"damaged", FileKind.INDEX), a_repository(GOOD, FileKind.INDEX)
    path = path_of(FileKind.INDEX, NAME)
    remove(damaged, (path,), tmp_path, Refusals())
    assert damaged.files[FileKind.INDEX] == {}
    assert (tmp_path / path).read_bytes() == b"damaged"
    remove(good, (path,), tmp_path, report := Refusals())
    assert (good.files[FileKind.INDEX], report.refused) == ({NAME: GOOD}, {path: "it is good"})


def test_what_is_put_aside_stays_where_it_is(tmp_path: Path) -> None:
    files, report = a_repository(b"damaged"), Refusals()
    other = path_of(FileKind.DATA, "00" * 32)
    put_all_aside(files, (PATH, other), tmp_path, report)
    assert (files.files[FileKind.DATA][NAME], (tmp_path / PATH).read_bytes()) == (b"damaged", b"damaged")
    assert report.refused == {other: "it is not there"}
