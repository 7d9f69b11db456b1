"""Moving an address from node to node, so that clients find the new server where the old one was."""

from __future__ import annotations

import asyncio
import shlex
from ipaddress import AddressValueError, IPv4Interface, NetmaskValueError
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from drd.clients.address import AddressOn, Place
from drd.core.errors import DrdError, PermanentError, TransientError, UsageError
from drd.core.runbook import NodeName
from drd.core.runbook_step import Answer
from drd.ports.action import ClientsMove, Facts, Preview, Reference, Situation, node_references
from drd.ports.machines import Machine


class Address(ClientsMove):
    """Move an IPv4 address to a node, once no other machine answers for it, and tell the network."""

    kind: ClassVar[str] = "address"

    address: str
    """The address with the length of its network, as `10.0.1.100/24`."""
    interface: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$")]
    """The interface that carries it, on whichever node has it."""
    node: NodeName
    """Where it shall be; the other nodes of the policy give it up."""

    @field_validator("address")
    @classmethod
    def _is_of_a_network(cls, value: str) -> str:
        address, _, length = value.partition("/")
        if ":" in address:
            raise ValueError("only IPv4 addresses are moved: write one, as 10.0.1.100/24")
        try:
            IPv4Interface(value)
        except (AddressValueError, NetmaskValueError):
            raise ValueError("write an IPv4 address and the length of its network, as 10.0.1.100/24") from None
        if not length.isdecimal():
            raise ValueError(f"the length of its network lacks: write it, as {address}/24")
        return value

    async def preview(self, at: Situation) -> Preview:
        """Every command on every node, and where the address is now."""
        wanted = self._wanted(at)
        found = await self._holders(at)
        now = ", ".join(name for name, has in found.items() if has is True) or "no node that answers"
        lines = [f"on {each.name}: {shlex.join(self._place.remove(_user(each)))}" for each in self._others(at, wanted)]
        lines = [f"{line}, where it is there (now on {now})" for line in lines]
        on = f"on {wanted.name}"
        lines.append(f"{on}: {shlex.join(self._place.probe(_user(wanted)))}, and on only if nobody answers")
        lines += [f"{on}: {shlex.join(argv)}" for argv in (self._place.add(_user(wanted)), *self._told(wanted))]
        return Preview(tuple(lines), tuple(error.message for error in found.values() if isinstance(error, DrdError)))

    async def is_done(self, at: Situation) -> Answer:
        """Where it is not there it is not done; that the network was told nobody can see."""
        return Answer.UNKNOWN if await self._on(at, self._wanted(at)).is_there() else Answer.NOT_DONE

    async def apply(self, at: Situation) -> Facts:
        """Take it from the others, look whether anybody answers for it still, add it, and tell the network."""
        wanted = self._wanted(at)
        before, silent = await self._take_from(at, self._others(at, wanted))
        await self._give_to(at, wanted)
        # That no node had it only a first attempt can tell: one that was cut off may have taken it from one.
        is_known = bool(before) or (self._remembered not in at.variables and not at.is_again)
        facts = {self._remembered: before} if is_known else {}
        if silent:
            facts["note"] = f"{self._ip} could not be taken from {', '.join(silent)}, and nobody answered for it"
        return facts

    async def undo(self, at: Situation) -> Facts:
        """Put it back to the node that had it; away from all where none had it."""
        if self._remembered not in at.variables:
            raise PermanentError(f"which node had {self._ip} before is not on record", "look: ip address show")
        name = at.variables[self._remembered]
        if not name:
            await self._take_from(at, [self._wanted(at)])
            return {}
        before = at.machine(name)
        await self._take_from(at, self._others(at, before))
        await self._give_to(at, before)
        return {}

    async def rehearse(self, at: Situation) -> Facts | None:
        """Look at each node, and ask the network who has it; nothing is moved."""
        wanted = self._wanted(at)
        failed = [error for error in (await self._holders(at)).values() if isinstance(error, DrdError)]
        if failed:
            raise failed[0]
        await self._on(at, wanted).holder()
        return {}

    @property
    def _place(self) -> Place:
        return Place(IPv4Interface(self.address), self.interface)

    @property
    def _ip(self) -> str:
        return str(self._place.address.ip)

    @property
    def _remembered(self) -> str:
        return f"address {self._ip}"

    def _wanted(self, at: Situation) -> Machine:
        for machine in at.machines.values():
            if machine.host == self._ip:
                raise UsageError(
                    f"{self._ip} is the address of {machine.name} itself", "move one that is no node's own"
                )
        return at.machine(self.node)

    def _others(self, at: Situation, wanted: Machine) -> list[Machine]:
        """The policy's other nodes; one whose power is off has no address, and would only be waited for."""
        off = at.variables.get("fenced") if at.variables.get("fenced_by") == "power" else None
        return [at.machine(name) for name in at.members if name not in (wanted.name, off)]

    def _on(self, at: Situation, machine: Machine) -> AddressOn:
        return AddressOn(at.world.runner, machine, self._place)

    def _told(self, machine: Machine) -> tuple[tuple[str, ...], ...]:
        return self._place.announce(_user(machine))

    async def _holders(self, at: Situation) -> dict[str, bool | DrdError]:
        """Whether each node has it, or why that is not known."""
        wanted = self._wanted(at)
        machines = [wanted, *self._others(at, wanted)]

        async def look(machine: Machine) -> bool | DrdError:
            try:
                return await self._on(at, machine).is_there()
            except DrdError as error:
                return error

        found = await asyncio.gather(*(look(machine) for machine in machines))
        return {machine.name: each for machine, each in zip(machines, found, strict=True)}

    async def _take_from(self, at: Situation, machines: list[Machine]) -> tuple[str, list[str]]:
        """Who had it, and who could not be asked: whether they answer for it the network tells."""

        async def take(machine: Machine) -> bool | None:
            if machine.shell is None:
                return None
            on = self._on(at, machine)
            try:
                if not await on.is_there():
                    return False
                await on.remove()
            except TransientError:
                return None
            return True

        # All come to their end, so that none is at work any more when one has failed.
        given = await asyncio.gather(*map(take, machines), return_exceptions=True)
        taken: dict[str, bool | None] = {}
        for machine, gave in zip(machines, given, strict=True):
            if isinstance(gave, BaseException):
                raise gave
            taken[machine.name] = gave
        had = [name for name, gave in taken.items() if gave]
        return "".join(had[:1]), [name for name, gave in taken.items() if gave is None]

    async def _give_to(self, at: Situation, machine: Machine) -> None:
        on = self._on(at, machine)
        if not await on.is_there():
            await on.add()
        await on.announce()
        if not await on.is_there():
            raise PermanentError(f"{self._ip} is not on {machine.name} all the same", "look there: ip address show")

    def commands_on(self, node: str, user: str, *, is_own: bool) -> tuple[tuple[str, ...], ...]:
        """On each node of the policy, for each may have it one day."""
        return self._place.commands(user) if is_own or node == self.node else ()

    def references(self) -> tuple[Reference, ...]:
        """The node, unless it is a role."""
        return node_references(self.node)

    def summary(self) -> str:
        """Which address, to which node."""
        return f"move {self._ip} to {self.node}"


def _user(machine: Machine) -> str:
    return "root" if machine.shell is None else machine.shell.user
