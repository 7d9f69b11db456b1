"""A daemon that has done what a test says it has."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from drd.core.errors import DrdError, UsageError
from drd.core.policy import Mode, Outcome
from drd.core.runbook_step import Choice
from drd.ports.control import (
    Anchors,
    CopyStatus,
    CoveredRange,
    ForgetLine,
    PointStatus,
    PolicyStatus,
    Status,
    StoreStatus,
)
from drd.ports.incidents import (
    IncidentStatus,
    PlannedLine,
    PlannedStageLine,
    Question,
    RunbookOrder,
    RunbookPlan,
    StageLine,
    StepLine,
    TimelineLine,
    Times,
    WhoLine,
)
from drd.ports.restoring import RestoreOrder
from drd.ports.steps import Step

NOW = datetime(2026, 3, 2, 8, 30, 17, tzinfo=UTC)
RUN = "01JNB3Q0Z7M4V2K8T6R5W9XYEC"
OLDER_RUN = "01JNB0GZ1WH3C5N7P9S2D4F6G8"


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def a_status() -> Status:
    return Status(
        daemon="db1.example",
        version="0.1.0",
        running=True,
        site="hangzhou",
        since=NOW - minutes(187),
        policies=(
            PolicyStatus(
                name="recordings",
                description="What the cameras saw",
                state="ok",
                rpo=minutes(60),
                copies=(
                    CopyStatus(store="local", moment=NOW - minutes(3), points=31),
                    CopyStatus(store="offsite", moment=NOW - minutes(18), proven_at=NOW - minutes(3000), points=30),
                ),
                next_run=NOW + minutes(12),
                next_mode=Mode.INCREMENTAL,
                last_outcome=Outcome.SUCCEEDED,
                last_finished=NOW - minutes(2),
            ),
            PolicyStatus(
                name="uploads",
                state="failed",
                note="the source /srv/uploads is not mounted",
                hint="mount /srv/uploads",
                rpo=minutes(15),
                copies=(
                    CopyStatus(store="local", moment=NOW - minutes(60 * 26), points=2),
                    CopyStatus(store="offsite", moment=None),
                ),
                next_run=NOW + minutes(5),
                next_mode=Mode.FULL,
                last_outcome=Outcome.FAILED,
                last_finished=NOW - minutes(10),
            ),
            PolicyStatus(name="settings", state="never run", copies=(CopyStatus(store="local", moment=None),)),
        ),
        stores=(
            StoreStatus(
                name="local",
                kind="local",
                site="hangzhou",
                distance_km=0,
                state="ok",
                free_bytes=128 * 2**30,
                last_checked=NOW - minutes(200),
            ),
            StoreStatus(
                name="offsite",
                kind="s3",
                site="xian",
                distance_km=1134.4,
                state="away",
                note="s3.xian.example does not answer",
                mirror_of="local",
            ),
        ),
        warnings=("policy settings: only one copy, and none at another site",),
    )


def some_points(why: bool) -> tuple[PointStatus, ...]:
    return (
        PointStatus(
            run=RUN,
            mode=Mode.INCREMENTAL,
            moment=NOW - minutes(3),
            outcome=Outcome.SUCCEEDED,
            total_bytes=7_516_192_768,
            total_files=50_012,
            stores=("local", "offsite"),
            proven_in=("offsite",),
            why_kept={"local": ("last snapshot", "hourly snapshot"), "offsite": ("daily snapshot",)} if why else {},
        ),
        PointStatus(
            run=OLDER_RUN,
            mode=Mode.FULL,
            moment=NOW - minutes(60 * 24 * 3),
            outcome=Outcome.INCOMPLETE,
            total_bytes=7_000_000_000,
            total_files=49_999,
            stores=("local",),
        ),
    )


def a_plan(policy: str) -> tuple[ForgetLine, ...]:
    return (
        ForgetLine(
            policy=policy, store="local", snapshot_id="1f" * 32, moment=NOW - minutes(3), action="keep",
            reasons=("last snapshot",),
        ),
        ForgetLine(policy=policy, store="local", snapshot_id="2e" * 32, moment=NOW - minutes(4000), action="forget"),
        ForgetLine(
            policy=policy, store="offsite", snapshot_id="3d" * 32, moment=NOW - minutes(4000), action="guarded",
            reasons=("fewer than 2 copies would be left",),
        ),
    )  # fmt: skip


def good_steps(policy: str) -> tuple[Step, ...]:
    total = 2_000_000_000
    return (
        Step(kind="started", run=RUN, text=f"full run of {policy}"),
        Step(
            kind="progress",
            run=RUN,
            phase="local",
            done_bytes=total // 4,
            total_bytes=total,
            done_files=10,
            total_files=40,
        ),
        Step(
            kind="progress", run=RUN, phase="local", done_bytes=total, total_bytes=total, done_files=40, total_files=40
        ),
        Step(kind="fact", run=RUN, text="local holds the point"),
        Step(
            kind="finished", run=RUN, outcome=Outcome.SUCCEEDED, text="2 GB in 40 files", result={"added_bytes": total}
        ),
    )


@dataclass
class FakeControl:
    """Answers from its fields; `error` is raised by everything, `gate` holds streams up after their first step."""

    answer: Status = field(default_factory=a_status)
    steps: tuple[Step, ...] | None = None
    error: Exception | None = None
    error_after: int = 0
    gate: asyncio.Event | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)
    ranges: tuple[CoveredRange, ...] = ()
    completed: asyncio.Event = field(default_factory=asyncio.Event)

    @staticmethod
    def many_steps(count: int) -> tuple[Step, ...]:
        """A long run that reports often."""
        progress = Step(kind="progress", run=RUN, phase="local", total_bytes=count)
        samples = [replace(progress, done_bytes=done) for done in range(count)]
        return (*samples, Step(kind="finished", run=RUN, outcome=Outcome.SUCCEEDED))

    async def status(self) -> Status:
        await self._answering("status")
        return self.answer

    async def backup(self, policy: str, full: bool, by: str) -> AsyncIterator[Step]:
        async for step in self._steps(policy, "backup", policy, full, by):
            yield step

    async def points(self, policy: str, why: bool = False) -> tuple[PointStatus, ...]:
        await self._answering("points", policy, why)
        self._known(policy)
        return some_points(why)

    async def covered(self, policy: str) -> tuple[CoveredRange, ...]:
        return self.ranges

    async def restore(self, order: RestoreOrder) -> AsyncIterator[Step]:
        async for step in self._steps(order.policy, "restore", order):
            yield step

    async def forget_plan(self, policy: str) -> tuple[ForgetLine, ...]:
        await self._answering("forget plan", policy)
        self._known(policy)
        return a_plan(policy)

    async def forget(self, policy: str, by: str) -> AsyncIterator[Step]:
        async for step in self._steps(policy, "forget", policy, by):
            yield step

    async def explain(self, policy: str) -> tuple[str, ...]:
        await self._answering("explain", policy)
        self._known(policy)
        return (f"{policy} runs next at 08:42", "because it is due every 15 minutes")

    async def pause(self, policy: str, what: str, until: datetime, reason: str, by: str) -> None:
        await self._answering("pause", policy, what, until, reason, by)
        self._known(policy)

    async def resume(self, policy: str, by: str) -> None:
        await self._answering("resume", policy, by)
        self._known(policy)

    async def check(self, store: str, by: str) -> AsyncIterator[Step]:
        async for step in self._steps("uploads", "check", store, by):
            yield step

    async def release(self, store: str, by: str) -> str:
        await self._answering("release", store, by)
        return "another daemon writes there"

    async def release_policy(self, policy: str, by: str) -> str:
        await self._answering("release_policy", policy, by)
        return "98 % of the files changed, usual is 1 %"

    async def accept(self, store: str, by: str) -> str:
        await self._answering("accept", store, by)
        return "5e" * 32

    async def anchors(self) -> tuple[Anchors, ...]:
        await self._answering("anchors")
        return (Anchors(store="local", heads={7: "ab" * 32}), Anchors(store="offsite", problem="unplugged"))

    async def incidents(self, policy: str | None = None) -> tuple[IncidentStatus, ...]:
        await self._answering("incidents", policy)
        return (an_incident(),)

    async def incident(self, run: str) -> IncidentStatus:
        await self._answering("incident", run)
        return an_incident()

    async def runbook_plan(self, runbook: str, variables: dict[str, str]) -> RunbookPlan:
        await self._answering("runbook plan", runbook, variables)
        return a_runbook_plan()

    async def runbook_start(self, order: RunbookOrder) -> AsyncIterator[Step]:
        async for step in self._steps("uploads", "runbook start", order):
            yield step

    async def runbook_answer(self, run: str, step: str | None, choice: Choice, by: str, words: str) -> str:
        await self._answering("runbook answer", run, step, choice, by, words)
        return step or "Give the old storage up"

    async def runbook_abort(self, run: str, by: str, words: str, takes_back: bool) -> None:
        await self._answering("runbook abort", run, by, words, takes_back)

    async def reload(self) -> tuple[str, ...]:
        await self._answering("reload")
        return ("policy uploads was added",)

    async def _steps(self, policy: str, *asked: object) -> AsyncIterator[Step]:
        self.asked.append(asked)
        self._known(policy)
        for place, step in enumerate(self.steps if self.steps is not None else good_steps(policy)):
            if self.error is not None and place == self.error_after:
                raise self.error
            if self.gate is not None and place == 1:
                await self.gate.wait()
            yield step
        self.completed.set()

    async def _answering(self, *asked: object) -> None:
        self.asked.append(asked)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error

    def _known(self, policy: str) -> None:
        known = [status.name for status in self.answer.policies]
        if policy not in known:
            raise unknown(policy, known)


def an_incident() -> IncidentStatus:
    """One that waits for a person's approval."""
    return IncidentStatus(
        run=RUN,
        runbook="uploads-site-loss",
        policy="uploads",
        disaster="site",
        is_drill=False,
        by="anna",
        words="the site burns",
        digest="5e" * 32,
        state="waiting",
        outcome=None,
        started=NOW - minutes(4),
        finished=None,
        stages=(
            StageLine(stage="detect", owner="anna", deadline=NOW, is_missed=False, is_over=True),
            StageLine(stage="recover", owner="anna", deadline=NOW + minutes(5), is_missed=True, is_over=False),
            StageLine(stage="switch", owner="bob", deadline=NOW + minutes(9), is_missed=False, is_over=False),
        ),
        steps=(
            StepLine(stage="detect", step="Look", state="done", since=NOW - minutes(3)),
            StepLine(stage="recover", step="Give the old storage up", state="running", since=NOW - minutes(2)),
            StepLine(stage="switch", step="Restore", state="asking", message="it broke", by_hand="drd restore uploads"),
        ),
        questions=(Question(step="Give the old storage up", choices=(Choice.APPROVE, Choice.REFUSE), why="it waits"),),
        timeline=(TimelineLine(at=NOW - minutes(4), text="run started by anna"),),
        who=(WhoLine(who="anna", did="started the run"), WhoLine(who="drd", did="did a step")),
        times=Times(
            bad=NOW - minutes(5),
            declared=NOW - minutes(4.25),
            start=NOW - minutes(4),
            up=NOW - minutes(1),
            detect=minutes(0.75),
            decide=minutes(0.25),
            human_wait=minutes(1),
            act=minutes(1.5),
            verify=minutes(0.5),
            rta=minutes(4),
            rto=minutes(3),
            is_kept=False,
        ),
    )


def a_runbook_plan() -> RunbookPlan:
    """One of two steps, of which one was run before."""
    return RunbookPlan(
        runbook="uploads-site-loss",
        policy="uploads",
        disaster="site",
        digest="5e" * 32,
        stages=(PlannedStageLine(stage="recover", owner="anna", deadline=minutes(30)),),
        lines=(
            PlannedLine(
                stage="recover", step="Look", action="command", commands=("here: true",), expected=minutes(0.5)
            ),
            PlannedLine(stage="recover", step="Promote", action="postgres_promote", unchecked=("not in this release",)),
        ),
        rto=minutes(60),
        blockers=("this release does not carry out postgres_promote",),
    )


def unknown(policy: str, known: list[str]) -> DrdError:
    return UsageError(f"there is no policy {policy}", f"one of: {', '.join(known)}")
