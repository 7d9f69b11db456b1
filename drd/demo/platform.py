"""A small shop platform that keeps changing: live-stream recordings that grow and rotate, uploads that come and go."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

RECORDING_BYTES = 256 * 1024
MOST_RECORDINGS = 40
MOST_UPLOADS = 120
CHANGE_SECONDS = 5.0


class Platform:
    """The folders under one root. It writes a few megabytes a minute and holds no more than about 15 MiB."""

    def __init__(self, root: Path) -> None:
        self._recordings = root / "recordings"
        self._uploads = root / "community" / "uploads"
        self._profiles = root / "community" / "profiles"
        self._orders = root / "logistics"
        self._count = 0

    def found(self) -> None:
        """Make what a platform that has run for a while would have."""
        for folder in (self._recordings, self._uploads, self._profiles, self._orders):
            folder.mkdir(parents=True, exist_ok=True)
        for _ in range(12):
            self._change()

    async def live(self) -> None:
        """Change a little every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(CHANGE_SECONDS)
            await asyncio.to_thread(self._change)

    def _change(self) -> None:
        self._count += 1
        stamp = f"{self._count:06d}-{secrets.token_hex(3)}"
        _write(self._recordings / f"stream-{stamp}.flv", secrets.token_bytes(RECORDING_BYTES))
        _write(self._uploads / f"post-{stamp}.md", f"# Post {stamp}\n\n{secrets.token_urlsafe(400)}\n".encode())
        _write(self._profiles / f"member-{self._count % 50:03d}.json", f'{{"seen": {self._count}}}\n'.encode())
        with (self._orders / "parcels.csv").open("a", encoding="utf-8") as parcels:
            parcels.write(f"{stamp},{secrets.randbelow(9000) + 1000},under way\n")
        _rotate(self._recordings, MOST_RECORDINGS)
        _rotate(self._uploads, MOST_UPLOADS)


def _write(path: Path, content: bytes) -> None:
    """Under another name first, as a careful platform does: a backup never sees half a file."""
    partial = path.with_suffix(path.suffix + ".part")
    partial.write_bytes(content)
    partial.rename(path)


def _rotate(folder: Path, most: int) -> None:
    files = sorted(folder.iterdir(), key=lambda each: (each.stat().st_mtime_ns, each.name))
    for old in files[: max(0, len(files) - most)]:
        old.unlink()
