"""Handing a PostgreSQL cluster over to a standby, in order and without losing anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import ClassVar, Final

from drd.clients.postgres.following_primary import Leading, following, replayed
from drd.clients.postgres.of_machines import dsn_of, lead_of, leads_of
from drd.clients.postgres.orders import checkpoint, parameter, set_parameter
from drd.clients.postgres.promotion import demand_right_to_promote, look, promote
from drd.clients.postgres.slots import drop_slot_after, has_slot, make_slot
from drd.clients.postgres_node import NodeState, PostgresNode
from drd.core.errors import DrdError, PermanentError, TransientError
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.switching import Handover, Successor, has_all, why_not
from drd.core.postgres.synchronous import for_new_primary, quorum_of, says, setting_of
from drd.core.probing import Quorum
from drd.core.runbook import HEIR, NODE_ROLES, SYNCHRONOUS, NodeName
from drd.core.runbook_step import Answer
from drd.ports.action import Action, Facts, Preview, Reference, Situation, node_references
from drd.ports.machines import Machine

PATIENCE: Final = timedelta(minutes=1)
"""How long a promotion may take whose step has no `timeout:`."""
LAST_SECONDS: Final = 10.0
"""How long a standby may take to replay the last of what it has received."""
AGAIN_SECONDS: Final = 0.01
BEST: Final = "best_standby"
AWAITED: Final = "synchronous_standby_names"


class PostgresSwitchover(Action):
    """Hand a PostgreSQL cluster over to a standby: the primary is shut down first, so that nothing is lost."""

    kind: ClassVar[str] = "postgres_switchover"
    looks_first: ClassVar[bool] = True
    is_final: ClassVar[bool] = True

    to: NodeName = BEST
    """Who takes over: a name under `nodes:`, or `best_standby`."""

    async def preview(self, at: Situation) -> Preview:
        """What would be done now, and what keeps it from that."""
        try:
            primary, lead = await _primary(at)
            handover = await _handover(at, primary, lead)
        except DrdError as error:
            return Preview((self.summary(),), (error.message,))
        wanted = self._wanted(at, handover)
        lines = (
            f"on {primary.name}: CHECKPOINT; systemctl mask --now {primary.unit}",
            f"on {wanted.name}: SELECT pg_promote(false), once it has replayed the checkpoint of the shutdown",
        )
        return Preview(lines, tuple(why_not(handover, wanted)))

    async def is_done(self, at: Situation) -> Answer:
        """Whether the one that was to take over leads, or, of `best_standby`, any but the one that led before."""
        if self.to == BEST and "primary" not in at.variables:
            return Answer.UNKNOWN if (await self._stopped(at))[1] is None else Answer.NOT_DONE
        name = await self._new_primary(at)
        return Answer.NOT_DONE if name is None else Answer.DONE

    async def found(self, at: Situation) -> Facts:
        """Who leads."""
        name = await self._new_primary(at)
        return {} if name is None else {"new_primary": name, **_old(at)}

    async def apply(self, at: Situation) -> Facts:
        """Check, shut the primary down, see that the standby has all of it, and promote that.

        Raises `PermanentError` when something keeps it from that; then the primary leads on, or leads again. It leads
        again only where the standby answers that it is one still, and where none can have been ordered to lead: one
        that goes on where an earlier attempt was ended leaves the old primary shut down.
        """
        if await self._is_over(at):
            return await self.found(at)
        old, state = await self._stopped(at)
        if state is not None:
            return await self._go_on(at, old, state)
        primary, lead = await _primary(at)
        handover = await _handover(at, primary, lead)
        wanted = self._wanted(at, handover)
        if blockers := tuple(why_not(handover, wanted)):
            raise PermanentError(f"the cluster is not handed over: {'; '.join(blockers)}", "nothing was changed")
        machine = at.machine(wanted.name)
        dsn = await dsn_of(at.world.secrets, machine)
        await demand_right_to_promote(dsn)
        is_new = await make_slot(dsn, primary.member)
        try:
            facts = await _prepare(at, primary, machine, handover)
            await at.ordering({HEIR: machine.name})
            state = await self._stop(at, primary, machine)
            return await self._finish(at, primary, machine, state, facts)
        except DrdError as error:
            if is_new and isinstance(await lead_of(at.world.secrets, primary), Leading):
                await drop_slot_after(error, dsn, primary.member, machine.name)
            raise

    async def _go_on(self, at: Situation, old: Machine, state: NodeState) -> Facts:
        """What is left to do where an earlier attempt has shut the primary down."""
        machine = await self._heir(at, old)
        # What the old primary asked for nobody can read now: what the standby was left with says the same.
        rule = quorum_of(await parameter(await dsn_of(at.world.secrets, machine), AWAITED))
        there = [each for each in _others(at, old) if await _replayed(at, each) is not None]
        facts = await _set_awaited(at, machine, rule, [each.member for each in there])
        return await self._finish(at, old, machine, state, facts, is_resumed=True)

    async def _finish(
        self,
        at: Situation,
        old: Machine,
        machine: Machine,
        state: NodeState,
        facts: dict[str, str],
        *,
        is_resumed: bool = False,
    ) -> Facts:
        if await self._demand_all(at, old, machine, state, is_resumed=is_resumed):
            await promote(await dsn_of(at.world.secrets, machine), at.world.clock.sleep, at.timeout or PATIENCE)
        return {"new_primary": machine.name, "old_primary": old.name, "fenced": old.name, "fenced_by": "ssh", **facts}

    async def rehearse(self, at: Situation) -> Facts | None:
        """Look whether it could be done now, and whether the primary's shell is reached."""
        primary, lead = await _primary(at)
        handover = await _handover(at, primary, lead)
        wanted = self._wanted(at, handover)
        if blockers := tuple(why_not(handover, wanted)):
            raise PermanentError(f"the cluster could not be handed over: {'; '.join(blockers)}", "")
        await PostgresNode(at.world.runner, primary).state()
        await demand_right_to_promote(await dsn_of(at.world.secrets, at.machine(wanted.name)))
        return {}

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.to, "to")

    def summary(self) -> str:
        """To which node."""
        return f"hand the cluster over to {self.to}"

    def _wanted(self, at: Situation, handover: Handover) -> Successor:
        if self.to == BEST:
            best = handover.best()
            if best is None:
                reasons = "; ".join(why for each in handover.successors for why in why_not(handover, each))
                raise PermanentError(f"no standby can take over: {reasons or 'there is none'}", "nothing was changed")
            return best
        name = at.machine(self.to).name
        return next((each for each in handover.successors if each.name == name), Successor(name, "it is no member"))

    async def _new_primary(self, at: Situation) -> str | None:
        names = [name for name in at.members if name != at.variables.get("primary")]
        for name in names if self.to in NODE_ROLES else [at.machine(self.to).name]:
            if isinstance(await lead_of(at.world.secrets, at.machine(name)), Leading):
                return name
        return None

    async def _is_over(self, at: Situation) -> bool:
        """Whether an earlier attempt has come through: another node leads, and the one that led does not."""
        old = at.variables.get("primary")
        new = None if old is None else await self._new_primary(at)
        if old is None or new is None or new == old:
            return False
        return not isinstance(await lead_of(at.world.secrets, at.machine(old)), Leading)

    async def _stopped(self, at: Situation) -> tuple[Machine, NodeState | None]:
        """The primary that was shut down before drd was ended in the middle of this, and how it was left."""
        looks = await leads_of(at.world.secrets, [at.machine(name) for name in at.members])
        silent = [name for name, each in zip(at.members, looks, strict=True) if isinstance(each, DrdError)]
        if not any(isinstance(each, Leading) for each in looks) and len(silent) == 1:
            machine = at.machine(silent[0])
            node = PostgresNode(at.world.runner, machine)
            state = await node.state()
            if state.is_shut_down and await node.is_masked():
                return machine, state
        return at.machine(at.members[0]), None

    async def _heir(self, at: Situation, old: Machine) -> Machine:
        """The one that was named, or that an earlier attempt has chosen: it may have been ordered to lead already.

        Where this run has not, what another one has prepared tells.
        """
        if self.to != BEST or HEIR in at.variables:
            return at.machine(at.variables.get(HEIR, self.to))
        others, secrets = _others(at, old), at.world.secrets
        prepared = [machine for machine in others if await has_slot(await dsn_of(secrets, machine), old.member)]
        if len(others) > 1 and len(prepared) != 1:
            names = " or ".join(machine.name for machine in prepared or others)
            raise PermanentError(
                f"{old.name} was shut down, and nothing tells which standby was to take over: {names}",
                f"see that none of them leads, then promote one by hand; {old.name} stays shut down and masked",
            )
        return prepared[0] if prepared else others[0]

    async def _stop(self, at: Situation, primary: Machine, machine: Machine) -> NodeState:
        node = PostgresNode(at.world.runner, primary, at.timeout)
        try:
            state = await node.fence()
        except PermanentError as error:
            raise await _lead_again(at, primary, machine, f"it could not be shut down: {error.message}") from error
        except TransientError as error:
            raise TransientError(
                f"nobody knows how {primary.name} was left: {error.message}",
                f"once it is reached it is shut down and masked: run the step again, or start {primary.name} by hand",
            ) from error
        if not state.is_shut_down or state.is_running:
            raise await _lead_again(at, primary, machine, "it was not shut down in order")
        return state

    async def _demand_all(
        self, at: Situation, old: Machine, machine: Machine, state: NodeState, *, is_resumed: bool
    ) -> bool:
        """Whether it has to be promoted, once it has replayed all; False where it leads already."""
        clock = at.world.clock
        end = clock.monotonic() + LAST_SECONDS
        while not has_all(position := await _replayed(at, machine), state.checkpoint):
            if position is None and isinstance(await lead_of(at.world.secrets, machine), Leading):
                return False
            if clock.monotonic() > end:
                why = f"{machine.name} did not get the last of what it wrote, up to {state.checkpoint}"
                if is_resumed:
                    raise PermanentError(
                        f"{old.name} was shut down, and {why}",
                        f"{machine.name} may have been ordered to lead, so {old.name} stays shut down: look at both",
                    )
                raise await _lead_again(at, old, machine, why)
            await clock.sleep(AGAIN_SECONDS)
        return True


async def _prepare(at: Situation, primary: Machine, machine: Machine, handover: Handover) -> dict[str, str]:
    """All that can be done while clients still write."""
    rule = quorum_of(await parameter(await dsn_of(at.world.secrets, primary), AWAITED))
    there = [at.machine(each.name).member for each in handover.successors if not each.why_not]
    facts = await _set_awaited(at, machine, rule, there)
    # So that the one of the shutdown has little to write.
    await checkpoint(await dsn_of(at.world.secrets, primary), at.world.clock.sleep)
    return facts


async def _set_awaited(at: Situation, machine: Machine, rule: Quorum | None, there: Iterable[str]) -> dict[str, str]:
    """Have commits wait, once it leads, for those of the members that are there and receive from it already.

    One that follows the old primary confirms nothing until it is brought over: nobody could write until then.
    """
    dsn = await dsn_of(at.world.secrets, machine)
    receivers = (await look(dsn)).receivers
    new = for_new_primary(rule, [member for member in there if member.casefold() in receivers])
    if not says(await parameter(dsn, AWAITED), new.quorum):
        await set_parameter(dsn, AWAITED, setting_of(new.quorum), at.world.clock.sleep)
    return {} if rule is None else {SYNCHRONOUS: setting_of(rule)} | ({"note": new.note} if new.note else {})


async def _lead_again(at: Situation, old: Machine, heir: Machine, why: str) -> PermanentError:
    """Start the old primary again, of whose heir this attempt has ordered nothing; what to raise then.

    It stays shut down where its heir does not answer that it is a standby: never two that take writes.
    """
    look = await lead_of(at.world.secrets, heir)
    if look is not None:
        said = look.message if isinstance(look, DrdError) else "it leads"
        return PermanentError(
            f"{old.name} is not handed over: {why}; and {heir.name} does not answer as a standby: {said}",
            f"so that two never lead, {old.name} is not started: see that {heir.name} does not, then do it by hand",
        )
    node = PostgresNode(at.world.runner, old, at.timeout)
    await node.unit("unmask")
    await node.unit("start")
    return PermanentError(f"{old.name} is not handed over: {why}", f"nothing was promoted, and {old.name} leads again")


async def _primary(at: Situation) -> tuple[Machine, Leading]:
    machines = [at.machine(name) for name in at.members]
    looks = await leads_of(at.world.secrets, machines)
    found = [(machine, each) for machine, each in zip(machines, looks, strict=True) if isinstance(each, Leading)]
    if not found:
        raise PermanentError("no node of the policy is a primary", "drd status")
    return max(found, key=lambda each: each[1].history.timeline)


async def _handover(at: Situation, primary: Machine, lead: Leading) -> Handover:
    others = [at.machine(name) for name in at.members if name != primary.name]
    looks = await asyncio.gather(*(_successor(at, machine, lead) for machine in others))
    leads = await leads_of(at.world.secrets, others)
    writers = tuple(machine.name for machine, each in zip(others, leads, strict=True) if isinstance(each, Leading))
    return Handover(primary.name, lead.written, tuple(looks), writers)


async def _successor(at: Situation, machine: Machine, lead: Leading) -> Successor:
    try:
        found = await following(await dsn_of(at.world.secrets, machine), lead)
    except DrdError as error:
        return Successor(machine.name, error.message)
    return Successor(
        machine.name, found.why_not, found.replayed, found.is_paused, found.delay_seconds, machine.priority
    )


def _others(at: Situation, old: Machine) -> list[Machine]:
    return [at.machine(name) for name in at.members if name != old.name]


async def _replayed(at: Situation, machine: Machine) -> Lsn | None:
    try:
        return await replayed(await dsn_of(at.world.secrets, machine))
    except DrdError:
        return None


def _old(at: Situation) -> dict[str, str]:
    name = at.variables.get("primary")
    return {} if name is None else {"old_primary": name}
