"""Looking at a service as its users do."""

from __future__ import annotations

from typing import ClassVar

from drd.core.policy import Name
from drd.ports.action import Action, Reference, Referent


class Verify(Action):
    """Use the service as a client does; the first success ends the outage."""

    kind: ClassVar[str] = "verify"

    service: Name
    """The policy that protects the service."""

    def references(self) -> tuple[Reference, ...]:
        """The policy."""
        return (Reference(Referent.POLICY, self.service, ("service",)),)

    def summary(self) -> str:
        """Which service."""
        return f"use {self.service} as a client does"
