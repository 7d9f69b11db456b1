"""The configuration that is in force: what the loader makes and everything else reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from drd.core.policy import Policy
from drd.core.runbook import Runbook
from drd.core.secrets import SecretReference
from drd.ports.source import Source
from drd.ports.store import ConfiguredStore


@dataclass(frozen=True, slots=True)
class Protected:
    """A policy with its sources, which only the ports know."""

    policy: Policy
    sources: Mapping[str, Source]
    """Part name → source; a single source is the part `main`."""
    digest: str
    """SHA-256 of the policy as it was read, its bases merged in."""
    file: Path


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
    policies: Mapping[str, Protected]
    runbooks: Mapping[str, Runbook]
    people: Mapping[str, str]
    """Name → display name."""
    digest: str
    warnings: tuple[str, ...] = ()
    tokens: SecretReference | None = None
    loaded: datetime | None = None
