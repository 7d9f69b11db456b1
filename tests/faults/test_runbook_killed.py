"""drd is killed -9 after each journaled step of a runbook: the next one goes on, and nothing is done twice."""

import json
import re
from pathlib import Path

import pytest

from tests.system.machine import Machine
from tests.system.programs import wait_for

pytestmark = pytest.mark.faults

PATIENCE = 120.0
NAME = "web-loss"
DEEDS = ("one", "two", "three")


def a_step(deed: str, log: Path) -> dict[str, object]:
    """Takes effect at once and ends a moment later; its effect tells that it is done."""
    do = f"echo {deed} >> {log}; sleep 0.5"
    return {
        "step": f"Write {deed}",
        "command": {"argv": ["sh", "-c", do]},
        "done_when": {"command": {"argv": ["grep", "-q", deed, str(log)]}},
    }


@pytest.mark.parametrize("steps", range(1, 2 * len(DEEDS) + 1))
def test_a_run_that_is_killed_after_any_step_of_its_journal_goes_on(
    machine: Machine, tmp_path: Path, steps: int
) -> None:
    log = tmp_path / "log"
    machine.settings["people"] = {"anna": {"name": "Anna"}}
    (machine.data / "web").mkdir()
    (machine.data / "web" / "index.html").write_text("hello")
    machine.protect("web")
    runbook = {
        "runbook": NAME,
        "policy": "web",
        "disaster": "process",
        "activate_when": "it is gone",
        "deactivate_when": "it is back",
        "stages": [
            {"stage": "recover", "owner": "anna", "deadline": "30m", "steps": [a_step(deed, log) for deed in DEEDS]}
        ],
    }
    (machine.folder / "runbooks" / f"{NAME}.yaml").write_text(json.dumps(runbook))
    machine.start()
    machine.command("runbook", "start", NAME, "--reason", "gone", "--confirm", NAME)
    wait_for(
        lambda: len(re.findall(r"step (started|finished)", machine.daemon_log())) >= steps,
        "the step is there",
        PATIENCE,
    )
    assert machine.daemon is not None
    machine.daemon.kill()
    machine.start()
    wait_for(lambda: _is_over(machine), "the run is over", PATIENCE)
    told = machine.drd("incident", "show", NAME, "--json").done().json
    assert (told["outcome"], [step["state"] for step in told["steps"]]) == ("succeeded", ["done"] * 3), told
    assert log.read_text().split() == list(DEEDS)
    machine.drd("journal", "verify").done()


def _is_over(machine: Machine) -> bool:
    answered = machine.drd("incident", "show", NAME, "--json").done()
    return answered.json["outcome"] is not None
