"""Finding the configuration's file, and the daemon that it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from drd.config.whereabouts import Whereabouts, whereabouts
from drd.core.errors import UsageError

DEFAULT_PATH = Path("/etc/drd/drd.yaml")


def configuration_path(path: Path | None, environment: Mapping[str, str]) -> Path:
    """The drd.yaml that is meant: named, or `$DRD_CONFIG`, or the default. Raises `UsageError` when it is not there."""
    file = path or Path(environment.get("DRD_CONFIG") or DEFAULT_PATH)
    try:
        file.stat()
    except FileNotFoundError:
        trying = "\nto try drd out first, in a clone of its repository: make run" if file == DEFAULT_PATH else ""
        raise UsageError(
            f"there is no file {file}",
            f"create it, or name another: --config FILE, or DRD_CONFIG in the environment{trying}",
        ) from None
    except OSError:
        pass  # whatever else is wrong with it, loading says so with its place
    return file


def find(path: Path | None, environment: Mapping[str, str]) -> Whereabouts:
    """Where the daemon is. Raises `ConfigurationErrors` with every problem of every file when drd.yaml is wrong."""
    found = whereabouts(configuration_path(path, environment), environment)
    if found is not None:
        return found
    from drd.app.read import read_configuration

    configuration = read_configuration(path, environment)
    return Whereabouts(configuration.state, configuration.zone)
