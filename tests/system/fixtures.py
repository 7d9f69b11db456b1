"""Machines for tests: each is taken down when its test ends."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers import RcloneS3
from tests.system.machine import Machine


@pytest.fixture
def machine(tmp_path: Path, newest_restic: Path) -> Iterator[Machine]:
    """A machine with one local store, and the newest restic."""
    made = Machine(tmp_path, newest_restic)
    yield made
    made.shut_down()


@pytest.fixture
def two_stores(tmp_path: Path, newest_restic: Path, rclone_s3: RcloneS3) -> Iterator[Machine]:
    """A machine with a local store and an off-site one behind S3, and the newest restic."""
    made = Machine(tmp_path, newest_restic, rclone_s3)
    yield made
    made.shut_down()


@pytest.fixture
def two_stores_each_restic(tmp_path: Path, restic_binary: Path, rclone_s3: RcloneS3) -> Iterator[Machine]:
    """The same on the oldest and on the newest restic."""
    made = Machine(tmp_path, restic_binary, rclone_s3)
    yield made
    made.shut_down()


@pytest.fixture
def another_machine(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Makes further machines, each in a folder of its own."""
    made: list[Machine] = []

    def make(name: str, restic: Path, s3: RcloneS3 | None = None) -> Machine:
        (tmp_path / name).mkdir()
        made.append(Machine(tmp_path / name, restic, s3))
        return made[-1]

    yield make
    for machine in made:
        machine.shut_down()
