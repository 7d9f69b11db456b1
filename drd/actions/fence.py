"""Fencing: making certain that a node acknowledges no write, also after a reboot."""

from __future__ import annotations

import shlex
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from drd.clients.shell import find_program, run_program
from drd.core.errors import DrdError, PermanentError
from drd.core.lists import OneOrMany
from drd.core.runbook import NodeName
from drd.core.runbook_step import Answer
from drd.ports.action import Action, Facts, Preview, Reference, Situation, node_references
from drd.ports.machines import Machine

ASK_TIMEOUT: Final = timedelta(seconds=10)


class Rung(StrEnum):
    """A way to fence."""

    SSH = "ssh"
    POWER = "power"
    REVOKE = "revoke"
    PROXY = "proxy"


class Fence(Action):
    """Make certain that a node acknowledges no write, also after a reboot."""

    kind: ClassVar[str] = "fence"

    node: NodeName
    """A name under `nodes:`, or a role, as `primary`."""
    by: Annotated[OneOrMany[Rung], Field(min_length=1)]
    """Ways in order; the first that is confirmed is enough.

    `ssh` stops and masks the service, `power` switches the node off, `revoke` takes its clients' right to connect,
    `proxy` cuts it off from clients that come through one.
    """

    @property
    def is_repeatable(self) -> bool:
        """What is stopped or off stays so. It is not taken back by itself: another node may be the primary by then."""
        return True

    async def preview(self, at: Situation) -> Preview:
        """Each way with its command, and what would keep it from working."""
        machine = at.machine(self.node)
        commands = [each for rung in self.by if (each := _command(machine, rung))]
        reasons = [await self._why_not(at, machine, rung) for rung in self.by]
        return Preview(tuple(commands), tuple(filter(None, reasons)))

    async def is_done(self, at: Situation) -> Answer:
        """Whether the unit is masked and gone; that a node is off nobody but the one who switched it off can tell."""
        machine = at.machine(self.node)
        if Rung.SSH not in self.by or machine.unit is None:
            return Answer.UNKNOWN
        return Answer.DONE if await self._is_stopped(at, machine) else Answer.NOT_DONE

    async def found(self, at: Situation) -> Facts:
        """Only the unit can be found fenced."""
        return {"fenced": at.machine(self.node).name, "fenced_by": Rung.SSH.value}

    async def apply(self, at: Situation) -> Facts:
        """Try the ways in order. Raises `PermanentError` with the reason of each when none is confirmed."""
        machine = at.machine(self.node)
        refused: list[str] = []
        for rung in self.by:
            try:
                await self._fence(at, machine, rung)
            except DrdError as error:
                refused.append(f"{rung}: {error.message}")
            else:
                return {"fenced": machine.name, "fenced_by": rung.value}
        raise PermanentError(
            f"{machine.name} is not fenced: {'; '.join(refused)}", f"fence it by hand: drd runbook show {at.runbook}"
        )

    async def rehearse(self, at: Situation) -> Facts | None:
        """Look whether each way could be gone."""
        machine = at.machine(self.node)
        reasons = [await self._why_not(at, machine, rung) for rung in self.by]
        if all(reasons):
            raise PermanentError(f"{machine.name} could not be fenced: {'; '.join(filter(None, reasons))}", "")
        return {}

    async def _fence(self, at: Situation, machine: Machine, rung: Rung) -> None:
        match rung:
            case Rung.SSH:
                await run_program(at.world.runner, _mask(machine), machine, at.timeout)
                if not await self._is_stopped(at, machine):
                    raise PermanentError(f"{machine.unit} is not seen to be stopped and masked", "")
            case Rung.POWER if machine.power:
                await run_program(at.world.runner, machine.power, None, at.timeout)
            case Rung.POWER:
                raise PermanentError("drd.yaml names no command that switches it off", "write `power:` at the node")
            case _:
                raise PermanentError("not in this release", "")

    async def _is_stopped(self, at: Situation, machine: Machine) -> bool:
        argv = ("systemctl", "show", "-p", "ActiveState,LoadState,MainPID", str(machine.unit))
        lines = await run_program(at.world.runner, argv, machine, ASK_TIMEOUT)
        state = {name: value for name, _, value in (line.partition("=") for line in lines)}
        is_gone = state.get("ActiveState") in ("inactive", "failed") and state.get("MainPID") == "0"
        return is_gone and state.get("LoadState") == "masked"

    async def _why_not(self, at: Situation, machine: Machine, rung: Rung) -> str:
        """Why a way could not be gone, as far as can be told without going it."""
        match rung:
            case Rung.SSH:
                try:
                    _mask(machine)
                    await self._is_stopped(at, machine)
                except DrdError as error:
                    return f"ssh: {error.message}"
                return ""
            case Rung.POWER:
                missing = find_program(machine.power[0]) if machine.power else "drd.yaml names no command"
                return f"power: {missing}" if missing else ""
            case _:
                return f"{rung}: not in this release"

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which node, by which ways."""
        return f"fence {self.node} by {', then '.join(self.by)}"


def _mask(machine: Machine) -> tuple[str, ...]:
    """Stopped now, and not started by anything, a reboot included, before somebody unmasks it."""
    if machine.unit is None:
        raise PermanentError(f"drd.yaml does not say which unit runs on {machine.name}", "write `postgres: {unit: …}`")
    sudo = ("sudo", "-n") if machine.shell is not None and machine.shell.user != "root" else ()
    return (*sudo, "systemctl", "mask", "--now", machine.unit)


def _command(machine: Machine, rung: Rung) -> str:
    if rung is Rung.SSH and machine.unit is not None:
        return f"on {machine.name}: {shlex.join(_mask(machine))}"
    return f"here: {shlex.join(machine.power)}" if rung is Rung.POWER and machine.power else ""
