"""Fencing: making certain that a node acknowledges no write, also after a reboot."""

from __future__ import annotations

import asyncio
import shlex
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import Field

from drd.clients.haproxy import kept_state, order, servers, shut
from drd.clients.postgres.following_primary import Leading
from drd.clients.postgres.of_machines import dsn_of, lead_of
from drd.clients.postgres.orders import demand_right
from drd.clients.postgres.revoking import ANSWER_SECONDS, SLOT, cut_off, give_all_back, revoke
from drd.clients.postgres_node import PostgresNode
from drd.clients.shell import find_program, run_program
from drd.clients.unit import demand_maskable, is_stopped_and_masked, unit_state
from drd.core.errors import DrdError, PermanentError
from drd.core.fencing import A_PERSON, FenceState, proxy, revocation
from drd.core.fencing import Fence as FenceFound
from drd.core.fencing import Rung as CoreRung
from drd.core.kinds import Model
from drd.core.lists import OneOrMany
from drd.core.node_grants import sudo
from drd.core.runbook import ORDERED_TO_LEAD, NodeName
from drd.core.runbook_step import Answer
from drd.ports.action import Action, Facts, Preview, Reference, Situation, node_references
from drd.ports.machines import Machine

LONGEST_RUNG: Final = timedelta(seconds=10)
"""A way that takes longer is left for the next one: a shell that hangs must not keep the power from being cut."""
LAST_RUNG: Final = timedelta(minutes=2)
"""Of a program of the last way, where the step has no `timeout:`: a shutdown takes less, and writes wait for it."""
CANNOT_SEE: Final = FenceFound(CoreRung.REVOKE, FenceState.IMPOSSIBLE, "the nodes of the policy are not watched")


class Rung(StrEnum):
    """A way to fence."""

    SSH = "ssh"
    POWER = "power"
    REVOKE = "revoke"
    PROXY = "proxy"


class FenceProxy(Model):
    """The proxy through which all clients come."""

    backend: str
    """The HAProxy backend, in which the server is called like the node."""
    socket: Path = Path("/run/haproxy/admin.sock")
    """HAProxy's runtime socket, with level admin."""
    state_file: Path | None = None
    """HAProxy's `server-state-file`, in which is written what holds after it is reloaded; left out: it forgets it."""
    addresses: Annotated[OneOrMany[str], Field(min_length=1)]
    """Where its connections come from, as the database sees them."""


class Fence(Action):
    """Make certain that a node acknowledges no write, also after a reboot."""

    kind: ClassVar[str] = "fence"

    node: NodeName
    """A name under `nodes:`, or a role, as `primary`."""
    by: Annotated[OneOrMany[Rung], Field(min_length=1)]
    """Ways in order; the first that is confirmed is enough.

    `ssh` stops and masks the service, `power` switches the node off, `revoke` cuts off so many synchronous standbys
    that no commit is confirmed, `proxy` cuts the node off from clients that all come through one.
    """
    proxy: FenceProxy | None = None
    """Which one that is, for the way `proxy`."""

    @property
    def is_repeatable(self) -> bool:
        """What is stopped, off or cut stays so."""
        return True

    @property
    def is_undoable(self) -> bool:
        """What was cut off is given back; what was stopped is not, for another node may be the primary by then."""
        return bool({Rung.REVOKE, Rung.PROXY} & set(self.by))

    async def preview(self, at: Situation) -> Preview:
        """Each way with its command, and what would keep it from working."""
        machine = at.machine(self.node)
        commands = [each for rung in self.by if (each := self._command(at, machine, rung))]
        reasons = [await self._why_not(at, machine, rung) for rung in self.by]
        return Preview(tuple(commands), tuple(filter(None, reasons)))

    async def is_done(self, at: Situation) -> Answer:
        """Whether it holds; that a node is off nobody but the one who switched it off can tell.

        A way that was confirmed in this run is asked about. Of one that was broken off only the unit tells.
        """
        machine = at.machine(self.node)
        match self._confirmed(at, machine):
            case Rung.POWER.value:
                return Answer.UNKNOWN
            case Rung.REVOKE.value:
                names = [name for name in at.variables.get("revoked", "").split(",") if name]
                cut = await cut_off(at.world, [at.machine(name) for name in names])
                return Answer.DONE if names and cut == set(names) else Answer.NOT_DONE
            case Rung.PROXY.value:
                return Answer.NOT_DONE if await self._is_open(machine) else Answer.DONE
        if Rung.SSH not in self.by or machine.unit is None:
            return Answer.UNKNOWN
        if not await _is_stopped(at, machine):
            return Answer.NOT_DONE
        runs = machine.data_directory is not None and await PostgresNode(at.world.runner, machine).runs()
        return Answer.NOT_DONE if runs else Answer.DONE

    async def found(self, at: Situation) -> Facts:
        """Of what was broken off only the unit can be found fenced, which `is_done` has seen."""
        machine = at.machine(self.node)
        return {"fenced": machine.name, "fenced_by": self._confirmed(at, machine) or Rung.SSH.value}

    async def found_by_hand(self, at: Situation) -> Facts:
        """That it is fenced; by which way, only the person knows."""
        return {"fenced": at.machine(self.node).name, "fenced_by": A_PERSON}

    async def apply(self, at: Situation) -> Facts:
        """Try the ways in order. Raises `PermanentError` with the reason of each when none is confirmed."""
        machine = at.machine(self.node)
        by = self._confirmed(at, machine)
        if by and "new_primary" not in at.variables:
            await _demand_still_gone(at, machine, by)
        if at.timeout is None:
            at = replace(at, timeout=LAST_RUNG)
        refused: list[str] = []
        for number, rung in enumerate(self.by, 1):
            patience = self._patience(at) if number < len(self.by) else None
            try:
                async with asyncio.timeout(patience):
                    found = await self._fence(at, machine, rung)
            except DrdError as error:
                refused.append(f"{rung}: {error.message}")
            except TimeoutError:
                refused.append(f"{rung}: it did not come to its end in time")
            else:
                return {"fenced": machine.name, "fenced_by": rung.value, **found}
        raise PermanentError(
            f"{machine.name} is not fenced: {'; '.join(refused)}", f"fence it by hand: drd runbook show {at.runbook}"
        )

    async def undo(self, at: Situation) -> Facts:
        """Let the standbys receive again, or the proxy's clients in."""
        by = at.variables.get("fenced_by")
        if by == Rung.REVOKE.value:
            _demand_nobody_told(at, at.machine(self.node))
            await give_all_back(at.world, _standbys(at, at.machine(self.node)))
            return {}
        if by == Rung.PROXY.value and self.proxy is not None:
            server = f"{self.proxy.backend}/{at.machine(self.node).name}"
            await order(self.proxy.socket, f"set server {server} state ready")
            return await kept_state(self.proxy.socket, self.proxy.state_file)
        raise PermanentError(
            f"{at.machine(self.node).name} was fenced by {by or 'no way that is known'}, which is not taken back",
            "look whether another node is the primary, then start it by hand",
        )

    async def rehearse(self, at: Situation) -> Facts | None:
        """Look whether each way could be gone."""
        machine = at.machine(self.node)
        reasons = [await self._why_not(at, machine, rung) for rung in self.by]
        if all(reasons):
            raise PermanentError(f"{machine.name} could not be fenced: {'; '.join(filter(None, reasons))}", "")
        return {}

    def _confirmed(self, at: Situation, machine: Machine) -> str:
        """The one of its ways by which it was fenced earlier in this run; empty where it was by none, or by another."""
        by = at.variables.get("fenced_by", "")
        return by if at.variables.get("fenced") == machine.name and by in self.by else ""

    def _patience(self, at: Situation) -> float:
        """Seconds after which the next way is gone; each program of the last one has all that the step has."""
        own = LONGEST_RUNG if at.timeout is None else min(LONGEST_RUNG, at.timeout / len(self.by))
        return own.total_seconds()

    async def _fence(self, at: Situation, machine: Machine, rung: Rung) -> dict[str, str]:
        match rung:
            case Rung.SSH:
                return await _stop(at, machine)
            case Rung.POWER:
                if not machine.power:
                    raise PermanentError("drd.yaml names no command that switches it off", "write `power:` at the node")
                await run_program(at.world.runner, machine.power, None, at.timeout)
                return {}
            case Rung.REVOKE:
                return await _revoke(at, machine)
            case Rung.PROXY:
                return await self._cut_proxy(at, machine)

    async def _cut_proxy(self, at: Situation, machine: Machine) -> dict[str, str]:
        """Shut its server at the proxy, with its sessions, also for an HAProxy that takes over."""
        found = self._by_proxy(at)
        if self.proxy is None or found.state is FenceState.IMPOSSIBLE:
            raise PermanentError(found.why, "")
        await shut(self.proxy.socket, self.proxy.backend, machine.name)
        kept = await kept_state(self.proxy.socket, self.proxy.state_file)
        if await self._is_open(machine):
            raise PermanentError(f"HAProxy lets clients in to {machine.name} all the same", "look at HAProxy")
        return kept

    async def _is_open(self, machine: Machine) -> bool:
        """Whether the proxy lets clients in to it."""
        if self.proxy is None:
            return True
        found = await servers(self.proxy.socket, self.proxy.backend)
        return any(each.name == machine.name and each.is_ready for each in found)

    def _by_proxy(self, at: Situation) -> FenceFound:
        view = at.services.view(at.policy)
        if self.proxy is None:
            return FenceFound(CoreRung.PROXY, FenceState.IMPOSSIBLE, "the step does not say which proxy that is")
        if view is None:
            return CANNOT_SEE
        return proxy(view, at.services.clients(at.policy), frozenset(self.proxy.addresses))

    async def _why_not(self, at: Situation, machine: Machine, rung: Rung) -> str:
        """Why a way could not be gone, as far as can be told without going it."""
        try:
            match rung:
                case Rung.SSH:
                    _mask(machine)
                    demand_maskable(await unit_state(at.world.runner, machine), machine)
                case Rung.POWER:
                    missing = find_program(machine.power[0]) if machine.power else "drd.yaml names no command"
                    return f"power: {missing}" if missing else ""
                case Rung.REVOKE:
                    view = at.services.view(at.policy)
                    found = CANNOT_SEE if view is None else revocation(view)
                    if found.state is FenceState.IMPOSSIBLE:
                        return f"revoke: {found.why}"
                    for standby in _standbys(at, machine):
                        await demand_right(await dsn_of(at.world.secrets, standby), SLOT)
                case Rung.PROXY:
                    found = self._by_proxy(at)
                    if found.state is FenceState.IMPOSSIBLE:
                        return f"proxy: {found.why}"
        except DrdError as error:
            return f"{rung}: {error.message}"
        return ""

    def _command(self, at: Situation, machine: Machine, rung: Rung) -> str:
        match rung:
            case Rung.SSH if machine.unit is not None:
                mark = f", then standby.signal is left in {machine.data_directory}" if machine.data_directory else ""
                return f"on {machine.name}: {shlex.join(_mask(machine))}{mark}"
            case Rung.POWER if machine.power:
                return f"here: {shlex.join(machine.power)}"
            case Rung.REVOKE:
                others = ", ".join(name for name in at.members if name != machine.name)
                return f"on {others or 'its standbys'}: ALTER SYSTEM SET {SLOT} = 'drd_cut_…'"
            case Rung.PROXY if self.proxy is not None:
                return f"{self.proxy.socket}: set server {self.proxy.backend}/{machine.name} state maint"
            case _:
                return ""

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which node, by which ways."""
        return f"fence {self.node} by {', then '.join(self.by)}"


async def _demand_still_gone(at: Situation, machine: Machine, by: str) -> None:
    """See that nobody has brought a node back since it was fenced: one that leads again has clients that write."""
    if machine.dsn is None:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            if isinstance(await lead_of(at.world.secrets, machine), Leading):
                raise PermanentError(
                    f"{machine.name} was fenced by {by}, and leads again since",
                    f"nothing was promoted: see who started it, then begin anew: drd runbook start {at.runbook}",
                )


async def _stop(at: Situation, machine: Machine) -> dict[str, str]:
    """Stop and mask its unit, and leave word in its data that it may not take writes, however it is started."""
    try:
        await run_program(at.world.runner, _mask(machine), machine, at.timeout)
    except PermanentError:
        demand_maskable(await unit_state(at.world.runner, machine), machine)
        raise
    if not await _is_stopped(at, machine):
        raise PermanentError(f"{machine.unit} is not seen to be stopped and masked", "")
    if machine.data_directory is None:
        return {}
    node, note = PostgresNode(at.world.runner, machine), {}
    try:
        runs = await node.leave_standby_signal()
    except DrdError as error:
        # The mask keeps the unit down. That nothing runs beside it has to be seen all the same.
        note = {"note": f"standby.signal could not be left on {machine.name}: {error.message}"}
        runs = await node.still_runs()
    if runs:
        raise PermanentError(f"{machine.unit} is stopped, and a server runs in {machine.data_directory} all the same")
    return note


def _demand_nobody_told(at: Situation, machine: Machine) -> None:
    """Nothing is cut off anew or given back once somebody may lead at any moment: both could let it confirm commits."""
    if ordered := at.variables.get(ORDERED_TO_LEAD):
        raise PermanentError(
            f"{ordered} has been told to take over already: the standbys of {machine.name} stay as they are",
            f"stop {machine.name} by hand, then go on with --done",
        )


async def _revoke(at: Situation, machine: Machine) -> dict[str, str]:
    _demand_nobody_told(at, machine)
    view = at.services.view(at.policy)
    if view is None:
        raise PermanentError(CANNOT_SEE.why, "")
    return {"revoked": ",".join(await revoke(at.world, view, machine, _standbys(at, machine)))}


def _standbys(at: Situation, machine: Machine) -> list[Machine]:
    return [at.machine(name) for name in at.members if name != machine.name]


async def _is_stopped(at: Situation, machine: Machine) -> bool:
    return is_stopped_and_masked(await unit_state(at.world.runner, machine))


def _mask(machine: Machine) -> tuple[str, ...]:
    """Stopped now, and not started by anything, a reboot included, before somebody unmasks it."""
    if machine.unit is None:
        raise PermanentError(f"drd.yaml does not say which unit runs on {machine.name}", "write `postgres: {unit: …}`")
    return (*sudo("root" if machine.shell is None else machine.shell.user), "systemctl", "mask", "--now", machine.unit)
