"""A repository's config file: encrypted, and in no two repositories the same but in mirrors of one another."""

from __future__ import annotations

import hashlib

from drd.clients.carrier.content import BLOCK_BYTES
from drd.clients.carrier.files import CONFIG_NAME, FileKind, RepositoryFiles, Vanished
from drd.core.errors import PermanentError

CONFIG_LIMIT_BYTES = 64 * 1024


def config_digest(repository: RepositoryFiles) -> str:
    """SHA-256 of the config file; empty where there is none."""
    content = read_config(repository)
    return "" if content is None else hashlib.sha256(content).hexdigest()


def read_config(repository: RepositoryFiles) -> bytes | None:
    """The config file, or None where there is none."""
    try:
        with repository.open(FileKind.CONFIG, CONFIG_NAME) as source:
            content = b""
            while block := source.read(BLOCK_BYTES):
                content += block
                if len(content) > CONFIG_LIMIT_BYTES:
                    raise PermanentError(f"the config of {repository.place} is no restic config: it is too long")
            return content
    except Vanished:
        return None
