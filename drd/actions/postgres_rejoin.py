"""Bringing a PostgreSQL node back as a standby."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Final

from drd.clients.postgres.dsn import Dsn
from drd.clients.postgres.following_primary import Leading, why_not_following
from drd.clients.postgres.of_machines import dsn_of, lead_of, leads_of
from drd.clients.postgres.orders import checkpoint, parameter, set_parameter
from drd.clients.postgres.slots import slot_for
from drd.clients.postgres_node import NodeState, PostgresNode, as_others_see
from drd.core.errors import DrdError, PermanentError, TransientError
from drd.core.postgres.divergence import CommittedTransaction, Fork, fork_of
from drd.core.postgres.synchronous import quorum_of, says, setting_of, with_member
from drd.core.runbook import NodeName
from drd.core.runbook_step import Answer
from drd.core.units import format_duration
from drd.ports.action import Action, Facts, Preview, Reference, Situation, node_references
from drd.ports.machines import Machine

PATIENCE: Final = timedelta(hours=1)
"""How long a standby may take to replay up to beyond the fork, where the step has no `timeout:`."""
AGAIN_SECONDS: Final = 0.1
AWAITED: Final = "synchronous_standby_names"
MOST_NAMED: Final = 5
"""So many lost transactions stand in the record; all of them stand in the file."""
LIST: Final = "lost-transactions.txt"


class PostgresRejoin(Action):
    """Bring a PostgreSQL node back as a standby of the primary, by rewinding or copying it anew."""

    kind: ClassVar[str] = "postgres_rejoin"

    node: NodeName
    """A name under `nodes:`, or a role, as `old_primary`."""

    async def preview(self, at: Situation) -> Preview:
        """What would be done with it now, as far as it can be looked at."""
        try:
            machine = at.machine(self.node)
            primary, lead = await _primary(at, machine)
            state = await PostgresNode(at.world.runner, machine).state()
            fork = fork_of(state.history, lead.history)
        except (DrdError, ValueError) as error:
            return Preview((self.summary(),), (str(error),))
        return Preview((f"on {machine.name}: {_way(state, fork)}, then follow {primary.name} as {machine.member}",))

    async def is_done(self, at: Situation) -> Answer:
        """Whether it follows the primary, proved by timeline and replay."""
        machine = at.machine(self.node)
        _, lead = await _primary(at, machine)
        return Answer.NOT_DONE if await _why_not(at, machine, lead) else Answer.DONE

    async def found(self, at: Situation) -> Facts:
        """Who is back, and what was lost, where that was written down."""
        machine = at.machine(self.node)
        return {"rejoined": machine.name, **await asyncio.to_thread(_on_record, _folder(at, machine))}

    async def apply(self, at: Situation) -> Facts:
        """Save what only it has, make its data a copy of the primary's, start it, and see that it follows."""
        machine = at.machine(self.node)
        node = PostgresNode(at.world.runner, machine, at.timeout)
        primary, lead = await _primary(at, machine)
        await _demand_no_primary(at, machine)
        state = await node.state()
        _demand_older(machine, state, primary, lead)
        dsn = await dsn_of(at.world.secrets, primary)
        await checkpoint(dsn, at.world.clock.sleep)
        async with slot_for(dsn, machine.member, primary.name):
            if state.is_running:
                await node.unit("stop")
            state = await node.state()
            facts = await self._made_a_copy(at, node, state, lead, as_others_see(primary, dsn))
            await node.follow(as_others_see(primary, dsn))
        await node.unit("unmask")
        await node.unit("start")
        await _prove(at, machine, lead)
        return {"rejoined": machine.name, **facts, **await _wait_for_it_again(at, machine, dsn)}

    async def rehearse(self, at: Situation) -> Facts | None:
        """Look whether its shell, its data and the primary are reached."""
        machine = at.machine(self.node)
        await PostgresNode(at.world.runner, machine).state()
        return {}

    async def _made_a_copy(
        self, at: Situation, node: PostgresNode, state: NodeState, lead: Leading, source: Dsn
    ) -> dict[str, str]:
        """Make its data what a standby of that primary may start from; how, and what was lost."""
        machine = at.machine(self.node)
        if state.cluster != lead.cluster:
            raise PermanentError(
                f"the data of {machine.name} are of another database cluster", "correct the nodes of the policy"
            )
        try:
            fork = fork_of(state.history, lead.history)
        except ValueError as error:
            raise PermanentError(f"{machine.name}: {error}", "copy it by hand: pg_basebackup") from error
        folder = _folder(at, machine)
        if fork is None and not state.is_broken:
            return {"rejoined_by": "following", **await asyncio.to_thread(_on_record, folder)}
        if fork is not None and _has_nothing_beyond(state, fork):
            return {"rejoined_by": "following", "lost_transactions": "0"}
        if fork is not None and not state.is_broken:
            await _save_stranded(node, state, fork, folder)
        facts = await asyncio.to_thread(_on_record, folder)
        if facts and (store := await at.services.keep(at.policy, folder, f"stranded-{machine.name}")):
            facts["stranded_in"] = store
        if not state.can_be_rewound:
            why = "a rewind was broken off" if state.is_broken else "it has neither checksums nor wal_log_hints"
            return {**facts, **await _copied(at, node, state, source, why)}
        try:
            await node.rewind(source)
        except PermanentError as error:
            return {**facts, **await _copied(at, node, state, source, f"pg_rewind failed: {_last(error.detail)}")}
        return {**facts, "rejoined_by": "rewind"}

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which node."""
        return f"bring {self.node} back as a standby"


def _way(state: NodeState, fork: Fork | None) -> str:
    if fork is None or _has_nothing_beyond(state, fork):
        return "start it as it is"
    if not state.can_be_rewound:
        return "copy the primary anew (it has neither checksums nor wal_log_hints, or a rewind was broken off)"
    return f"save its log beyond {fork.at} of timeline {fork.timeline}, list what was committed there, pg_rewind"


def _has_nothing_beyond(state: NodeState, fork: Fork) -> bool:
    """Whether it was shut down with nothing beyond the fork: by a primary's last checkpoint, a standby's replay."""
    if state.is_running:
        return False
    if state.replayed is not None:
        return state.replayed <= fork.at
    return state.is_shut_down and state.checkpoint < fork.at


async def _primary(at: Situation, but: Machine) -> tuple[Machine, Leading]:
    """The node that leads now, of the newest timeline where an old one claims to lead as well."""
    others = [at.machine(name) for name in at.members if name != but.name]
    looks = await leads_of(at.world.secrets, others)
    found = [(machine, each) for machine, each in zip(others, looks, strict=True) if isinstance(each, Leading)]
    if not found:
        why = "; ".join(
            f"{machine.name}: {each.message if isinstance(each, DrdError) else 'it is a standby'}"
            for machine, each in zip(others, looks, strict=True)
        )
        raise TransientError(f"no other node is a primary: {why or 'there is none'}", "drd status")
    if len(found) > 1:
        names = " and ".join(machine.name for machine, _ in found)
        raise PermanentError(f"{names} are both primary", "stop the one that clients must not write to")
    return found[0]


async def _demand_no_primary(at: Situation, machine: Machine) -> None:
    """Never touch a server that takes writes: somebody may be using it."""
    if isinstance(await lead_of(at.world.secrets, machine), Leading):
        raise PermanentError(f"{machine.name} answers as a primary itself", f"fence {machine.name} first")


def _demand_older(machine: Machine, state: NodeState, primary: Machine, lead: Leading) -> None:
    """What may be the newer one is never overwritten, and what may take writes is never stopped."""
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


async def _wait_for_it_again(at: Situation, machine: Machine, dsn: bytes) -> dict[str, str]:
    """Commits that wait for fewer members than they did on the old primary wait for this one too from now on."""
    rule = quorum_of(at.variables.get("synchronous", ""))
    if rule is None:
        return {}
    now = await parameter(dsn, AWAITED)
    wanted = with_member(quorum_of(now), rule, machine.member)
    if not says(now, wanted):
        await set_parameter(dsn, AWAITED, setting_of(wanted), at.world.clock.sleep)
    return {"synchronous_now": setting_of(wanted)}


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


async def _save_stranded(node: PostgresNode, state: NodeState, fork: Fork, folder: Path) -> None:
    """Bring its log beyond the fork here, and the list of what was committed there, which is written last."""
    if await asyncio.to_thread((folder / LIST).exists):
        return
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    await node.save_wal(state, fork, folder / "wal.tar")
    lost = await node.lost(state.history, fork)
    await asyncio.to_thread(_write, folder / LIST, lost)


def _write(path: Path, lost: tuple[CommittedTransaction, ...]) -> None:
    new = path.with_suffix(".new")
    new.write_text("".join(f"{each}\n" for each in lost))
    new.rename(path)


def _on_record(folder: Path) -> dict[str, str]:
    """What was lost, as the file of this run says."""
    path = folder / LIST
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    named = {"lost": "; ".join(lines[:MOST_NAMED])} if lines else {}
    return {"lost_transactions": str(len(lines)), "stranded": str(folder), **named}


def _folder(at: Situation, machine: Machine) -> Path:
    if at.world.stranded is None:
        raise PermanentError("there is no folder for log that nobody else has", "let the daemon do this")
    return at.world.stranded / at.run / machine.name


def _last(said: str) -> str:
    return said[-200:].strip() or "it gave no reason"
