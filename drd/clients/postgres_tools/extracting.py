"""One database out of a cluster that serves: as a dump, and loaded from it where that is wanted."""

from __future__ import annotations

import asyncio
import re
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Final

from drd.clients.postgres import Dsn
from drd.clients.postgres.connection import Connection
from drd.clients.postgres_tools.calls import Call, run
from drd.clients.postgres_tools.inspecting import Inspector
from drd.clients.postgres_tools.programs import Programs
from drd.clients.postgres_tools.restore_options import DumpFormat
from drd.core.errors import ProgramMissing, UsageError
from drd.ports.runner import Runner

FOLDER: Final = "database"
"""Below what is restored, what takes the place."""
ROLES: Final = "roles.sql"
LONG: Final = timedelta(days=7)
_NO_NAME = re.compile(r"[^\w.-]")
_ENDING: Final = {DumpFormat.DIRECTORY: "dump", DumpFormat.CUSTOM: "dump", DumpFormat.PLAIN: "sql"}
_TABLES = """
SELECT count(*)::int AS found FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_' AND relkind IN ('r', 'p', 'v', 'm', 'S')
"""


def dump_name(database: str, dump_format: DumpFormat) -> str:
    """What the dump of a database is called."""
    return f"{_NO_NAME.sub('_', database)}.{_ENDING[dump_format]}"


async def demand_empty(dsn: Dsn) -> None:
    """See that nothing lies in the database that a dump is to be loaded into. Raises `UsageError` when there does."""
    connection = Connection(dsn)
    try:
        found = (await connection.row(_TABLES))["found"]
    finally:
        await connection.close()
    if found:
        raise UsageError(
            f"{dsn.place} holds {found} tables already, and nothing is ever overwritten",
            "createdb NAME, and let --into name that one",
        )


async def extract(
    inspector: Inspector, database: str, dump_format: DumpFormat, folder: Path, programs: Programs, runner: Runner
) -> Path:
    """Dump a database into a folder, which is made, with the roles of its cluster beside it; the dump."""
    await asyncio.to_thread(folder.mkdir, mode=0o700)
    dump = folder / dump_name(database, dump_format)
    dumping = Call("pg_dump", (f"--format={dump_format}", f"--file={dump}"), inspector.dsn(database), deadline=LONG)
    await _run(dumping, programs, runner)
    # Passwords stay where they are: a dump is given to people who need not be able to log in as others.
    roles = ("--roles-only", "--no-role-passwords", f"--file={folder / ROLES}")
    await _run(Call("pg_dumpall", roles, inspector.dsn("postgres"), deadline=LONG), programs, runner)
    return dump


async def load(dump: Path, dsn: Dsn, programs: Programs, runner: Runner) -> None:
    """Load a dump into an empty database: all of it, or, when anything fails, nothing."""
    await demand_empty(dsn)
    options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(dump))
    await _run(Call("pg_restore", options, dsn, deadline=LONG), programs, runner)


def how_to_load(database: str, dump_format: DumpFormat, place: Path) -> tuple[str, ...]:
    """What to type to have the database in a cluster again."""
    dump = shlex.quote(str(place / dump_name(database, dump_format)))
    name = shlex.quote(f"{database}_restored")
    if dump_format is DumpFormat.PLAIN:
        return (f"createdb {name} && psql -d {name} -f {dump}",)
    return (f"createdb {name} && pg_restore -d {name} {dump}",)


async def _run(call: Call, programs: Programs, runner: Runner) -> None:
    if not await asyncio.to_thread(Path(programs.path(call.program)).is_file):
        raise ProgramMissing(
            f"{call.program} is not in {programs.folder}", f"apt-get install postgresql-client-{programs.major}"
        )
    await run(call, programs, runner)
