"""borgmatic over one or more local repositories: what many run from cron today."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


class Borgmatic:
    """A configuration and its repositories, empty, in a folder of their own."""

    def __init__(self, folder: Path, tree: Path, repositories: int) -> None:
        self._folder = folder
        folder.mkdir()
        names = ", ".join(f"{folder}/{number}" for number in range(repositories))
        (folder / "config.yaml").write_text(
            f"location:\n  source_directories: [{tree}]\n  repositories: [{names}]\n"
            "storage:\n  encryption_passphrase: measured\nretention:\n  keep_daily: 7\n"
            "consistency:\n  checks:\n    - name: disabled\n"
        )
        self._run("init", "-e", "repokey-blake2")

    def create(self) -> None:
        """Back the tree up into each repository, one after the other."""
        self._run("create")

    def remove(self) -> None:
        """Give up all that it holds."""
        shutil.rmtree(self._folder)

    def _run(self, *arguments: str) -> None:
        environment = {**os.environ, "HOME": str(self._folder), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        command = ["borgmatic", "--config", str(self._folder / "config.yaml"), *arguments]
        subprocess.run(command, env=environment, check=True, capture_output=True)
