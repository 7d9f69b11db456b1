"""Each command asks the right thing, shows the answer to people and programs, and ends with the designed exit code."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from drd.cli.program import main
from drd.config.problems import ConfigurationErrors, Problem
from drd.core.errors import Busy, DrdError, RefusedByGuard, StoreAway, UsageError
from drd.core.findings import Finding, Severity
from drd.core.policy import Outcome
from drd.ports.control import CoveredRange, PointStatus
from drd.ports.restoring import RestoreOrder
from drd.ports.steps import Step
from tests.cli.typing_commands import drd
from tests.fakes.application import FakeApplication, a_configuration, a_policy
from tests.fakes.control import NOW, FakeControl, good_steps

EVERY_COMMAND = [
    ["status"],
    ["explain", "uploads"],
    ["backup", "uploads"],
    ["pause", "uploads", "--for", "2h", "--reason", "kernel"],
    ["resume", "uploads"],
    ["points", "uploads"],
    ["restore", "uploads", "--to", "/srv/back"],
    ["forget", "uploads", "--plan"],
    ["forget", "uploads", "--confirm", "uploads"],
    ["reload"],
    ["check", "local"],
    ["release", "local", "--confirm", "local"],
    ["accept", "local", "--confirm", "local"],
]
WITHOUT_A_DAEMON = [
    ["validate"],
    ["validate", "--reach"],
    ["grants", "orders"],
    ["schema", "policy"],
    ["journal", "verify"],
    ["runbook", "list"],
]


@pytest.mark.parametrize("words", EVERY_COMMAND + WITHOUT_A_DAEMON, ids=" ".join)
def test_every_command_answers_people_in_words_and_programs_in_json(words: list[str]) -> None:
    for_people = drd(FakeApplication(), *words)
    assert for_people.exit_code == 0, for_people.err
    assert for_people.out
    assert "\x1b" not in for_people.out + for_people.err
    assert max(len(line) for line in for_people.out.splitlines()) <= 100
    assert not any(line.endswith(" ") for line in for_people.out.splitlines())

    before = drd(FakeApplication(), "--json", *words)
    after = drd(FakeApplication(), *words, "--json")
    assert before.exit_code == after.exit_code == 0
    assert before.document == after.document
    assert "next:" not in after.err


@pytest.mark.parametrize("words", EVERY_COMMAND, ids=" ".join)
@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (DrdError("it went wrong", "do this"), 1),
        (UsageError("it went wrong", "do this"), 2),
        (RefusedByGuard("it went wrong", "do this"), 5),
        (Busy("it went wrong", "do this"), 75),
        (StoreAway("it went wrong", "do this"), 1),
    ],
)
def test_every_error_is_a_sentence_a_hint_and_an_exit_code(words: list[str], error: DrdError, exit_code: int) -> None:
    answered = drd(FakeApplication(FakeControl(error=error)), *words)
    assert answered.exit_code == exit_code
    assert answered.err.endswith("error: it went wrong\n  do this\n")
    assert answered.out == ""

    for_programs = drd(FakeApplication(FakeControl(error=error)), *words, "--json")
    assert for_programs.exit_code == exit_code
    assert for_programs.document["error"] == {
        "kind": type(error).__name__,
        "message": "it went wrong",
        "hint": "do this",
        "exit_code": exit_code,
    }


@pytest.mark.parametrize("words", EVERY_COMMAND + WITHOUT_A_DAEMON, ids=" ".join)
def test_all_mistakes_of_the_configuration_are_told_each_on_its_line_with_their_count(words: list[str]) -> None:
    if words[0] == "schema":
        return
    wrong = ConfigurationErrors([Problem("a.yaml", 3, 5, "write 15m"), Problem("b.yaml", 1, 1, "there is no store x")])
    answered = drd(FakeApplication(wrong=wrong), *words)
    assert answered.exit_code == 2
    assert answered.err.splitlines() == [
        "a.yaml:3:5: write 15m",
        "b.yaml:1:1: there is no store x",
        "error: the configuration has 2 mistakes",
    ]
    problems = drd(FakeApplication(wrong=wrong), *words, "--json").document["error"]["problems"]
    assert problems[0] == {"file": "a.yaml", "line": 3, "column": 5, "message": "write 15m"}


def test_a_bug_is_told_without_a_traceback_and_shown_with_debug() -> None:
    bug = ZeroDivisionError("division")
    plain = drd(FakeApplication(FakeControl(error=bug)), "status")
    assert plain.exit_code == 1
    assert "drd made a mistake of its own (ZeroDivisionError: division)" in plain.err
    assert "Traceback" not in plain.err
    assert "--debug" in plain.err
    assert "Traceback" in drd(FakeApplication(FakeControl(error=bug)), "status", "--debug").err


def test_an_error_inside_a_group_of_tasks_is_told_as_itself() -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("inner", [Busy("uploads runs already", "drd status")])])
    answered = drd(FakeApplication(FakeControl(error=group)), "status")
    assert (answered.exit_code, answered.err) == (75, "error: uploads runs already\n  drd status\n")


def test_wrong_usage_ends_with_2_and_says_what_to_type() -> None:
    for words in (["backup"], ["stauts"], ["status", "--nonsense"], ["schema", "policies"], ["restore", "uploads"]):
        answered = drd(FakeApplication(), *words)
        assert answered.exit_code == 2
        assert answered.err.startswith("error: ")
        assert "\n  type: drd" in answered.err
        assert drd(FakeApplication(), "--json", *words).document["error"]["exit_code"] == 2
    assert "did you mean status?" in drd(FakeApplication(), "stauts").err


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("backup", "POLICY is missing\n  type: drd backup POLICY; the policies are listed by: drd status"),
        ("restore", "POLICY is missing\n  type: drd restore POLICY --to PLACE; the policies are listed by: drd status"),
        ("restore uploads", "--to PLACE is missing\n  type: drd restore --help"),
        ("check", "STORE is missing\n  type: drd check STORE; the stores are listed by: drd status"),
        (
            "runbook show",
            "NAME is missing\n  type: drd runbook show NAME; the runbooks are listed by: drd runbook list",
        ),
        ("stauts", "there is no command stauts: did you mean status?\n  type: drd --help"),
        ("journal shwo", "there is no command journal shwo: did you mean show?\n  type: drd journal --help"),
        ("attic", "there is no command attic\n  type: drd --help"),
        ("status --jsn", "there is no option --jsn: did you mean --json?\n  type: drd status --help"),
        ("schema polici", "WHAT is one of settings, policy, runbook\n  type: drd schema --help"),
        ("points a b", "got unexpected extra argument (b)\n  type: drd points --help"),
        ("journal show --newest 0", "--newest: 0 is not in the range x>=1\n  type: drd journal show --help"),
        ("pause uploads --for 2 --reason x", "--for: a duration needs a unit: write 2m, 2h or 2d\n  as in: --for 2h"),
    ],
)
def test_what_was_typed_wrong_is_told_in_plain_words(typed: str, told: str) -> None:
    answered = drd(FakeApplication(), *typed.split())
    assert (answered.exit_code, answered.out, answered.err) == (2, "", f"error: {told}\n")


def commands_of(group: click.Group, *before: str) -> Iterator[tuple[list[str], click.Command]]:
    for name, command in group.commands.items():
        yield [*before, name], command
        if isinstance(command, click.Group):
            yield from commands_of(command, *before, name)


def test_every_command_and_every_option_has_a_line_of_help_that_fits() -> None:
    assert "..." not in drd(FakeApplication(), "--help").out.replace("[ARGS]...", "")
    for words, command in commands_of(main):
        shown = drd(FakeApplication(), *words, "--help")
        assert shown.exit_code == 0
        assert "..." not in shown.out.replace("[ARGS]...", ""), words
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or parameter.help, f"{command.name} {parameter.opts}"


def test_the_configuration_may_be_named_before_and_after_the_command() -> None:
    application = FakeApplication()
    drd(application, "--config", "/a.yaml", "status")
    drd(application, "status", "--config", "/b.yaml")
    drd(application, "status")
    assert application.read == [Path("/a.yaml"), Path("/b.yaml"), None]


def test_only_reload_needs_a_daemon() -> None:
    for words in EVERY_COMMAND:
        application = FakeApplication()
        drd(application, *words)
        assert application.alone == [words[0] != "reload"] * len(application.alone)


def test_a_backup_is_ordered_in_the_persons_name_and_its_result_is_shown() -> None:
    application = FakeApplication()
    answered = drd(application, "backup", "uploads", "--full")
    assert application.fake_control.asked == [("backup", "uploads", True, "eva")]
    assert answered.out == "succeeded: 2 GB in 40 files\n"
    assert answered.err.splitlines()[0].startswith("full run of uploads, run 01JNB3")
    assert "local holds the point" in answered.err
    assert answered.err.splitlines()[-1] == "next: drd points uploads"


def test_a_backup_for_programs_is_one_document() -> None:
    document = drd(FakeApplication(), "backup", "uploads", "--json").document
    assert document["outcome"] == "succeeded"
    assert document["facts"] == ["local holds the point"]
    assert document["result"] == {"added_bytes": 2_000_000_000}


@pytest.mark.parametrize(("outcome", "exit_code"), [(Outcome.FAILED, 1), (Outcome.SUCCEEDED, 3), (Outcome.SKIPPED, 75)])
def test_a_run_ends_the_command_with_its_own_exit_code(outcome: Outcome, exit_code: int) -> None:
    last = Step(kind="finished", outcome=outcome, message="the reason", hint="do this", exit_code=exit_code)
    application = FakeApplication(FakeControl(steps=(*good_steps("uploads")[:-1], last)))
    answered = drd(application, "backup", "uploads")
    assert answered.exit_code == exit_code
    assert answered.out == f"{outcome.value}\n"
    assert ("but the reason" if exit_code == 3 else "error: the reason") in answered.err
    assert "  do this" in answered.err


def test_work_that_ends_without_a_result_is_a_failure() -> None:
    assert drd(FakeApplication(FakeControl(steps=good_steps("uploads")[:-1])), "backup", "uploads").exit_code == 1


def test_a_restore_asks_for_what_was_typed_with_an_absolute_place() -> None:
    application = FakeApplication()
    words = [
        "--at",
        "2026-03-02 16:27:17",
        "--to",
        "back",
        "--path",
        "/srv/a",
        "--include",
        "*.jpg",
        "--from",
        "offsite",
    ]
    assert drd(application, "restore", "uploads", *words).exit_code == 0
    [(_, order)] = application.fake_control.asked
    assert order == RestoreOrder(
        policy="uploads",
        target=str(Path.cwd() / "back"),
        by="eva",
        at=datetime(2026, 3, 2, 8, 27, 17, 999_999, tzinfo=UTC),
        moment="2026-03-02 08:27:17 UTC",
        include=("/srv/a", "*.jpg"),
        store="offsite",
    )


def test_what_is_for_postgresql_is_asked_for_as_it_was_typed() -> None:
    application = FakeApplication()
    words = ["--at", "16/B374D848", "--to", "back", "--tablespace", "16385=fast", "--port", "5440", "--as-original"]
    assert drd(application, "restore", "uploads", *words, "--without-wal").exit_code == 0
    [(_, order)] = application.fake_control.asked
    assert (order.at, order.moment, order.is_without_wal) == (None, "16/B374D848", True)
    assert order.options == {
        "tablespace.16385": str(Path.cwd() / "fast"),
        "port": "5440",
        "as-original": "yes",
    }
    asked = drd(FakeApplication(), "restore", "uploads", "--to", "back", "--tablespace", "16385")
    assert asked.exit_code == 2
    assert "names no folder" in asked.err


def test_the_moment_that_points_shows_is_one_that_restore_finds() -> None:
    shown = re.search(r'--at "([^"]+)"', drd(FakeApplication(), "points", "uploads").err)
    assert shown is not None
    application = FakeApplication()
    drd(application, "restore", "uploads", "--at", shown[1], "--to", "beside")
    [(_, order)] = application.fake_control.asked
    point = NOW - timedelta(minutes=3)
    assert timedelta() <= order.at - point < timedelta(seconds=1)
    assert order.target == "beside"


def test_points_tells_which_moments_are_covered_and_why_others_are_not() -> None:
    class WithWal(FakeControl):
        async def points(self, policy: str, why: bool = False) -> tuple[PointStatus, ...]:
            [newest, *_] = await super().points(policy, why)
            return (newest.model_copy(update={"notes": ("base backup of PostgreSQL 15",)}),)

    day = datetime(2026, 3, 1, tzinfo=UTC)
    first, last = (
        CoveredRange(store="local", system_identifier="7", timeline=1, first=day + shift, last=day + shift * 2, gap=gap)
        for shift, gap in ((timedelta(hours=1), ""), (timedelta(hours=4), "WAL 0A is missing"))
    )
    application = FakeApplication(WithWal(ranges=(first, last)))
    answered = drd(application, "points", "uploads")
    lines = [line.split() for line in answered.out.splitlines()]
    assert ["local", "2026-03-01", "09:00:00", "2026-03-01", "10:00:00", "1"] in lines
    assert ["gap:", "WAL", "0A", "is", "missing"] in lines
    assert '--at "2026-03-01 16:00:00"' in answered.err
    document = drd(application, "points", "uploads", "--json").document
    assert [each["gap"] for each in document["covered"]] == ["", "WAL 0A is missing"]


def test_a_name_a_query_and_a_database_are_asked_for_as_they_were_typed() -> None:
    application = FakeApplication()
    words = ["--at", "name:2026-03-01 release", "--to", "back", "--database", "shop", "--format", "custom"]
    words += ["--into", "file:/etc/drd/other", "--verify", "shop: SELECT true", "--verify", "SELECT 1"]
    assert drd(application, "restore", "uploads", *words, "--programs", "bin").exit_code == 0
    [(_, order)] = application.fake_control.asked
    assert (order.at, order.moment) == (None, "name:2026-03-01 release")
    assert order.options == {
        "database": "shop",
        "format": "custom",
        "into": "file:/etc/drd/other",
        "programs": str(Path.cwd() / "bin"),
        "verify.000": "shop: SELECT true",
        "verify.001": "SELECT 1",
    }


def test_forgetting_shows_the_plan_and_asks_for_the_policys_name() -> None:
    application = FakeApplication()
    refused = drd(application, "forget", "uploads", typed="")
    assert refused.exit_code == 2
    assert "--confirm uploads" in refused.err
    wrong = drd(application, "forget", "uploads", "--confirm", "recordings")
    assert wrong.exit_code == 2
    assert "nothing was done" in wrong.err
    assert all(asked[0] == "forget plan" for asked in application.fake_control.asked)

    done = drd(application, "forget", "uploads", "--confirm", "uploads")
    assert done.exit_code == 0
    assert "held back by a guard" in done.out
    assert application.fake_control.asked[-1] == ("forget", "uploads", "eva")


def test_releasing_a_policy_asks_for_its_name_and_tells_what_was_suspected() -> None:
    application = FakeApplication()
    assert drd(application, "release", "--policy", "uploads", "--confirm", "offsite").exit_code == 2
    assert application.fake_control.asked == []
    released = drd(application, "release", "--policy", "uploads", "--confirm", "uploads")
    assert "it was, because 98 % of the files changed" in " ".join(released.out.split())
    assert application.fake_control.asked == [("release_policy", "uploads", "eva")]


def test_accepting_a_store_asks_for_its_name() -> None:
    application = FakeApplication()
    assert drd(application, "accept", "offsite").exit_code == 2
    assert drd(application, "release", "offsite", "--confirm", "local").exit_code == 2
    assert application.fake_control.asked == []
    assert drd(application, "accept", "offsite", "--confirm", "offsite").exit_code == 0


def test_a_pause_ends_by_itself() -> None:
    application = FakeApplication()
    answered = drd(application, "pause", "uploads", "--for", "2h", "--reason", "kernel")
    assert application.fake_control.asked == [("pause", "uploads", "backup", NOW + timedelta(hours=2), "kernel", "eva")]
    assert answered.out == "uploads: backup is paused until 2026-03-02 18:30:17+08:00\n"
    assert drd(application, "pause", "uploads", "--for", "2", "--reason", "x").exit_code == 2
    assert drd(application, "pause", "uploads", "--for", "0s", "--reason", "x").exit_code == 2


def test_a_pause_of_failovers_that_names_no_policy_is_one_of_all() -> None:
    for what in ("failover", "runbooks"):
        plain, every = FakeApplication(), FakeApplication()
        words = ("pause", "--what", what, "--for", "2h", "--reason", "kernel")
        assert drd(plain, *words).exit_code == drd(every, *words, "--all").exit_code == 0
        assert plain.fake_control.asked == every.fake_control.asked
    assert drd(FakeApplication(), "pause", "--what", "all", "--for", "2h", "--reason", "x").exit_code == 2


def test_a_pause_of_everything_is_one_command_and_so_is_its_end() -> None:
    application = FakeApplication()
    words = ("pause", "--all", "--what", "failover", "--for", "2h", "--reason", "kernel")
    policies = drd(application, *words, "--json").document["policies"]
    whats = {asked[2] for asked in application.fake_control.asked if asked[0] == "pause"}
    assert whats == {"runbooks"}, "those too that are under way"
    paused = [asked[1] for asked in application.fake_control.asked if asked[0] == "pause"]
    assert paused == policies
    assert len(policies) > 1
    assert drd(application, "resume", "--all", "--json").document["policies"] == policies
    assert drd(application, "pause", "--for", "2h", "--reason", "x").exit_code == 2
    assert drd(application, "resume", "uploads", "--all").exit_code == 2


def test_validate_counts_what_it_found_and_warns() -> None:
    configuration = a_configuration((a_policy("uploads"),))
    answered = drd(FakeApplication(configuration=configuration), "validate")
    assert answered.out == "valid: 1 policy, 2 stores, 0 runbooks\n"
    assert "warning: policy settings: only one copy" in answered.err


def test_validate_tells_what_cannot_be_reached() -> None:
    findings = (Finding("store offsite", "it does not answer", "look at its endpoint"),)
    answered = drd(FakeApplication(findings=findings), "validate", "--reach")
    assert answered.exit_code == 1
    assert "error: store offsite: it does not answer\n  look at its endpoint\n" in answered.err
    document = drd(FakeApplication(findings=findings), "validate", "--reach", "--json").document
    assert document["valid"] is False
    assert drd(FakeApplication(findings=findings), "validate").exit_code == 0


def test_validate_tells_what_is_risky_with_its_place_and_that_is_no_failure() -> None:
    risky = Finding("policy orders", "fsync is off", "ALTER\nSELECT", Severity.WARNING, "policies/orders.yaml", 4, 12)
    answered = drd(FakeApplication(findings=(risky,)), "validate", "--reach")
    assert answered.exit_code == 0
    assert "warning: policies/orders.yaml:4:12: policy orders: fsync is off\n  ALTER\n  SELECT\n" in answered.err
    document = drd(FakeApplication(findings=(risky,)), "validate", "--reach", "--json").document
    assert document["valid"] is True
    assert document["findings"] == [
        {
            "gravity": "warning",
            "message": "policy orders: fsync is off",
            "hint": "ALTER\nSELECT",
            "file": "policies/orders.yaml",
            "line": 4,
            "column": 12,
        }
    ]


def test_grants_prints_statements_and_nothing_else() -> None:
    answered = drd(FakeApplication(), "grants", "orders", "--address", "10.0.0.7")
    assert answered.err == ""
    assert "CREATE ROLE drd LOGIN REPLICATION PASSWORD '…';" in answered.out
    assert "hostssl shop drd 10.0.0.7/32 scram-sha-256" in answered.out
    [document] = drd(FakeApplication(), "grants", "orders", "--json").document
    assert sorted(document) == ["archiving", "database", "pg_hba", "sql"]


def test_the_version_is_one_line() -> None:
    assert re.fullmatch(r"drd \d+\.\d+\.\d+\n", drd(FakeApplication(), "--version").out)


def test_the_daemons_exit_code_is_the_commands() -> None:
    assert drd(FakeApplication(), "run").exit_code == 0


def test_a_schema_is_json() -> None:
    assert json.loads(drd(FakeApplication(), "schema", "policy").out) == {"title": "policy"}


def test_a_person_without_points_is_told_to_make_one() -> None:
    class Empty(FakeControl):
        async def points(self, policy: str, why: bool = False) -> tuple[()]:
            return ()

    answered = drd(FakeApplication(Empty()), "points", "uploads")
    assert answered.out == "uploads has no recovery point yet.\n"
    assert answered.err == "next: drd backup uploads\n"
