"""What drd has saved of an old primary's log, read again with PostgreSQL's own tool."""

import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.postgres_lab import Lab

PATIENCE = 180.0


def listed(folder: Path) -> set[int]:
    """The transactions that drd says were lost."""
    return {int(line.split()[1]) for line in (folder / "lost-transactions.txt").read_text().splitlines()}


def stranded(folder: Path, lab: Lab, table: int) -> set[int]:
    """The transactions that wrote to a table, by the log that drd has saved."""
    with tempfile.TemporaryDirectory(prefix="stranded-", dir=lab.folder) as log:
        with tarfile.open(folder / "wal.tar") as saved:
            saved.extractall(log)
        segments = [each for each in Path(log).iterdir() if not each.suffix]
        return {transaction for each in segments for transaction in _writers(each, lab, table)}


def _writers(segment: Path, lab: Lab, table: int) -> Iterator[int]:
    # It ends with a failure where the log does.
    words = [lab.programs / "pg_waldump", "-r", "Heap", segment]
    dump = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False).stdout
    for line in dump.splitlines():
        if "INSERT" in line and re.search(rf"\brel \d+/\d+/{table}\b", line):
            yield int(line.partition("tx:")[2].split(",")[0])
