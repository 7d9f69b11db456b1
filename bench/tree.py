"""Trees to back up: many small files and a few large ones, half compressible, the same for the same seed."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a tree is. The default is about 2 GB: 50,000 small files and 12 of 100 MiB."""

    small_files: int = 50_000
    small_bytes: int = 16 * 1024
    large_files: int = 12
    large_bytes: int = 100 * 2**20

    def scaled(self, factor: float) -> Shape:
        """A tree with that share of the small files and of each large file's bytes."""
        return Shape(
            max(10, int(self.small_files * factor)), self.small_bytes, self.large_files, int(self.large_bytes * factor)
        )


def make_tree(root: Path, shape: Shape, seed: int = 1) -> int:
    """Write the tree and return its size in bytes."""
    source = random.Random(seed)
    total = 0
    for number in range(shape.small_files):
        folder = root / f"small/{number % 250:03d}"
        if number < 250:
            folder.mkdir(parents=True, exist_ok=True)
        size = source.randrange(shape.small_bytes // 8, shape.small_bytes * 15 // 8)
        (folder / f"{number:06d}.bin").write_bytes(_content(source, size))
        total += size
    large = root / "large"
    large.mkdir(parents=True, exist_ok=True)
    for number in range(shape.large_files):
        with (large / f"{number:02d}.bin").open("wb") as handle:
            left = shape.large_bytes
            while left > 0:
                size = min(left, 2**20)
                handle.write(_content(source, size))
                left -= size
        total += shape.large_bytes
    return total


def change_tree(root: Path, shape: Shape, share: float, seed: int) -> None:
    """Rewrite that share of the small files, and as large a stretch of each large file in place."""
    source = random.Random(seed)
    for number in source.sample(range(shape.small_files), int(shape.small_files * share)):
        path = root / f"small/{number % 250:03d}/{number:06d}.bin"
        path.write_bytes(_content(source, path.stat().st_size))
    for number in range(shape.large_files):
        stretch = int(shape.large_bytes * share)
        with (root / f"large/{number:02d}.bin").open("r+b") as handle:
            handle.seek(source.randrange(max(1, shape.large_bytes - stretch)))
            handle.write(_content(source, stretch))


def settle(root: Path) -> None:
    """Warm the page cache and write out what is dirty, so that no run pays for what came before it."""
    for path in root.rglob("*"):
        if path.is_file():
            path.read_bytes()
    os.sync()


def _content(source: random.Random, size: int) -> bytes:
    """Half noise, half text-like repetition."""
    noise = source.randbytes(size // 2)
    phrase = source.randbytes(16).hex().encode()
    return noise + (phrase * (size // len(phrase) + 1))[: size - len(noise)]
