"""A fence counts when it is confirmed, and says by what."""

import asyncio
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drd.actions.fence import Fence, Rung
from drd.core.errors import PermanentError
from drd.core.runbook_step import Answer
from drd.core.secrets import SecretReference
from drd.ports.action import Situation
from drd.ports.machines import Machine, Shell
from drd.ports.runner import Command as Program
from drd.ports.runner import Ended, Ending, OnLine

SHELL = Shell("drd", SecretReference(file=Path("/key")), Path("/known_hosts"))
NODE = Machine("orders-1", "10.0.1.11", SHELL, ("false", "orders-1"), "postgresql@15-main")


@dataclass
class Node:
    """A runner to whose machine ssh leads; `false` is a switch that does not work, `true` one that does."""

    is_reached: bool = True
    keeps_running: bool = False
    is_masked: bool = False
    hangs: bool = False
    unit_file: str = ""
    """Where the unit's own file lies; one of an administrator's cannot be masked."""
    runs_outside: bool = False
    """Whether a server runs in the data directory that is none of the unit's."""
    disk_is_full: bool = False
    """Whether nothing can be written into the data directory."""
    asked: list[str] = field(default_factory=list)
    longest: timedelta = timedelta(0)
    """How long a program might have taken."""

    async def run(self, command: Program, on_line: OnLine | None = None) -> Ended:
        words = command.argv[-1] if "--" in command.argv else " ".join(command.argv)
        self.asked.append(words)
        self.longest = max(self.longest, command.deadline or timedelta.max)
        if "--" not in command.argv:
            return Ended(int(command.argv[0] == "false"), Ending.EXITED, 0.0)
        if self.hangs:
            await asyncio.Event().wait()
        if words.endswith("sh -s") and self.disk_is_full and b"standby.signal" in (command.standard_input or b""):
            return Ended(1, Ending.EXITED, 0.0, "No space left on device")
        if words.endswith("sh -s") and on_line is not None:
            on_line("stdout", f"running={'yes' if self.runs_outside else 'no'}".encode())
            return Ended(0, Ending.EXITED, 0.0)
        if not self.is_reached:
            return Ended(255, Ending.EXITED, 0.0, "no route to host")
        if "mask --now" in words:
            if self.unit_file.startswith("/etc/"):
                return Ended(1, Ending.EXITED, 0.0, "File already exists")
            self.is_masked = True
        elif on_line is not None:
            is_gone = self.is_masked and not self.keeps_running
            for line in (
                f"ActiveState={'inactive' if is_gone else 'active'}",
                f"LoadState={'masked' if self.is_masked else 'loaded'}",
                f"MainPID={0 if is_gone else 4711}",
                f"FragmentPath={self.unit_file}",
            ):
                on_line("stdout", line.encode())
        return Ended(0, Ending.EXITED, 0.0)

    async def pipe(self, *_: Any) -> Any:
        raise AssertionError


def beside(at: Situation, node: Node, machine: Machine = NODE) -> Situation:
    return replace(
        at,
        world=replace(at.world, runner=node),
        machines={"orders-1": machine},
        variables={"primary": "orders-1"},
    )


LADDER = Fence(node="primary", by=(Rung.SSH, Rung.POWER, Rung.REVOKE))


async def test_a_unit_is_stopped_and_masked_and_seen_to_be_gone(at: Situation) -> None:
    node = Node()
    here = beside(at, node)
    assert await LADDER.is_done(here) is Answer.NOT_DONE
    assert await LADDER.apply(here) == {"fenced": "orders-1", "fenced_by": "ssh"}
    assert "sudo -n systemctl mask --now postgresql@15-main" in node.asked
    assert await LADDER.is_done(here) is Answer.DONE
    assert await LADDER.found(here) == {"fenced": "orders-1", "fenced_by": "ssh"}


async def test_what_is_not_confirmed_is_no_fence_and_the_next_way_is_gone(at: Situation) -> None:
    for node in (Node(keeps_running=True), Node(is_reached=False)):
        works = replace(NODE, power=("true", "orders-1"))
        assert await LADDER.apply(beside(at, node, works)) == {"fenced": "orders-1", "fenced_by": "power"}
        with pytest.raises(
            PermanentError, match=r"is not fenced: ssh: .*power: .*revoke: the nodes of the policy are not watched"
        ):
            await LADDER.apply(beside(at, node))


async def test_a_shell_that_hangs_does_not_keep_the_power_from_being_cut(at: Situation) -> None:
    here = replace(beside(at, Node(hangs=True), replace(NODE, power=("true",))), timeout=timedelta(seconds=0.3))
    assert await LADDER.apply(here) == {"fenced": "orders-1", "fenced_by": "power"}


@pytest.mark.parametrize("by", [Rung.SSH, Rung.POWER])
async def test_the_last_way_has_minutes_where_the_step_does_not_say_for_how_long(at: Situation, by: Rung) -> None:
    for timeout, longest in ((None, timedelta(minutes=2)), (timedelta(hours=1), timedelta(hours=1))):
        node = Node()
        here = replace(beside(at, node, replace(NODE, power=("true",))), timeout=timeout)
        assert await Fence(node="primary", by=(by,)).apply(here) == {"fenced": "orders-1", "fenced_by": by.value}
        assert node.longest == longest


async def test_a_server_that_its_unit_knows_nothing_of_is_not_fenced_with_the_unit(at: Situation) -> None:
    placed = replace(NODE, data_directory=Path("/data"))
    here = beside(at, Node(runs_outside=True), placed)
    with pytest.raises(PermanentError, match="is stopped, and a server runs in /data all the same"):
        await LADDER.apply(here)
    assert await LADDER.is_done(here) is Answer.NOT_DONE
    here = beside(at, Node(), placed)
    assert await LADDER.apply(here) == {"fenced": "orders-1", "fenced_by": "ssh"}
    assert await LADDER.is_done(here) is Answer.DONE


@pytest.mark.parametrize("runs_outside", [False, True])
async def test_where_standby_signal_cannot_be_left_a_server_that_runs_all_the_same_is_still_seen(
    at: Situation, runs_outside: bool
) -> None:
    placed = replace(NODE, data_directory=Path("/data"))
    here = beside(at, Node(disk_is_full=True, runs_outside=runs_outside), placed)
    fence = Fence(node="orders-1", by=(Rung.SSH,))
    if runs_outside:
        with pytest.raises(PermanentError, match="a server runs in /data all the same"):
            await fence.apply(here)
        return
    facts = await fence.apply(here)
    assert facts["fenced_by"] == "ssh"
    assert "standby.signal could not be left on orders-1" in facts["note"]


async def test_what_was_fenced_by_another_way_is_stopped_for_good_and_told_by_what(at: Situation) -> None:
    node = Node()
    cut_off = {"primary": "orders-1", "fenced": "orders-1", "fenced_by": "revoke", "revoked": "orders-2"}
    here = replace(beside(at, node), variables={**cut_off, "old_primary": "orders-1", "new_primary": "orders-2"})
    for_good = Fence(node="old_primary", by=(Rung.SSH, Rung.POWER))
    assert await for_good.is_done(here) is Answer.NOT_DONE
    assert await for_good.apply(here) == {"fenced": "orders-1", "fenced_by": "ssh"}
    # As it is found where drd ended before that was on record.
    assert await for_good.is_done(here) is Answer.DONE
    assert await for_good.found(here) == {"fenced": "orders-1", "fenced_by": "ssh"}


async def test_a_unit_that_cannot_be_masked_is_told_in_the_plan_and_with_what_to_do(at: Situation) -> None:
    here = beside(at, Node(unit_file="/etc/systemd/system/postgresql@15-main.service"))
    by_ssh = Fence(node="primary", by=(Rung.SSH,))
    why = r"cannot be masked, since /etc/systemd/system/postgresql@15-main\.service is its own file"
    [unchecked] = (await by_ssh.preview(here)).unchecked
    assert re.search(why, unchecked)
    for attempt in (by_ssh.apply, by_ssh.rehearse):
        with pytest.raises(PermanentError, match=why):
            await attempt(here)
    assert (await by_ssh.preview(beside(at, Node(unit_file="/lib/systemd/system/a.service")))).unchecked == ()


async def test_a_fence_that_no_way_leads_to_is_told_before(at: Situation) -> None:
    bare = Machine("orders-1", "10.0.1.11")
    preview = await LADDER.preview(beside(at, Node(), bare))
    assert preview.commands == ("on its standbys: ALTER SYSTEM SET primary_slot_name = 'drd_cut_…'",)
    assert [each.partition(":")[0] for each in preview.unchecked] == ["ssh", "power", "revoke"]
    assert await LADDER.is_done(beside(at, Node(), bare)) is Answer.UNKNOWN
    with pytest.raises(PermanentError, match="could not be fenced"):
        await LADDER.rehearse(beside(at, Node(), bare))
    with pytest.raises(PermanentError, match="names no command that switches it off"):
        await Fence(node="orders-1", by=(Rung.POWER,)).apply(beside(at, Node(), bare))


async def test_a_drill_and_a_plan_stop_nothing(at: Situation) -> None:
    node = Node()
    assert await LADDER.rehearse(beside(at, node)) == {}
    preview = await LADDER.preview(beside(at, node))
    assert preview.commands == (
        "on orders-1: sudo -n systemctl mask --now postgresql@15-main",
        "here: false orders-1",
        "on its standbys: ALTER SYSTEM SET primary_slot_name = 'drd_cut_…'",
    )
    assert not node.is_masked
    assert LADDER.is_repeatable
    assert LADDER.is_undoable
    assert not Fence(node="primary", by=(Rung.SSH, Rung.POWER)).is_undoable
    with pytest.raises(PermanentError, match="orders-1 was fenced by power, which is not taken back"):
        await LADDER.undo(replace(beside(at, node), variables={"primary": "orders-1", "fenced_by": "power"}))
    with pytest.raises(PermanentError, match="the step does not say which proxy that is"):
        await Fence(node="primary", by=(Rung.PROXY,)).apply(beside(at, node))
