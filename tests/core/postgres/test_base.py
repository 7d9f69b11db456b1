"""The description that lies beside a base backup."""

from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest

from drd.core.postgres.base import BaseFacts
from drd.core.postgres.lsn import Lsn
from drd.core.postgres.server import Tablespace

FACTS = BaseFacts(
    system_identifier="7710983359607521354",
    version=150018,
    timeline=3,
    start=Lsn.parse("16/B3000028"),
    end=Lsn.parse("16/B374D848"),
    ended_at=datetime(2026, 11, 22, 2, 15, 0, 123456, UTC),
    segment_bytes=2**24,
    has_checksums=True,
    is_of_standby=False,
    holds_wal=True,
    tablespaces=(Tablespace("schnell ü", 16385, PurePosixPath("/srv/fast=1")),),
)


def test_it_reads_as_it_was_written() -> None:
    assert BaseFacts.read(FACTS.written()) == FACTS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2}',
        FACTS.written().replace('"timeline": 3', '"timeline": null'),
        FACTS.written().replace("+00:00", ""),
        FACTS.written().replace("16/B374D848", "end"),
    ],
)
def test_one_that_is_damaged_or_of_a_later_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        BaseFacts.read(text)
