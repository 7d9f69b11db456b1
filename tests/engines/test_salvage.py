"""Bringing back from another repository: nothing of others goes for it, and nothing that does not lie aside."""

from dataclasses import replace
from pathlib import Path

import pytest

from drd.core.errors import PermanentError
from drd.engines.salvage import HIDDEN
from drd.ports.repairing import Lost
from tests.fakes.house import FakeHouse, a_store
from tests.fakes.repository import FakePlace

pytestmark = pytest.mark.looptime


async def a_house_that_lost_something() -> FakeHouse:
    """A house with one point in two repositories, of which a file is lost in the first."""
    local, offsite = FakePlace("local"), FakePlace("offsite")
    house = FakeHouse(stores=(a_store(local), a_store(offsite, site="far", metres=1e6, independent=True)))
    house.local, house.offsite = local, offsite
    await house.run()
    await house.copy.fill("offsite")
    local.lost = (Lost(*local.snapshots, path="/srv/orders"),)
    return house


async def test_a_snapshot_that_another_host_made_meanwhile_stays(tmp_path: Path) -> None:
    house = await a_house_that_lost_something()
    repository = house.repository("local")
    [mine] = house.local.snapshots.values()
    foreign = replace(mine, id="f0" * 32, host="another", tags=(*(each for each in mine.tags if "=" not in each), "x"))

    def meanwhile(work: str) -> None:
        if work == "copy_from":
            house.local.plant(foreign)

    repository.before = meanwhile
    assert await house.salvage.bring_back("local", repository, tmp_path)
    assert set(house.local.snapshots) == {foreign.id}


async def test_nothing_is_forgotten_that_could_not_be_put_aside(tmp_path: Path) -> None:
    house = await a_house_that_lost_something()
    before = dict(house.local.snapshots)
    house.carrier.not_put_aside = {"config": "it is not there"}
    repository = await house.stores.open("local")
    with pytest.raises(PermanentError, match="config: it is not there"):
        await house.salvage.bring_back("local", repository, tmp_path)
    assert house.local.snapshots == before


async def test_what_could_not_be_put_back_stays_where_it_lies(tmp_path: Path) -> None:
    house = await a_house_that_lost_something()
    folder = tmp_path / HIDDEN / "snapshots"
    folder.mkdir(parents=True)
    for name in ("aa", "bb"):
        (folder / name).write_bytes(b"a snapshot")
    house.carrier.not_mended = {"snapshots/aa": "it does not take it"}
    with pytest.raises(PermanentError, match="snapshots/aa: it does not take it"):
        await house.salvage.put_back("local", tmp_path)
    assert [each.name for each in folder.iterdir()] == ["aa"]
