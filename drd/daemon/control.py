"""The questions and orders that drd takes, answered by its engines: in the daemon, or in a command without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from functools import partial

from drd import __version__
from drd.core.catalogue import RecoveryPoint
from drd.core.errors import Busy, DrdError, RepositoryMissing, StoreAway, UsageError
from drd.core.events import HoldReleased, Paused, Resumed
from drd.core.geography import format_away
from drd.core.policy import Outcome
from drd.core.postgres.base import BaseRecord
from drd.core.postgres.target import parse_target
from drd.core.retention import Retention, Verdict
from drd.core.schedule import Reason
from drd.core.units import format_duration
from drd.daemon.following import Following
from drd.daemon.house import House
from drd.daemon.names import demand_policy, demand_store, learn_wal, points_of
from drd.daemon.requirements import clauses
from drd.daemon.status import status
from drd.engines.bringing import Wish
from drd.ports.control import EXACTLY, WITHOUT_WAL, Anchors, ForgetLine, PointStatus, Status
from drd.ports.repository import CheckReport
from drd.ports.steps import Step
from drd.reports.moments import local_with_offset

NO_ANSWER = (StoreAway, RepositoryMissing)
"""A store of which nothing can be told now; that hides nothing of the others."""


class HouseControl:
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
        points = await points_of(self._house, policy)
        reasons = await self._reasons(policy, points) if why else {}
        return tuple(_point(point, reasons) for point in sorted(points, key=lambda each: each.moment, reverse=True))

    async def restore(
        self,
        policy: str,
        at: datetime | None,
        target: str,
        include: tuple[str, ...],
        store: str | None,
        by: str,
        options: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Step]:
        """Bring a policy's data back."""
        if store is not None:
            demand_store(self._house, store)
        await points_of(self._house, policy)
        said = dict(options or {})
        exactly = said.pop(EXACTLY, None)
        moment = None if exactly is None else parse_target(exactly, self._house.in_force().zone)
        is_without_wal = said.pop(WITHOUT_WAL, None) is not None
        if not is_without_wal and not include:
            await learn_wal(self._house, policy)
        wish = Wish(policy, at, target, include, store, by, said, moment, is_without_wal)
        async with aclosing(self._following.restore(wish)) as steps:
            async for step in steps:
                yield step

    async def forget_plan(self, policy: str) -> tuple[ForgetLine, ...]:
        """What retention would do now in each store, with reasons."""
        lines: list[ForgetLine] = []
        for store in demand_policy(self._house, policy).policy.backup.to:
            retention = await self._planned(policy, store)
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
        return tuple(lines)

    async def forget(self, policy: str, by: str) -> AsyncIterator[Step]:
        """Apply retention now."""
        gone = 0
        refused: list[DrdError] = []
        for store in demand_policy(self._house, policy).policy.backup.to:
            yield Step(kind="started", text=f"retention of {policy} in {store}")
            forgotten: list[tuple[str, ...]] = []
            work = partial(self._house.retain.forget, policy, store, by, True)
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
        protected = demand_policy(self._house, policy)
        plan = protected.policy.backup
        lines = [f"sources: {'; '.join(source.summary() for source in protected.sources.values())}"]
        for name in plan.to:
            store = self._house.stores.configured(name)
            origin = self._house.stores.origin_of(name)
            how = "read from the source"
            if origin is not None:
                how = f"copied from {origin}" if store.independent else f"mirrored from {origin}"
            away = format_away(store.distance_metres)
            lines.append(f"store {name}: {how}; at {store.site}, {away}; {store.place.summary()}")
        lines += [
            f"required {clause.name}: {'met' if clause.is_met else 'NOT MET'}: {clause.reason}"
            for clause in (await clauses(self._house, policy))[policy]
        ]
        lines.append(self._next(policy))
        for store_name in plan.to:
            why = self._house.stores.why_away(store_name)
            if why is not None:
                lines.append(f"store {store_name} is away ({why}): it is caught up when it answers again")
            missing = await self._house.catalogue.uncopied(policy, store_name)
            if missing and len(plan.to) > 1:
                oldest = self._local(missing[0].moment)
                lines.append(f"store {store_name} lacks {len(missing)} recovery points, the oldest of {oldest}")
        records = await self._house.catalogue.stores()
        lines += [
            f"nothing is forgotten in {name}: {records[name].hold}"
            for name in plan.to
            if name in records and records[name].hold
        ]
        return tuple(lines)

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

    async def _planned(self, policy: str, store: str, passed: tuple[type[DrdError], ...] = NO_ANSWER) -> Retention:
        """What retention would do in a store; after an error that is `passed` over, nothing, and why."""
        try:
            return await self._house.retain.plan(policy, store)
        except passed as error:
            return Retention(
                tuple(
                    Verdict(copy.snapshot_id, point.moment, False, (error.message,))
                    for point in await self._house.catalogue.points(policy)
                    for copy in point.copies
                    if copy.store == store
                )
            )

    async def _reasons(self, policy: str, points: tuple[RecoveryPoint, ...]) -> dict[tuple[str, str], tuple[str, ...]]:
        """(store, snapshot id) → why retention keeps it; retention lets what is no policy any more alone."""
        protected = self._house.in_force().policies.get(policy)
        if protected is None:
            why = ("no policy asks for it any more, and nothing forgets it",)
            return {(copy.store, copy.snapshot_id): why for point in points for copy in point.copies}
        plans = {store: await self._planned(policy, store, (*NO_ANSWER, Busy)) for store in protected.policy.backup.to}
        return {(store, each.snapshot_id): each.reasons for store, plan in plans.items() for each in plan.verdicts}

    def _next(self, policy: str) -> str:
        if self._house.dispatch.is_running(policy):
            return "a run is under way now"
        verdict = self._house.scheduler.verdict(policy)
        if verdict is None:
            return "no schedule is in force: the daemon does not run here"
        if self._house.dispatch.is_quarantined(policy):
            return (
                f"nothing starts by itself: mistakes in drd ended the last runs; to try it, type: drd backup {policy}"
            )
        if verdict.due is not None:
            due, why = (
                f"a {verdict.due.mode} run is due now ({verdict.due.cause})",
                self._house.scheduler.why_held(policy),
            )
            return f"{due}, and held back for an hour at most: {why}" if why else due
        if verdict.reason is Reason.UNSCHEDULED or verdict.wake is None:
            return f"the next run waits for {verdict.reason}"
        left = format_duration(verdict.wake - self._house.clock.now()).split(" ")
        at = self._local(verdict.wake)
        return f"the next look is in {' '.join(left[:2])}, at {at}: it waits for {verdict.reason}"

    def _local(self, moment: datetime) -> str:
        return local_with_offset(moment, self._house.in_force().zone)


def _point(point: RecoveryPoint, reasons: dict[tuple[str, str], tuple[str, ...]]) -> PointStatus:
    return PointStatus(
        run=point.run,
        mode=point.mode,
        moment=point.moment,
        outcome=point.outcome,
        total_bytes=point.total_bytes,
        total_files=point.total_files,
        stores=point.stores,
        proven_in=point.proven_in,
        notes=tuple(str(base) for facts in point.facts.values() if (base := BaseRecord.of_tags(facts)) is not None),
        why_kept={
            copy.store: reasons[copy.store, copy.snapshot_id]
            for copy in point.copies
            if (copy.store, copy.snapshot_id) in reasons
        },
    )
