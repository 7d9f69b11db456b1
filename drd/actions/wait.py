"""Waiting, for a time or for a person."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from drd.core.runbook_step import Silence, Waiting
from drd.core.units import PositiveDuration, format_duration
from drd.ports.action import Action


class Wait(Action):
    """Wait for a time, or for a person who says that the run goes on."""

    kind: ClassVar[str] = "wait"

    for_: Annotated[PositiveDuration | None, Field(alias="for")] = None
    """How long; left out, until a person says so."""

    @property
    def waits(self) -> Waiting:
        """For the time, or for anybody's word."""
        return Waiting((), self.for_, Silence.CONTINUE)

    def summary(self) -> str:
        """What is waited for."""
        return f"wait {format_duration(self.for_)}" if self.for_ else "wait for a person"
