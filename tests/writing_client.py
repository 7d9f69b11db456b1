"""A client that writes a row each 10 ms and notes what was acknowledged: `python writing_client.py DSN FILE FIRST`.

Each line of the file is `moment id server transaction began timeline`: monotonic seconds at which the acknowledgement
came, the row, the address of the server that gave it, the transaction that wrote it there, the seconds at which it was
sent, and the timeline on which it was written. A row whose fate is not known is never tried again under the same id, so
that everything in the file was acknowledged, and nothing else can be missed.
"""

import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psycopg

PAUSE_SECONDS = 0.01
TABLE = "CREATE TABLE IF NOT EXISTS written (id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp())"
WRITE = (
    "INSERT INTO written (id) VALUES (%s) RETURNING host(inet_server_addr()), pg_current_xact_id()::text,"
    " left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
)


@dataclass(frozen=True)
class Noted:
    """One acknowledged row."""

    moment: float
    id: int
    server: str
    transaction: int
    began: float
    timeline: int
    """Of which each has one primary."""


def noted(file: Path) -> list[Noted]:
    """What a client has noted so far, oldest first."""
    text = file.read_text() if file.exists() else ""
    lines = (line.split() for line in text[: text.rfind("\n") + 1].splitlines())
    return [
        Noted(float(moment), int(number), server, int(xid), float(began), int(timeline, 16))
        for moment, number, server, xid, began, timeline in lines
    ]


def longest_gap(rows: list[Noted], since: float) -> float:
    """Seconds of the longest time without an acknowledgement that ended after `since`."""
    return max(
        (after.moment - before.moment for before, after in pairwise(rows) if after.moment > since),
        default=0.0,
    )


def write(dsn: str, file: Path, number: int) -> None:
    """Write until killed."""
    with file.open("a", buffering=1) as note:
        while True:
            with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as connection:
                while True:
                    began = time.monotonic()
                    number += 1
                    server, transaction, timeline = connection.execute(WRITE, (number,)).fetchall()[0]
                    now = time.monotonic()
                    note.write(f"{now:.6f} {number} {server} {transaction} {began:.6f} {timeline}\n")
                    time.sleep(max(0.0, began + PAUSE_SECONDS - now))
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
