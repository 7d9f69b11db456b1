"""What a base backup's label says."""

import pytest

from drd.core.postgres.label import Label
from drd.core.postgres.lsn import Lsn

LABEL = b"""START WAL LOCATION: 16/B3000028 (file 0000000300000016000000B3)
CHECKPOINT LOCATION: 16/B3000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-22 20:00:00 UTC
LABEL: drd
START TIMELINE: 3
"""


def test_a_label_says_where_recovery_begins() -> None:
    assert Label.read(LABEL) == Label(Lsn.parse("16/B3000028"), 3)


def test_a_label_in_another_encoding_is_read() -> None:
    assert Label.read(LABEL.replace(b"LABEL: drd", b"LABEL: caf\xe9")).timeline == 3


@pytest.mark.parametrize("lacking", [b"START WAL LOCATION", b"START TIMELINE"])
def test_a_label_without_its_beginning_is_none(lacking: bytes) -> None:
    with pytest.raises(ValueError, match="does not say where recovery begins"):
        Label.read(LABEL.replace(lacking, b"SOMETHING ELSE"))
