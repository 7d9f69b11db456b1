"""Looking at data directories at rest: `pg_verifybackup` and `pg_controldata`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from drd.clients.postgres_tools.calls import Call, run
from drd.clients.postgres_tools.programs import Programs
from drd.core.errors import PermanentError
from drd.core.postgres.lsn import Lsn
from drd.ports.postgres_tools import ControlData, Verification
from drd.ports.runner import Runner

LONG = timedelta(hours=24)
FINDING = frozenset({0, 1})
SETTINGS = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
_SAYS = "pg_verifybackup: error: "


async def verify(folder: Path, wal: Path | None, programs: Programs, runner: Runner) -> Verification:
    """Compare a base backup with its manifest; see the port."""
    options = ("--no-parse-wal",) if wal is None else (f"--wal-directory={wal}",)
    call = Call("pg_verifybackup", (*options, str(folder)), deadline=LONG, accepted=FINDING)
    ended, lines = await run(call, programs, runner)
    if ended.code == 0:
        return Verification()
    problems = tuple(line.removeprefix(_SAYS) for line in lines.stderr if line.strip())
    return Verification(problems or ("pg_verifybackup gives no reason",))


async def control_data(folder: Path, programs: Programs, runner: Runner) -> ControlData:
    """Read a control file; see the port."""
    _, lines = await run(Call("pg_controldata", (str(folder),)), programs, runner)
    said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines.stdout)}
    try:
        return ControlData(
            system_identifier=said["Database system identifier"],
            state=said["Database cluster state"],
            timeline=int(said["Latest checkpoint's TimeLineID"]),
            checkpoint=Lsn.parse(said["Latest checkpoint location"]),
            redo=Lsn.parse(said["Latest checkpoint's REDO location"]),
            minimum_recovery_end=Lsn.parse(said["Minimum recovery ending location"]),
            segment_bytes=int(said["Bytes per WAL segment"]),
            has_checksums=said["Data page checksum version"] != "0",
            settings={name: int(said[label]) for name, label in SETTINGS.items()},
        )
    except (KeyError, ValueError) as error:
        raise PermanentError(f"pg_controldata says nothing of use about {folder}: {error}", f"ls {folder}") from error
