"""Backing a service up as a step of a recovery."""

from __future__ import annotations

from typing import ClassVar

from drd.core.policy import Name
from drd.core.runbook_step import Answer
from drd.core.units import Flag
from drd.ports.action import Action, Facts, Preview, Reference, Referent, Situation


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

    async def preview(self, at: Situation) -> Preview:
        """The order, as a person would give it."""
        return Preview((f"drd backup {self.policy}{' --full' if self.full else ''}",))

    async def is_done(self, at: Situation) -> Answer:
        """Whether a run of the policy that was started since has succeeded."""
        if at.since is None:
            return Answer.NOT_DONE
        is_there = await at.services.is_backed_up(self.policy, self.full, at.since)
        return Answer.DONE if is_there else Answer.NOT_DONE

    async def apply(self, at: Situation) -> Facts:
        """Run it, or join the run that is under way, and wait for its end."""
        return {"backup": await at.services.backup(self.policy, self.full)}

    def summary(self) -> str:
        """Which policy, and how."""
        return f"take {'a full' if self.full else 'an incremental'} backup of {self.policy}"
