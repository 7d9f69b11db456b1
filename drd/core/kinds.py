"""What every kind that a user names in YAML has in common: a source, a store, an action, a notifier, a probe.

A kind is one module with exactly one concrete `Spec` subclass. Its fields are its YAML schema, its docstring and field
descriptions become the reference documentation and the JSON Schema.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A frozen value that is read from YAML; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)


class Spec(Model, ABC):
    """The YAML schema of one kind and the handle through which the engines use it."""

    kind: ClassVar[str]
    """The YAML key that names this kind, as `files` in `source: {files: …}`."""

    @abstractmethod
    def summary(self) -> str:
        """One line for people: what this is, without any secret."""
