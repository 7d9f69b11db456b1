"""The questions and orders that drd takes, answered by its engines: in the daemon, or in a command without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from drd import __version__
from drd.core.errors import DrdError, UsageError
from drd.core.events import HoldReleased, Paused, Resumed, SuspicionReleased
from drd.core.policy import Outcome
from drd.core.postgres.target import parse_target
from drd.daemon.coverage import covered_ranges
from drd.daemon.explaining import explained
from drd.daemon.following import Following
from drd.daemon.house import House
from drd.daemon.names import demand_policy, demand_store, learn_wal, points_of
from drd.daemon.points import planned, point_statuses
from drd.daemon.runbook_control import RunbookControl
from drd.daemon.status import status
from drd.engines.restore_request import RestoreRequest
from drd.ports.control import Anchors, CoveredRange, ForgetLine, PointStatus, Status
from drd.ports.repository import CheckReport
from drd.ports.restoring import RestoreOrder
from drd.ports.steps import Step


class HouseControl(RunbookControl):
    """`Control` over the engines of this process."""

    def __init__(self, house: House, since: datetime | None, reload: Callable[[], Awaitable[tuple[str, ...]]]) -> None:
        self._house = house
        self._since = since
        self._reload = reload
        self._following = Following(house)

    async def status(self) -> Status:
        """Everything at a glance."""
        return await status(self._house, __version__, self._since)

    async def backup(self, policy: str, full: bool, by: str) -> AsyncIterator[Step]:
        """Run a policy now, or join the run that is under way, and follow it into every store."""
        async with aclosing(self._following.backup(demand_policy(self._house, policy), full)) as steps:
            async for step in steps:
                yield step

    async def points(self, policy: str, why: bool = False) -> tuple[PointStatus, ...]:
        """The recovery points of a policy, newest first."""
        return await point_statuses(self._house, policy, why)

    async def covered(self, policy: str) -> tuple[CoveredRange, ...]:
        """The moments that replaying write-ahead log leads to."""
        return await covered_ranges(self._house, policy)

    async def restore(self, order: RestoreOrder) -> AsyncIterator[Step]:
        """Bring a policy's data back."""
        if order.store is not None:
            demand_store(self._house, order.store)
        await points_of(self._house, order.policy)
        if not order.is_without_wal and not order.include:
            await learn_wal(self._house, order.policy)
        async with aclosing(self._following.restore(_wish(order, self._house.in_force().zone))) as steps:
            async for step in steps:
                yield step

    async def forget_plan(self, policy: str) -> tuple[ForgetLine, ...]:
        """What retention would do now in each store, with reasons."""
        lines: list[ForgetLine] = []
        for store in demand_policy(self._house, policy).policy.backup.to:
            retention = await planned(self._house, policy, store)
            for verdict in sorted(retention.verdicts, key=lambda each: each.moment, reverse=True):
                is_guarded = verdict.is_guarded or (verdict.is_forgotten and bool(retention.held))
                lines.append(
                    ForgetLine(
                        policy=policy,
                        store=store,
                        snapshot_id=verdict.snapshot_id,
                        moment=verdict.moment,
                        action="guarded" if is_guarded else "forget" if verdict.is_forgotten else "keep",
                        reasons=verdict.reasons or ((retention.held,) if retention.held else ()),
                    )
                )
        return (*lines, *await self._wal_to_forget(policy))

    async def _wal_to_forget(self, policy: str) -> tuple[ForgetLine, ...]:
        """The groups of WAL that would go: those that stay are many, and none of them is anybody's choice."""
        lines: list[ForgetLine] = []
        for store in demand_policy(self._house, policy).wal_stores:
            plan = await self._house.wal_retention.plan(policy, store)
            lines += [
                ForgetLine(
                    policy=policy,
                    store=store,
                    snapshot_id=each.snapshot_id,
                    moment=each.group.moment or each.shipped or self._house.clock.now(),
                    action="guarded" if plan.held else "forget",
                    reasons=(plan.held,) if plan.held else (),
                )
                for each in plan.groups
            ]
        return tuple(lines)

    async def forget(self, policy: str, by: str) -> AsyncIterator[Step]:
        """Apply retention now."""
        gone = 0
        refused: list[DrdError] = []
        protected = demand_policy(self._house, policy)
        for store in (*protected.policy.backup.to, *protected.wal_stores):
            yield Step(kind="started", text=f"retention of {policy} in {store}")
            forgotten: list[tuple[str, ...]] = []
            work = partial(self._house.retain.forget, policy, store, by, True)
            if store in protected.wal_stores:
                work = partial(self._house.wal_retention.forget, policy, store, True)
            try:
                async for step in self._following.wait_told(f"forget:{policy}:{store}", work, forgotten):
                    yield step
            except DrdError as error:
                refused.append(error)
                yield Step(kind="fact", text=f"{store}: {error.message}")
                continue
            gone += len(forgotten[0])
            yield Step(kind="fact", text=f"{len(forgotten[0])} snapshots forgotten in {store}")
        yield Step(
            kind="finished",
            outcome=Outcome.FAILED if refused else Outcome.SUCCEEDED,
            text=f"{gone} snapshots forgotten",
            message="; ".join(error.message for error in refused),
            hint=refused[0].hint if refused else "",
            exit_code=refused[0].exit_code if refused else 0,
            result={"forgotten": gone},
        )

    async def explain(self, policy: str) -> tuple[str, ...]:
        """What drd would do with a policy now and why, as lines for people."""
        return await explained(self._house, policy)

    async def pause(self, policy: str, what: str, until: datetime, reason: str, by: str) -> None:
        """Stop work for a time."""
        demand_policy(self._house, policy)
        if until <= self._house.clock.now():
            raise UsageError("a pause ends in the future", "write --for 2h")
        await self._house.journal.append(Paused(policy, what, until, reason, by))
        await self._house.scheduler.take_pauses(policy)

    async def resume(self, policy: str, by: str) -> None:
        """End a pause before its time."""
        demand_policy(self._house, policy)
        now = self._house.clock.now()
        ended = {
            pause.what for pause in await self._house.catalogue.pauses() if pause.policy == policy and pause.until > now
        }
        if not ended:
            raise UsageError(f"nothing of {policy} is paused", "type: drd status")
        await self._house.journal.append(*(Resumed(policy, what, by) for what in sorted(ended)))
        await self._house.scheduler.take_pauses(policy)

    async def check(self, store: str, by: str) -> AsyncIterator[Step]:
        """Check the structure of a store's repository now."""
        demand_store(self._house, store)
        yield Step(kind="started", text=f"check of {store}")
        reports: list[CheckReport] = []
        async for step in self._following.wait_told(f"check:{store}", partial(self._house.proof.check, store), reports):
            yield step
        [report] = reports
        yield Step(
            kind="finished",
            outcome=Outcome.SUCCEEDED if report.sound else Outcome.FAILED,
            message="" if report.sound else (report.errors[0] if report.errors else "the repository is damaged"),
            text="the repository's structure is sound" if report.sound else "",
            exit_code=0 if report.sound else 1,
            result={"sound": report.sound, "errors": list(report.errors[:20]), "seconds": round(report.seconds, 3)},
        )

    async def release(self, store: str, by: str) -> str:
        """End the hold on a store's retention."""
        records = await self._house.catalogue.stores()
        demand_store(self._house, store, others=records)
        record = records.get(store)
        if record is None or record.hold is None:
            raise UsageError(f"nothing holds retention in store {store}", "type: drd status")
        await self._house.journal.append(HoldReleased(store, by))
        return record.hold

    async def release_policy(self, policy: str, by: str) -> str:
        """End the suspicion of a policy's runs."""
        demand_policy(self._house, policy)
        record = await self._house.catalogue.policy(policy)
        if record is None or record.suspicion is None:
            raise UsageError(f"no run of {policy} is suspected", "type: drd status")
        await self._house.journal.append(SuspicionReleased(policy, by))
        return record.suspicion.message

    async def accept(self, store: str, by: str) -> str:
        """Take what a store holds now for what it shall hold."""
        demand_store(self._house, store)
        identity = await self._house.stores.accept(store)
        # Only when the journal knows what is there now may anything be forgotten there again.
        await self._house.reconcile.reconcile(store)
        record = (await self._house.catalogue.stores()).get(store)
        if record is not None and record.is_identity_held:
            await self._house.journal.append(HoldReleased(store, by))
        return identity

    async def anchors(self) -> tuple[Anchors, ...]:
        """What every store holds of the journal's heads."""
        return tuple([await self._anchors(store) for store in self._house.in_force().stores])

    async def reload(self) -> tuple[str, ...]:
        """Read the configuration again."""
        return await self._reload()

    async def _anchors(self, store: str) -> Anchors:
        try:
            return Anchors(store=store, heads=await self._house.anchor.anchors(store))
        except DrdError as error:
            return Anchors(store=store, problem=error.message)


def _wish(order: RestoreOrder, zone: ZoneInfo) -> RestoreRequest:
    return RestoreRequest(
        order.policy,
        order.at,
        order.target,
        order.include,
        order.store,
        order.by,
        order.options,
        parse_target(order.moment, zone) if order.moment else None,
        order.is_without_wal,
    )
