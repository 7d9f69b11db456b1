"""Disks that tests fill, empty, take away and change behind everybody's back. Only root may mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

IMAGE_BYTES = 8 * 1024 * 1024


def require_root() -> None:
    """Mounting needs root, which is no installable part; everything else about the test does not depend on it."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")


@contextmanager
def small_disk(place: Path, size_mib: int) -> Iterator[Path]:
    """A disk of so many MiB, mounted at `place`."""
    require_root()
    place.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0700", "drd-test", str(place))
    try:
        yield place
    finally:
        unmount(place)


def unmount(place: Path) -> None:
    """Take the disk away; what still has files open on it keeps them."""
    _run("umount", "--lazy", str(place))


class Image:
    """A disk in a file: unmounted, any byte of it can be changed without touching a time stamp."""

    def __init__(self, file: Path, place: Path) -> None:
        require_root()
        self._file = file
        self._place = place
        place.mkdir()
        with file.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        _run("mkfs.ext4", "-q", str(file))

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        _run("mount", "-o", "loop", str(self._file), str(self._place))
        try:
            yield self._place
        finally:
            _run("umount", str(self._place))

    def replace(self, old: bytes, new: bytes) -> None:
        """Change content in place."""
        assert len(old) == len(new)
        content = self._file.read_bytes()
        assert content.count(old) == 1
        self._file.write_bytes(content.replace(old, new))


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
