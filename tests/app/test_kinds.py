"""The kinds of this installation are found without a list of them."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drd.app.kinds import find_kinds, kinds_in
from drd.ports.action import Action

KIND = """
from typing import ClassVar
from drd.ports.action import Action

class {name}(Action):
    kind: ClassVar[str] = "{kind}"
    def summary(self) -> str:
        return ""
"""


@pytest.fixture
def room(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty room that can be imported as `room_of_kinds`."""
    folder = tmp_path / "room_of_kinds"
    folder.mkdir()
    (folder / "__init__.py").touch()
    sys.path.insert(0, str(tmp_path))
    yield folder
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("room_of_kinds")]:
        del sys.modules[name]


def found(room: Path) -> dict[str, type[Action]]:
    importlib.invalidate_caches()
    return kinds_in(importlib.import_module(room.name), Action)


def test_every_kind_of_the_design_is_found() -> None:
    kinds = find_kinds()

    assert set(kinds.sources) >= {"files", "command"}
    assert set(kinds.stores) >= {"local", "s3", "sftp", "rest"}
    assert set(kinds.actions) >= {"confirm", "notify", "fence", "postgres_promote", "haproxy", "verify", "backup"}


def test_every_kind_is_documented() -> None:
    kinds = find_kinds()

    for kind in (*kinds.sources.values(), *kinds.stores.values(), *kinds.actions.values()):
        assert kind.__doc__
        assert kind.__doc__.strip().partition("\n")[0].endswith((".", ":", "`."))


def test_a_module_with_a_kind_is_found_by_its_key(room: Path) -> None:
    (room / "dance.py").write_text(KIND.format(name="Dance", kind="dance"))

    assert [kind.__name__ for kind in found(room).values()] == ["Dance"]


def test_a_module_with_two_kinds_is_refused(room: Path) -> None:
    (room / "two.py").write_text(KIND.format(name="One", kind="one") + KIND.format(name="Two", kind="two"))

    with pytest.raises(TypeError, match="holds 2 kinds"):
        found(room)


def test_a_module_without_a_kind_is_refused(room: Path) -> None:
    (room / "none.py").write_text("from drd.ports.action import Action\n")

    with pytest.raises(TypeError, match="holds 0 kinds"):
        found(room)


def test_two_modules_with_one_key_are_refused(room: Path) -> None:
    (room / "one.py").write_text(KIND.format(name="One", kind="dance"))
    (room / "other.py").write_text(KIND.format(name="Other", kind="dance"))

    with pytest.raises(TypeError, match="both call their kind dance"):
        found(room)
