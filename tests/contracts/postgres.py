"""What every PostgreSQL server keeps to, a real one and the one in memory: subclass it with a fixture `pair`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from drd.core.errors import DrdError, PermanentError
from drd.core.postgres.errors import ServerAway, ServerReadOnly
from drd.core.postgres.heartbeat import Beat
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.wal import Segment
from drd.ports.postgres import Postgres, WalStatus
from tests.waiting import until_true


@dataclass
class Pair:
    """A primary with its standby, and what the contract cannot do by itself."""

    primary: Postgres
    standby: Postgres
    write: Callable[[], None]
    """The platform commits something."""
    replay: Callable[[], None]
    """See to it that the standby catches up soon."""
    allow_beating: Callable[[], None]
    """A person types what `drd grants` prints for the heartbeat."""
    forbid_beating: Callable[[], None]
    """The table is not there."""
    away: Callable[[], Postgres]
    """A server that is not there."""


class PostgresContract:
    """The tests; each may find what the others have left."""

    async def test_primary_and_standby_are_one_cluster(self, pair: Pair) -> None:
        primary, standby = await pair.primary.facts(), await pair.standby.facts()
        assert (primary.system_identifier, primary.timeline) == (standby.system_identifier, standby.timeline)
        assert (primary.is_in_recovery, standby.is_in_recovery) == (False, True)
        assert primary.segment_bytes == 2**20
        assert primary.has_checksums
        assert primary.major >= 13
        assert primary.version_text.startswith(f"{primary.major}.")

    async def test_the_role_may_replicate_and_the_server_tells_its_size(self, pair: Pair) -> None:
        role = await pair.primary.role()
        assert role.may_replicate
        assert role.name
        assert role.memberships == ()
        assert await pair.standby.role() == role
        assert await pair.primary.data_bytes() >= 2**20

    async def test_a_primary_knows_what_it_wrote_and_a_standby_what_it_replayed(self, pair: Pair) -> None:
        here, there = await pair.primary.positions(), await pair.standby.positions()
        assert (here.is_in_recovery, here.received, here.replayed) == (False, None, None)
        assert here.flushed is not None
        assert here.newest == here.flushed
        assert (there.is_in_recovery, there.written, there.flushed) == (True, None, None)
        assert there.taken.utcoffset() == timedelta(0)

    async def test_the_end_moves_with_every_write_and_the_standby_follows(self, pair: Pair) -> None:
        before = (await pair.primary.positions()).newest
        pair.write()
        after = (await pair.primary.positions()).newest
        assert after > before
        pair.replay()

        async def has_followed() -> bool:
            replayed = (await pair.standby.positions()).replayed
            return replayed is not None and replayed >= after

        await until_true(has_followed, "the standby replays what was written")

    async def test_a_switch_ends_the_segment_and_a_second_one_does_nothing(self, pair: Pair) -> None:
        pair.write()
        end = await pair.primary.switch_wal()
        size = (await pair.primary.facts()).segment_bytes
        newest = (await pair.primary.positions()).newest
        assert newest >= Segment.at(1, Lsn(end.value - 1), size).end

    async def test_a_restore_point_lies_where_it_was_made(self, pair: Pair) -> None:
        before = (await pair.primary.positions()).newest
        made = await pair.primary.create_restore_point("before the release")
        assert before < made

        async def is_safe() -> bool:
            return (await pair.primary.positions()).newest >= made

        await until_true(is_safe, "the point is on the server's disk")
        with pytest.raises(PermanentError):
            await pair.primary.create_restore_point("x" * 64)

    async def test_a_standby_refuses_what_only_a_primary_does(self, pair: Pair) -> None:
        with pytest.raises(ServerReadOnly):
            await pair.standby.switch_wal()
        with pytest.raises(ServerReadOnly):
            await pair.standby.create_restore_point("here")

    async def test_a_slot_reserves_from_the_moment_it_was_made(self, pair: Pair) -> None:
        assert await pair.primary.slot("drd_orders") is None
        made = await pair.primary.create_slot("drd_orders")
        assert (made.name, made.is_active, made.wal_status) == ("drd_orders", False, WalStatus.RESERVED)
        assert made.restart is not None
        assert made.safe_bytes is None
        pair.write()
        assert (await pair.primary.create_slot("drd_orders")).restart == made.restart
        assert await pair.primary.slot("drd_orders") == made
        assert await pair.primary.drop_slot("drd_orders")
        assert not await pair.primary.drop_slot("drd_orders")

    async def test_a_slot_can_be_made_on_a_standby_too(self, pair: Pair) -> None:
        assert (await pair.standby.create_slot("drd_there")).restart is not None
        assert await pair.standby.drop_slot("drd_there")

    async def test_a_slot_with_a_wrong_name_is_refused(self, pair: Pair) -> None:
        with pytest.raises(PermanentError):
            await pair.primary.create_slot("Not A Name")

    async def test_a_slot_moves_forward_and_never_back_or_beyond_what_there_is(self, pair: Pair) -> None:
        made = await pair.primary.create_slot("drd_moving")
        assert made.restart is not None
        pair.write()
        newest = (await pair.primary.positions()).newest
        moved = await pair.primary.advance_slot("drd_moving", newest)
        assert moved is not None
        assert moved.restart == newest
        assert await pair.primary.advance_slot("drd_moving", made.restart) == moved
        beyond = await pair.primary.advance_slot("drd_moving", newest + 2**40)
        assert beyond is not None
        assert beyond.restart is not None
        assert newest <= beyond.restart <= (await pair.primary.positions()).newest
        assert await pair.primary.drop_slot("drd_moving")
        assert await pair.primary.advance_slot("drd_moving", newest) is None

    async def test_a_heartbeat_needs_the_table_that_a_person_makes(self, pair: Pair) -> None:
        pair.forbid_beating()
        assert not await pair.primary.may_beat()
        assert await pair.primary.heartbeats() == ()
        with pytest.raises(PermanentError):
            await pair.primary.beat(Beat("orders", "01DAEMON"))

    async def test_a_heartbeat_is_written_over_and_each_daemon_has_its_own(self, pair: Pair) -> None:
        pair.allow_beating()
        assert await pair.primary.may_beat()
        before = await pair.primary.positions()
        first = await pair.primary.beat(Beat("orders", "01DAEMON", term=3, sequence=1))
        assert first.beat == Beat("orders", "01DAEMON", 3, 1)
        assert first.written >= before.taken
        assert first.lsn >= before.newest
        second = await pair.primary.beat(Beat("orders", "01DAEMON", term=3, sequence=2))
        assert second.lsn > first.lsn
        assert (first.replaced, second.replaced) == (None, first.written)
        other = await pair.primary.beat(Beat("orders", "02DAEMON"))
        assert await pair.primary.heartbeats() == (other, second)

    async def test_a_heartbeat_comes_to_the_standby(self, pair: Pair) -> None:
        pair.allow_beating()
        beat = await pair.primary.beat(Beat("carts", "01DAEMON"))
        pair.replay()

        async def has_come() -> bool:
            return beat in await pair.standby.heartbeats()

        await until_true(has_come, "the heartbeat comes to the standby")
        with pytest.raises(ServerReadOnly):
            await pair.standby.beat(Beat("carts", "01DAEMON"))

    async def test_a_server_that_is_not_there_is_away(self, pair: Pair) -> None:
        with pytest.raises(ServerAway) as caught:
            await pair.away().facts()
        assert caught.value.hint

    async def test_after_closing_the_next_call_works_again(self, pair: Pair) -> None:
        await pair.primary.close()
        assert (await pair.primary.facts()).major >= 13

    async def test_its_place_is_words(self, pair: Pair) -> None:
        assert pair.primary.place
        assert issubclass(ServerAway, DrdError)
