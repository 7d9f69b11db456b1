"""Drawing blocks of files below folders, a few of however many: the same draw finds the same ones."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TypeVar

from drd.core.entropy import BLOCK_BYTES

BLOCKS = 48
TRIES = 4 * BLOCKS
DEEPEST = 64
MOST_NAMES = 10_000
"""So many names of a folder are drawn from."""

Item = TypeVar("Item")


def drawn_blocks(roots: Sequence[Path], draw: str) -> Iterator[bytes]:
    """The middle of files that are drawn by walking down at random; what cannot be read is passed over."""
    listed: dict[str, list[str]] = {}
    found = 0
    for number in range(TRIES):
        path = _drawn(roots, f"{draw}/{number}", listed)
        block = None if path is None else _middle_of(path)
        if block is not None:
            found += 1
            yield block
        if found == BLOCKS:
            return


def _drawn(roots: Sequence[Path], draw: str, listed: dict[str, list[str]]) -> str | None:
    path = str(_one_of(list(roots), draw))
    for depth in range(DEEPEST):
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return None
        if stat.S_ISREG(mode):
            return path
        if not stat.S_ISDIR(mode):
            return None
        if path not in listed:
            listed[path] = _names(path)
        if not listed[path]:
            return None
        path = os.path.join(path, _one_of(listed[path], f"{draw}/{depth}"))  # noqa: PTH118 - names need not be text
    return None


def _names(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in islice(entries, MOST_NAMES))
    except OSError:
        return []


def _middle_of(path: str) -> bytes | None:
    try:
        with open(path, "rb", opener=_opener) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - BLOCK_BYTES) // 2)
            block = file.read(BLOCK_BYTES)
    except OSError:
        return None
    return block if len(block) == BLOCK_BYTES else None


def _opener(path: str, flags: int) -> int:
    # What was a file a moment ago may be a pipe now, which would be waited for.
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _one_of(items: Sequence[Item], draw: str) -> Item:
    return items[int.from_bytes(sha256(draw.encode()).digest()[:8], "big") % len(items)]
