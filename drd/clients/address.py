"""An IPv4 address on a machine's interface, through `ip` and iputils' `arping` there.

Whether somebody else has it is asked by ARP probes as RFC 5227 (IPv4 Address Conflict Detection) has them, and that it
has moved is said by announcements, as a request and as an answer, since not every neighbour believes both.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Interface
from typing import Final

from drd.clients.shell import run_program
from drd.core.errors import PermanentError
from drd.core.node_grants import sudo
from drd.ports.machines import Machine
from drd.ports.runner import Runner

QUICK: Final = timedelta(seconds=10)
SHOW: Final = ("ip", "-o", "-4", "address", "show")
_SHOWN: Final = re.compile(r"^\d+:\s+(?P<interface>\S+)\s+inet\s+(?P<address>\S+)")
_NOBODY: Final = "Received 0 response"
_ANSWERED: Final = re.compile(r"reply from \S+ \[(?P<who>[0-9A-Fa-f:]+)\]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address shall be on whatever machine has it."""

    address: IPv4Interface
    interface: str

    def add(self, user: str) -> tuple[str, ...]:
        """The command that puts it there."""
        return (*sudo(user), "ip", "address", "add", str(self.address), "dev", self.interface)

    def remove(self, user: str) -> tuple[str, ...]:
        """The command that takes it away."""
        return (*sudo(user), "ip", "address", "del", str(self.address), "dev", self.interface)

    def probe(self, user: str) -> tuple[str, ...]:
        """The command that asks whether anybody has it, two seconds long; status 1 says that somebody does."""
        return (*sudo(user), "arping", "-D", "-c", "2", "-w", "2", "-I", self.interface, str(self.address.ip))

    def announce(self, user: str) -> tuple[tuple[str, ...], ...]:
        """The commands that tell all neighbours where it is now; each sends at once, and ends a second later."""
        told = ("-c", "1", "-I", self.interface, str(self.address.ip))
        return tuple((*sudo(user), "arping", form, *told) for form in ("-U", "-A"))

    def commands(self, user: str) -> tuple[tuple[str, ...], ...]:
        """Every command that is given on a machine."""
        return (SHOW, self.add(user), self.remove(user), self.probe(user), *self.announce(user))


class AddressOn:
    """The address on one machine. Everything raises what `run_program` raises."""

    def __init__(self, runner: Runner, machine: Machine, place: Place) -> None:
        self._runner = runner
        self._machine = machine
        self._place = place
        self._user = "" if machine.shell is None else machine.shell.user

    async def is_there(self) -> bool:
        """Whether the machine has it. Raises `PermanentError` where it has it otherwise than it should."""
        for line in await self._run(SHOW):
            found = _SHOWN.match(line)
            if found is None or IPv4Interface(found["address"]).ip != self._place.address.ip:
                continue
            if (found["address"], found["interface"]) != (str(self._place.address), self._place.interface):
                raise PermanentError(
                    f"{self._machine.name} has {found['address']} on {found['interface']}",
                    f"write that, or take it away there: ip address del {found['address']} dev {found['interface']}",
                )
            return True
        return False

    async def add(self) -> None:
        """Put it there, if nobody else answers for it. Raises `PermanentError` that names who does."""
        if who := await self.holder():
            raise PermanentError(
                f"{self._place.address.ip} is answered for by {who}, as {self._machine.name} hears",
                "find that machine and take the address away there: ip neighbour",
            )
        await self._run(self._place.add(self._user))

    async def remove(self) -> None:
        """Take it away."""
        await self._run(self._place.remove(self._user))

    async def announce(self) -> None:
        """Tell all neighbours that it is there."""
        await asyncio.gather(*(self._run(argv) for argv in self._place.announce(self._user)))

    async def holder(self) -> str:
        """The hardware address of another machine that has it; empty where nobody answers."""
        # With status 1 arping says that somebody answered, and sudo that it does not let us: only its words tell.
        argv = self._place.probe(self._user)
        said = "\n".join(await run_program(self._runner, argv, self._machine, QUICK, accepted=(0, 1)))
        if found := _ANSWERED.search(said):
            return found["who"]
        if _NOBODY not in said:
            raise PermanentError(
                f"whether anybody has {self._place.address.ip} cannot be asked on {self._machine.name}",
                f"type there, as drd's user: {' '.join(argv)}",
            )
        return ""

    async def _run(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        return await run_program(self._runner, argv, self._machine, QUICK)
