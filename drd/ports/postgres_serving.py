"""Servers that drd starts itself, from data directories that it has restored."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from drd.ports.postgres import Server


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """A server to start, which nobody but this process reaches: on a socket in a private folder."""

    data: Path
    role: str
    """Whom it shall take us for; it is asked for no password."""
    database: str = "postgres"
    settings: Mapping[str, str] = field(default_factory=dict)
    """They override those of the cluster."""
    user: str | None = None
    """The user of this machine that it runs as; None: as we do, and PostgreSQL refuses root."""


class Served(Protocol):
    """A server that was started. It may not let anybody in yet."""

    @property
    def server(self) -> Server:
        """To ask it."""
        ...

    @property
    def parameters(self) -> Mapping[str, str]:
        """How it is reached, as libpq names it; as the role and database of the request."""
        ...

    @property
    def said(self) -> tuple[str, ...]:
        """The newest lines of its log."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        ...


class Servers(Protocol):
    """Starts servers of one major version."""

    def served(self, request: ServeRequest) -> AbstractAsyncContextManager[Served]:
        """Start a server; when the context ends it is stopped in an orderly way, and all is on the disk.

        Raises `PermanentError` when it cannot be stopped in time.
        """
        ...
