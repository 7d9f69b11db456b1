"""The manifests of base backups that others may follow: kept beside drd's state, so that no base is read for them."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

MOST_KEPT: Final = 8
"""So many of a cluster, the newest: of several stores each may lack the last ones."""


def digest(manifest: Path) -> str:
    """What names a base backup, by its manifest: see `drd.core.postgres.increments.Member`. Raises OSError."""
    with manifest.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Manifests:
    """Those of one cluster, below a folder that need not be there. What cannot be read or kept there lacks."""

    def __init__(self, folder: Path, system_identifier: str) -> None:
        self._folder = folder / system_identifier

    def find(self, name: str) -> Path | None:
        """The file of the one that its digest names, if it is there and is that one."""
        path = self._folder / name
        with suppress(OSError):
            if digest(path) == name:
                return path
        return None

    def keep(self, manifest: Path, name: str) -> None:
        """Keep a copy, and no more than `MOST_KEPT`; where there is no room, the next base backup is a full."""
        unfinished = self._folder / f".{name}.{os.getpid()}"
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                shutil.copyfile(manifest, unfinished)
                unfinished.rename(self._folder / name)
            finally:
                unfinished.unlink(missing_ok=True)
            in_order = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
            for path in in_order[:-MOST_KEPT]:
                path.unlink()
