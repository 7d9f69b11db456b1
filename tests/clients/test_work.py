"""What the kernel counts of a program."""

import os
import sys
from pathlib import Path

from drd.clients.process.work import NOTHING_YET, Work, work_of


def test_reading_is_work() -> None:
    before = work_of(os.getpid())
    with Path("/dev/zero").open("rb", buffering=0) as zeros:
        zeros.read(1 << 20)
    after = work_of(os.getpid())

    assert before is not None
    assert after is not None
    assert after.read_bytes - before.read_bytes >= 1 << 20
    assert after.is_more_than(before)


def test_computing_is_work() -> None:
    assert Work(10, 100.0).is_more_than(Work(0, 10.0))
    assert not Work(10, 12.0).is_more_than(Work(0, 10.0))


def test_a_process_that_is_gone_tells_nothing() -> None:
    assert work_of(sys.maxsize) is None
    assert not NOTHING_YET.is_more_than(NOTHING_YET)
