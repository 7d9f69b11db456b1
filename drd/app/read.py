"""Reading the configuration with the kinds that are installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from drd.app.finding import configuration_path
from drd.app.kinds import find_kinds
from drd.config.load import load
from drd.ports.configuration import Configuration


def read_configuration(path: Path | None, environment: Mapping[str, str]) -> Configuration:
    """Read drd.yaml, policies and runbooks. Raises `ConfigurationErrors` with every problem of every file."""
    return load(configuration_path(path, environment), environment, find_kinds())
