"""Folders that every user may pass through: PostgreSQL refuses root, and pytest's own folders are closed to others."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A fresh folder with a short path; it is gone afterwards with all that is in it."""
    folder = Path(tempfile.mkdtemp(prefix="drd-t-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
