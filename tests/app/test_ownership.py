"""A state folder is used by the user that it belongs to, and by nobody else."""

import os
from pathlib import Path

import pytest

from drd.app.ownership import demand_own_state, demand_readable
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


def test_a_journal_that_is_not_there_is_no_reason_to_refuse(tmp_path: Path) -> None:
    demand_readable(tmp_path)
    demand_readable(tmp_path / "not-there-yet")
