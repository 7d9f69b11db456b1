"""A new store is made the same repository as the first one, also while another daemon makes it another one."""

import pytest

from drd.clients.carrier.content import NamedContent
from drd.clients.carrier.errands import found
from drd.clients.carrier.files import CONFIG_NAME, FileKind
from drd.clients.carrier.report import Report
from drd.core.errors import PermanentError
from tests.clients.carrier.memory import MemoryFiles

OTHER = b"another repository"


class Raced(MemoryFiles):
    """Another daemon's config takes the place of the first one as the first key comes."""

    def put(self, kind: FileKind, name: str, content: NamedContent) -> None:
        super().put(kind, name, content)
        if kind is FileKind.KEY:
            self.files[FileKind.CONFIG][CONFIG_NAME] = OTHER


def made(files: MemoryFiles, *keys: str) -> set[str]:
    return {files.add(FileKind.KEY, {"key": key}) for key in keys}


def test_who_loses_a_race_leaves_no_key_in_the_winners_repository() -> None:
    origin, target = MemoryFiles("origin"), Raced("target")
    del target.files[FileKind.CONFIG][CONFIG_NAME]
    made(origin, "one", "two")
    with pytest.raises(PermanentError, match="target holds another repository than origin"):
        found(origin, target, frozenset(), Report(lambda line: None))
    assert target.files[FileKind.KEY] == {}
    assert target.files[FileKind.CONFIG][CONFIG_NAME] == OTHER


def test_a_key_that_a_loser_left_there_is_not_taken_for_one_that_opens_the_repository() -> None:
    origin, target = MemoryFiles("origin"), MemoryFiles("target")
    [own, foreign], [left] = sorted(made(origin, "one", "two")), made(target, "a loser's")
    for _ in range(2):
        found(origin, target, frozenset({foreign}), Report(lambda line: None))
        assert set(target.files[FileKind.KEY]) == {own, left}


def test_a_key_that_is_there_is_not_sent_again() -> None:
    sent: list[str] = []

    class Listening(MemoryFiles):
        def put(self, kind: FileKind, name: str, content: NamedContent) -> None:
            super().put(kind, name, content)
            sent.append(name)

    origin, target = MemoryFiles("origin"), Listening("target")
    made(origin, "one", "two")
    there = made(target, "one")
    found(origin, target, frozenset(), Report(lambda line: None))
    assert set(sent) == set(origin.files[FileKind.KEY]) - there
    assert set(target.files[FileKind.KEY]) == set(origin.files[FileKind.KEY])
