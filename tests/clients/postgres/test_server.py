"""A real server, where it is more than the contract: deadlines, rights, timelines, and slots that are lost."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest

from drd.clients.postgres import Dsn, Patience, PostgresServer
from drd.core.errors import TransientError
from drd.core.postgres.errors import LoginRefused, RightMissing, ServerAway
from drd.core.postgres.heartbeat import CREATE, GONE, Beat, rights
from drd.ports.postgres import WalStatus
from tests.clients.postgres.conftest import AWKWARD
from tests.postgres_lab import Cluster, Lab, children
from tests.waiting import until_true

pytestmark = pytest.mark.slow

IMPATIENT = Patience(connect=timedelta(seconds=0.5), answer=timedelta(seconds=0.5))


@pytest.fixture
async def as_owner(shop: Cluster) -> AsyncIterator[PostgresServer]:
    server = PostgresServer(Dsn.parse(shop.dsn()), IMPATIENT)
    yield server
    await server.close()


@pytest.fixture
async def as_clerk(shop: Cluster) -> AsyncIterator[PostgresServer]:
    server = PostgresServer(Dsn.parse(shop.dsn("clerk", "clerk's own")))
    yield server
    await server.close()


@contextmanager
def halted(*pids: int) -> Iterator[None]:
    """Processes that do nothing for a while; one that ends of itself meanwhile is no matter."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def test_facts_are_those_of_the_cluster(shop: Cluster, as_owner: PostgresServer, postgres_lab: Lab) -> None:
    facts = await as_owner.facts()
    assert facts.major == postgres_lab.major
    assert str(facts.data_directory) == str(shop.data)
    assert (facts.wal_level, facts.archive_mode, facts.max_slot_wal_keep_bytes) == ("replica", "off", None)
    assert facts.tablespaces == ()


async def test_a_role_without_rights_learns_what_it_may_know(as_clerk: PostgresServer) -> None:
    facts = await as_clerk.facts()
    assert facts.data_directory is None
    assert (await as_clerk.positions()).flushed is not None


async def test_a_password_of_awkward_letters_opens(shop: Cluster) -> None:
    server = PostgresServer(Dsn.parse(shop.dsn("drd", AWKWARD, by_port=True)))
    assert (await server.facts()).timeline == 1
    await server.close()


async def test_a_wrong_password_is_no_matter_of_time(shop: Cluster) -> None:
    with pytest.raises(LoginRefused, match="refuses the password") as caught:
        await PostgresServer(Dsn.parse(shop.dsn("drd", "guessed-wrongly"))).facts()
    assert "guessed-wrongly" not in repr(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("tls", [{"sslmode": "require"}, {"sslmode": "verify-full", "sslrootcert": "/nowhere/ca.pem"}])
async def test_encryption_that_cannot_be_had_is_told(shop: Cluster, tls: dict[str, str]) -> None:
    reached = Dsn.parse(shop.dsn("drd", AWKWARD, by_port=True))
    with pytest.raises(LoginRefused, match="no encrypted connection") as caught:
        await PostgresServer(Dsn({**reached.parameters, **tls})).facts()
    assert "sslmode" in caught.value.hint


async def test_an_unknown_role_or_database_is_told(shop: Cluster) -> None:
    with pytest.raises(LoginRefused, match="there is no database nowhere"):
        await PostgresServer(Dsn.parse(shop.dsn(database="nowhere"))).facts()
    # With a password the server does not say whether the role or its password is wrong.
    with pytest.raises(LoginRefused):
        await PostgresServer(Dsn.parse(shop.dsn("nobody", "secret"))).facts()


async def test_a_missing_right_is_named_by_the_statement_that_grants_it(
    shop: Cluster, as_clerk: PostgresServer
) -> None:
    with pytest.raises(RightMissing, match=r"GRANT EXECUTE ON FUNCTION pg_switch_wal\(\) TO clerk;"):
        await as_clerk.switch_wal()
    with pytest.raises(RightMissing, match=r"GRANT EXECUTE ON FUNCTION pg_create_restore_point\(text\) TO clerk;"):
        await as_clerk.create_restore_point("here")
    with pytest.raises(RightMissing, match="ALTER ROLE clerk REPLICATION"):
        await as_clerk.create_slot("drd_clerk")


async def test_a_heartbeat_needs_the_rights_that_drd_grants_prints_and_no_more(
    shop: Cluster, as_clerk: PostgresServer
) -> None:
    for statement in CREATE:
        shop.execute(statement)
    assert not await as_clerk.may_beat()
    assert await as_clerk.heartbeats() == ()
    with pytest.raises(RightMissing):
        await as_clerk.beat(Beat("orders", "01DAEMON"))
    for statement in rights("clerk"):
        shop.execute(statement)
    assert await as_clerk.may_beat()
    beat = await as_clerk.beat(Beat("orders", "01DAEMON"))
    assert await as_clerk.heartbeats() == (beat,)
    assert not shop.value("SELECT has_schema_privilege('clerk', 'drd', 'CREATE')")


async def test_rows_of_daemons_that_are_gone_are_removed_where_that_is_granted(
    shop: Cluster, as_clerk: PostgresServer
) -> None:
    for statement in (*CREATE, *rights("clerk"), "REVOKE DELETE ON drd.heartbeat FROM clerk"):
        shop.execute(statement)
    old = "INSERT INTO drd.heartbeat VALUES (%s, %s, 0, 1, now() - interval '40 days', '0/1')"
    for policy, daemon in (("orders", "GONE"), ("payments", "GONE")):
        shop.execute(old, policy, daemon)
    shop.execute("INSERT INTO drd.heartbeat VALUES ('orders', 'LIVING', 0, 1, now() - interval '1 day', '0/1')")
    assert await as_clerk.forget_beats("orders", "01DAEMON", GONE) == ()
    await as_clerk.beat(Beat("orders", "01DAEMON"))
    assert await as_clerk.forget_beats("orders", "01DAEMON", GONE) == ()
    shop.execute("GRANT DELETE ON drd.heartbeat TO clerk")
    assert await as_clerk.forget_beats("orders", "01DAEMON", GONE) == ("GONE",)
    left = {(each.beat.policy, each.beat.daemon) for each in await as_clerk.heartbeats()}
    assert left == {("orders", "01DAEMON"), ("orders", "LIVING"), ("payments", "GONE")}


async def test_a_heartbeat_stays_in_its_page(shop: Cluster, as_owner: PostgresServer) -> None:
    for statement in CREATE:
        shop.execute(statement)
    for number in range(500):
        await as_owner.beat(Beat("orders", "02DAEMON", sequence=number))
    assert shop.value("SELECT pg_relation_size('drd.heartbeat')") <= 2 * 8192
    assert shop.value("SELECT pg_relation_size('drd.heartbeat_pkey')") <= 2 * 8192


async def test_heartbeats_are_found_in_whichever_database_they_lie(postgres_lab: Lab) -> None:
    cluster = postgres_lab.new("several", segment_mib=1)
    cluster.execute("CREATE DATABASE shop")
    for statement in CREATE:
        cluster.rows(statement, database="shop")
    there = PostgresServer(Dsn.parse(cluster.dsn(database="shop")))
    beat = await there.beat(Beat("orders", "01DAEMON"))
    elsewhere = PostgresServer(Dsn.parse(cluster.dsn()))
    assert await elsewhere.heartbeats() == (beat,)
    await there.close()
    await elsewhere.close()
    cluster.kill()


async def test_a_server_that_hangs_is_away_when_the_deadline_is_over(shop: Cluster, as_owner: PostgresServer) -> None:
    await as_owner.positions()
    started = time.monotonic()
    with halted(shop.pid, *children(shop.pid)):
        with pytest.raises(ServerAway, match="within 500ms"):
            await as_owner.positions()
        with pytest.raises(ServerAway, match="within 500ms"):
            await as_owner.positions()  # a new connection, which nobody accepts
    assert time.monotonic() - started < 5
    assert (await as_owner.facts()).timeline == 1


async def test_calls_that_wait_for_their_turn_on_a_server_that_hangs_have_a_deadline_too(
    shop: Cluster, as_owner: PostgresServer
) -> None:
    await as_owner.positions()
    started = time.monotonic()
    with halted(shop.pid, *children(shop.pid)):
        found = await asyncio.gather(*(as_owner.positions() for _ in range(20)), return_exceptions=True)
    assert {type(each) for each in found} == {ServerAway}
    assert time.monotonic() - started < 4


async def test_a_call_that_is_cancelled_ends_at_once_though_the_server_hangs(
    shop: Cluster, as_owner: PostgresServer
) -> None:
    await as_owner.positions()
    with halted(shop.pid, *children(shop.pid)):
        call = asyncio.create_task(as_owner.positions())
        await asyncio.sleep(0.05)
        started = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert time.monotonic() - started < 2
    assert (await as_owner.positions()).flushed is not None


async def test_a_server_that_was_restarted_is_reached_again(postgres_lab: Lab) -> None:
    cluster = postgres_lab.new("restarted", segment_mib=1)
    server = PostgresServer(Dsn.parse(cluster.dsn()))
    await server.facts()
    cluster.kill()
    with pytest.raises(ServerAway):
        await server.facts()
    with pytest.raises(ServerAway):
        await server.facts()
    cluster.start()
    assert (await server.facts()).timeline == 1
    await server.close()


async def test_calls_at_the_same_time_take_turns(as_owner: PostgresServer) -> None:
    found = await asyncio.gather(*(as_owner.positions() for _ in range(10)))
    assert len({each.is_in_recovery for each in found}) == 1


async def test_a_promoted_server_is_on_the_new_timeline_at_once_and_tells_its_tablespaces(postgres_lab: Lab) -> None:
    primary = postgres_lab.new("first", segment_mib=1)
    standby = postgres_lab.standby(primary, "second")
    server = PostgresServer(Dsn.parse(standby.dsn()))
    before = await server.facts()
    primary.kill()
    standby.promote()
    after = await server.facts()
    assert (before.timeline, before.is_in_recovery) == (1, True)
    assert (after.timeline, after.is_in_recovery) == (2, False)
    assert after.system_identifier == before.system_identifier
    place = standby.make_folder("fast")
    standby.execute(f"CREATE TABLESPACE fast LOCATION '{place}'")
    [space] = (await server.facts()).tablespaces
    assert (space.name, str(space.location)) == ("fast", str(place))
    await server.close()


async def test_a_slot_beyond_the_limit_is_lost_and_said_to_be(postgres_lab: Lab) -> None:
    limits = {"max_slot_wal_keep_size": "2MB", "max_wal_size": "2MB", "min_wal_size": "2MB"}
    cluster = postgres_lab.new("limited", segment_mib=1, settings=limits)
    server = PostgresServer(Dsn.parse(cluster.dsn()))
    made = await server.create_slot("drd_shop")
    assert (await server.facts()).max_slot_wal_keep_bytes == 2 * 2**20
    assert made.safe_bytes is not None
    cluster.execute("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 8000)")
    cluster.execute("CHECKPOINT")

    async def is_lost() -> bool:
        slot = await server.slot("drd_shop")
        return slot is not None and slot.wal_status is WalStatus.LOST

    await until_true(is_lost, "the slot is lost")
    slot = await server.slot("drd_shop")
    assert slot is not None
    assert slot.safe_bytes is None
    await server.close()


async def test_a_slot_that_somebody_receives_by_is_not_dropped(postgres_lab: Lab) -> None:
    primary = postgres_lab.new("leader", segment_mib=1)
    postgres_lab.standby(primary, "follower")
    server = PostgresServer(Dsn.parse(primary.dsn()))

    async def is_active() -> bool:
        slot = await server.slot("follower")
        return slot is not None and slot.is_active

    await until_true(is_active, "the standby receives")
    with pytest.raises(TransientError, match="active"):
        await server.drop_slot("follower")
    await server.close()


async def test_a_heartbeat_does_not_wait_for_a_standby_that_is_away(postgres_lab: Lab) -> None:
    cluster = postgres_lab.new("waiting", segment_mib=1, settings={"synchronous_standby_names": "*"})
    server = PostgresServer(Dsn.parse(cluster.dsn()), IMPATIENT)
    for statement in CREATE:
        cluster.execute(f"SET synchronous_commit = local; {statement}")
    assert (await server.beat(Beat("orders", "01DAEMON"))).beat.daemon == "01DAEMON"
    await server.close()
