"""A new store is made the same repository as the first one, also while another daemon makes it another one."""

from collections.abc import Mapping

import pytest

from drd.clients.carrier.content import NamedContent
from drd.clients.carrier.errands import clear, found
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


def without_config(place: str) -> MemoryFiles:
    files = MemoryFiles(place)
    del files.files[FileKind.CONFIG][CONFIG_NAME]
    return files


def test_keys_that_a_creation_left_which_was_ended_in_its_middle_are_taken_away() -> None:
    target = without_config("target")
    made(target, "one", "two")
    clear(target, 0.0)
    assert target.files[FileKind.KEY] == {}
    clear(target, 0.0)


def test_a_repository_that_is_only_just_being_made_keeps_its_key() -> None:
    class Making(MemoryFiles):
        """Its config comes while it is looked at."""

        looks = 0

        def list(self, kind: FileKind) -> Mapping[str, int]:
            if kind is FileKind.CONFIG:
                self.looks += 1
                if self.looks > 1:
                    self.files[FileKind.CONFIG][CONFIG_NAME] = OTHER
            return super().list(kind)

    target = Making("target")
    del target.files[FileKind.CONFIG][CONFIG_NAME]
    keys = made(target, "one")
    clear(target, 30.0)
    assert set(target.files[FileKind.KEY]) == keys


@pytest.mark.parametrize("kind", [FileKind.SNAPSHOT, FileKind.INDEX, FileKind.DATA])
def test_what_is_left_of_a_repository_whose_config_is_gone_keeps_its_keys(kind: FileKind) -> None:
    target = without_config("target")
    keys = made(target, "one")
    target.add(kind, {"what": "matters"})
    with pytest.raises(PermanentError, match=f"target holds {kind.value} but no config"):
        clear(target, 0.0)
    assert set(target.files[FileKind.KEY]) == keys
