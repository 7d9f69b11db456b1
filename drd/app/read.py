"""Reading the configuration with the kinds that are installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from drd.app.kinds import find_kinds
from drd.config import load
from drd.core.errors import UsageError
from drd.ports.configuration import Configuration

DEFAULT_PATH = Path("/etc/drd/drd.yaml")


def configuration_path(path: Path | None, environment: Mapping[str, str]) -> Path:
    """The drd.yaml that is meant: named, or `$DRD_CONFIG`, or the default."""
    return path or Path(environment.get("DRD_CONFIG") or DEFAULT_PATH)


def read_configuration(path: Path | None, environment: Mapping[str, str]) -> Configuration:
    """Read drd.yaml, policies and runbooks. Raises `ConfigurationErrors` with every problem of every file."""
    file = configuration_path(path, environment)
    try:
        file.stat()
    except FileNotFoundError:
        raise UsageError(
            f"there is no file {file}", "create it, or name another: --config FILE, or DRD_CONFIG in the environment"
        ) from None
    except OSError:
        pass  # whatever else is wrong with it, loading says so with its place
    return load(file, environment, find_kinds())
