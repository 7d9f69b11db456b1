"""Getting a service's data back from a store."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from drd.core.policy import Name
from drd.core.runbook_step import Answer
from drd.ports.action import Action, Facts, Preview, Reference, Referent, Situation


class Restore(Action):
    """Restore a recovery point to a place, every file checked as it lands."""

    kind: ClassVar[str] = "restore"

    policy: Name
    """Whose data it is."""
    to: Annotated[str, Field(min_length=1)]
    """An empty folder, or `${place}` to be asked for it."""
    at: str = "latest"
    """The moment to which it is put back: `latest`, a time, or `${point}` to be asked for it."""
    from_: Annotated[Name | None, Field(alias="from")] = None
    """The store that is read; left out, the nearest that holds the point."""

    def references(self) -> tuple[Reference, ...]:
        """The policy and the store."""
        policy = Reference(Referent.POLICY, self.policy, ("policy",))
        return (policy, Reference(Referent.STORE, self.from_, ("from",))) if self.from_ else (policy,)

    async def preview(self, at: Situation) -> Preview:
        """The order, as a person would give it."""
        words = f"drd restore {self.policy} --at {self.at} --to {self.to}"
        return Preview((f"{words} --from {self.from_}" if self.from_ else words,))

    async def is_done(self, at: Situation) -> Answer:
        """Whether a restore of the policy that was started since has succeeded: it takes its name only when whole."""
        if at.since is None:
            return Answer.NOT_DONE
        return Answer.DONE if await at.services.is_restored(self.policy, at.since) else Answer.NOT_DONE

    async def apply(self, at: Situation) -> Facts:
        """Restore it; one that was interrupted is begun anew."""
        return {"restored": await at.services.restore(self.policy, self.at, self.to, self.from_, at.by)}

    def summary(self) -> str:
        """What is put where."""
        return f"restore {self.policy} at {self.at} to {self.to}" + (f" from {self.from_}" if self.from_ else "")
