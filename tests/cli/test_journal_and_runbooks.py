"""Reading the journal and the runbooks."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from drd.core.events import (
    Body,
    BugFound,
    DaemonStarted,
    Event,
    RunFinished,
    RunStarted,
    SnapshotCreated,
    StoreWentAway,
)
from drd.core.kinds import Spec
from drd.core.policy import Cause, Mode, Outcome
from drd.core.runbook import Runbook
from drd.ports.control import Anchors
from drd.ports.journal import Verdict
from tests.cli.typing_commands import drd
from tests.fakes.application import FakeApplication, FakeReader, a_configuration
from tests.fakes.control import NOW, OLDER_RUN, RUN

GOLDEN = Path(__file__).parent / "golden"


def a_journal() -> tuple[Event, ...]:
    snapshot = ("main", "local", "1f" * 32, NOW, Mode.FULL, Outcome.SUCCEEDED, 2**30, 12, 2**20, 3.25)
    bodies: list[tuple[str | None, Body]] = [
        (None, DaemonStarted("0.1.0", "0.18.0")),
        (OLDER_RUN, RunStarted("uploads", Mode.FULL, Cause.SCHEDULE, None)),
        (OLDER_RUN, RunFinished("uploads", Mode.FULL, Outcome.FAILED, "the source is empty", "mount it", 1.0, 0, 0)),
        (RUN, RunStarted("recordings", Mode.FULL, Cause.MANUAL, None)),
        (RUN, SnapshotCreated("recordings", *snapshot)),
        (RUN, RunFinished("recordings", Mode.FULL, Outcome.SUCCEEDED, "", "", 4.5, 2**30, 2**20)),
        (RUN, BugFound("copy", "ValueError", "Traceback …", False)),
        (None, StoreWentAway("offsite", "no route to host")),
    ]
    return tuple(
        Event("daemon", place, NOW + timedelta(seconds=place), "boot", place, run, 0, body, "ab" * 32)
        for place, (run, body) in enumerate(bodies, start=1)
    )


def an_application() -> FakeApplication:
    return FakeApplication(reader=FakeReader(a_journal(), Verdict(True, 8)))


def kinds_shown(*words: str) -> list[str]:
    out = drd(an_application(), "journal", "show", "--json", *words).out
    return [json.loads(line)["kind"] for line in out.splitlines()]


def test_events_are_lines_that_read_well_and_hold_no_traceback() -> None:
    assert drd(an_application(), "journal", "show").out == (GOLDEN / "journal.txt").read_text()


def test_events_are_chosen_by_kind_run_policy_and_count() -> None:
    assert kinds_shown("--kind", "run-finished") == ["run-finished", "run-finished"]
    assert kinds_shown("--newest", "2") == ["bug-found", "store-went-away"]
    assert kinds_shown("--policy", "uploads") == ["run-started", "run-finished"]
    assert kinds_shown("--policy", "recordings") == ["run-started", "snapshot-created", "run-finished", "bug-found"]
    assert kinds_shown("--policy", "recordings", "--newest", "1") == ["bug-found"]
    assert kinds_shown("--run", OLDER_RUN) == ["run-started", "run-finished"]
    assert kinds_shown("--run", OLDER_RUN[-8:]) == ["run-started", "run-finished"]
    assert kinds_shown("--policy", "nothing") == []
    assert len(kinds_shown("--all")) == 8


def test_a_misspelt_kind_is_a_usage_error_with_the_nearest() -> None:
    answered = drd(an_application(), "journal", "show", "--kind", "run-finishd")
    assert (answered.exit_code, answered.err) == (
        2,
        "error: there is no kind of event run-finishd\n  did you mean run-finished?\n",
    )


def test_a_chain_is_held_against_the_heads_in_the_stores() -> None:
    application = an_application()
    application.anchored = (
        Anchors(store="local", heads={3: "aa", 7: "bb"}),
        Anchors(store="mirror", heads={3: "aa"}),
        Anchors(store="attic"),
    )
    answered = drd(application, "journal", "verify", "--anchors")
    assert answered.exit_code == 0
    assert "store local holds 2 heads of it, up to event 7" in answered.out
    assert "store attic holds no head of it yet" in answered.out
    assert application.reader.held_against == [{3: "aa", 7: "bb"}]


def test_a_store_that_could_not_be_asked_is_named_and_an_objective_missed() -> None:
    application = an_application()
    application.anchored = (Anchors(store="offsite", problem="no route to host"),)
    answered = drd(application, "journal", "verify", "--anchors")
    assert answered.exit_code == 3
    assert "not asked: store offsite: no route to host" in answered.out


def test_stores_that_contradict_each_other_are_each_held_against_the_chain() -> None:
    application = an_application()
    application.anchored = (Anchors(store="local", heads={3: "aa"}), Anchors(store="offsite", heads={3: "ff"}))
    drd(application, "journal", "verify", "--anchors")
    assert application.reader.held_against == [{3: "aa"}, {3: "ff"}]


def test_a_sound_chain_is_said_to_be_sound() -> None:
    answered = drd(an_application(), "journal", "verify")
    assert (answered.exit_code, answered.out) == (0, "sound: 8 events, each fits the one before it\n")


def test_a_damaged_chain_names_the_first_event_that_does_not_fit() -> None:
    application = FakeApplication(reader=FakeReader(verdict=Verdict(False, 6, 7, "its digest is another")))
    answered = drd(application, "journal", "verify")
    assert answered.exit_code == 1
    assert answered.out == "damaged: event 7 does not fit: its digest is another (6 events before it do)\n"
    assert drd(application, "journal", "verify", "--json").document == {
        "sound": False,
        "events": 6,
        "sequence": 7,
        "problem": "its digest is another",
        "anchors": [],
    }


class Call(Spec):
    """An action."""

    kind = "call"
    who: str

    def summary(self) -> str:
        return f"call {self.who}"


def a_runbook() -> Runbook:
    steps: list[dict[str, Any]] = [
        {"step": "Tell people", "action": Call(who="eva"), "on_failure": "continue", "timeout": "15s"},
        {"step": "Stop it", "action": Call(who="adam"), "irreversible": True, "by_hand": "ssh a stop", "retry": 2},
    ]
    return Runbook.model_validate(
        {
            "runbook": "uploads-site-loss",
            "policy": "uploads",
            "disaster": "site",
            "activate_when": "the site is gone",
            "deactivate_when": "the site is back",
            "stages": [{"stage": "respond", "owner": "eva", "deadline": "10m", "steps": steps}],
            "digest": "c0ffee" * 8,
        }
    )


def test_a_runbook_is_shown_with_all_five_stages() -> None:
    application = FakeApplication(configuration=a_configuration(runbooks={"uploads-site-loss": a_runbook()}))
    listed = drd(application, "runbook", "list")
    assert "uploads-site-loss  uploads  site" in listed.out
    shown = drd(application, "runbook", "show", "uploads-site-loss")
    assert shown.out.splitlines()[4:] == [
        "",
        "detect  (no steps)",
        "",
        "respond  owner eva, over 10m after the outage began",
        "  1. Tell people",
        "     call: call eva",
        "     timeout 15s, if it fails: continue",
        "  2. Stop it",
        "     call: call adam",
        "     2 more tries, irreversible",
        "     by hand: ssh a stop",
        "",
        "recover  (no steps)",
        "",
        "switch  (no steps)",
        "",
        "reconstitute  (no steps)",
    ]
    document = drd(application, "runbook", "show", "uploads-site-loss", "--json").document
    assert document["stages"][0]["steps"][0]["action"] == {"call": {"who": "eva"}}


def test_a_runbook_that_is_not_there_is_a_usage_error() -> None:
    assert drd(FakeApplication(), "runbook", "show", "nothing").exit_code == 2
