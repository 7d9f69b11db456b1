"""What long work and its failures say on their way over the control socket, as lines of JSON.

Plain dataclasses: a command that follows a run is ready sooner than pydantic is imported.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from drd.core.errors import DrdError
from drd.core.run import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of what long work reports while it goes on."""

    kind: Literal["started", "progress", "fact", "finished"]
    run: str = ""
    text: str = ""
    phase: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    done_files: int = 0
    total_files: int = 0
    outcome: Outcome | None = None
    message: str = ""
    hint: str = ""
    exit_code: int = 0
    result: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The step on one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: bytes) -> Step:
        """The step that `to_json` wrote. Raises `DrdError` for anything else."""
        try:
            said: dict[str, Any] = json.loads(line)
            outcome = said.pop("outcome", None)
            return cls(**said, outcome=None if outcome is None else Outcome(outcome))
        except (ValueError, TypeError, AttributeError) as error:
            raise DrdError("the daemon's answer is not understood", "restart the daemon after an upgrade") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A `DrdError` on its way over the control socket."""

    kind: str
    """The error's class in `drd.core.errors`."""
    message: str
    hint: str = ""
    exit_code: int = 1

    @classmethod
    def from_error(cls, error: DrdError) -> Problem:
        """The error as a message."""
        return cls(kind=type(error).__name__, message=error.message, hint=error.hint, exit_code=error.exit_code)

    def to_json(self) -> str:
        """The problem on one line, which says that it is one."""
        return json.dumps({"problem": asdict(self)})

    @classmethod
    def in_line(cls, line: bytes) -> Problem | None:
        """The problem that a line tells of, if it tells of one."""
        return cls(**json.loads(line)["problem"]) if line.startswith(b'{"problem"') else None

    def to_error(self) -> DrdError:
        """The same error again: its class, or the nearest that ends the command line with the same code."""
        family = _family(DrdError)
        named = [known for known in family if known.__name__ == self.kind]
        alike = [known for known in family if known.exit_code == self.exit_code]
        candidates: list[type[DrdError]] = [*named, *alike, DrdError]
        return candidates[0](self.message, self.hint)


def _family(error: type[DrdError]) -> list[type[DrdError]]:
    """The error and all that were made from it in `drd.core`, nearest first; others may take other arguments."""
    kin = [error] if error.__module__ == DrdError.__module__ else []
    for child in error.__subclasses__():
        kin.extend(_family(child))
    return kin
