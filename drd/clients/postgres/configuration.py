"""A server's configuration files that lie outside its data directory, as on Debian in /etc/postgresql."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from drd.clients.postgres.connection import Connection
from drd.clients.postgres.dsn import Dsn
from drd.core.errors import DrdError

MOST_BYTES: Final = 4 * 2**20
"""Of one file; a configuration is a few kilobytes."""
_HERE: Final = ("", "localhost", "127.0.0.1", "::1")
# Who may not see where they are sees no rows, or no values.
_FILES = """
SELECT name, setting AS path,
       (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data
FROM pg_settings WHERE name IN ('config_file', 'hba_file', 'ident_file') AND setting <> ''
"""
_READ = "SELECT pg_read_binary_file(%s, 0, %s) AS content"


async def keep_configuration(dsn: Dsn, folder: Path) -> None:
    """Lay those files into a folder, which is made where there are any, as far as they may be read."""
    found = await configuration_outside(dsn)
    if found:
        await asyncio.to_thread(_write, found, folder)


async def configuration_outside(dsn: Dsn) -> Mapping[str, bytes]:
    """The files that may be read, by their names; none where the role may not ask where they are."""
    connection = Connection(dsn)
    try:
        paths = [
            PurePosixPath(row["path"])
            for row in await connection.rows(_FILES)
            if row["path"] and row["data"] and not PurePosixPath(row["path"]).is_relative_to(row["data"])
        ]
        contents = {path.name: await _content(connection, dsn, path) for path in paths}
    finally:
        await connection.close()
    return {name: content for name, content in contents.items() if content is not None}


def _write(found: Mapping[str, bytes], folder: Path) -> None:
    folder.mkdir(mode=0o700)
    for name, content in found.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)


async def _content(connection: Connection, dsn: Dsn, path: PurePosixPath) -> bytes | None:
    """What a file holds, read here where the server is here, or else by the server."""
    host = dsn.parameters.get("host", "")
    if host in _HERE or host.startswith("/"):
        content = await asyncio.to_thread(_read, Path(path))
        if content is not None:
            return content
    try:
        return bytes((await connection.row(_READ, (str(path), MOST_BYTES)))["content"])
    except DrdError:
        return None


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError:
        return None
