"""Beside each store that WAL goes to stands one for that."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from drd.config.build import _with_those_for_wal
from drd.engines.stores import origin_of
from drd.ports.wal import ReachedServer, WalOrigin
from drd.ports.world import World
from tests.fakes.house import a_configuration, a_policy, a_store, protected
from tests.fakes.repository import FakePlace
from tests.fakes.source import FakeSource


class Streamed(FakeSource):
    """A source whose WAL is received all the time."""

    @property
    def wal_origin(self) -> WalOrigin | None:
        return self

    def reached(self, world: World) -> AbstractAsyncContextManager[ReachedServer]:
        raise NotImplementedError


STORES = {name: a_store(FakePlace(name), site=f"at-{name}") for name in ("local", "offsite", "third")}
ORDERS = protected(a_policy("orders", ("local", "offsite")), main=Streamed())
CARTS = protected(a_policy("carts", ("third", "local")))


def test_only_stores_that_wal_goes_to_have_one_beside_them() -> None:
    stores = _with_those_for_wal(STORES, [ORDERS, CARTS], Path("/var/lib/drd"))
    assert list(stores) == ["local", "offsite", "third", "local.wal", "offsite.wal"]
    offsite = stores["offsite.wal"]
    assert (offsite.name, offsite.site, offsite.password) == ("offsite.wal", "at-offsite", STORES["offsite"].password)
    assert offsite.place.summary() == "a made-up place offsite.wal"
    assert offsite.cache == Path("/var/lib/drd/cache/offsite.wal")


def test_a_store_for_wal_is_a_mirror_of_the_first_one_that_wal_goes_to() -> None:
    stores = _with_those_for_wal(STORES, [ORDERS, CARTS], Path("/var/lib/drd"))
    configuration = a_configuration(tuple(stores.values()), ORDERS, CARTS)
    assert origin_of(configuration, "offsite.wal") == "local.wal"
    assert origin_of(configuration, "local.wal") is None
    assert origin_of(configuration, "local") == "third"
