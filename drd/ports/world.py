"""What a kind gets to work with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drd.ports.clock import Clock
from drd.ports.runner import Runner
from drd.ports.secrets import Secrets


@dataclass(frozen=True, slots=True)
class World:
    """The outside, as sources, stores, probes, actions and notifiers may use it."""

    clock: Clock
    runner: Runner
    secrets: Secrets
    base: Path | None = None
    """What relative paths of sources start from: `data:` in drd.yaml."""
    staging: Path | None = None
    """Where sources make what has to lie on the disk before it is read, each in a folder of its own."""
    kept: Path | None = None
    """Where sources keep what makes their next run easier; what lacks there costs time and nothing else."""
    configuration: Path | None = None
    """The drd.yaml that is in force; a drd that a step of a runbook calls reads the same."""
    stranded: Path | None = None
    """Where what would be overwritten elsewhere, and nobody else has, is laid before that."""
