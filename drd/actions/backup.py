"""Backing a service up as a step of a recovery."""

from __future__ import annotations

from typing import ClassVar

from drd.core.policy import Name
from drd.core.units import Flag
from drd.ports.action import Action, Reference, Referent


class Backup(Action):
    """Run a policy's backup, and wait for it."""

    kind: ClassVar[str] = "backup"

    policy: Name
    """Whose data it is."""
    full: Flag = False
    """Whether everything is read again."""

    def references(self) -> tuple[Reference, ...]:
        """The policy."""
        return (Reference(Referent.POLICY, self.policy, ("policy",)),)

    def summary(self) -> str:
        """Which policy, and how."""
        return f"take {'a full' if self.full else 'an incremental'} backup of {self.policy}"
