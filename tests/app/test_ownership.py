"""A state folder is used by the user that it belongs to, and by nobody else."""

import os
from pathlib import Path

import pytest

from drd.app.ownership import demand_own_state, owner_of
from drd.core.errors import UsageError


def of_somebody_else(folder: Path) -> tuple[Path, str]:
    """A folder of another user: only root can give one away, and everybody else has root's."""
    if os.geteuid() != 0:
        return Path("/"), "root"
    os.chown(folder, 65534, 65534)
    return folder, "nobody"


def test_a_state_folder_of_another_user_is_left_alone_even_by_root(tmp_path: Path) -> None:
    state, owner = of_somebody_else(tmp_path)
    with pytest.raises(UsageError, match=f"belongs to user {owner}") as caught:
        demand_own_state(state)
    assert caught.value.hint == f"type: sudo -u {owner} drd …"


def test_ones_own_state_folder_and_one_to_be_made_may_be_used(tmp_path: Path) -> None:
    demand_own_state(tmp_path)
    demand_own_state(tmp_path / "not-there-yet")


def test_the_owner_of_a_folder_that_cannot_be_seen_is_taken_for_drd(tmp_path: Path) -> None:
    assert owner_of(tmp_path / "missing") == "drd"
