"""What a killed process left goes at the next start."""

from pathlib import Path

import pytest

from drd.clients.carrier.scratch import private_folder, sweep
from drd.core.errors import TransientError


def test_what_was_left_goes_and_nothing_else(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    (private_folder(scratch) / "repository" / "keys").mkdir(parents=True)
    (scratch / "a-persons").mkdir()

    sweep(scratch)

    assert [each.name for each in scratch.iterdir()] == ["a-persons"]


def test_before_the_first_use_there_is_nothing_to_sweep(tmp_path: Path) -> None:
    sweep(tmp_path / "scratch")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "scratch").write_text("a file")
    with pytest.raises(TransientError, match="nothing can be put into"):
        private_folder(tmp_path / "scratch")
