"""What drd has saved of an old primary's log, read again with PostgreSQL's own tool."""

import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.postgres_lab import Lab

PATIENCE = 180.0


def listed(folder: Path) -> set[int]:
    """The transactions that drd says were lost."""
    return {int(line.split()[1]) for line in (folder / "lost-transactions.txt").read_text().splitlines()}


def stranded(folder: Path, lab: Lab, table: int) -> set[int]:
    """The transactions that wrote to a table, by the log that drd has saved."""
    log = Path(tempfile.mkdtemp(prefix="stranded-", dir=lab.folder))
    with tarfile.open(folder / "wal.tar") as saved:
        saved.extractall(log)
    for path in (log, *log.iterdir()):
        path.chmod(0o755)
    found: set[int] = set()
    for segment in sorted(each.name for each in log.iterdir() if not each.suffix):
        # It ends with a failure where the log does.
        words = [lab.programs / "pg_waldump", "-r", "Heap", log / segment]
        dump = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False).stdout
        for line in dump.splitlines():
            if "INSERT" in line and re.search(rf"\brel \d+/\d+/{table}\b", line):
                found.add(int(line.partition("tx:")[2].split(",")[0]))
    return found
