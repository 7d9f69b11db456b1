"""Starting and stopping a systemd service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from drd.clients.shell import run_program
from drd.core.errors import DrdError
from drd.core.node_grants import show, sudo
from drd.core.runbook import NodeName
from drd.core.runbook_step import Answer
from drd.ports.action import Action, Facts, Preview, Reference, Situation, may_be, node_references

ASK_TIMEOUT: Final = timedelta(seconds=10)


class SystemdService(Action):
    """Start, stop, restart or reload a systemd unit, here or on a node."""

    kind: ClassVar[str] = "service"

    unit: Annotated[str, Field(min_length=1)]
    """As systemd calls it, `haproxy.service` or `haproxy`."""
    do: Literal["start", "stop", "restart", "reload"]
    """What systemctl is asked."""
    node: NodeName | None = None
    """Where it runs; left out, on this machine."""

    @property
    def is_repeatable(self) -> bool:
        """A reload more hurts nobody, nor does starting what runs or stopping what does not."""
        return self.do != "restart"

    @property
    def is_undoable(self) -> bool:
        """What was started can be stopped, and the other way round."""
        return self.do in ("start", "stop")

    async def preview(self, at: Situation) -> Preview:
        """The command and where it runs, and what the unit is doing now."""
        machine = None if self.node is None else at.machine(self.node)
        where = "here" if machine is None else f"on {machine.name}"
        try:
            state = await self._state(at)
        except DrdError as error:
            return Preview((f"{where}: systemctl {self.do} {self.unit}",), (error.message,))
        return Preview((f"{where}: systemctl {self.do} {self.unit} (now {state.get('ActiveState', 'unknown')})",))

    async def is_done(self, at: Situation) -> Answer:
        """Whether the unit is as it shall be; a restart, whether it became active since."""
        state = await self._state(at)
        is_active = state.get("ActiveState") == "active"
        match self.do:
            case "start":
                return Answer.DONE if is_active else Answer.NOT_DONE
            case "stop":
                return Answer.DONE if state.get("ActiveState") in ("inactive", "failed") else Answer.NOT_DONE
            case "restart" if not is_active:
                return Answer.NOT_DONE
            case "restart" if at.since is not None:
                began = _moment(state.get("ActiveEnterTimestamp", ""))
                if began is None:
                    return Answer.UNKNOWN
                return Answer.DONE if began >= at.since.replace(microsecond=0) else Answer.NOT_DONE
            case _:
                return Answer.UNKNOWN

    async def apply(self, at: Situation) -> Facts:
        """Ask systemd, and wait until it says that it is so."""
        await self._systemctl(at, self.do)
        return {}

    async def undo(self, at: Situation) -> Facts:
        """Start what was stopped, stop what was started."""
        await self._systemctl(at, "stop" if self.do == "start" else "start")
        return {}

    async def rehearse(self, at: Situation) -> Facts | None:
        """Ask systemd how the unit is: whether it is reached at all, and may be asked."""
        state = await self._state(at)
        return {"note": f"{self.unit} is {state.get('ActiveState', 'unknown')} now"}

    async def _systemctl(self, at: Situation, do: str) -> None:
        machine = None if self.node is None else at.machine(self.node)
        user = "root" if machine is None or machine.shell is None else machine.shell.user
        await run_program(at.world.runner, self._order(user, do), machine, at.timeout)

    async def _state(self, at: Situation) -> dict[str, str]:
        machine = None if self.node is None else at.machine(self.node)
        lines = await run_program(at.world.runner, self._question, machine, ASK_TIMEOUT)
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def _order(self, user: str, do: str) -> tuple[str, ...]:
        """Over ssh drd is an ordinary user there, whom sudoers lets do this and nothing else."""
        return (*sudo(user), "systemctl", do, self.unit)

    @property
    def _question(self) -> tuple[str, ...]:
        return show(self.unit, "ActiveState,ActiveEnterTimestamp", "--timestamp=unix")

    def commands_on(self, node: str, user: str, *, is_own: bool) -> tuple[tuple[str, ...], ...]:
        """The question, the order, and what takes it back."""
        if not may_be(self.node, node, is_own=is_own):
            return ()
        orders = [self.do, *({"start": ["stop"], "stop": ["start"]}.get(self.do, []))]
        return (self._question, *(self._order(user, do) for do in orders))

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """What becomes of which unit."""
        return f"{self.do} {self.unit}" + (f" on {self.node}" if self.node else "")


def _moment(text: str) -> datetime | None:
    """`@1760000000`, as systemd writes it with --timestamp=unix; None for a unit that never was active."""
    return datetime.fromtimestamp(int(text[1:]), UTC) if text[1:].isdecimal() else None
