"""The probe of PostgreSQL against real servers."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace

import psycopg
import pytest

from drd.core.position import Order
from drd.core.postgres.heartbeat import CREATE
from drd.core.probing import DatabaseSeen, Failure, NodeRole, ProbeResult, Quorum, Sign
from drd.ports.probe import Prober
from drd.probes.postgres import PostgresProbe
from tests.postgres_lab import Cluster, Lab, children
from tests.probes.watching import GivenSecrets, a_target, probing

pytestmark = pytest.mark.slow
SPELLINGS = {
    "lowers_1": "false",
    "lowers_2": "'No'",
    "lowers_3": "'0'",
    "lowers_4": "'LOCAL'",
    "lowers_5": "'Off'",
    "waits_1": "'ON'",
    "waits_2": "yes",
    "waits_3": "'1'",
    "waits_4": "remote_write",
    "waits_5": "'Remote_Apply'",
}
PATIENT = PostgresProbe(timeout="20s")


async def seen_by(prober: Prober, claim: Callable[[DatabaseSeen], bool] = lambda seen: True) -> DatabaseSeen:
    """What it tells as soon as the claim holds."""
    for _ in range(900):
        result = await prober.look()
        if result.database is not None and claim(result.database):
            return result.database
        await asyncio.sleep(0.1)
    raise AssertionError(f"never: {result}")


async def failing(prober: Prober, claim: Callable[[ProbeResult], bool]) -> ProbeResult:
    for _ in range(900):
        result = await prober.look()
        if claim(result):
            return result
        await asyncio.sleep(0.05)
    raise AssertionError(f"never: {result}")


def of(cluster: Cluster, **more: object) -> GivenSecrets:
    return GivenSecrets(cluster.dsn(**more))  # type: ignore[arg-type]


async def test_a_primary_tells_its_role_position_peers_and_what_its_commits_wait_for(postgres_lab: Lab) -> None:
    one = postgres_lab.new("told", segment_mib=1)
    two = postgres_lab.standby(one, "two")
    for statement in (*CREATE, "CREATE ROLE batch", "ALTER ROLE batch SET synchronous_commit = off"):
        one.execute(statement)
    async with probing(PATIENT, None, of(one)) as prober, probing(PATIENT, None, of(two)) as other:
        first = await seen_by(prober, lambda seen: bool(seen.peers))
        assert (first.role, first.position.timeline, first.quorum) == (NodeRole.PRIMARY, 1, None)
        assert [peer.name for peer in first.peers or ()] == ["two"]
        caught_up = await seen_by(prober, lambda seen: bool(seen.peers) and seen.peers[0].lag_bytes == 0)
        assert caught_up.slots == first.slots
        one.execute("SELECT pg_create_physical_replication_slot('gone', true)")
        one.execute("SELECT pg_create_physical_replication_slot('unused')")
        one.execute("SELECT pg_switch_wal()")
        kept = {each.name: each for each in (await seen_by(prober)).slots if each.name in ("gone", "unused")}
        assert (kept["gone"].is_active, kept["gone"].is_lost) == (False, False)
        assert (kept["gone"].kept_bytes or 0) > 0
        assert kept["unused"].kept_bytes is None
        one.configure({"synchronous_standby_names": "FIRST 1 (two)"})
        one.reload()
        # Each process of the server reads its configuration again when it comes to it, in no order.
        second = await seen_by(
            prober, lambda seen: bool(seen.peers) and seen.peers[0].is_synchronous and seen.quorum is not None
        )
        assert second.quorum == Quorum(1, ("two",), lowered_by=("batch",))
        for name, value in SPELLINGS.items():
            one.execute(f"CREATE ROLE {name}")
            one.execute(f"ALTER ROLE {name} SET synchronous_commit = {value}")
        lowered = tuple(sorted(["batch", *(each for each in SPELLINGS if each.startswith("lowers"))]))
        assert ((await seen_by(prober)).quorum or Quorum(0, ())).lowered_by == lowered
        for value in ("'No'", "'1'", "local", "DEFAULT"):
            one.execute(f"ALTER SYSTEM SET synchronous_commit = {value}")
            one.reload()
            await seen_by(
                prober,
                lambda seen, is_so=value in ("'No'", "local"): (
                    seen.quorum is not None and ("the server itself" in seen.quorum.lowered_by) is is_so
                ),
            )
        one.execute("ALTER DATABASE postgres SET synchronous_commit = on")
        async with probing(PATIENT, None, of(one)) as hidden:
            told = ((await seen_by(hidden)).quorum or Quorum(0, ())).lowered_by
            assert told[-1].startswith("perhaps the server itself")
        one.execute("ALTER DATABASE postgres RESET synchronous_commit")
        clone = postgres_lab.standby(one, "clone")
        conninfo = clone.value("SHOW primary_conninfo").replace("application_name=clone", "application_name=TWO")
        clone.execute("ALTER SYSTEM SET primary_conninfo = '" + conninfo.replace("'", "''") + "'")
        clone.reload()
        await seen_by(prober, lambda seen: [peer.name for peer in seen.peers or ()] == ["two", "two"])
        clone.stop()
        assert second.clients is not None
        with psycopg.connect(one.dsn().decode()):
            assert "local" in ((await seen_by(prober)).clients or ())

        standby = await seen_by(other, lambda seen: seen.heard_seconds_ago is not None)
        assert (standby.role, standby.cluster, standby.is_receiving) == (NodeRole.STANDBY, first.cluster, True)
        assert standby.replicates_as == "two"
        assert (standby.retry_seconds, standby.asks_after_seconds, standby.may_hang) == (5.0, 30.0, False)
        two.configure({"restore_command": "cp /archive/%f %p"})
        two.reload()
        await seen_by(other, lambda seen: seen.may_hang)
        two.execute("SELECT pg_wal_replay_pause()")
        assert (await seen_by(other)).is_paused

    checking = PostgresProbe(write_check=True, timeout="20s")
    async with probing(checking, replace(a_target(), writes_as="me/probe"), of(one)) as prober:
        assert not (await seen_by(prober)).write_failed
        [beat] = (await seen_by(prober)).beats
        assert beat.daemon == "me/probe"
        one.execute("ALTER TABLE drd.heartbeat ADD CHECK (sequence < 0) NOT VALID")
        assert (await seen_by(prober)).write_failed
        one.execute("ALTER TABLE drd.heartbeat DROP CONSTRAINT heartbeat_sequence_check")
    snapshots = one.data / "pg_snapshots"
    snapshots.chmod(0)  # as on a disk that is full: rows change in place, and no file can be made
    async with probing(checking, replace(a_target(), writes_as="me/probe"), of(one)) as prober:
        assert "pg_snapshots" in (await seen_by(prober)).write_failed
        snapshots.chmod(0o700)
        assert not (await seen_by(prober)).write_failed
    one.make_role("clerk", "secret", "IN ROLE pg_monitor")
    one.execute("GRANT USAGE ON SCHEMA drd TO clerk")
    one.execute("GRANT SELECT, INSERT, UPDATE ON drd.heartbeat TO clerk")
    one.execute("REVOKE EXECUTE ON FUNCTION pg_export_snapshot() FROM PUBLIC")
    async with probing(
        checking, replace(a_target(), writes_as="me/probe"), of(one, user="clerk", password="secret")
    ) as prober:
        assert not (await seen_by(prober)).write_failed  # whoever may not try it does not know
    two.stop()
    one.stop()


async def test_a_service_answers_its_users_only_where_it_takes_their_rows(postgres_lab: Lab) -> None:
    one = postgres_lab.new("used", segment_mib=1)
    two = postgres_lab.standby(one, "useless")
    for statement in CREATE:
        one.execute(statement)
    one.make_role("clerk", "secret")
    used, service = PostgresProbe(write_check=True, timeout="20s"), replace(a_target(), node="", writes_as="me verify")
    secrets = of(two)
    async with probing(used, service, secrets) as prober:
        standby = await failing(prober, lambda result: result.failure is not None)
        assert standby.message == "a standby answers, which takes no row"
        secrets.secret = one.dsn()
        assert (await failing(prober, lambda result: result.is_good)).database, "the next look went elsewhere"
        assert [beat.daemon for beat in (await seen_by(prober)).beats] == ["me verify"]
        one.execute("ALTER TABLE drd.heartbeat ADD CHECK (sequence < 0) NOT VALID")
        refused = await prober.look()
        assert (refused.failure, refused.signs) == (Failure.WRONG_ANSWER, frozenset())
        assert "heartbeat_sequence_check" in refused.message
        secrets.secret = one.dsn(user="clerk", password="secret")
        stranger = await prober.look()
        assert (stranger.failure, stranger.signs) == (Failure.WRONG_ANSWER, {Sign.NOT_LET_IN})
        assert "drd.heartbeat is not there for drd, or may not be written" in stranger.message
    async with probing(PATIENT, service, of(two)) as prober:
        assert (await failing(prober, lambda result: result.is_good)).is_good, "who only reads may read there"
    two.stop()
    one.stop()


async def test_a_promoted_standby_knows_where_it_left_the_old_timeline(postgres_lab: Lab) -> None:
    one = postgres_lab.new("left", segment_mib=1)
    two = postgres_lab.standby(one, "successor")
    async with probing(PATIENT, None, of(one)) as old, probing(PATIENT, None, of(two)) as new:
        before = await seen_by(new, lambda seen: seen.is_receiving is True)
        two.promote()
        one.execute("CREATE TABLE stranded (number int)")
        after = await seen_by(new, lambda seen: seen.is_primary)
        left = await seen_by(old)

        assert after.position.timeline == 2
        assert after.position.forks
        assert after.position.compare(before.position) is Order.AHEAD
        assert left.position.compare(after.position) is Order.DIVERGED
    two.stop()
    one.stop()


async def test_a_port_that_closes_whatever_comes_is_not_taken_for_one_that_refuses() -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    secrets = GivenSecrets(f"host=127.0.0.1 port={port} user=drd dbname=postgres sslmode=disable".encode())
    async with probing(PATIENT, None, secrets) as prober:
        closed = await prober.look()
        server.close()
        await server.wait_closed()
        refused = await prober.look()

    assert (closed.failure, refused.failure) == (Failure.PROTOCOL, Failure.REFUSED)


async def test_a_killed_postmaster_closes_the_session_and_is_refused_at_the_next_look(postgres_lab: Lab) -> None:
    one = postgres_lab.new("killed", segment_mib=1)
    async with probing(PATIENT, None, of(one)) as prober:
        await seen_by(prober)
        noticed = asyncio.Event()
        end = prober.on_closed(noticed.set)
        await asyncio.sleep(0.2)
        assert not noticed.is_set()
        one.kill()
        await asyncio.wait_for(noticed.wait(), 30)
        end()
        result = await prober.look()

        assert result.failure is Failure.REFUSED
        assert Sign.SESSION_CLOSED in result.signs
        again = await prober.look()
        assert again.failure is Failure.REFUSED
        one.start()
        assert (await seen_by(prober)).is_primary
    one.stop()


async def test_a_session_that_was_ended_alone_is_no_failure(postgres: Cluster) -> None:
    async with probing(PATIENT, None, of(postgres)) as prober:
        await seen_by(prober)
        noticed = asyncio.Event()
        end = prober.on_closed(noticed.set)
        postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'drd'")
        await asyncio.wait_for(noticed.wait(), 30)
        end()

        assert (await prober.look()).is_good


async def test_a_frozen_server_accepts_connections_and_does_not_answer(postgres_lab: Lab) -> None:
    one = postgres_lab.new("frozen", segment_mib=1, has_port=True)
    one.make_role("watcher", "secret")
    by_port = GivenSecrets(one.dsn("watcher", "secret", by_port=True))
    async with probing(PostgresProbe(timeout="1s"), None, by_port) as prober:
        await failing(prober, lambda result: result.is_good)
        family = [one.pid, *children(one.pid)]
        try:
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            for _ in range(2):  # over the session that was open, and with a new one
                result = await failing(prober, lambda result: Sign.ACCEPTS_TCP in result.signs)
                assert result.failure is Failure.TIMEOUT
        finally:
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        assert (await failing(prober, lambda result: result.is_good)).database is not None
    one.stop()


async def test_a_full_server_and_wrong_credentials_are_told_apart_from_a_dead_one(postgres_lab: Lab) -> None:
    one = postgres_lab.new("full", segment_mib=1, has_port=True, settings={"max_connections": 6})
    one.make_role("watcher", "secret")
    secrets = GivenSecrets(one.dsn("watcher", "wrong", by_port=True))
    async with probing(PATIENT, None, secrets) as prober:
        refused = await prober.look()
        assert refused.failure is Failure.WRONG_ANSWER
        assert Sign.NOT_LET_IN in refused.signs
        assert "wrong" not in refused.message
        with ExitStack() as sessions:
            with suppress(psycopg.OperationalError):
                for _ in range(6):
                    sessions.enter_context(psycopg.connect(one.dsn().decode()))
            secrets.secret = one.dsn("watcher", "secret", by_port=True)
            full = await prober.look()
        assert Sign.NO_CONNECTION_LEFT in full.signs
        assert (await failing(prober, lambda result: result.is_good)).is_good
        assert secrets.reads == 2
    one.stop()


async def test_what_a_role_may_not_see_is_unknown_and_not_empty(postgres_lab: Lab) -> None:
    one = postgres_lab.new("modest", segment_mib=1, has_port=True)
    one.make_role("watcher", "secret")
    async with probing(PATIENT, None, GivenSecrets(one.dsn("watcher", "secret", by_port=True))) as prober:
        seen = await seen_by(prober)

    assert (seen.peers, seen.clients, seen.beats) == (None, None, ())
    one.stop()


async def test_a_node_without_a_connection_string_is_passed_over() -> None:
    target = replace(a_target(), dsn=None)

    assert "no postgres" in PATIENT.why_not(target)
    assert PATIENT.why_not(a_target()) == ""
    with pytest.raises(TypeError):
        async with probing(PATIENT, target):
            pass
    async with probing(PATIENT, None, GivenSecrets(b"not a dsn")) as prober:
        assert Sign.NOT_LET_IN in (await prober.look()).signs
