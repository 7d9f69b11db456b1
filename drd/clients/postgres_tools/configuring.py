"""What a restored cluster is set to: what a copy must not share with its original, and what one in its place begins."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path
from typing import Final

from drd.clients.postgres_tools import restored
from drd.clients.postgres_tools.restore_options import Options
from drd.clients.postgres_tools.touching import within
from drd.ports.postgres_tools import PostgresTools
from drd.ports.source import Wanted

FIRST_PORT, LAST_PORT = 5433, 5533
"""Where a copy listens that is not told: the first of these that nobody listens on."""
AS_THE_ORIGINAL: Final = "set as the original: it archives, listens and is named as that did"
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]")


async def configure(data: Path, tools: PostgresTools | None, wanted: Wanted, options: Options) -> tuple[str, ...]:
    """Set what it needs; what a person should know of that."""
    notes: list[str] = []
    control = await tools.control_data(data) if tools is not None else None
    missing = await within(
        lambda: restored.add_missing_configuration(data, control.settings if control is not None else {})
    )
    if missing:
        notes.append(f"{', '.join(missing)} lay elsewhere on the server, so drd wrote the least that starts")
    if options.is_original and wanted.recovery is not None:
        return (*notes, AS_THE_ORIGINAL)
    if options.is_original:
        settings = {"restore_command": "/bin/false"} | ({} if options.port is None else {"port": str(options.port)})
        # Archive recovery that finds nothing more begins a timeline of its own: else it would archive other WAL under
        # names that are in the archive.
        await within(lambda: restored.append_settings(data, settings, "drd: it begins a new timeline"))
        await within((data / "recovery.signal").touch)
        return (*notes, AS_THE_ORIGINAL)
    port = await asyncio.to_thread(_free_port) if options.port is None else options.port
    settings = of_a_copy(wanted.policy, port)
    reason = "drd: a copy beside its original; remove these lines when it takes that one's place"
    await within(lambda: restored.append_settings(data, settings, reason))
    return (*notes, f"set as a copy: port {port}, cluster_name {settings['cluster_name']}, archive_mode off")


def of_a_copy(policy: str, port: int) -> dict[str, str]:
    """Settings that keep a copy from getting into its original's way."""
    return {
        "archive_mode": "off",
        "port": str(port),
        "cluster_name": _NO_NAME.sub("_", f"{policy[:50]}_restored"),
        # It has no standbys that it could wait for, and follows nobody.
        "synchronous_standby_names": "",
        "primary_conninfo": "",
        "primary_slot_name": "",
    }


def _free_port() -> int:
    for port in range(FIRST_PORT, LAST_PORT):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return FIRST_PORT
