"""The part of the daemon's `Control` that concerns runbooks, from another process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from drd.ports.steps import Step

if TYPE_CHECKING:
    from drd.core.runbook_step import Choice
    from drd.ports.incidents import IncidentStatus, RunbookOrder, RunbookPlan

Answer = TypeVar("Answer")


class RemoteRunbooks(ABC):
    """`RunbookOrders` over the control socket."""

    async def incidents(self, policy: str | None = None) -> tuple[IncidentStatus, ...]:
        """The newest runs of runbooks, newest first."""
        from drd.ports.incidents import IncidentStatus

        query = "" if policy is None else f"?policy={quote(policy, safe='')}"
        return await self._single(tuple[IncidentStatus, ...], "GET", f"/incidents{query}")

    async def incident(self, run: str) -> IncidentStatus:
        """One run of a runbook."""
        from drd.ports.incidents import IncidentStatus

        return await self._single(IncidentStatus, "GET", _incident(run))

    async def runbook_plan(self, runbook: str, variables: dict[str, str]) -> RunbookPlan:
        """What a runbook would do now."""
        from drd.ports.incidents import RunbookPlan

        return await self._single(RunbookPlan, "POST", f"{_runbook(runbook)}/plan", {"variables": variables})

    def runbook_start(self, order: RunbookOrder) -> AsyncIterator[Step]:
        """Start a runbook and follow it until it ends or waits for a person."""
        return self._steps(f"{_runbook(order.runbook)}/start", order.model_dump(mode="json", exclude={"runbook"}))

    async def runbook_answer(self, run: str, step: str | None, choice: Choice, by: str, words: str) -> str:
        """A person's word on a step that waits for one."""
        body = {"step": step, "choice": choice.value, "by": by, "words": words}
        return await self._single(str, "POST", f"{_incident(run)}/answer", body)

    async def runbook_abort(self, run: str, by: str, words: str, takes_back: bool) -> None:
        """End a run before its end."""
        body = {"by": by, "words": words, "takes_back": takes_back}
        await self._single(NoneType, "POST", f"{_incident(run)}/abort", body)

    @abstractmethod
    async def _single(
        self, kind: type[Answer], method: str, target: str, order: Mapping[str, Any] | None = None
    ) -> Answer: ...

    @abstractmethod
    def _steps(self, target: str, order: Mapping[str, Any]) -> AsyncIterator[Step]: ...


def _incident(run: str) -> str:
    return f"/incidents/{quote(run, safe='')}"


def _runbook(name: str) -> str:
    return f"/runbooks/{quote(name, safe='')}"
