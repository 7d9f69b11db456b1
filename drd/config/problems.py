"""What is wrong with the configuration, and where: every mistake of every file, told at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drd.core.errors import UsageError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. Lines and columns count characters from 1; both are 0 where there is no text to point into."""

    file: str
    """A path as it was named, or the environment variable that holds the mistake."""
    line: int
    column: int
    message: str
    """One sentence that says what to write instead; it never repeats a secret."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class ConfigurationErrors(UsageError):
    """The configuration is wrong, and nothing of it was put in force."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        count = len(self.problems)
        many = "1 mistake" if count == 1 else f"{count} mistakes"
        super().__init__("\n".join([f"the configuration has {many}", *map(str, self.problems)]))
