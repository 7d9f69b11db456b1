"""Repositories as the composition root opens them."""

from pathlib import Path

import pytest

from drd.app.repositories import CACHE_FLOOR_BYTES, ResticRepositories
from drd.clients.restic import Restic, ResticRepository
from drd.core.errors import PermanentError
from drd.core.secrets import SecretReference
from drd.ports.store import ConfiguredStore, Limits
from drd.ports.world import World
from drd.stores.local import LocalStore
from tests.fakes.clock import FakeClock
from tests.fakes.host import FakeHost
from tests.fakes.runner import NoRunner
from tests.fakes.secrets import FakeSecrets


def a_store(folder: Path) -> ConfiguredStore:
    return ConfiguredStore(
        name="local",
        place=LocalStore(path=folder / "repository"),
        site="here",
        distance_metres=0.0,
        password=SecretReference(credential="local"),
        immutable_days=None,
        limits=Limits(),
        independent=False,
        cache=folder / "cache" / "local",
    )


def the_repositories(free_bytes: int) -> ResticRepositories:
    clock = FakeClock()
    host = FakeHost(clock)
    host.free = free_bytes
    return ResticRepositories(Restic("restic", (0, 19, 1)), World(clock, NoRunner(), FakeSecrets()), host)


@pytest.mark.parametrize(("free_bytes", "keeps"), [(CACHE_FLOOR_BYTES, True), (CACHE_FLOOR_BYTES - 1, False)])
async def test_a_cache_does_not_grow_on_a_disk_that_is_nearly_full(
    tmp_path: Path, free_bytes: int, keeps: bool
) -> None:
    repository = await the_repositories(free_bytes).open(a_store(tmp_path))
    assert isinstance(repository, ResticRepository)
    assert repository.access.keeps_cache is keeps
    assert repository.access.cache.stat().st_mode & 0o777 == 0o700


async def test_a_folder_that_cannot_be_made_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(PermanentError, match="cannot be made") as caught:
        await the_repositories(2**40).open(a_store(tmp_path))
    assert "ls -ld" in caught.value.hint
