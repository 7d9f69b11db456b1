"""Composition root: knows every room, and is known only by what people type.

The names here are what the command line uses. Importing this module is cheap; each function imports its room when
called.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from drd.clients.control import RemoteControl
    from drd.config.whereabouts import Whereabouts
    from drd.core.findings import Finding
    from drd.core.node_grants import NodeGrants
    from drd.core.postgres.grants import Grants
    from drd.daemon.control import HouseControl
    from drd.ports.configuration import Configuration
    from drd.ports.control import Anchors, Questions
    from drd.ports.journal import JournalReader

Answer = TypeVar("Answer")


def read_configuration(path: Path | None, environment: Mapping[str, str]) -> Configuration:
    """Read drd.yaml, policies and runbooks. Raises `ConfigurationErrors` with every problem of every file."""
    from drd.app import read

    return read.read_configuration(path, environment)


def find(path: Path | None, environment: Mapping[str, str]) -> Whereabouts:
    """Where the daemon is. Raises `ConfigurationErrors` with every problem of every file when drd.yaml is wrong."""
    from drd.app import finding

    return finding.find(path, environment)


@asynccontextmanager
async def control(
    place: Whereabouts, read: Callable[[], Configuration], *, alone: bool
) -> AsyncIterator[RemoteControl | HouseControl]:
    """The daemon's control, or with `alone` this process's own when there is no daemon."""
    from drd.app import connect

    async with connect.control(place, read, alone=alone) as reached:
        yield reached


async def consult(
    place: Whereabouts,
    read: Callable[[], Configuration],
    question: Callable[[Questions], Awaitable[Answer]],
    say: Callable[[str], None],
) -> Answer:
    """Ask the daemon, and where none answers the journal, which nothing is written to; `say` is told so."""
    from drd.app import connect

    return await connect.consult(place, read, question, say)


async def run(
    path: Path | None, environment: Mapping[str, str], say: Callable[[str], None], *, is_watched: bool = False
) -> int:
    """The daemon's life, until SIGTERM or SIGINT; returns the exit code. `is_watched`: `say` fills a terminal."""
    from drd.app import process

    return await process.run(path, environment, say, is_watched=is_watched)


async def validate(path: Path | None, environment: Mapping[str, str]) -> tuple[Finding, ...]:
    """What cannot be reached or used from here, and what is risky about it."""
    from drd.app import reaching

    return await reaching.reach(read_configuration(path, environment))


async def grants(
    configuration: Configuration, policy: str, address: str | None
) -> tuple[tuple[Grants, ...], tuple[NodeGrants, ...]]:
    """The rights that a policy's sources need where their data is. Raises `UsageError` when they need none."""
    from drd.app import granting

    return await granting.grants(configuration, policy, address)


@contextmanager
def journal_reader(place: Whereabouts) -> Iterator[JournalReader]:
    """The journal's chain, read beside whoever writes it."""
    from drd.app import records

    with records.journal_reader(place.state) as reader:
        yield reader


async def anchors(configuration: Configuration) -> tuple[Anchors, ...]:
    """The journal's heads that every store holds: asked of the daemon, or of the stores themselves without one."""
    from drd.app.anchors import read_anchors

    return await read_anchors(configuration)


def json_schema(what: str) -> dict[str, Any]:
    """The JSON Schema of `policy`, `runbook` or `settings`."""
    from drd.app.kinds import find_kinds
    from drd.config.schema import json_schema as schema_of

    return schema_of(what, find_kinds())
