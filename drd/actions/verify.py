"""Looking at a service as its users do."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from drd.clients.shell import run_program
from drd.core.policy import Name
from drd.ports.action import Action, Facts, Preview, Reference, Referent, Situation


class Verify(Action):
    """Use the service as a client does; the first success ends the outage."""

    kind: ClassVar[str] = "verify"
    relies_on: ClassVar[Mapping[str, timedelta]] = {"haproxy": timedelta(seconds=1)}

    service: Name
    """The policy that protects the service."""
    argv: tuple[str, ...] = ()
    """A program that uses it as a client does, and its arguments; exit code 0 says that it answers.

    Left out, the service is used as the policy's `service:` says, or else one row is written and read in its database.
    A policy with neither needs it.
    """

    @property
    def is_repeatable(self) -> bool:
        """It writes one row, of drd's own."""
        return True

    async def preview(self, at: Situation) -> Preview:
        """What is used."""
        if self.argv:
            return Preview((f"here: {shlex.join(self.argv)}",))
        return Preview((f"use {self.service} as its `service:` says, or else write and read one row in its database",))

    async def apply(self, at: Situation) -> Facts:
        """Use the service; what answered is the end of the outage."""
        if self.argv:
            await run_program(at.world.runner, self.argv, None, at.timeout, at.world.configuration)
            return {"up": self.service}
        return {"up": await at.services.use(self.service)}

    async def rehearse(self, at: Situation) -> Facts | None:
        """The same: it harms nobody, but says nothing of a service that a drill left alone."""
        await self.apply(at)
        return {}

    def references(self) -> tuple[Reference, ...]:
        """The policy, which must have a database where no program is written."""
        return (Reference(Referent.POLICY if self.argv else Referent.DATABASE, self.service, ("service",)),)

    def summary(self) -> str:
        """Which service."""
        return f"use {self.service} as a client does"
