"""Timelines and what they continue."""

from __future__ import annotations

import pytest

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.timeline import History

THIRD = """1\t0/3000148\tno recovery target specified

# a comment
2\t0/5000000\tbefore 2026-11-22 10:15:00+08
"""


def test_a_history_file_is_read_with_its_reasons() -> None:
    history = History.parse(3, THIRD)
    assert history.lineage == (1, 2, 3)
    assert history.switches[1].at == Lsn.parse("0/5000000")
    assert history.switches[1].reason == "before 2026-11-22 10:15:00+08"


@pytest.mark.parametrize("content", ["1 nonsense", "3\t0/1\tx", "2\t0/5\tx\n1\t0/6\tx", "1"])
def test_a_damaged_history_is_refused(content: str) -> None:
    with pytest.raises(ValueError, match="timeline 3"):
        History.parse(3, content)


def test_a_position_belongs_to_the_timeline_that_wrote_it() -> None:
    history = History.parse(3, THIRD)
    assert history.owner_of(Lsn.parse("0/3000147")) == 1
    assert history.owner_of(Lsn.parse("0/3000148")) == 2
    assert history.owner_of(Lsn.parse("0/4FFFFFF")) == 2
    assert history.owner_of(Lsn.parse("0/5000000")) == 3


def test_what_recovery_stepped_over_is_no_part_of_the_timeline_that_it_began() -> None:
    # It followed timeline 2, which began at 0/6000000, and stopped at 0/5000000: PostgreSQL 15 writes exactly this.
    history = History.parse(3, "1\t0/6000000\tno recovery target specified\n2\t0/5000000\tbefore LSN")
    assert [str(switch.at) for switch in history.switches] == ["0/5000000", "0/5000000"]
    assert history.owner_of(Lsn.parse("0/4FFFFFF")) == 1
    assert history.owner_of(Lsn.parse("0/5000000")) == 3
    assert not history.contains(1, Lsn.parse("0/5000001"))
    assert not history.contains(2, Lsn.parse("0/6000000"))


def test_a_backup_taken_before_the_switch_can_be_rolled_forward_and_one_after_it_cannot() -> None:
    history = History.parse(3, THIRD)
    assert history.contains(1, Lsn.parse("0/3000148"))
    assert not history.contains(1, Lsn.parse("0/3000149"))
    assert history.contains(2, Lsn.parse("0/4000000"))
    assert history.contains(3, Lsn.parse("0/5000000"))
    assert not history.contains(3, Lsn.parse("0/4FFFFFF"))
    assert not history.contains(4, Lsn.parse("0/3000000"))
