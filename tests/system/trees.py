"""Folders to protect, and telling whether two of them are the same."""

import hashlib
import os
import random
import stat
from pathlib import Path


def grow(folder: Path, files: int = 12, size_bytes: int = 4096, seed: int = 1) -> Path:
    """Files that do not compress, in two folders, with modes and times that differ; the same for the same seed."""
    drawn = random.Random(seed)
    for number in range(files):
        path = folder / f"album-{number % 2}" / f"{seed}-{number:03d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn.randbytes(size_bytes))
        path.chmod(0o640 if number % 3 else 0o604)
        os.utime(path, ns=(seen := 1_700_000_000_123_456_789 + number * 1_000_000_007, seen))
    return folder


def portrait(folder: Path) -> dict[str, tuple[str, ...]]:
    """Path below `folder` → kind, mode, time of change and digest of everything there, for comparing."""
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(folder.rglob("*")):
        seen = path.lstat()
        what = (stat.filemode(seen.st_mode), str(seen.st_mtime_ns))
        if path.is_symlink():
            what += (f"to {path.readlink()}",)
        elif path.is_file():
            what += (str(seen.st_size), hashlib.sha256(path.read_bytes()).hexdigest())
        found[str(path.relative_to(folder))] = what
    assert found, f"{folder} is empty"
    return found
