"""`drd wal-push` as it stands among the other commands; PostgreSQL's own calls go past all of them."""

from __future__ import annotations

import click

from drd.cli.command import Command
from drd.cli.wal_push import main as push


@click.command(cls=Command, name="wal-push")
@click.argument("file")
@click.argument("folder")
def wal_push(file: str, folder: str) -> int:
    """Hand a finished file of WAL to drd: PostgreSQL's archive_command.

    In postgresql.conf on the database's machine: archive_command = 'drd wal-push %p /srv/drd-wal/POLICY'. FOLDER is
    `incoming:` of the policy's source.
    """
    return push([file, folder])


SECTION = "Typed by PostgreSQL"
COMMANDS = (wal_push,)
