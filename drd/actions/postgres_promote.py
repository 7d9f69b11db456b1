"""Making a standby the primary."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import ClassVar, Final

from drd.clients.postgres.promotion import Found, look, promote, risks
from drd.core.errors import DrdError, PermanentError
from drd.core.postgres.lsn import Lsn
from drd.core.runbook import NodeName
from drd.core.runbook_step import Answer
from drd.ports.action import Action, Facts, Preview, Reference, Situation, node_references
from drd.ports.machines import Machine

PATIENCE: Final = timedelta(minutes=1)
"""How long a promotion may take whose step has no `timeout:`."""
GOING_SECONDS: Final = 5.0
"""How long a node that was fenced may go on answering, as one does whose power was only just cut."""
ANSWER_SECONDS, AGAIN_SECONDS = 1.0, 0.05
BEST: Final = "best_standby"


class PostgresPromote(Action):
    """Make a PostgreSQL standby the primary; a fence of the old one has to stand before it."""

    kind: ClassVar[str] = "postgres_promote"
    is_final: ClassVar[bool] = True

    node: NodeName
    """A name under `nodes:`, or a role, as `primary`."""

    async def preview(self, at: Situation) -> Preview:
        """Which standby it would be now, and what would make it slow."""
        try:
            machine = await self._candidate(at)
            found = await risks(await _dsn(at, machine))
        except DrdError as error:
            return Preview((self.summary(),), (error.message,))
        return Preview((f"on {machine.name}: SELECT pg_promote(false)",), found)

    async def is_done(self, at: Situation) -> Answer:
        """Whether it, or with `best_standby` any node but the fenced one, is a primary."""
        if self.node == BEST and not {"fenced", "primary"} & at.variables.keys():
            return Answer.UNKNOWN  # the old primary must not pass for the new one
        return Answer.DONE if await self._promoted(at) is not None else Answer.NOT_DONE

    async def found(self, at: Situation) -> Facts:
        """Who is the primary now."""
        promoted = await self._promoted(at)
        return {} if promoted is None else {"new_primary": promoted.name}

    async def apply(self, at: Situation) -> Facts:
        """Promote it. Refuses when no fence is confirmed in this run, or when another node is a primary."""
        if "fence" not in at.done:
            raise PermanentError(
                "no fence of the old primary is confirmed in this run", "a step with `fence:` has to succeed before"
            )
        machine, _ = await asyncio.gather(self._candidate(at), _old_is_gone(at))
        await promote(await _dsn(at, machine), at.world.clock.sleep, at.timeout or PATIENCE)
        return {"new_primary": machine.name}

    async def rehearse(self, at: Situation) -> Facts | None:
        """Look who it would be."""
        await self._candidate(at)
        return {}

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which node."""
        return f"promote {self.node}"

    async def _promoted(self, at: Situation) -> Machine | None:
        """The primary that there is, of those that it could be. Raises `DrdError` when none of them answers."""
        machines = _others(at) if self.node == BEST else (at.machine(self.node),)
        looks = await asyncio.gather(*(_looked(at, machine) for machine in machines))
        answers = [(machine, each) for machine, each in zip(machines, looks, strict=True) if isinstance(each, Found)]
        if not answers:
            raise next((each for each in looks if isinstance(each, DrdError)), PermanentError("there is no node", ""))
        return next((machine for machine, each in answers if not each.is_in_recovery), None)

    async def _candidate(self, at: Situation) -> Machine:
        """The standby that has the most: the newest timeline, then what it has received, then its priority.

        A node that is a primary and not the fenced one keeps everybody from being promoted, whoever was named.
        """
        others = {machine.name: machine for machine in _others(at)}
        wanted = others if self.node == BEST else {(named := at.machine(self.node)).name: named}
        machines = tuple({**others, **wanted}.values())
        looks = await asyncio.gather(*(_looked(at, machine) for machine in machines))
        standbys: list[tuple[int, Lsn, int, Machine]] = []
        refused: list[str] = []
        for machine, each in zip(machines, looks, strict=True):
            if isinstance(each, Found) and not each.is_in_recovery:
                raise PermanentError(f"{machine.name} is a primary already", "look at the nodes: nothing was promoted")
            if machine.name not in wanted:
                continue
            if isinstance(each, Found):
                standbys.append((each.timeline, each.position, machine.priority, machine))
            else:
                refused.append(f"{machine.name}: {each.message}")
        if not standbys:
            raise PermanentError(f"no standby can be promoted: {'; '.join(refused) or 'there is none'}", "drd status")
        return max(standbys, key=lambda each: each[:3])[3]


def _others(at: Situation) -> tuple[Machine, ...]:
    """The nodes of the policy but the one that was the primary."""
    gone = {at.variables.get("fenced"), at.variables.get("primary")}
    return tuple(at.machine(name) for name in at.members if name not in gone)


async def _old_is_gone(at: Situation) -> None:
    """Look at the fenced node once more: a fence that was confirmed and does not hold is found before it matters.

    One that does not answer within a second is taken for gone, since the fence says so.
    """
    name, clock = at.variables.get("fenced"), at.world.clock
    if name is None or at.machine(name).dsn is None:
        return
    end = clock.monotonic() + GOING_SECONDS
    while True:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await _looked(at, at.machine(name))
        except TimeoutError:
            return
        if isinstance(found, DrdError) or found.is_in_recovery:
            return
        if clock.monotonic() > end:
            raise PermanentError(
                f"{name} was fenced, and still answers as a primary",
                f"nothing was promoted: stop {name} by hand, then run the runbook again",
            )
        await clock.sleep(AGAIN_SECONDS)


async def _looked(at: Situation, machine: Machine) -> Found | DrdError:
    try:
        return await look(await _dsn(at, machine))
    except DrdError as error:
        return error


async def _dsn(at: Situation, machine: Machine) -> bytes:
    if machine.dsn is None:
        raise PermanentError(
            f"drd.yaml does not say how the database of {machine.name} is reached", "write `postgres:` at the node"
        )
    return await at.world.secrets.read(machine.dsn)
