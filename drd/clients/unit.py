"""A node's systemd unit, as its fence has to know it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from drd.clients.shell import run_program
from drd.core.errors import PermanentError
from drd.core.node_grants import STOPPED, show
from drd.ports.machines import Machine
from drd.ports.runner import Runner

ASK_TIMEOUT: Final = timedelta(seconds=10)
MASKS: Final = "/etc/systemd/system/"
UNITS: Final = "/usr/local/lib/systemd/system"


async def unit_state(runner: Runner, machine: Machine) -> Mapping[str, str]:
    """What systemd knows of the unit of a machine's database. Raises what `run_program` raises."""
    lines = await run_program(runner, show(str(machine.unit), STOPPED), machine, ASK_TIMEOUT)
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def demand_maskable(state: Mapping[str, str], machine: Machine) -> None:
    """Raises `PermanentError` for a unit whose own file lies where its mask would: a mask takes no file's place."""
    file = state.get("FragmentPath", "")
    if file.startswith(MASKS) and state.get("LoadState") != "masked":
        raise PermanentError(
            f"{machine.unit} on {machine.name} cannot be masked, since {file} is its own file",
            f"move it: mkdir -p {UNITS} && mv {file} {UNITS} && systemctl daemon-reload",
        )


def is_stopped_and_masked(state: Mapping[str, str]) -> bool:
    """Whether nothing of it runs, and nothing starts it."""
    is_gone = state.get("ActiveState") in ("inactive", "failed") and state.get("MainPID") == "0"
    return is_gone and state.get("LoadState") == "masked"
