"""The demonstration's secrets: files that only this user can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def kept(path: Path, fresh: str | None = None) -> str:
    """What the file holds; it is made with `fresh`, or with a password, when it is not there."""
    if not path.exists():
        put(path, fresh or secrets.token_urlsafe(32))
    return path.read_text().strip()


def put(path: Path, secret: str) -> None:
    """Write it, in one piece."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{secret}\n")
    unfinished.rename(path)
