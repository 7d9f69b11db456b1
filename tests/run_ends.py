"""How a run of a runbook ends, or what it waits for: looked for until a deadline, and held against what is expected."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tests.system.programs import wait_for
from tests.watched_pair import Watcher

PATIENCE = 180.0
TELL = "Tell people"
REJOIN = "Bring the old primary back as a standby"
FOLLOW = "Have the other standbys follow the new primary"
SWITCH = "Send clients to the new primary"
NOTHING: Mapping[str, str] = MappingProxyType({})
BY_HAND: Mapping[str, str] = MappingProxyType({REJOIN: "drd.yaml does not say where the data of orders-1 lies"})
"""What a failover leaves to people where drd knows nothing of a node but how to switch it off."""


def run_of(watcher: Watcher, runbook: str) -> str:
    """The newest run of a runbook; empty while there is none."""
    begun = [each["run"] for each in watcher.machine.events("incident-started") if each["runbook"] == runbook]
    return str(begun[-1]) if begun else ""


def assert_it_ends(watcher: Watcher, run: str, *, without: Mapping[str, str] = NOTHING) -> None:
    """Wait until a run is over, all done but these steps, each for this reason, and it says which they are.

    Else what it tells of itself stands in the failure. Nobody is told: the people of the lab have no address.
    """
    end = _end(watcher, run)
    steps = watcher.incident(run)["steps"]
    lacking = {each["step"]: each["message"] for each in steps if each["state"] != "done"}
    page = _page(watcher, run)
    assert lacking.keys() - {TELL} == without.keys(), page
    assert [lacking[step] for step, why in without.items() if why not in lacking[step]] == [], page
    said = f"not done: {'; '.join(lacking)}" if lacking else ""
    assert (end["outcome"], end["message"]) == ("incomplete" if lacking else "succeeded", said), page


def assert_it_fails(watcher: Watcher, run: str, why: str) -> None:
    """Wait until a run is over that could not do what it is for, and says why."""
    end = _end(watcher, run)
    page = _page(watcher, run)
    assert end["outcome"] == "failed", page
    assert why in end["message"], page


def assert_it_waits(watcher: Watcher, run: str, step: str, why: str) -> None:
    """Wait until a run asks people about a step, and says why; it is not over."""

    def asked() -> dict[str, str]:
        return {each["step"]: each["why"] for each in watcher.incident(run)["questions"]}

    questions = wait_for(asked, "the run asks", PATIENCE)
    page = _page(watcher, run)
    assert questions.keys() == {step}, page
    assert why in questions[step], page
    assert not [each for each in watcher.machine.events("incident-finished") if each["run"] == run], page


def is_switched_by(watcher: Watcher, run: str) -> bool:
    """Whether that run has sent clients to the new primary, and no other one."""
    steps = [each for each in watcher.machine.events("step-finished") if each["run"] == run]
    return any((each["step"], each["outcome"]) == (SWITCH, "succeeded") for each in steps)


def _end(watcher: Watcher, run: str) -> dict[str, Any]:
    def ends() -> list[dict[str, Any]]:
        return [each for each in watcher.machine.events("incident-finished") if each["run"] == run]

    [end] = wait_for(ends, "the run is over", PATIENCE)
    return end


def _page(watcher: Watcher, run: str) -> str:
    return watcher.machine.drd("incident", "show", run).stdout + watcher.machine.daemon_log()[-4000:]
