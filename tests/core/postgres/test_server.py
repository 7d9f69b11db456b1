"""What a server tells about itself."""

from datetime import UTC, datetime

import pytest

from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Positions, last_end
from tests.core.postgres.test_verdicts import SOUND

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
PAGE, SEGMENT = 8192, 2**24


@pytest.mark.parametrize(
    ("inserted", "end"),
    [
        (3 * SEGMENT + 40, 3 * SEGMENT),
        (3 * SEGMENT + 48, 3 * SEGMENT + 48),
        (3 * SEGMENT, 3 * SEGMENT),
        (5 * PAGE + 24, 5 * PAGE),
        (5 * PAGE + 40, 5 * PAGE + 40),
        (5 * PAGE, 5 * PAGE),
    ],
)
def test_a_page_header_that_no_record_follows_is_no_wal(inserted: int, end: int) -> None:
    assert last_end(Lsn(inserted), PAGE, SEGMENT) == Lsn(end)


def test_a_commit_that_waits_for_no_disk_lies_before_what_is_committed() -> None:
    positions = Positions(NOW, False, written=Lsn(100), flushed=Lsn(100), inserted=Lsn(180))
    assert positions.newest == Lsn(100)
    assert positions.committed == Lsn(180)
    assert Positions(NOW, False, written=Lsn(100), flushed=Lsn(100)).committed == Lsn(100)


def test_a_version_is_told_as_people_write_it() -> None:
    assert (SOUND.major, SOUND.version_text) == (15, "15.18")
