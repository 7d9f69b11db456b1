"""Repositories of the oldest and the newest restic, made once and copied for each test."""

import asyncio
import random
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from drd.clients.clock import SystemClock
from drd.clients.process import ChildRunner
from drd.clients.restic import Access, Patience, Restic, ResticRepository, find_restic
from drd.ports.repository import FilesToSave, SaveRequest, StreamToSave
from drd.ports.store import Limits, Location

PASSWORD = b"correct horse battery staple"
PATIENCE = Patience(answer=timedelta(seconds=20), lock=timedelta(seconds=1))
MINUTE = timedelta(minutes=1)

Open = Callable[..., ResticRepository]


@pytest.fixture(scope="session")
def restic(restic_binary: Path) -> Restic:
    """The program, with its version asked of itself."""
    return asyncio.run(find_restic(str(restic_binary), ChildRunner()))


@pytest.fixture
def open_at(restic: Restic, tmp_path: Path) -> Open:
    """Opens a repository at a place; each place has a cache of its own."""

    def opened(
        place: str | Location, password: bytes = PASSWORD, patience: Patience = PATIENCE, keeps_cache: bool = True
    ) -> ResticRepository:
        location = place if isinstance(place, Location) else Location(place)
        cache = tmp_path / f"cache-{abs(hash(location.url))}"
        cache.mkdir(exist_ok=True)
        access = Access(location, password, cache, keeps_cache)
        return ResticRepository(restic, access, ChildRunner(), SystemClock(), Limits(), patience)

    return opened


@pytest.fixture(scope="session")
def pristine(restic: Restic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty repository, to copy."""
    folder = tmp_path_factory.mktemp("pristine")
    place = Location(str(folder / "repository"))
    repository = ResticRepository(restic, Access(place, PASSWORD, folder), ChildRunner(), SystemClock(), Limits())
    asyncio.run(repository.create())
    return folder / "repository"


@pytest.fixture
def place(pristine: Path, tmp_path: Path) -> Path:
    """A repository of this test's own."""
    shutil.copytree(pristine, tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def repository(open_at: Open, place: Path) -> ResticRepository:
    """The client for it."""
    return open_at(str(place))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A few files to save."""
    tree = tmp_path / "shop"
    (tree / "orders").mkdir(parents=True)
    (tree / "orders" / "one.json").write_text('{"order": 1}')
    (tree / "orders" / "two [2].json").write_text('{"order": 2}')
    # Noise, so that it makes up most of the repository: compressed away, damage would hit the folders' pack.
    (tree / "picture").write_bytes(random.Random(1).randbytes(256 * 4000))
    return tree


def files(*paths: Path, **options: object) -> SaveRequest:
    """A request to save these paths."""
    return request(FilesToSave(paths, **options))  # type: ignore[arg-type]


def stream(script: str, **options: object) -> SaveRequest:
    """A request to save what a shell script writes."""
    return request(StreamToSave(("/bin/sh", "-c", script), "dump.sql", {"PATH": "/usr/bin:/bin"}), **options)


def request(content: FilesToSave | StreamToSave, **options: object) -> SaveRequest:
    """A request with a test's host, tags and times."""
    values: dict[str, object] = {"deadline": MINUTE, "stall": MINUTE, "reread_everything": False, **options}
    return SaveRequest(content, "shop-host", ("drd", "policy=shop"), **values)  # type: ignore[arg-type]
