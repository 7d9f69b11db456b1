"""The world as sources see it, with real programs and real files."""

from pathlib import Path

import pytest

from drd.clients.clock import SystemClock
from drd.clients.process import ChildRunner
from drd.clients.secrets import SystemSecrets
from drd.ports.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """This machine; relative paths start in `data` of the test's own folder."""
    (tmp_path / "data").mkdir()
    runner = ChildRunner()
    secrets = SystemSecrets(runner, {})
    folders = {"base": tmp_path / "data", "staging": tmp_path / "staging", "kept": tmp_path / "kept"}
    return World(SystemClock(), runner, secrets, **folders)
