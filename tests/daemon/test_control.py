"""What people ask of drd, answered by the engines themselves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drd.core.errors import Busy, PermanentError, UsageError
from drd.core.events import HoldPlaced, HoldReleased, RetentionHeld, RunStarted, StoreReconciled
from drd.core.policy import Cause, Mode, Outcome
from drd.daemon.control import HouseControl
from drd.daemon.startup import start_up
from drd.engines.run_result import Request
from drd.engines.work_queues import JobClass
from drd.ports.restoring import RestoreOrder
from drd.ports.steps import Step
from tests.fakes.clock import START
from tests.fakes.house import FakeHouse, a_policy, a_store, protected
from tests.fakes.repository import FakePlace
from tests.fakes.source import FakeSource

pytestmark = pytest.mark.looptime


async def nothing_to_reload() -> tuple[str, ...]:
    return ()


@asynccontextmanager
async def controlled(house: FakeHouse, *stores: str, scheduled: bool = False) -> AsyncIterator[HouseControl]:
    """Control over a house in which these stores are filled."""
    await start_up(house.house)
    tasks = [asyncio.create_task(house.copy.serve(store)) for store in stores or ("local", "offsite")]
    if scheduled:
        tasks.append(asyncio.create_task(house.scheduler.serve()))
    await asyncio.sleep(0)
    try:
        yield HouseControl(house.house, START, nothing_to_reload)
    finally:
        await house.dispatch.drain(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def told(steps: AsyncIterator[Step]) -> list[Step]:
    async with asyncio.timeout(3600):
        return [step async for step in steps]


async def test_a_store_whose_bucket_does_not_lock_as_was_declared_is_shown() -> None:
    house = FakeHouse()
    far = a_store(house.offsite, site="far", metres=1.2e6, immutable_days=30)
    house = FakeHouse(stores=(a_store(house.local), far))
    async with controlled(house) as control:
        assert (await control.status()).warnings == ()
        await house.stores.look("offsite")
        assert (await control.status()).warnings == (
            "store offsite is declared immutable for 30 days, but the bucket has no object lock by default",
        )


async def test_a_backup_is_followed_into_every_store() -> None:
    house = FakeHouse()
    house.carrier.seconds = 30
    async with controlled(house) as control:
        steps = await told(control.backup("orders", full=False, by="anna"))
    assert steps[0].text == "full backup of orders"  # the first run is a full one, whatever was asked for
    assert [step.text.split(" in ")[-1] for step in steps if step.kind == "fact"] == ["local", "offsite"]
    assert (steps[-1].kind, steps[-1].exit_code, steps[-1].text) == ("finished", 0, "saved, 605 B new")
    assert house.journal.of(RunStarted)[0].cause is Cause.MANUAL


async def test_a_backup_does_not_wait_for_a_store_that_is_away() -> None:
    house = FakeHouse()
    house.offsite.away = "the line is cut"
    async with controlled(house) as control:
        steps = await told(control.backup("orders", full=True, by="anna"))
        assert steps[-1].exit_code == 3
        assert steps[-1].message == "store offsite gets its copy later: the line is cut"
        again = await told(control.backup("orders", full=True, by="anna"))
        assert again[-1].exit_code == 3
    assert steps[-1].result["late"] == ["offsite"]


async def test_a_backup_does_not_wait_for_a_store_whose_failure_was_told_long_ago() -> None:
    house = FakeHouse()
    async with controlled(house) as control:
        await told(control.backup("orders", full=True, by="anna"))
        house.offsite.identity = "5e" * 32
        for _ in range(2):
            began = asyncio.get_running_loop().time()
            steps = await told(control.backup("orders", full=True, by="anna"))
            assert steps[-1].exit_code == 3
            assert "another repository" in steps[-1].message
            assert asyncio.get_running_loop().time() - began < 10


async def test_a_backup_does_not_wait_where_nobody_fills_a_store() -> None:
    house = FakeHouse()
    async with controlled(house, "local") as control:
        steps = await told(control.backup("orders", full=True, by="anna"))
    assert steps[-1].message == "store offsite gets its copy later: nobody fills it in this process; the daemon does"


async def test_a_backup_sees_copies_that_were_made_before_anybody_looked() -> None:
    house = FakeHouse()
    house.repository("local").seconds["save"] = 60
    async with controlled(house) as control:
        joined = house.dispatch.submit(Request("orders", Mode.FULL, Cause.SCHEDULE))
        assert joined is not None
        steps = control.backup("orders", full=True, by="anna")
        assert (await anext(steps)).kind == "started"
        await joined.task
        await asyncio.sleep(300)  # the copy is long made when the next step is asked for
        rest = await told(steps)
    assert rest[-1].exit_code == 0
    assert len(house.journal.of(RunStarted)) == 1


async def test_a_full_backup_waits_for_the_incremental_that_is_under_way() -> None:
    house = FakeHouse(protected(a_policy(full={"every": "24h"}, incremental={"every": "12h"})))
    async with controlled(house) as control:
        await told(control.backup("orders", full=True, by="anna"))
        house.repository("local").seconds["save"] = 60
        house.dispatch.submit(Request("orders", Mode.INCREMENTAL, Cause.SCHEDULE))
        steps = await told(control.backup("orders", full=True, by="anna"))
    assert steps[0].text == "an incremental run is under way; the full starts after it"
    assert [fact.mode for fact in house.journal.of(RunStarted)] == [Mode.FULL, Mode.INCREMENTAL, Mode.FULL]


async def test_a_backup_that_fails_says_why_and_what_to_type() -> None:
    house = FakeHouse(
        protected(a_policy(), main=FakeSource(refusal=PermanentError("/srv is not mounted", "mount /srv")))
    )
    async with controlled(house) as control:
        steps = await told(control.backup("orders", full=True, by="anna"))
    last = steps[-1]
    assert (last.outcome, last.message, last.hint, last.exit_code) == (
        Outcome.FAILED,
        "/srv is not mounted",
        "mount /srv",
        1,
    )


async def test_a_backup_of_one_store_ends_with_its_run() -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    async with controlled(house) as control:
        assert (await told(control.backup("orders", full=True, by="anna")))[-1].exit_code == 0


async def test_a_backup_while_drd_leaves_is_refused_as_busy() -> None:
    house = FakeHouse()
    async with controlled(house) as control:
        await house.dispatch.drain(0)
        assert [step.exit_code for step in await told(control.backup("orders", full=True, by="anna"))] == [75]


async def test_who_stops_watching_stops_nothing() -> None:
    house = FakeHouse()
    house.repository("local").seconds["save"] = 60
    async with controlled(house) as control:
        steps = control.backup("orders", full=True, by="anna")
        await anext(steps)
        await steps.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(90)
        assert [point.stores for point in await house.journal.points("orders")] == [("local", "offsite")]


async def test_a_policy_that_is_not_there_is_named_with_those_that_are() -> None:
    async with controlled(FakeHouse()) as control:
        with pytest.raises(UsageError, match="there is no policy attic — the policies are: orders"):
            await told(control.backup("attic", full=True, by="anna"))


async def test_points_are_told_newest_first_with_reasons_when_asked() -> None:
    house = FakeHouse()
    async with controlled(house) as control:
        for _ in range(2):
            await told(control.backup("orders", full=True, by="anna"))
            await asyncio.sleep(60)
        points = await control.points("orders", why=True)
    assert [point.moment > points[-1].moment for point in points] == [True, False]
    assert points[0].why_kept == {"local": ("last snapshot",), "offsite": ("last snapshot",)}


async def test_reasons_of_a_store_that_is_away_do_not_hide_the_others() -> None:
    house = FakeHouse()
    async with controlled(house) as control:
        await told(control.backup("orders", full=True, by="anna"))
        house.offsite.away = "the line is cut"
        await house.stores.went_away("offsite", "the line is cut")
        [point] = await control.points("orders", why=True)
        lines = await control.forget_plan("orders")
    assert point.why_kept == {"local": ("last snapshot",), "offsite": ("store offsite is away: the line is cut",)}
    assert [(line.store, line.action) for line in lines] == [("local", "keep"), ("offsite", "keep")]


async def test_a_new_machine_learns_the_points_from_the_stores() -> None:
    house = FakeHouse()
    async with controlled(house) as control:
        await told(control.backup("orders", full=True, by="anna"))
    fresh = FakeHouse()
    for name in ("local", "offsite"):
        old, new = house.carrier.places[name], fresh.carrier.places[name]
        new.identity, new.passwords, new.snapshots, new.trees = old.identity, old.passwords, old.snapshots, old.trees
    async with controlled(fresh) as control:
        steps = await told(control.restore(RestoreOrder(policy="orders", target="relative", by="anna")))
        assert "not an absolute path" in steps[-1].message  # after the point was found
        assert [point.stores for point in await fresh.journal.points("orders")] == [("local", "offsite")]


async def test_a_restore_on_a_new_machine_makes_no_repository() -> None:
    house = FakeHouse()
    async with controlled(house) as control:
        with pytest.raises(UsageError, match="no good recovery point"):
            await told(control.restore(RestoreOrder(policy="orders", target="/nowhere", by="anna")))
    assert (house.local.identity, house.offsite.identity) == (None, None)


async def test_retention_that_one_store_refuses_is_still_applied_in_the_other() -> None:
    house = FakeHouse()
    async with controlled(house) as control:
        for _ in range(5):
            await told(control.backup("orders", full=True, by="anna"))
            await asyncio.sleep(3600)
        house.local.append_only = True
        steps = await told(control.forget("orders", "anna"))
    assert len(house.local.snapshots) == 5
    assert len(house.offsite.snapshots) == 3
    assert steps[-1].exit_code == 1
    assert "still lists 2 snapshots" in steps[-1].message


async def test_a_pause_ends_by_a_person_whatever_it_was_for() -> None:
    house = FakeHouse(protected(a_policy(to=("local",), full={"every": "10m"})))
    async with controlled(house, scheduled=True) as control:
        await asyncio.sleep(60)
        until = house.clock.now() + timedelta(hours=5)
        await control.pause("orders", "backup", until, "a migration", "anna")
        await asyncio.sleep(1200)
        assert len(house.journal.of(RunStarted)) == 1
        await control.resume("orders", "anna")
        assert await house.journal.pauses() == ()
        await asyncio.sleep(10)
        assert len(house.journal.of(RunStarted)) == 2


async def test_a_pause_of_failovers_pauses_no_backups_and_of_several_the_longest_is_told() -> None:
    house = FakeHouse()
    await house.run()
    async with controlled(house) as control:
        now = house.clock.now()
        await control.pause("orders", "failover", now + timedelta(hours=9), "", "anna")
        [policy] = (await control.status()).policies
        assert policy.state != "paused"
        await control.pause("orders", "all", now + timedelta(hours=2), "", "anna")
        await control.pause("orders", "backup", now + timedelta(hours=1), "", "anna")
        [policy] = (await control.status()).policies
        assert policy.note == f"until {(now + timedelta(hours=2)).isoformat(sep=' ', timespec='minutes')}"


async def test_a_pause_in_the_past_is_refused() -> None:
    async with controlled(FakeHouse()) as control:
        with pytest.raises(UsageError, match="ends in the future"):
            await control.pause("orders", "all", START - timedelta(hours=1), "", "anna")


async def test_a_hold_is_released_by_a_person_and_only_where_there_is_one() -> None:
    house = FakeHouse()
    async with controlled(house) as control:
        with pytest.raises(UsageError, match="nothing holds"):
            await control.release("local", "anna")
        await house.journal.append(HoldPlaced("local", "damage"))
        assert await control.release("local", "anna") == "damage"
    assert [fact.by for fact in house.journal.of(HoldReleased)] == ["anna"]


async def test_accepting_a_store_takes_what_is_there_and_lifts_the_hold() -> None:
    house = FakeHouse()
    async with controlled(house) as control:
        await told(control.backup("orders", full=True, by="anna"))
        house.local.identity = None
        house.local.snapshots.clear()
        with pytest.raises(PermanentError):
            await house.reconcile.reconcile("local")
        assert await control.accept("local", "anna") == house.local.identity
    assert (await house.journal.stores())["local"].hold is None
    kinds = [type(event.body) for event in house.journal.events]
    assert kinds.index(HoldReleased) > max(place for place, kind in enumerate(kinds) if kind is StoreReconciled)


async def test_accepting_a_store_leaves_a_hold_for_another_reason_and_one_that_could_not_be_reconciled() -> None:
    house = FakeHouse()
    async with controlled(house) as control:
        await told(control.backup("orders", full=True, by="anna"))
        await house.journal.append(HoldPlaced("local", "its last check found damage"))
        await control.accept("local", "anna")
        assert (await house.journal.stores())["local"].hold == "its last check found damage"
        await house.journal.append(HoldPlaced("offsite", "holds repository 5e now", is_identity=True))

        def fail(work: str) -> None:
            if work == "snapshots":
                raise PermanentError("it cannot be listed", "look at it")

        house.repository("offsite").before = fail
        with pytest.raises(PermanentError, match="cannot be listed"):
            await control.accept("offsite", "anna")
        assert (await house.journal.stores())["offsite"].hold is not None


async def test_a_check_tells_what_it_found() -> None:
    house = FakeHouse()
    async with controlled(house) as control:
        await told(control.backup("orders", full=True, by="anna"))
        assert (await told(control.check("local", "anna")))[-1].exit_code == 0
        house.local.damage = ("pack 1f does not match its name",)
        last = (await told(control.check("local", "anna")))[-1]
    assert (last.exit_code, last.message) == (1, "pack 1f does not match its name")


async def test_status_says_how_policies_and_stores_stand() -> None:
    house = FakeHouse(protected(a_policy(full={"every": "1h"}, require={"copies": 2})))
    async with controlled(house) as control:
        await told(control.backup("orders", full=True, by="anna"))
        house.offsite.away = "the line is cut"
        await house.stores.went_away("offsite", "the line is cut")
        found = await control.status()
    [policy] = found.policies
    assert (policy.state, policy.last_outcome) == ("ok", Outcome.SUCCEEDED)
    assert policy.next_run == policy.copies[0].moment + timedelta(hours=1)  # type: ignore[operator]
    assert [(store.name, store.state) for store in found.stores] == [("local", "ok"), ("offsite", "away")]


async def test_explain_says_that_mistakes_keep_a_policy_from_starting_by_itself() -> None:
    house = FakeHouse(protected(a_policy(full={"every": "1h"})))

    def break_(work: str) -> None:
        if work == "save":
            raise KeyError("a mistake")

    house.repository("local").before = break_
    async with controlled(house, scheduled=True) as control:
        await asyncio.sleep(600)
        assert house.dispatch.quarantined() == {"orders"}
        lines = await control.explain("orders")
    assert "nothing starts by itself: mistakes in drd ended the last runs; to try it, type: drd backup orders" in lines


async def test_explain_says_what_of_a_busy_machine_holds_a_run_back() -> None:
    house = FakeHouse(protected(a_policy(full={"every": "1h"}, window={"cpu": "50 %"})))
    house.host.busy = 0.9
    async with controlled(house, scheduled=True) as control:
        await asyncio.sleep(60)
        lines = await control.explain("orders")
    assert (
        "a full run is due now (schedule), and held back for an hour at most: "
        "the processors are 90 % busy, and window: cpu: allows 50 %" in lines
    )


async def test_explain_says_what_a_person_has_paused_and_why_while_a_run_is_under_way_too() -> None:
    house = FakeHouse(protected(a_policy(full={"every": "1h"})))
    async with controlled(house) as control:
        await control.pause("orders", "backup", house.clock.now() + timedelta(hours=2), "the disk is moved", "anna")
        [line] = [line for line in await control.explain("orders") if "paused" in line]
    assert line.startswith("backup is paused until ")
    assert line.endswith("by anna: the disk is moved; to end that, type: drd resume orders")


async def test_explain_says_what_happens_next_and_what_is_missing() -> None:
    house = FakeHouse(protected(a_policy(full={"every": "1h"})))
    async with controlled(house) as control:
        house.offsite.away = "the line is cut"
        await told(control.backup("orders", full=True, by="anna"))
        lines = await control.explain("orders")
    text = "\n".join(lines)
    assert "store local: read from the source; at here, here" in text
    assert "store offsite: mirrored from local; at far, 1 200 km away" in text
    assert "store offsite is away (the line is cut): it is caught up when it answers again" in text
    assert "store offsite lacks 1 recovery points" in text


async def test_every_clause_of_what_is_required_is_told_with_its_state_and_the_worst_by_status() -> None:
    require = {"copies": 2, "offsite": 1, "distance": "500 km", "immutable": 1}
    house = FakeHouse(protected(a_policy(full={"every": "1h"}, require=require, objectives={"rpo": "1d"})))
    vault = a_store(house.offsite, site="far", metres=1.2e6, immutable_days=30)
    house.put_in_force(house.policy(), stores=(house.in_force().stores["local"], vault))
    async with controlled(house) as control:
        await told(control.backup("orders", full=True, by="anna"))
        house.clock.step(timedelta(days=0.5))
        lines = await control.explain("orders")
        [policy] = (await control.status()).policies
    text = "\n".join(lines)
    assert "required copies: met: 2, 2 required: local, offsite" in text
    assert "required distance: met: the farthest current copy, in offsite, is 1 200 km away, 500 km required" in text
    unlocked = "store offsite is declared immutable for 30 days, but the bucket has no object lock by default"
    assert f"required immutable: NOT MET: 0 of 1: {unlocked}" in text
    assert (policy.state, policy.note) == ("lacking", f"immutable: 0 of 1: {unlocked}")


async def test_a_plan_of_retention_shows_what_a_guard_keeps() -> None:
    house = FakeHouse(protected(a_policy(to=("local",), keep={"last": 1})))
    async with controlled(house) as control:
        for _ in range(10):
            await told(control.backup("orders", full=True, by="anna"))
            await asyncio.sleep(60)
        lines = await control.forget_plan("orders")
    assert [line.action for line in lines] == ["keep"] + 9 * ["guarded"]
    assert house.journal.of(RetentionHeld) == []


def places(*names: str) -> tuple[Any, ...]:
    return tuple(a_store(FakePlace(name), metres=metres) for metres, name in enumerate(names))


async def test_three_stores_are_all_followed(tmp_path: Path) -> None:
    house = FakeHouse(protected(a_policy(to=("a", "b", "c"))), stores=places("a", "b", "c"))
    async with controlled(house, "a", "b", "c") as control:
        steps = await told(control.backup("orders", full=True, by="anna"))
    assert [step.text.split(" in ")[-1] for step in steps if step.kind == "fact"] == ["a", "b", "c"]


async def kept_busy(house: FakeHouse, store: str, seconds: float) -> asyncio.Task[None]:
    """Something that keeps a repository to itself."""

    async def work() -> None:
        async with house.queues.take(store, JobClass.FORGET, 1):
            await asyncio.sleep(seconds)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("order", ["check", "forget"])
async def test_who_waits_for_a_store_is_told_for_what(order: str) -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    async with controlled(house, "local") as control:
        await told(control.backup("orders", full=True, by="anna"))
        busy = await kept_busy(house, "local", 600)
        steps = await told(control.check("local", "anna") if order == "check" else control.forget("orders", "anna"))
        await busy
    assert "waiting for the forget in store local" in [step.phase for step in steps]
    assert steps[-1].exit_code == 0


async def test_a_question_about_retention_does_not_wait_for_hours() -> None:
    house = FakeHouse(protected(a_policy(to=("local",))))
    async with controlled(house, "local") as control:
        await told(control.backup("orders", full=True, by="anna"))
        busy = await kept_busy(house, "local", 3600)
        with pytest.raises(Busy, match="gave up waiting for the forget in store local after 30 s"):
            await control.forget_plan("orders")
        [point] = await control.points("orders", why=True)
        assert asyncio.get_running_loop().time() < 120
        await busy
        assert (await control.forget_plan("orders"))[0].action == "keep"
    assert point.why_kept == {"local": ("gave up waiting for the forget in store local after 30 s",)}
