"""Whether a data directory on this host is that of the server that answers, told from its files alone."""

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest

from drd.clients.postgres.data_directory import data_directory_here
from drd.core.errors import PermanentError
from drd.core.postgres.server import ServerFacts, Tablespace

STARTED = datetime(2026, 11, 22, 12, tzinfo=UTC)
CATALOGUE = 202209061


@pytest.fixture
def facts(tmp_path: Path) -> ServerFacts:
    data = tmp_path / "a [main]*"
    for name in ("base", "global", "pg_wal", "pg_xact", "pg_replslot/drd_read_1"):
        (data / name).mkdir(parents=True)
    control = b"".join(number.to_bytes(size, sys.byteorder) for number, size in ((4711, 8), (1300, 4), (CATALOGUE, 4)))
    (data / "global/pg_control").write_bytes(control.ljust(8192, b"\0"))
    (data / "postmaster.pid").write_text(f"17\n{data}\n{int(STARTED.timestamp())}\n5432\n")
    (tmp_path / f"fast/PG_15_{CATALOGUE}").mkdir(parents=True)
    return ServerFacts(
        system_identifier="4711",
        version=150018,
        timeline=1,
        is_in_recovery=False,
        has_checksums=True,
        segment_bytes=2**24,
        wal_level="replica",
        archive_mode="off",
        max_slot_wal_keep_bytes=None,
        data_directory=PurePosixPath(data),
        tablespaces=(Tablespace("fast", 16385, PurePosixPath(tmp_path / "fast")),),
    )


def test_the_servers_own_is_found_with_its_tablespaces(facts: ServerFacts, tmp_path: Path) -> None:
    found = data_directory_here(facts, STARTED + timedelta(seconds=1))
    assert found.content.paths == (tmp_path / "a [main]*", tmp_path / f"fast/PG_15_{CATALOGUE}")
    assert f"{tmp_path}/a \\[main\\]\\*/pg_wal/*" in found.content.excludes
    assert f"{tmp_path}/a \\[main\\]\\*/global/pg_control" in found.content.excludes
    found.demand_slot("drd_read_1")
    with pytest.raises(PermanentError, match="is not the data directory of that server"):
        found.demand_slot("drd_read_2")


def test_it_is_the_one_that_a_link_leads_to(facts: ServerFacts, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a [main]*")
    linked = replace(facts, data_directory=PurePosixPath(tmp_path / "link"))
    assert data_directory_here(linked, STARTED).path == tmp_path / "a [main]*"


def test_that_of_another_cluster_is_told(facts: ServerFacts) -> None:
    with pytest.raises(PermanentError, match="is of another cluster"):
        data_directory_here(replace(facts, system_identifier="4712"), STARTED)


def test_that_of_a_standby_with_the_same_path_is_told(facts: ServerFacts) -> None:
    with pytest.raises(PermanentError, match="is of another server"):
        data_directory_here(facts, STARTED + timedelta(hours=1))


def test_one_that_is_not_here_or_that_the_role_may_not_see_is_told(facts: ServerFacts) -> None:
    with pytest.raises(PermanentError, match="/nowhere is not on this host"):
        data_directory_here(replace(facts, data_directory=PurePosixPath("/nowhere")), STARTED)
    with pytest.raises(PermanentError, match="may not ask") as caught:
        data_directory_here(replace(facts, data_directory=None), STARTED)
    assert "pg_read_all_settings" in caught.value.hint


def test_folders_that_a_link_leads_away_from_are_not_read(facts: ServerFacts, tmp_path: Path) -> None:
    (tmp_path / "a [main]*" / "pg_log").symlink_to(tmp_path)
    with pytest.raises(PermanentError, match="is a link to a folder elsewhere"):
        data_directory_here(facts, STARTED)


@pytest.mark.parametrize("location", ["pg_tblspc/16385", "inside"])
def test_tablespaces_inside_of_it_are_not_read(location: str, facts: ServerFacts, tmp_path: Path) -> None:
    where = tmp_path / "a [main]*" / "inside"
    where.mkdir()
    space = Tablespace("fast", 16385, PurePosixPath(where if location == "inside" else location))
    with pytest.raises(PermanentError, match="the tablespace fast lies in the data directory"):
        data_directory_here(replace(facts, tablespaces=(space,)), STARTED)
