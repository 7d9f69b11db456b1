"""The description that lies beside a base backup."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

import pytest

from drd.core.postgres.base import BaseFacts, BaseRecord
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
OPTIONAL = ("pg-tablespace=", "pg-checksums=")


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


def test_it_is_told_by_the_tags_of_its_snapshot_among_any_others() -> None:
    tags = FACTS.record.tags()
    assert "pg-ended=2026-11-22T02:15:00.123456Z" in tags
    assert not any("," in tag or "schnell" in tag or "/srv" in tag for tag in tags)
    assert BaseRecord.of_tags(sorted((*tags, "drd", "policy=orders", "laptop"))) == FACTS.record


@pytest.mark.parametrize("tag", [tag for tag in FACTS.record.tags() if not tag.startswith(OPTIONAL)])
def test_tags_that_lack_one_or_hold_nonsense_tell_of_no_base(tag: str) -> None:
    others = [each for each in FACTS.record.tags() if each != tag]
    assert BaseRecord.of_tags(others) is None
    if not tag.startswith("pg-system"):
        assert BaseRecord.of_tags((*others, f"{tag.partition('=')[0]}=2026-11-22")) is None


def test_it_says_in_words_what_it_is() -> None:
    words = "base backup of PostgreSQL 15, as of its end at 16/B374D848 on timeline 3"
    assert str(FACTS.record) == words
    assert str(replace(FACTS.record, holds_wal=False)) == words.replace("15,", "15, which needs WAL,")
