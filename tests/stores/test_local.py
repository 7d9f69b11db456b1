from pathlib import Path

import pytest
from pydantic import ValidationError

from drd.ports.world import World
from drd.stores.local import LocalStore


def test_a_bare_path_is_a_local_store() -> None:
    assert LocalStore.model_validate("/srv/drd") == LocalStore(path=Path("/srv/drd"))


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(ValidationError, match="write the whole path"):
        LocalStore.model_validate("repository")


async def test_the_look_tells_the_free_space(world: World, tmp_path: Path) -> None:
    look = await LocalStore(path=tmp_path / "repository").look(world)
    assert look.reachable
    assert (look.free_bytes or 0) > 0


async def test_a_folder_whose_parent_is_missing_is_not_reachable_and_says_what_to_type(
    world: World, tmp_path: Path
) -> None:
    look = await LocalStore(path=tmp_path / "no" / "repository").look(world)
    assert not look.reachable
    assert look.hint == f"mkdir -p {tmp_path / 'no'}"


async def test_a_file_in_the_way_is_told(world: World, tmp_path: Path) -> None:
    (tmp_path / "repository").write_text("in the way")
    look = await LocalStore(path=tmp_path / "repository").look(world)
    assert not look.reachable
    assert "not a folder" in look.message
