"""What a program writes to its standard output, as one file."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator

from drd.clients.blocking import within
from drd.core.dumps import compressing
from drd.core.errors import SourceRefused
from drd.core.units import PositiveDuration
from drd.ports.repository import StreamToSave
from drd.ports.source import Prepared, Source
from drd.ports.world import World

LOOK_SECONDS = 30.0


class CommandSource(Source):
    """A program whose standard output becomes one file: `command: {argv: [pg_dump, shop], filename: shop.sql}`.

    There is no shell: the list is the program and its arguments, as they are. A program that ends with anything but 0,
    is killed or takes too long saves nothing. A restore gives back that one file.
    """

    kind: ClassVar[str] = "command"

    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    """The program and its arguments, as a list. For pipes and redirections write a script and name it here."""
    filename: Annotated[str, Field(pattern=r"^[^/\x00]+$")] | None = None
    """What the file is called in the snapshot; left out, the program's name with `.out`."""
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = {}
    """Variables for the program beside PATH, HOME and LANG, which are all that it gets; no place for a secret."""
    user: str | None = None
    """The user that the program runs as, when drd runs as root."""
    deadline: PositiveDuration | None = None
    """The program is stopped when it has taken this long; left out, when the run's own deadline is over."""

    @model_validator(mode="before")
    @classmethod
    def _a_list_of_words_is_enough(cls, value: Any) -> Any:
        return {"argv": value} if isinstance(value, str | list | tuple) else value

    @field_validator("argv", mode="before")
    @classmethod
    def _is_a_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"it is a list of words, there is no shell: write [{', '.join(value.split())}]")
        return value

    def summary(self) -> str:
        """The program; its arguments may tell more than a log should hold."""
        return f"output of {self.argv[0]}"

    def advice(self) -> tuple[str, ...]:
        """Output that is compressed already is stored whole at each run."""
        what = compressing(self.argv)
        return (
            () if what is None else (f"its output is compressed ({what}), so each run stores all of it: leave it out",)
        )

    @asynccontextmanager
    async def opened(self, world: World) -> AsyncIterator[Prepared]:
        """Look whether the program is there. Raises `SourceRefused` when it is not, or when its user is not."""
        environment = {**_surroundings(self.user), **self.environment}
        program, path = self.argv[0], environment["PATH"]
        found = await within(LOOK_SECONDS, lambda: shutil.which(program, path=path), ("program", program, path))
        if found is None:
            raise SourceRefused(
                f"the program {program} is not there", f"ls -l {program}, or write its whole path in argv:"
            )
        filename = self.filename or f"{Path(found).name}.out"
        yield Prepared(
            StreamToSave((found, *self.argv[1:]), filename, environment, self.user, self.deadline, world.base)
        )


def _surroundings(user: str | None) -> dict[str, str]:
    """What every program may count on, and nothing of drd's own environment beside it."""
    try:
        account = pwd.getpwnam(user) if user is not None else pwd.getpwuid(os.geteuid())
    except KeyError as error:
        raise SourceRefused(
            f"there is no user {user or os.geteuid()} on this machine", f"getent passwd {user or os.geteuid()}"
        ) from error
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": account.pw_dir, "LANG": "C.UTF-8"}
