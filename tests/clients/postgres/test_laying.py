"""Where a restored tablespace is laid, and who is to run its server."""

import os
import pwd
from pathlib import Path

import pytest

from drd.clients.postgres_tools import restored
from drd.core.errors import UsageError
from tests.system.disks import require_root, small_disk


def a_tablespace(folder: Path) -> Path:
    space = folder / "work" / "16385"
    (space / "PG_15_202209061" / "5").mkdir(parents=True)
    (space / "PG_15_202209061" / "5" / "16390").write_bytes(b"orders")
    return space


def test_a_tablespace_is_laid_where_nothing_is_yet(tmp_path: Path) -> None:
    wrote: list[Path] = []
    place = tmp_path / "deep" / "fast"
    restored.lay(a_tablespace(tmp_path), place, "tablespace 16385", wrote.append)
    assert wrote == [place]
    assert (place / "PG_15_202209061" / "5" / "16390").read_bytes() == b"orders"
    assert not (tmp_path / "work" / "16385").exists()


def test_a_tablespace_is_laid_into_a_mount_point(tmp_path: Path) -> None:
    require_root()
    wrote: list[Path] = []
    with small_disk(tmp_path / "fast", 4) as place:
        restored.lay(a_tablespace(tmp_path), place, "tablespace 16385", wrote.append)
        assert (place / "PG_15_202209061" / "5" / "16390").read_bytes() == b"orders"
        assert wrote == [place / "PG_15_202209061"]
        for path in wrote:
            restored.take_away(path)
        assert list(place.iterdir()) == []


def test_what_somebody_put_there_meanwhile_is_left_alone(tmp_path: Path) -> None:
    wrote: list[Path] = []
    place = tmp_path / "fast"
    place.mkdir()
    (place / "theirs").touch()
    space = a_tablespace(tmp_path)
    with pytest.raises(UsageError, match="for tablespace 16385, is there already and not an empty folder"):
        restored.lay(space, place, "tablespace 16385", wrote.append)
    assert wrote == []
    assert [path.name for path in place.iterdir()] == ["theirs"]
    assert (space / "PG_15_202209061").is_dir()


def test_a_server_runs_as_the_owner_of_the_place_or_of_the_folder_it_is_in(tmp_path: Path) -> None:
    require_root()
    nobody = pwd.getpwnam("nobody")
    assert restored.owner_for(tmp_path / "orders", lambda _: nobody) == "nobody"
    games = pwd.getpwnam("games")
    os.chown(tmp_path, games.pw_uid, games.pw_gid)
    assert restored.owner_for(tmp_path / "orders", lambda _: nobody) == "games"
    (tmp_path / "orders").mkdir()
    os.chown(tmp_path / "orders", nobody.pw_uid, nobody.pw_gid)
    assert restored.owner_for(tmp_path / "orders") == "nobody"
    os.chown(tmp_path / "orders", 4_000_000, 4_000_000)
    assert restored.owner_for(tmp_path / "orders") == "games"


def test_without_a_user_who_may_run_a_server_root_is_told_what_to_do(tmp_path: Path) -> None:
    require_root()
    accounts: dict[str, pwd.struct_passwd] = {}
    user = restored.owner_for(tmp_path / "orders", accounts.__getitem__)
    assert user is None
    with pytest.raises(UsageError, match="does not run as root") as caught:
        restored.demand_user(tmp_path / "orders", user)
    assert "adduser" in caught.value.hint
    restored.demand_user(tmp_path / "orders", "postgres")
