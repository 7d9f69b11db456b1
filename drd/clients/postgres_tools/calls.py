"""Calling one of the programs: its environment, its connection, and what its failure means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from drd.clients.postgres import Dsn, meaning
from drd.clients.postgres.dsn import SERVICE
from drd.clients.postgres.outcomes import first_sentence
from drd.clients.postgres_tools.programs import Programs
from drd.clients.process import Redaction
from drd.core.errors import DrdError, PermanentError, ProgramMissing, StateFull, TransientError
from drd.core.postgres.errors import ServerAway
from drd.core.units import format_duration
from drd.ports.runner import Command, Ended, Ending, Runner, Stream

MOST_LINES = 500
MOST_LINE_BYTES = 2000
CONNECTION = ("--no-password", "-d", f"service={SERVICE}")
"""Options that name the server without a secret."""

_FULL = re.compile(
    r"^pg_\w+: error: (?!.*(?:ERROR|FATAL):).*(?:No space left on device|Disk quota exceeded)", re.MULTILINE
)
"""Here, and not on the server, which says so in other words."""
_VERSION = re.compile(r"incompatible server version (\d+)")
_CHECKSUM = re.compile(r"checksum error occurred|checksum verification failed")


@dataclass(frozen=True, slots=True)
class Call:
    """One program with its options."""

    program: str
    options: tuple[str, ...]
    dsn: Dsn | None = None
    """The server; None for a program that reaches none."""
    deadline: timedelta = timedelta(minutes=5)
    stall: timedelta | None = None
    accepted: frozenset[int] = frozenset({0})


OnText = Callable[[str], bool | None]
"""Takes a line; False says that nothing has moved."""


@dataclass(slots=True)
class Lines:
    """What a program writes, of which the newest lines are kept."""

    on_stderr: OnText | None = None
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)

    def take(self, stream: Stream, line: bytes) -> bool | None:
        """Receive a line."""
        text = line[:MOST_LINE_BYTES].decode(errors="replace").rstrip("\r")
        kept = self.stdout if stream == "stdout" else self.stderr
        kept.append(text)
        del kept[:-MOST_LINES]
        return self.on_stderr(text) if stream == "stderr" and self.on_stderr is not None else None


async def run(call: Call, programs: Programs, runner: Runner, lines: Lines | None = None) -> tuple[Ended, Lines]:
    """Run a program to its end. Raises what its failure means."""
    lines = Lines() if lines is None else lines
    ended = await runner.run(_command(call, programs), lines.take)
    if ended.ending is not Ending.EXITED:
        raise _stopped(call, ended.ending)
    if ended.code not in call.accepted:
        raise _failure(call, ended.code, "\n".join(lines.stderr), programs)
    return ended, lines


def _command(call: Call, programs: Programs) -> Command:
    # libpq reads its settings from many variables, so that none but these may reach it. HOME is where it looks for
    # certificates, as it does inside drd.
    environment = {
        "PATH": f"{programs.folder}:/usr/bin:/bin",
        "HOME": os.environ.get("HOME", "/nonexistent"),
        "LC_ALL": "C",
        "TZ": "UTC",
    }
    secrets = {}
    options = call.options
    if call.dsn is not None:
        environment["PGSERVICEFILE"] = "{drd_service}"
        secrets["drd_service"] = call.dsn.service_file()
        options = (*CONNECTION, *options)
    argv = (programs.path(call.program), *options)
    return Command(argv, environment, secrets, deadline=call.deadline, stall=call.stall, gives_way=True)


def _stopped(call: Call, ending: Ending) -> DrdError:
    limit = call.stall if ending is Ending.STALLED and call.stall is not None else call.deadline
    words = "moved nothing for" if ending is Ending.STALLED else "was not done within"
    message = f"{call.program}{_at(call)} {words} {format_duration(limit)} and was stopped"
    return (ServerAway if call.dsn is not None else TransientError)(message, "drd tries again by itself")


def _failure(call: Call, code: int, stderr: str, programs: Programs) -> DrdError:
    said = stderr
    if call.dsn is not None:
        said = Redaction(call.dsn.secrets).hide(stderr.encode()).decode(errors="replace")
    if code < 0:
        return TransientError(
            f"{call.program}{_at(call)} was killed by signal {-code}", "look for lack of memory: dmesg | grep -i oom"
        )
    if _FULL.search(said):
        return StateFull(f"{call.program} finds no room: {first_sentence(said)}", "make room there: df -h")
    if match := _VERSION.search(said):
        return ProgramMissing(
            f"{call.program} {programs.version} cannot talk to a server of version {match[1]}",
            f"apt-get install postgresql-client-{match[1]}",
        )
    if _CHECKSUM.search(said):
        return PermanentError(
            f"pages of the database{_at(call)} are damaged: {_pages(said)}",
            "restore them from a backup before they spread; pg_amcheck tells more",
        )
    if call.dsn is not None and (known := meaning(said, call.dsn.place, call.dsn.user)):
        return known
    return PermanentError(
        f"{call.program}{_at(call)} failed (exit code {code}): {first_sentence(said) or 'it gave no reason'}",
        "look at the server's log",
    )


def _at(call: Call) -> str:
    return "" if call.dsn is None else f" at {call.dsn.place}"


def _pages(said: str) -> str:
    found = re.findall(r"checksum verification failed in file \"([^\"]+)\"", said)
    return ", ".join(sorted(set(found))[:5]) or "the server found a wrong checksum"
