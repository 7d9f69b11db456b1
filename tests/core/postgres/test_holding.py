"""What a slot makes a server keep, told to people, and what is given up where nobody wrote it."""

import pytest

from drd.core.postgres.holding import HeldBack, WhenFull, when_full_by_itself
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Slot, WalStatus

MIB = 2**20


def held(status: WalStatus | None, safe: int | None = None, restart: int | None = 10 * MIB) -> HeldBack:
    at = None if restart is None else Lsn(restart)
    return HeldBack.of(Slot("drd", False, at, status, safe), Lsn(30 * MIB))


@pytest.mark.parametrize(
    ("found", "burdens", "said", "hint"),
    [
        (held(WalStatus.RESERVED), False, "the server keeps 20 MiB of WAL for the slot drd, no more than", ""),
        (held(WalStatus.EXTENDED), True, "nothing limits it: its disk may fill", "ALTER SYSTEM SET max_slot_wal_keep"),
        (held(WalStatus.EXTENDED, 5 * MIB), True, "goes on for 5 MiB more", "drd status"),
        (held(WalStatus.UNRESERVED), True, "the next checkpoint may remove what was not received", "drd status"),
        (held(WalStatus.LOST), False, "the server has removed WAL that the slot drd was to keep", ""),
        (held(None, restart=None), False, "the server has removed WAL that the slot drd was to keep", ""),
    ],
)
def test_a_slot_is_a_burden_where_the_server_keeps_more_than_by_itself(
    found: HeldBack, burdens: bool, said: str, hint: str
) -> None:
    assert found.is_a_burden is burdens
    assert said in found.sentence("drd")
    assert hint in found.hint
    assert bool(found.hint) is burdens, "who can do nothing is told to do nothing"


def test_a_slot_that_is_ahead_of_what_is_known_holds_nothing_back() -> None:
    assert held(WalStatus.RESERVED, restart=40 * MIB).retained_bytes == 0
    assert held(WalStatus.LOST, restart=None).retained_bytes == 0


def test_the_slot_is_given_up_only_where_nothing_else_protects_the_servers_disk() -> None:
    assert when_full_by_itself(None) is WhenFull.LET_GO
    assert when_full_by_itself(64 * 2**30) is WhenFull.STOP
