"""Base backups that were restored: a server starts from them as they are, and they get into nobody's way."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drd.clients.postgres_tools import ProgramsOfPostgres, find_programs, restored
from drd.core.errors import PermanentError, UsageError
from drd.core.postgres.base import BaseRecord
from drd.ports.source import Settled, Wanted
from drd.ports.world import World
from drd.sources.postgres import PostgresSource
from tests.postgres_lab import Cluster, Lab
from tests.sources.test_postgres import opened, source
from tests.system.programs import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(postgres_lab: Lab) -> Cluster:
    settings = {"archive_mode": "on", "archive_command": "/bin/true", "cluster_name": "shop"}
    cluster = postgres_lab.new("shop", segment_mib=1, settings=settings)
    for name in ("fast", "wide"):
        cluster.execute(f"CREATE TABLESPACE {name} LOCATION '{cluster.make_folder(name)}'")
    cluster.execute("CREATE TABLE orders (number int PRIMARY KEY) TABLESPACE fast")
    cluster.execute("INSERT INTO orders SELECT generate_series(1, 1000)")
    cluster.execute("CREATE TABLE pictures (name text) TABLESPACE wide")
    cluster.execute("CREATE UNLOGGED TABLE baskets (number int)")
    cluster.execute("INSERT INTO baskets VALUES (1)")
    cluster.execute("SELECT lo_from_bytea(4711, decode(repeat('c0ffee', 5000), 'hex'))")
    return cluster


class Copy:
    """What restic would have written, and what it is to become."""

    def __init__(self, lab: Lab, cluster: Cluster, facts: tuple[str, ...], world: World) -> None:
        self.cluster = cluster
        self.folder = cluster.folder / "work"
        self.place = cluster.data
        self.facts = facts
        self._world = world
        self._lab = lab

    @property
    def record(self) -> BaseRecord:
        found = BaseRecord.of_tags(self.facts)
        assert found is not None
        return found

    async def settle(self, **options: str) -> Settled:
        """Make it whole, and give everything its place as the engine does."""
        words = {name.replace("_", "-"): value for name, value in options.items()}
        wanted = Wanted("orders", self.facts, self.place, words)
        await PostgresSource.look_at_place(self._world, wanted)
        settled = await PostgresSource.settled(self._world, wanted, self.folder, lambda _: None)
        (self.folder / settled.folder).rename(self.place)
        for name, place in settled.others.items():
            (self.folder / name).rename(place)
        return settled

    def links(self) -> dict[int, Path]:
        return {int(link.name): link.readlink() for link in (self.place / "pg_tblspc").iterdir()}

    def spaces(self) -> Path:
        return self.place.with_name("data.tablespaces")


@pytest.fixture
async def copy(shop: Cluster, postgres_lab: Lab, world: World, tmp_path: Path, request: Any) -> Any:
    place = postgres_lab._place(f"r{len(postgres_lab._clusters)}", has_port=False)
    async with opened(source(tmp_path, shop.dsn(), postgres_lab), world) as (folder, prepared):
        shutil.copytree(folder, place.folder / "work", symlinks=True)
    yield Copy(postgres_lab, place, prepared.facts, world)
    place.kill()


@pytest.fixture
def elsewhere(postgres_lab: Lab) -> Iterator[Path]:
    folder = postgres_lab.folder / "elsewhere"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


async def test_a_server_starts_from_it_and_stays_out_of_its_originals_way(copy: Copy, shop: Cluster) -> None:
    settled = await copy.settle()
    assert "pg_verifybackup found it whole" in settled.notes
    assert any("archive_mode off" in note for note in settled.notes)
    assert copy.links() == {oid: copy.spaces() / str(oid) for oid in copy.record.tablespaces}
    assert copy.place.stat().st_mode & 0o777 == 0o700
    [line] = settled.following
    assert line.endswith(f"pg_ctl -D {copy.place} -l {copy.place}/restored.log start")
    copy.cluster.start()
    assert copy.cluster.value("SELECT count(*) FROM orders") == 1000
    assert copy.cluster.value("SELECT count(*) FROM baskets") == 0
    assert copy.cluster.value("SELECT md5(lo_get(4711))") == shop.value("SELECT md5(lo_get(4711))")
    assert [copy.cluster.value(f"SHOW {name}") for name in ("archive_mode", "cluster_name")] == [
        "off",
        "orders_restored",
    ]
    assert copy.cluster.value("SELECT reset_val FROM pg_settings WHERE name = 'archive_mode'") == "off"
    assert (
        "port = '543" in (copy.place / "postgresql.auto.conf").read_text()
        or "port = '55" in (copy.place / "postgresql.auto.conf").read_text()
    )


async def test_a_tablespace_lies_where_a_person_says_and_nowhere_else(copy: Copy, elsewhere: Path) -> None:
    first, second = copy.record.tablespaces
    settled = await copy.settle(**{f"tablespace.{first}": str(elsewhere / "deep" / "fast")})
    assert settled.placed == (elsewhere / "deep" / "fast",)
    assert copy.links() == {first: elsewhere / "deep" / "fast", second: copy.spaces() / str(second)}
    copy.cluster.start()
    assert copy.cluster.value("SELECT count(*) FROM orders") == 1000


async def test_a_folder_that_is_there_for_a_tablespace_stays_the_one_it_is(copy: Copy, elsewhere: Path) -> None:
    first, _ = copy.record.tablespaces
    before = elsewhere.stat().st_ino
    settled = await copy.settle(**{f"tablespace.{first}": str(elsewhere)})
    assert elsewhere.stat().st_ino == before
    assert [path.parent for path in settled.placed] == [elsewhere]
    copy.cluster.start()
    assert copy.cluster.value("SELECT count(*) FROM orders") == 1000


async def test_what_takes_the_place_of_the_original_begins_a_timeline_of_its_own(copy: Copy) -> None:
    settled = await copy.settle(as_original="yes", port="5999")
    assert any("as the original" in note for note in settled.notes)
    copy.cluster.start()
    assert copy.cluster.value("SHOW archive_mode") == "on"
    assert copy.cluster.value("SHOW cluster_name") == "shop"
    wait_for(lambda: not copy.cluster.value("SELECT pg_is_in_recovery()"), "recovery ends")
    copy.cluster.stop()
    assert (copy.place / "pg_wal" / "00000002.history").exists()


async def test_a_byte_that_differs_fails_it_and_leaves_nothing(copy: Copy, elsewhere: Path) -> None:
    first, _ = copy.record.tablespaces
    damaged = max((copy.folder / "base.tablespaces" / str(first)).rglob("[0-9]*"), key=lambda path: path.stat().st_size)
    with damaged.open("r+b") as file:
        file.seek(100)
        file.write(bytes([file.read(1)[0] ^ 1]))
    with pytest.raises(PermanentError, match=r"not as the server had sent it: .*checksum mismatch"):
        await copy.settle(**{f"tablespace.{first}": str(elsewhere / "fast")})
    assert list(elsewhere.iterdir()) == []
    assert not copy.place.exists()


@pytest.mark.parametrize("lacking", ["base/backup_label", "base/global/pg_control", "base.json", "base/PG_VERSION"])
async def test_without_what_recovery_begins_by_it_is_refused(copy: Copy, lacking: str) -> None:
    (copy.folder / lacking).unlink()
    with pytest.raises(PermanentError):
        await copy.settle()
    assert not copy.place.exists()


async def test_a_tablespace_that_is_missing_or_a_link_is_refused(copy: Copy, elsewhere: Path) -> None:
    space = copy.folder / "base.tablespaces" / str(copy.record.tablespaces[0])
    space.rename(elsewhere / "there")
    space.symlink_to(elsewhere / "there")
    with pytest.raises(PermanentError, match="lacks its tablespace"):
        await copy.settle()


async def test_options_and_places_that_do_not_fit_are_refused(copy: Copy, elsewhere: Path) -> None:
    first, second = copy.record.tablespaces
    (elsewhere / "full").mkdir()
    (elsewhere / "full" / "file").touch()
    for options, sentence in [
        ({"tablespace.1": "/srv/x"}, "has no tablespace 1"),
        ({f"tablespace.{first}": "fast"}, "not an absolute path"),
        ({f"tablespace.{first}": str(copy.place / "fast")}, "inside of the cluster"),
        ({f"tablespace.{first}": str(elsewhere / "full")}, "not an empty folder"),
        ({f"tablespace.{oid}": str(elsewhere / "x") for oid in (first, second)}, "in one folder"),
        ({"colour": "blue"}, "nothing that a PostgreSQL cluster"),
        ({"port": "70000"}, "is no port"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            await copy.settle(**options)
    copy.spaces().mkdir()
    (copy.spaces() / str(first)).mkdir()
    (copy.spaces() / str(first) / "file").touch()
    with pytest.raises(UsageError, match="is there already"):
        await copy.settle()


async def test_what_was_taken_from_a_standby_becomes_none(copy: Copy) -> None:
    (copy.folder / "base" / "standby.signal").touch()
    with (copy.folder / "base" / "postgresql.auto.conf").open("a") as file:
        file.write("primary_conninfo = 'host=/nowhere'\nprimary_slot_name = 'taken'\nsynchronous_standby_names = '*'")
    await copy.settle()
    copy.cluster.start()
    assert copy.cluster.value("SELECT pg_is_in_recovery()") is False
    copy.cluster.execute("INSERT INTO orders VALUES (0)")


async def test_where_the_programs_are_not_there_it_says_that_it_was_not_verified(copy: Copy) -> None:
    (copy.folder / "base" / "PG_VERSION").write_text("99\n")
    description = copy.folder / "base.json"
    description.write_text(description.read_text().replace(f'"version": {copy.record.version}', '"version": 990001'))
    settled = await copy.settle()
    assert settled.notes[0].startswith("not verified by pg_verifybackup: the programs of PostgreSQL 99")
    assert any("pg_ctl -D" in line for line in settled.following)


async def test_configuration_that_lay_elsewhere_is_replaced_by_the_least_that_starts(
    copy: Copy, world: World, postgres_lab: Lab
) -> None:
    await copy.settle()
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        (copy.place / name).unlink()
    tools = ProgramsOfPostgres(await find_programs(15, world.runner, [postgres_lab.programs]), world.runner)
    control = await tools.control_data(copy.place)
    written = restored.add_missing_configuration(copy.place, control.settings)
    assert written == ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")
    assert "max_connections = 30" in (copy.place / "postgresql.conf").read_text()
    (copy.place / "pg_hba.conf").write_text("local all all trust\n")
    if os.geteuid() == 0 and postgres_lab.user:
        restored.give([copy.place], postgres_lab.user)
    copy.cluster.start()
    assert copy.cluster.value("SHOW max_connections") == "30"
