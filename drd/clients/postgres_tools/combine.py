"""One base backup of a full and those that follow it, by `pg_combinebackup`."""

from __future__ import annotations

import asyncio
import shutil

from drd.clients.postgres_tools.calls import Call, run
from drd.clients.postgres_tools.programs import Programs
from drd.core.errors import PermanentError, StateFull
from drd.core.postgres.increments import OLDEST
from drd.ports.cancelling import to_the_end
from drd.ports.postgres_tools import CombineRequest
from drd.ports.runner import Runner

LINKS_SINCE = 18


async def combine(request: CombineRequest, programs: Programs, runner: Runner) -> None:
    """Make one base backup of several; see the port.

    Files that are taken whole are linked, or, before version 18, copied inside the file system where it can do that.
    """
    if programs.major < OLDEST:
        raise PermanentError(
            f"the programs of PostgreSQL {programs.major} know no incremental base backups",
            f"apt-get install postgresql-{OLDEST}",
        )
    ways = ("--link",) if programs.major >= LINKS_SINCE else ("--copy-file-range", "--copy")
    for way in ways:
        try:
            await _combine(request, way, programs, runner)
        except StateFull:
            raise
        except PermanentError:
            if way == ways[-1]:
                raise
        else:
            return


async def _combine(request: CombineRequest, way: str, programs: Programs, runner: Runner) -> None:
    words = [way, "--no-sync", "--manifest-checksums=SHA256", f"--output={request.folder}"]
    for old, new in request.tablespaces.items():
        before, after = (str(path).replace("=", "\\=") for path in (old, new))
        words.append(f"--tablespace-mapping={before}={after}")
    call = Call("pg_combinebackup", (*words, *map(str, request.folders)), deadline=request.deadline)
    try:
        await run(call, programs, runner)
    except BaseException:
        for left in (request.folder, *request.tablespaces.values()):
            await to_the_end(asyncio.to_thread(shutil.rmtree, left, ignore_errors=True))
        raise
