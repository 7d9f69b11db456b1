"""Short-lived private folders: a mirror's keys on their way."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from drd.core.errors import TransientError

_PREFIX = "adopt-"


def private_folder(scratch: Path) -> Path:
    """A new folder that only this user can read. Raises `TransientError` where none can be made."""
    try:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=scratch))
    except OSError as error:
        raise TransientError(
            f"nothing can be put into {scratch}: {error.strerror}", f"df -h {scratch}; ls -ld {scratch}"
        ) from error


def sweep(scratch: Path) -> None:
    """Take away what processes left that were killed; only for who holds the state folder. What cannot go stays."""
    for left in scratch.glob(f"{_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
