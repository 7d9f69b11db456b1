"""Planning, starting, answering and ending runs of runbooks by typing."""

from datetime import UTC, datetime

import pytest

from drd.core.policy import Outcome
from drd.core.runbook_step import Choice
from drd.ports.incidents import RunbookOrder
from drd.ports.steps import Step
from tests.cli.typing_commands import drd
from tests.fakes.application import FakeApplication
from tests.fakes.control import NOW, RUN, FakeControl


def test_a_plan_shows_each_command_and_what_keeps_it_from_starting() -> None:
    application = FakeApplication()
    planned = drd(application, "runbook", "plan", "uploads-site-loss", "--place", "/srv", "--set", "primary=a")
    assert application.fake_control.asked == [("runbook plan", "uploads-site-loss", {"primary": "a", "place": "/srv"})]
    assert application.alone == [False]
    assert planned.out.splitlines() == [
        "uploads-site-loss: site disaster of uploads; nothing was done",
        "digest    5e5e5e5e5e5e5e5e",
        "it takes  not known: it was never run whole, promised within 1h",
        "would not start: this release does not carry out postgres_promote",
        "",
        "recover  owner anna, over 30m after the outage began",
        "  1. Look  (took 30.0s last)",
        "     here: true",
        "  2. Promote",
        "     not checked: not in this release",
    ]
    as_json = drd(application, "runbook", "plan", "uploads-site-loss", "--json")
    assert as_json.document["lines"][0]["commands"] == ["here: true"]


def test_a_run_is_started_by_name_and_its_end_is_the_exit_code() -> None:
    waiting = Step(kind="finished", run=RUN, message="Give up: it waits", hint="drd runbook approve", exit_code=4)
    application = FakeApplication(FakeControl(steps=(Step(kind="started", run=RUN, text="runbook"), waiting)))
    words = ("runbook", "start", "uploads-site-loss", "--reason", "it burns", "--began", "2026-03-02 15:30")
    refused = drd(application, *words)
    assert (refused.exit_code, application.fake_control.asked) == (2, [])
    assert "--confirm uploads-site-loss" in refused.err
    started = drd(application, *words, "--point", "latest", "--confirm", "uploads-site-loss")
    assert started.exit_code == 4
    assert "Give up: it waits" in started.err
    [(_, order)] = application.fake_control.asked
    assert isinstance(order, RunbookOrder)
    assert (order.by, order.words, order.is_drill) == ("eva", "it burns", False)
    assert order.began == datetime(2026, 3, 2, 7, 30, 59, 999999, tzinfo=UTC)
    assert order.variables == {"point": "latest"}


def test_a_drill_needs_no_confirmation() -> None:
    over = Step(kind="finished", run=RUN, outcome=Outcome.SUCCEEDED)
    application = FakeApplication(FakeControl(steps=(over,)))
    assert drd(application, "runbook", "start", "x", "--reason", "monthly", "--drill").exit_code == 0
    [(_, order)] = application.fake_control.asked
    assert isinstance(order, RunbookOrder)
    assert order.is_drill


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("approve",), ("runbook answer", RUN, None, Choice.APPROVE, "eva", "go")),
        (("approve", "--refuse"), ("runbook answer", RUN, None, Choice.REFUSE, "eva", "go")),
        (("resume", "--step", "Look"), ("runbook answer", RUN, "Look", Choice.AGAIN, "eva", "go")),
        (("resume", "--done"), ("runbook answer", RUN, None, Choice.DONE, "eva", "go")),
        (("abort",), ("runbook abort", RUN, "eva", "go", False)),
        (("abort", "--undo"), ("runbook abort", RUN, "eva", "go", True)),
    ],
)
def test_what_a_person_says_arrives_with_their_name_and_words(
    words: tuple[str, ...], asked: tuple[object, ...]
) -> None:
    for more in ((), ("--json",)):
        application = FakeApplication()
        answered = drd(application, "runbook", words[0], RUN, *words[1:], "--reason", "go", *more)
        assert (answered.exit_code, application.fake_control.asked) == (0, [asked])
        assert RUN in answered.err or answered.document["incident"] == RUN


def test_a_variable_without_a_value_is_a_usage_error() -> None:
    assert drd(FakeApplication(), "runbook", "plan", "x", "--set", "primary").exit_code == 2


def test_an_incident_is_shown_with_its_stages_times_and_timeline() -> None:
    shown = drd(FakeApplication(), "incident", "show", RUN)
    assert shown.out.splitlines() == [
        "uploads-site-loss: site disaster of uploads, waiting",
        f"incident  {RUN}",
        "started   2026-03-02 16:26:17 by anna: the site burns",
        "digest    5e5e5e5e5e5e5e5e",
        "waits for a person: Give the old storage up: it waits",
        "",
        "detect  owner anna, over",
        "  ✓ Look  done",
        "",
        "recover  owner anna, LATE",
        "  … Give the old storage up  running",
        "",
        "switch  owner bob, until 2026-03-02 16:39:17",
        "  ? Restore  asking: it broke",
        "      by hand: drd restore uploads",
        "",
        "times",
        "  t_bad       2026-03-02 16:25:17",
        "  t_declared  2026-03-02 16:26:02",
        "  t_start     2026-03-02 16:26:17",
        "  t_up        2026-03-02 16:29:17",
        "  RTA         4m, by the run itself: no look at `service:` fell into it",
        "    detect             45.0s",
        "    decide             15.0s",
        "    act               1m 30s",
        "    wait for people       1m",
        "    verify             30.0s",
        "  RTO         3m, MISSED by 1m",
        "",
        "who did what",
        "  anna  started the run",
        "  drd   did a step",
        "",
        "timeline",
        "  2026-03-02 16:26:17    +60.0s  run started by anna",
    ]
    assert f"drd runbook approve {RUN} --reason TEXT" in shown.err
    assert drd(FakeApplication(), "incident", "show", RUN, "--json").document["state"] == "waiting"


def test_incidents_are_listed_and_their_timelines_printed_alone() -> None:
    application = FakeApplication()
    listed = drd(application, "incident", "list", "--policy", "uploads")
    assert application.fake_control.asked == [("incidents", "uploads")]
    assert listed.out.splitlines()[-1].split() == [RUN, "uploads-site-loss", "uploads", *listed.out.split()[-4:]]
    assert drd(application, "incident", "list", "--json").document[0]["run"] == RUN
    told = drd(application, "incident", "timeline", RUN)
    assert told.out == "  2026-03-02 16:26:17    +60.0s  run started by anna\n"
    assert drd(application, "incident", "timeline", RUN, "--json").document[0]["text"] == "run started by anna"
    assert NOW.tzinfo is UTC
