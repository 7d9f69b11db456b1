"""Bringing a PostgreSQL node back as a standby."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Final

from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.following_primary import Leading, why_not_following
from drd.clients.postgres.of_machines import dsn_of, lead_of, leads_of
from drd.clients.postgres.orders import checkpoint, parameter, set_parameter
from drd.clients.postgres.slots import drop_unused_slots, has_unused_slots, slot_for, slots_in_use
from drd.clients.postgres_node import NodeState, PostgresNode, as_others_see, on_record, save_stranded
from drd.core.errors import DrdError, PermanentError, TransientError
from drd.core.postgres.divergence import Fork, fork_of
from drd.core.postgres.synchronous import quorum_of, says, setting_of, with_member
from drd.core.probing import Quorum
from drd.core.runbook import OTHER_STANDBYS, SYNCHRONOUS, SYNCHRONOUS_NOW, NodeName
from drd.core.runbook_step import Answer
from drd.core.units import format_duration
from drd.ports.action import Action, Facts, Preview, Reference, Situation, node_references
from drd.ports.machines import Machine

PATIENCE: Final = timedelta(hours=1)
"""How long a standby may take to replay up to beyond the fork, where the step has no `timeout:`."""
AGAIN_SECONDS: Final = 0.1
AWAITED: Final = "synchronous_standby_names"
LEADERS: Final = frozenset({"primary", "fenced", "old_primary", "new_primary"})
"""Who is none of the other standbys."""


class PostgresRejoin(Action):
    """Bring a PostgreSQL node back as a standby of the primary, by rewinding or copying it anew."""

    kind: ClassVar[str] = "postgres_rejoin"
    looks_first: ClassVar[bool] = True

    node: NodeName
    """A name under `nodes:`, or a role, as `old_primary`; `other_standbys` are all who neither led nor lead."""

    async def preview(self, at: Situation) -> Preview:
        """What would be done with it now, as far as it can be looked at."""
        if self.node == OTHER_STANDBYS:
            names = ", ".join(each.name for each in self._machines(at))
            return Preview((f"on {names}: follow the new primary" if names else "there is no other standby",))
        try:
            machine = at.machine(self.node)
            primary, lead = await _primary(at, machine)
            state = await PostgresNode(at.world.runner, machine).state()
            fork = fork_of(state.history, lead.history)
        except (DrdError, ValueError) as error:
            return Preview((self.summary(),), (str(error),))
        return Preview((f"on {machine.name}: {_way(state, fork)}, then follow {primary.name} as {machine.member}",))

    async def is_done(self, at: Situation) -> Answer:
        """Whether it follows the primary, proved by timeline and replay, and nothing is left to do that comes after."""
        are_back = [await _is_back(at, machine) for machine in self._machines(at)]
        return Answer.DONE if all(are_back) else Answer.NOT_DONE

    async def found(self, at: Situation) -> Facts:
        """Who is back, and what was lost, where that was written down."""
        machines = self._machines(at)
        return _together([{"rejoined": each.name, **await on_record(_folder(at, each))} for each in machines])

    async def apply(self, at: Situation) -> Facts:
        """Save what only it has, make its data a copy of the primary's, start it, and see that it follows.

        One that follows already is left alone. Of several one after the other; one that does not come back keeps no
        other from it.
        """
        if self.node != OTHER_STANDBYS:
            return await self._bring_back(at, at.machine(self.node))
        facts: list[dict[str, str]] = []
        failed: list[DrdError] = []
        for machine in self._machines(at):
            try:
                facts.append(await self._bring_back(at, machine))
            except DrdError as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return _together(facts)

    async def _bring_back(self, at: Situation, machine: Machine) -> dict[str, str]:
        node = PostgresNode(at.world.runner, machine, at.timeout, at.world.clock)
        primary, lead = await _primary(at, machine)
        dsn = await dsn_of(at.world.secrets, primary)
        if not await _why_not(at, machine, lead):
            told = {"rejoined": machine.name, "rejoined_by": "following", **await on_record(_folder(at, machine))}
            return {**told, **await _settle(at, machine, primary, dsn)}
        await _demand_no_primary(at, machine)
        state = await node.state()
        _demand_rejoinable(machine, state, primary, lead)
        await checkpoint(dsn, at.world.clock.sleep)
        async with slot_for(dsn, machine.member, primary.name):
            if state.is_running:
                await node.unit("stop")
            state = await node.state()
            facts = await self._made_a_copy(at, machine, node, state, lead, as_others_see(primary, dsn))
            await node.follow(as_others_see(primary, dsn))
        await node.unit("unmask")
        await node.unit("start")
        await _prove(at, machine, lead)
        return {"rejoined": machine.name, **facts, **await _settle(at, machine, primary, dsn)}

    async def rehearse(self, at: Situation) -> Facts | None:
        """Look whether its shell, its data and the primary are reached."""
        for machine in self._machines(at):
            await PostgresNode(at.world.runner, machine).state()
        return {}

    def _machines(self, at: Situation) -> tuple[Machine, ...]:
        if self.node != OTHER_STANDBYS:
            return (at.machine(self.node),)
        moved = {at.variables.get(role) for role in LEADERS}
        return tuple(at.machine(name) for name in at.members if name not in moved)

    async def _made_a_copy(
        self, at: Situation, machine: Machine, node: PostgresNode, state: NodeState, lead: Leading, source: Dsn
    ) -> dict[str, str]:
        """Make its data what a standby of that primary may start from; how, and what was lost."""
        try:
            fork = fork_of(state.history, lead.history)
        except ValueError as error:
            raise PermanentError(f"{machine.name}: {error}", "copy it by hand: pg_basebackup") from error
        folder = _folder(at, machine)
        if fork is None and not state.is_broken:
            return {"rejoined_by": "following", **await on_record(folder)}
        if fork is not None and _has_nothing_beyond(state, fork):
            return {"rejoined_by": "following", "lost_transactions": "0"}
        if fork is not None and not state.is_broken:
            await save_stranded(node, state, fork, folder)
        facts = await _kept(at, machine, folder)
        if why := _why_no_rewind(state, facts):
            return _noted(await _copied(at, node, state, source, why), facts)
        try:
            await node.rewind(source)
        except PermanentError as error:
            why = f"pg_rewind failed: {_last(error.detail)}"
            return _noted(await _copied(at, node, state, source, why), facts)
        return {**facts, "rejoined_by": "rewind"}

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return () if self.node == OTHER_STANDBYS else node_references(self.node)

    def summary(self) -> str:
        """Which node."""
        return f"bring {self.node} back as a standby"


def _way(state: NodeState, fork: Fork | None) -> str:
    if fork is None or _has_nothing_beyond(state, fork):
        return "start it as it is"
    if not state.can_be_rewound:
        return "copy the primary anew (it has neither checksums nor wal_log_hints, or a rewind was broken off)"
    return f"save its log beyond {fork.at} of timeline {fork.timeline}, list what was committed there, pg_rewind"


def _why_no_rewind(state: NodeState, facts: Facts) -> str:
    """Why nothing less than a copy helps; empty where pg_rewind may do."""
    if state.is_broken:
        return "a rewind was broken off"
    if not state.can_be_rewound:
        return "it has neither checksums nor wal_log_hints"
    if facts and "lost_transactions" not in facts:
        # Crash recovery ends at the first gap without a word, and a rewind then overlooks what was changed behind it.
        return "its log beyond the fork is not all there"
    return ""


def _has_nothing_beyond(state: NodeState, fork: Fork) -> bool:
    """Whether it was shut down with nothing beyond the fork: by a primary's last checkpoint, a standby's replay."""
    if state.is_running:
        return False
    if state.replayed is not None:
        return state.replayed <= fork.at
    return state.is_shut_down and state.checkpoint < fork.at


async def _primary(at: Situation, but: Machine) -> tuple[Machine, Leading]:
    """The node that leads now; where an old one does so as well, the one that this run has promoted after it."""
    others = [at.machine(name) for name in at.members if name != but.name]
    looks = await leads_of(at.world.secrets, others)
    found = [(machine, each) for machine, each in zip(others, looks, strict=True) if isinstance(each, Leading)]
    if not found:
        why = "; ".join(
            f"{machine.name}: {each.message if isinstance(each, DrdError) else 'it is a standby'}"
            for machine, each in zip(others, looks, strict=True)
        )
        raise TransientError(f"no other node is a primary: {why or 'there is none'}", "drd status")
    newest = max(found, key=lambda each: each[1].history.timeline)
    older = [machine.name for machine, each in found if each.history.timeline < newest[1].history.timeline]
    # One that was cut off from its standbys runs on until it is stopped, which may take long on a silent host.
    if len(older) < len(found) - 1 or (older and newest[0].name != at.variables.get("new_primary")):
        names = " and ".join(machine.name for machine, _ in found)
        raise PermanentError(f"{names} are both primary", "stop the one that clients must not write to")
    return newest


async def _demand_no_primary(at: Situation, machine: Machine) -> None:
    """Never touch a server that takes writes: somebody may be using it."""
    if isinstance(await lead_of(at.world.secrets, machine), Leading):
        raise PermanentError(f"{machine.name} answers as a primary itself", f"fence {machine.name} first")


def _demand_rejoinable(machine: Machine, state: NodeState, primary: Machine, lead: Leading) -> None:
    """What is another database or may be the newer one is never touched, and what may take writes is never stopped."""
    if state.cluster != lead.cluster:
        raise PermanentError(
            f"the data of {machine.name} are of another database cluster", "correct the nodes of the policy"
        )
    if state.history.timeline > lead.history.timeline:
        raise PermanentError(
            f"{machine.name} is on timeline {state.history.timeline}, and {primary.name} leads only on "
            f"{lead.history.timeline}",
            f"see which of them has what clients wrote last; if it is {primary.name}, copy it by hand: pg_basebackup",
        )
    if state.is_running and state.is_in_production:
        raise PermanentError(
            f"{machine.name} runs as a primary, whether or not it answers", f"fence {machine.name} first"
        )


async def _why_not(at: Situation, machine: Machine, lead: Leading) -> str:
    try:
        return await why_not_following(await dsn_of(at.world.secrets, machine), lead)
    except DrdError as error:
        return error.message


async def _is_back(at: Situation, machine: Machine) -> bool:
    primary, lead = await _primary(at, machine)
    if await _why_not(at, machine, lead) or await _has_left_slots(at, primary):
        return False
    now, wanted = await _awaited(at, machine, await dsn_of(at.world.secrets, primary))
    return wanted is None or says(now, wanted)


async def _prove(at: Situation, machine: Machine, lead: Leading) -> None:
    clock, patience = at.world.clock, at.timeout or PATIENCE
    end = clock.monotonic() + patience.total_seconds()
    while why := await _why_not(at, machine, lead):
        if clock.monotonic() > end:
            raise TransientError(
                f"{machine.name} does not follow the primary after {format_duration(patience)}: {why}",
                "look at its log",
            )
        await clock.sleep(AGAIN_SECONDS)


async def _moved(at: Situation, primary: Machine) -> frozenset[str]:
    """The slots of those who receive from the primary now, and its own: a standby that led has theirs still."""
    moved = {primary.member, *await slots_in_use(await dsn_of(at.world.secrets, primary))}
    return frozenset(at.machine(name).member for name in at.members) & moved


async def _has_left_slots(at: Situation, primary: Machine) -> bool:
    names = await _moved(at, primary)
    for name in at.members:
        if name != primary.name:
            with suppress(DrdError):
                if await has_unused_slots(await dsn_of(at.world.secrets, at.machine(name)), names):
                    return True
    return False


async def _drop_left_slots(at: Situation, primary: Machine) -> None:
    names = await _moved(at, primary)
    for name in at.members:
        if name != primary.name:
            with suppress(DrdError):  # one that does not answer is brought back another time
                await drop_unused_slots(await dsn_of(at.world.secrets, at.machine(name)), names)


async def _settle(at: Situation, machine: Machine, primary: Machine, dsn: bytes) -> dict[str, str]:
    """What is left to do once it follows: no slot keeps log on a standby for who receives from the primary now.

    And commits that wait for fewer members than they did on the old primary wait for this one too from now on.
    """
    await _drop_left_slots(at, primary)
    now, wanted = await _awaited(at, machine, dsn)
    if wanted is None:
        return {}
    if not says(now, wanted):
        await set_parameter(dsn, AWAITED, setting_of(wanted), at.world.clock.sleep)
    return {SYNCHRONOUS_NOW: setting_of(wanted)}


async def _awaited(at: Situation, machine: Machine, dsn: bytes) -> tuple[str, Quorum | None]:
    """What commits of the primary wait for, and what they shall wait for; None where the run knows of no rule."""
    rule = quorum_of(at.variables.get(SYNCHRONOUS, ""))
    now = await parameter(dsn, AWAITED)
    return now, None if rule is None else with_member(quorum_of(now), rule, machine.member)


async def _copied(at: Situation, node: PostgresNode, state: NodeState, source: Dsn, why: str) -> dict[str, str]:
    if state.has_tablespaces:
        raise PermanentError(
            f"it cannot be rewound ({why}), and it has tablespaces, which drd does not copy",
            "copy it by hand: pg_basebackup --tablespace-mapping=…",
        )
    room = await node.room()
    if room.free_kib < room.data_kib:
        raise PermanentError(
            f"it cannot be rewound ({why}), and there is no room for a copy beside its {room.data_kib // 1024} MiB",
            "make room there, or copy it by hand",
        )
    return {"rejoined_by": "copy", "note": why, "old_data": await node.copy(source, at.run)}


def _together(found: Sequence[Facts]) -> Facts:
    """What is told of several nodes, in one."""
    names = dict.fromkeys(name for each in found for name in each)
    facts = {name: "; ".join(each[name] for each in found if name in each) for name in names}
    if "lost_transactions" in facts:
        facts["lost_transactions"] = str(sum(int(each.get("lost_transactions", 0)) for each in found))
    return facts


async def _kept(at: Situation, machine: Machine, folder: Path) -> dict[str, str]:
    """What was lost, once its log was saved beside the backups too; a note where no store takes it now.

    The node is brought back all the same: what only it had lies durably on drd's own disk by now.
    """
    facts = await on_record(folder)
    if not facts:
        return {}
    if store := await at.services.keep(at.policy, folder, f"stranded-{machine.name}"):
        return {**facts, "stranded_in": store}
    only = f"no store of {at.policy} takes what only {machine.name} had: it lies in {folder} alone, so copy that folder"
    return {**facts, "note": only}


def _noted(facts: Facts, kept: Facts) -> dict[str, str]:
    """Both, with the notes of both."""
    notes = {"note": "; ".join(each["note"] for each in (facts, kept) if "note" in each)}
    return {**kept, **facts, **(notes if notes["note"] else {})}


def _folder(at: Situation, machine: Machine) -> Path:
    if at.world.stranded is None:
        raise PermanentError("there is no folder for log that nobody else has", "let the daemon do this")
    return at.world.stranded / at.run / machine.name


def _last(said: str) -> str:
    return said[-200:].strip() or "it gave no reason"
