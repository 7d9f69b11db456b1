"""Waiting, for a time or for a person."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from drd.core.runbook_step import Silence, Waiting
from drd.core.units import PositiveDuration, format_duration
from drd.ports.action import Action


class Wait(Action):
    """Wait for a time, or for a person who says that the run goes on."""

    kind: ClassVar[str] = "wait"

    for_: Annotated[PositiveDuration | None, Field(alias="for")] = None
    """How long, whatever anybody says. Without it a person is waited for."""
    within: PositiveDuration | None = None
    """How long a person is waited for."""
    on_timeout: Silence | None = None
    """What happens when no person says so in time."""

    @model_validator(mode="after")
    def _says_what_silence_means(self) -> Self:
        if (self.within is None) is not (self.on_timeout is None):
            raise ValueError("`within` and `on_timeout` go together: write both, as in {within: 4h, on_timeout: stop}")
        if self.for_ is not None and self.within is not None:
            raise ValueError("`for` waits for a time and `within` for a person: write one of them")
        return self

    @property
    def waits(self) -> Waiting:
        """For the time, or for anybody's word."""
        if self.for_ is not None:
            return Waiting((), self.for_, Silence.CONTINUE)
        return Waiting((), self.within, self.on_timeout or Silence.STOP, is_for_anybody=True)

    def summary(self) -> str:
        """What is waited for."""
        if self.for_ is not None:
            return f"wait {format_duration(self.for_)}"
        silence = f"; {self.on_timeout} after {format_duration(self.within)}" if self.within is not None else ""
        return f"wait for a person{silence}"
