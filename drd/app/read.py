"""Reading the configuration with the kinds that are installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from drd.app.kinds import find_kinds
from drd.config import load
from drd.ports.configuration import Configuration

DEFAULT_PATH = Path("/etc/drd/drd.yaml")


def configuration_path(path: Path | None, environment: Mapping[str, str]) -> Path:
    """The drd.yaml that is meant: named, or `$DRD_CONFIG`, or the default."""
    return path or Path(environment.get("DRD_CONFIG", DEFAULT_PATH))


def read_configuration(path: Path | None, environment: Mapping[str, str]) -> Configuration:
    """Read drd.yaml, policies and runbooks. Raises `ConfigurationErrors` with every problem of every file."""
    return load(configuration_path(path, environment), environment, find_kinds())
