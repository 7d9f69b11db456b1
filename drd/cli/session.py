"""What every command is given: where it runs, what was asked of all commands, and the ways to answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from drd.config.whereabouts import Whereabouts
    from drd.core.findings import Finding
    from drd.core.node_grants import NodeGrants
    from drd.core.postgres.grants import Grants
    from drd.ports.configuration import Configuration
    from drd.ports.control import Anchors, Control, Questions
    from drd.ports.journal import JournalReader

Answer = TypeVar("Answer")
WIDTH = 100


class Application(Protocol):
    """What the commands use of `drd.app`, which is imported when the first of them needs it."""

    def read_configuration(self, path: Path | None, environment: Mapping[str, str]) -> Configuration:
        """Raises `UsageError` with every problem of every file."""
        ...

    def find(self, path: Path | None, environment: Mapping[str, str]) -> Whereabouts:
        """Where the daemon is. Raises `UsageError` with every problem when drd.yaml is wrong."""
        ...

    def control(
        self, place: Whereabouts, read: Callable[[], Configuration], *, alone: bool
    ) -> AbstractAsyncContextManager[Any]:
        """The daemon's control, or with `alone` this process's own when there is no daemon."""
        ...

    async def consult(
        self,
        place: Whereabouts,
        read: Callable[[], Configuration],
        question: Callable[[Questions], Awaitable[Answer]],
        say: Callable[[str], None],
    ) -> Answer:
        """The answer of the daemon, or of the journal where none answers; `say` is told so."""
        ...

    def journal_reader(self, place: Whereabouts) -> AbstractContextManager[JournalReader]:
        """The journal, read beside whoever writes it."""
        ...

    async def run(
        self,
        path: Path | None,
        environment: Mapping[str, str],
        say: Callable[[str], None],
        *,
        is_watched: bool = False,
    ) -> int:
        """The daemon's life. `is_watched`: `say` fills a terminal."""
        ...

    def json_schema(self, what: str) -> dict[str, Any]:
        """The JSON Schema of a kind of file."""
        ...

    async def anchors(self, configuration: Configuration) -> tuple[Anchors, ...]:
        """The journal's heads that every store holds."""
        ...

    async def validate(self, path: Path | None, environment: Mapping[str, str]) -> tuple[Finding, ...]:
        """What cannot be reached or used from here, and what is risky about it."""
        ...

    async def grants(
        self, configuration: Configuration, policy: str, address: str | None
    ) -> tuple[tuple[Grants, ...], tuple[NodeGrants, ...]]:
        """The rights that a policy needs where its data is. Raises `UsageError` when it needs none."""
        ...


@dataclass
class Session:
    """One command's surroundings."""

    environment: Mapping[str, str]
    application: Callable[[], Application]
    now: Callable[[], datetime]
    user: str
    host: str
    config: Path | None = None
    as_json: bool = False
    debug: bool = False
    on_interrupt: str = "interrupted"
    """What is said when somebody presses Ctrl-C."""
    _consoles: dict[str, Console] = field(default_factory=dict, repr=False)

    def configuration(self) -> Configuration:
        """What drd.yaml and its folders say. Raises `UsageError` with every problem."""
        return self.application().read_configuration(self.config, self.environment)

    @cached_property
    def place(self) -> Whereabouts:
        """Where the daemon is, and its time zone. Raises `UsageError` with every problem when drd.yaml is wrong."""
        return self.application().find(self.config, self.environment)

    def ask(self, question: Callable[[Control], Awaitable[Answer]], *, alone: bool = True) -> Answer:
        """Ask the daemon, or with `alone` the engines in this process when no daemon runs."""
        import asyncio

        async def asking() -> Answer:
            async with self.application().control(self.place, self.configuration, alone=alone) as control:
                return await question(control)

        return asyncio.run(asking())

    def consult(self, question: Callable[[Questions], Awaitable[Answer]]) -> Answer:
        """Ask what can be told by reading alone: nothing is written, and nobody is kept from anything."""
        import asyncio

        return asyncio.run(self.application().consult(self.place, self.configuration, question, self.say))

    @property
    def is_watched(self) -> bool:
        """Whether what is said fills a terminal."""
        return sys.stderr.isatty()

    def say(self, words: str = "", style: str = "") -> None:
        """A line for people that is no result: to standard error."""
        if not sys.stderr.isatty():
            sys.stderr.write(f"{words}\n")  # nothing to colour: ready before rich is imported
            return
        from rich.text import Text

        self._console("err").print(Text(words, style=style), soft_wrap=True)

    def show(self, answer: RenderableType, *, wrap: bool = True) -> None:
        """A result for people: to standard output, without spaces at the ends of lines."""
        console = self._console("out")
        with console.capture() as capture:
            console.print(answer, soft_wrap=not wrap)
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))

    def write(self, text: str) -> None:
        """A result to be taken over as it is, such as statements: to standard output."""
        sys.stdout.write(f"{text}\n")

    def conclude(self, state: str, rest: str = "") -> None:
        """How work ended, as a result for people: a word in its colour, and what there is to say of it."""
        if not sys.stdout.isatty():
            sys.stdout.write(f"{state}{rest}\n")
            return
        from rich.text import Text

        from drd.reports import tables

        self.show(Text.assemble(tables.state(state), rest))

    def emit(self, document: Any, *, indent: int | None = 2) -> None:
        """A result for programs: JSON to standard output."""
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=indent) + "\n")

    def next(self, *commands: str) -> None:
        """What to type next; only for people."""
        if not self.as_json:
            self.say("next: " + "  or  ".join(commands), style="dim")

    @property
    def error_console(self) -> Console:
        """For progress."""
        return self._console("err")

    def _console(self, name: str) -> Console:
        if name not in self._consoles:
            from rich.console import Console

            file = sys.stdout if name == "out" else sys.stderr
            width = min(WIDTH, Console(file=file).width) if file.isatty() else WIDTH
            self._consoles[name] = Console(
                file=file,
                width=width,
                highlight=False,
                emoji=False,
                markup=False,
                no_color="NO_COLOR" in self.environment,
            )
        return self._consoles[name]


def session_of_this_process() -> Session:
    """The session that a person's shell starts."""

    def application() -> Application:
        import drd.app

        return drd.app

    return Session(dict(os.environ), application, _now, _user(os.environ), os.uname().nodename)


def _now() -> datetime:
    from drd.clients.clock import SystemClock

    return SystemClock().now()


def _user(environment: Mapping[str, str]) -> str:
    """Who gives the orders, for the journal: the person behind sudo, where there is one."""
    import pwd

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return environment.get("SUDO_USER") or name
