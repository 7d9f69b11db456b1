"""What drd's own engines do for steps of runbooks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drd.core.errors import PermanentError, TransientError, UsageError
from drd.core.events import PolicyAdded
from drd.core.health import Hysteresis
from drd.core.policy import Mode
from drd.core.postgres.heartbeat import Beat
from drd.core.probing import Failure
from drd.core.secrets import SecretReference
from drd.engines.runbook_services import EngineServices
from drd.ports.machines import Contact
from drd.ports.probe import ServiceWatch, Target, Watch
from tests.core.watched import primary, standby
from tests.fakes.house import DAEMON, FakeHouse, a_policy, protected
from tests.fakes.probe import Answers, FakeProbe
from tests.fakes.source import FakeSource

pytestmark = pytest.mark.looptime


def services(house: FakeHouse) -> EngineServices:
    return EngineServices(
        house.in_force,
        house.dispatch,
        house.restore,
        house.watching,
        house.journal,
        house.messenger,
        house.world,
        DAEMON,
        house.stores,
        house.queues,
    )


async def test_a_full_is_waited_for_also_behind_an_incremental_that_is_under_way() -> None:
    house = FakeHouse(protected(a_policy(incremental={"every": "15m"})))
    await house.journal.append(PolicyAdded("orders"))
    await house.run()
    ours = services(house)
    house.repository("local").seconds["save"] = 60
    await asyncio.sleep(10)
    before = house.clock.now()
    other = asyncio.create_task(ours.backup("orders", full=False))
    await asyncio.sleep(1)
    assert not await ours.is_backed_up("orders", full=True, since=before)
    run = await ours.backup("orders", full=True)
    assert await other != run
    record = await house.journal.policy("orders")
    assert record is not None
    assert record.last_success_start[Mode.FULL] > before
    assert await ours.is_backed_up("orders", full=True, since=before)
    assert not await ours.is_backed_up("nothing", full=True, since=before)


async def test_a_folder_is_kept_in_the_first_store_that_answers_and_is_no_point_of_the_policy(tmp_path: Path) -> None:
    house = FakeHouse()
    (tmp_path / "wal.tar").write_bytes(b"wal")
    house.local.away = house.offsite.away = "the line is cut"
    assert await services(house).keep("orders", tmp_path, "stranded-orders-1") == ""
    house.local.away = house.offsite.away = ""
    assert await services(house).keep("orders", tmp_path, "stranded-orders-1") == "local"
    [kept] = await house.repository("local").snapshots()
    assert kept.tags == ("stranded-orders-1", "of=orders")
    assert await house.journal.points("orders") == ()


async def test_witnesses_who_cannot_tell_yet_are_waited_for_and_others_are_not() -> None:
    dead = Answers(failure=Failure.REFUSED)
    FakeProbe.ANSWERS.clear()
    FakeProbe.ANSWERS.update({"one": dead, "two": Answers(standby(heard_seconds_ago=None, is_receiving=False))})
    targets = tuple(Target("orders", name, "127.0.0.1") for name in FakeProbe.ANSWERS)
    plan = a_policy().model_copy(update={"nodes": tuple(FakeProbe.ANSWERS)})
    house = FakeHouse(replace(protected(plan), watch=Watch(targets, (FakeProbe(),), Hysteresis(1.0, 0.5))))
    ours, clock = services(house), asyncio.get_running_loop().time
    with pytest.raises(PermanentError, match="one is not looked at yet"):
        await ours.confirm_lost("orders", "one", by_probes=True, by_standbys=True)
    looking = asyncio.create_task(house.watching.serve("orders"))
    said = await ours.confirm_lost("orders", "one", by_probes=True, by_standbys=True)
    assert said == "one: process dead; two receives nothing from it"

    dead.failure, dead.seen = None, primary()
    await asyncio.sleep(10)
    asked = clock()
    with pytest.raises(PermanentError, match="one is not seen to be lost: well"):
        await ours.confirm_lost("orders", "one", by_probes=True, by_standbys=True)
    assert clock() == asked
    with pytest.raises(PermanentError, match="three is not watched"):
        await ours.confirm_lost("orders", "three", by_probes=True, by_standbys=True)
    looking.cancel()


async def test_a_backup_that_fails_fails_the_step() -> None:
    house = FakeHouse()
    house.local.away = house.offsite.away = "the line is cut"
    with pytest.raises(PermanentError, match=r"backup of orders did not succeed: .*the line is cut"):
        await services(house).backup("orders", full=False)
    await house.dispatch.drain(0)
    with pytest.raises(TransientError, match="is leaving"):
        await services(house).backup("orders", full=False)
    with pytest.raises(PermanentError, match="no policy nothing"):
        await services(house).backup("nothing", full=False)


async def test_a_restore_is_known_by_its_record_and_a_moment_is_read_in_the_zone() -> None:
    house = FakeHouse()
    await house.run()
    ours, before = services(house), house.clock.now()
    assert not await ours.is_restored("orders", before)
    with pytest.raises(UsageError, match="yesterday is no moment"):
        await ours.restore("orders", "yesterday", "/srv/back", None, "anna")
    with pytest.raises(UsageError, match="oldest good one"):
        await ours.restore("orders", (before - timedelta(days=1)).strftime("%Y-%m-%d %H:%M"), "/srv", None, "anna")


async def test_people_are_told_at_one_of_their_addresses_and_failures_name_them() -> None:
    house = FakeHouse()
    addresses = (SecretReference(env="FIRST"), SecretReference(env="SECOND"))
    contacts = {"anna": Contact("Anna", addresses), "bob": Contact("Bob")}
    house.in_force.replace(replace(house.in_force(), contacts=contacts))
    ours = services(house)
    assert await ours.tell(("anna", "anna", "bob", "nobody"), "it burns") == (
        "bob has no address",
        "nobody has no address",
    )
    assert [text for _, text in house.messenger.sent] == ["it burns", "it burns"]
    house.messenger.is_away = True
    [failure] = await ours.tell(("anna",), "it burns")
    assert failure == "anna: the address does not answer; the address does not answer"


@dataclass
class Database:
    """A primary that keeps what it is told, unless it forgets."""

    forgets: bool = False
    rows: list[Any] = field(default_factory=list)

    async def beat(self, beat: Beat) -> Any:
        written = SimpleNamespace(beat=beat, written=timedelta(len(self.rows)))
        if not self.forgets:
            self.rows.append(written)
        return written

    async def heartbeats(self) -> tuple[Any, ...]:
        return tuple(self.rows)


async def test_a_service_is_used_as_its_users_reach_it_and_may_take_a_moment() -> None:
    answers = Answers(failure=Failure.REFUSED)
    FakeProbe.ANSWERS.clear()
    FakeProbe.ANSWERS[""] = answers
    watch = ServiceWatch(Target("orders", "", ""), FakeProbe(), Hysteresis(1.0, 0.5))
    ours = services(FakeHouse(replace(protected(a_policy()), service=watch)))
    using = asyncio.create_task(ours.use("orders"))
    await asyncio.sleep(2)
    assert not using.done()
    answers.failure = None
    assert await using == "orders"
    assert answers.writes_as == f"{DAEMON} verify"
    answers.failure = Failure.REFUSED
    with pytest.raises(TransientError, match="orders does not answer as its users reach it: refused"):
        await ours.use("orders")


async def test_a_service_is_used_by_a_row_that_is_read_back() -> None:
    house = FakeHouse()
    with pytest.raises(UsageError, match="nothing says how the users of orders reach it"):
        await services(house).use("orders")

    database = Database()

    class Servers:
        @asynccontextmanager
        async def reached(self, *_: Any) -> AsyncIterator[Any]:
            yield SimpleNamespace(name="orders-2", server=database)

    class WithServers(FakeSource):
        @property
        def servers(self) -> Any:
            return Servers()

    house = FakeHouse(protected(a_policy(), main=WithServers()))
    assert await services(house).use("orders") == "orders-2"
    assert database.rows[0].beat.daemon == f"{DAEMON} verify"
    database.forgets, database.rows = True, []
    with pytest.raises(PermanentError, match="is not read back"):
        await services(house).use("orders")
