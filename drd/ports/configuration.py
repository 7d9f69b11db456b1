"""The configuration that is in force: what the loader makes and everything else reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from drd.core.policy import Policy
from drd.core.runbook import Runbook
from drd.core.secrets import SecretReference
from drd.ports.machines import Contact, Machine
from drd.ports.probe import ServiceWatch, Watch
from drd.ports.servers import DatabaseServers
from drd.ports.source import Source
from drd.ports.store import ConfiguredStore
from drd.ports.wal import WalOrigin

WAL = ".wal"
"""What the name of the store beside a store ends in that holds WAL; no store that somebody wrote has a dot."""


def wal_store(store: str) -> str:
    """The store for WAL beside a store."""
    return store + WAL


def origin_of_wal(store: str) -> str:
    """The store beside which one for WAL stands."""
    return store.removesuffix(WAL)


def is_wal_store(name: str) -> bool:
    """Whether a store holds WAL."""
    return name.endswith(WAL)


@dataclass(frozen=True, slots=True)
class Protected:
    """A policy with its sources, which only the ports know."""

    policy: Policy
    sources: Mapping[str, Source]
    """Part name → source; a single source is the part `main`."""
    digest: str
    """SHA-256 of the policy as it was read, its bases merged in."""
    file: Path
    watch: Watch | None = None
    """How its nodes are watched; None where it names none."""
    service: ServiceWatch | None = None
    """How it is looked at as its users reach it; None where nothing says so."""

    @property
    def wal_origin(self) -> WalOrigin | None:
        """Where its WAL is received from all the time; None when it is not."""
        return next((each.wal_origin for each in self.sources.values() if each.wal_origin is not None), None)

    @property
    def wal_part(self) -> str | None:
        """The part whose write-ahead log that is."""
        return next((part for part, each in self.sources.items() if each.wal_origin is not None), None)

    @property
    def servers(self) -> DatabaseServers | None:
        """The servers of the database that it protects; None when it protects none."""
        return next((each.servers for each in self.sources.values() if each.servers is not None), None)

    @property
    def wal_stores(self) -> tuple[str, ...]:
        """The stores that its WAL goes to, in order; none when it is not received."""
        return () if self.wal_origin is None else tuple(map(wal_store, self.policy.backup.to))


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that was read from drd.yaml, policies and runbooks."""

    site: str
    zone: ZoneInfo
    state: Path
    data: Path | None
    restic: str
    """The restic program: a path, or a name that is looked for in PATH."""
    listen: tuple[str, int] | None
    """Where /metrics and /livez are served; None: nowhere."""
    stores: Mapping[str, ConfiguredStore]
    """Those of drd.yaml, and beside each that WAL goes to one for that."""
    policies: Mapping[str, Protected]
    runbooks: Mapping[str, Runbook]
    people: Mapping[str, str]
    """Name → display name."""
    digest: str
    machines: Mapping[str, Machine] = field(default_factory=dict)
    """The nodes, as steps of runbooks reach them."""
    contacts: Mapping[str, Contact] = field(default_factory=dict)
    """The people, as drd tells them something."""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What to know of what is written there; nothing is wrong with it."""
    tokens: SecretReference | None = None
    loaded: datetime | None = None
    file: Path | None = None
    """The drd.yaml that it was read from, absolute."""
