"""Whether a folder lies on the disk it is meant to lie on.

A backup disk that is not mounted leaves an empty folder behind, and writing there fills the root disk. What is meant is
read from fstab(5), what is mounted from proc(5)'s mountinfo; neither touches the disk itself, which may hang.
"""

from __future__ import annotations

import re
from pathlib import Path

FSTAB = Path("/etc/fstab")
MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


def unmounted_disk(path: Path, fstab: Path = FSTAB, mounts: Path = MOUNTS) -> Path | None:
    """The mount point at or above `path` that fstab names and that is not mounted; None when all is well."""
    meant = _points(fstab, column=1)
    mounted = _points(mounts, column=4)
    lineage = (path, *path.parents)
    return next((point for point in lineage if point in meant and point not in mounted), None)


def mount_points(mounts: Path = MOUNTS) -> frozenset[Path]:
    """Everything that is mounted here, bind mounts too."""
    return _points(mounts, column=4)


def _points(table: Path, column: int) -> frozenset[Path]:
    if not table.exists():
        return frozenset()
    rows = (line.split() for line in table.read_text(errors="surrogateescape").splitlines())
    return frozenset(
        Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), row[column]))
        for row in rows
        if len(row) > column and not row[0].startswith("#") and row[column].startswith("/")
    )
