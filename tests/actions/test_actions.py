"""What each action does, asks and shows: on real programs and a real address where they are cheap."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from drd.actions.approve import Approve
from drd.actions.backup import Backup
from drd.actions.command import Command
from drd.actions.confirm import Confirm
from drd.actions.http import Http
from drd.actions.notify import Notify
from drd.actions.restore import Restore
from drd.actions.service import SystemdService
from drd.actions.verify import Verify
from drd.actions.wait import Wait
from drd.core.errors import PermanentError, ProgramMissing, TransientError, UsageError
from drd.core.runbook_step import Answer, Silence, Waiting
from drd.core.secrets import SecretReference
from drd.ports.action import Action, Situation
from drd.ports.machines import Machine, Shell, ShellCommand
from drd.ports.runner import Command as Program
from drd.ports.runner import Ended, Ending, OnLine
from tests.actions.conftest import FakeServices
from tests.core.watched import a_view


async def test_a_command_succeeds_by_its_exit_code_and_its_words_stay_out_of_the_record(at: Situation) -> None:
    assert await Command(argv=("true",)).apply(at) == {}
    with pytest.raises(PermanentError, match="sh ended with status 3") as failed:
        await Command(argv=("sh", "-c", "echo secret >&2; exit 3")).apply(at)
    assert "secret" not in failed.value.message + failed.value.hint
    assert "secret" in failed.value.detail
    with pytest.raises(ProgramMissing):
        await Command(argv=("no-such-program",)).apply(at)
    with pytest.raises(TransientError, match="was stopped after 200ms"):
        await Command(argv=("sleep", "60")).apply(replace(at, timeout=timedelta(milliseconds=200)))
    assert await Command(argv=("true",)).is_done(at) is Answer.UNKNOWN
    assert await Command(argv=("true",)).rehearse(at) is None


async def test_a_program_here_finds_the_configuration_that_is_in_force(at: Situation, tmp_path: Path) -> None:
    asked = ("sh", "-c", 'test "$DRD_CONFIG" = ' + str(tmp_path / "drd.yaml"))
    with pytest.raises(PermanentError):
        await Command(argv=asked).apply(at)
    there = replace(at, world=replace(at.world, configuration=tmp_path / "drd.yaml"))
    assert await Command(argv=asked).apply(there) == {}
    assert await Verify(service="orders", argv=asked).apply(there) == {"up": "orders"}


@pytest.mark.parametrize(
    ("by", "asked"), [("observers", (True, True)), ("probes", (True, False)), ("standbys", (False, True))]
)
async def test_witnesses_are_asked_and_a_node_that_is_not_gone_fails_the_step(
    at: Situation, services: FakeServices, by: str, asked: tuple[bool, bool]
) -> None:
    at = replace(at, machines={"orders-1": Machine("orders-1", "127.0.0.1")}, variables={"primary": "orders-1"})
    confirm = Confirm.model_validate({"node": "primary", "by": by})
    assert await confirm.apply(at) == {"note": "it is gone"}
    assert services.asked == [("confirm", "orders", "orders-1", *asked)]
    assert (await confirm.preview(at)).commands == (f"ask {by} whether primary is gone (now: it is gone)",)
    services.failures = ("orders-1 answers drd",)
    with pytest.raises(PermanentError, match="answers drd"):
        await confirm.apply(at)
    assert (await confirm.preview(at)).unchecked == ("orders-1 answers drd",)
    assert confirm.is_repeatable


async def test_a_person_who_starts_a_run_is_told_what_the_witnesses_say_and_stopped_only_by_a_primary_that_is_well(
    at: Situation, services: FakeServices
) -> None:
    machines = {"orders-1": Machine("orders-1", "127.0.0.1")}
    at = replace(at, machines=machines, variables={"primary": "orders-1"}, is_by_person=True)
    confirm = Confirm.model_validate({"node": "primary"})
    services.failures = ("orders-1 is not seen to be lost: leads no more",)
    note = "orders-1 is not seen to be lost: leads no more; anna goes on all the same"
    assert await confirm.apply(at) == {"note": note}
    services.is_well = True
    with pytest.raises(PermanentError, match="orders-1 leads, and is well") as refused:
        await confirm.apply(at)
    assert "postgres_switchover" in refused.value.hint


async def test_a_drill_asks_the_witnesses_and_fails_only_where_there_are_none(
    at: Situation, services: FakeServices
) -> None:
    at = replace(at, machines={"orders-1": Machine("orders-1", "127.0.0.1")}, variables={"primary": "orders-1"})
    confirm = Confirm.model_validate({"node": "primary"})
    services.failures, services.seen = ("orders-1 is not seen to be lost: well",), a_view()
    assert await confirm.rehearse(at) == {"note": "orders-1 is not seen to be lost: well"}
    services.seen = None
    with pytest.raises(PermanentError, match="not seen to be lost"):
        await confirm.rehearse(at)


async def test_a_plan_shows_the_whole_command_and_what_is_missing(at: Situation) -> None:
    preview = await Command(argv=("echo", "two words")).preview(at)
    assert (preview.commands, preview.unchecked) == (("here: echo 'two words'",), ())
    assert (await Command(argv=("no-such-program",)).preview(at)).unchecked == (
        "no-such-program is not installed here",
    )
    with pytest.raises(UsageError, match="no node orders-9"):
        await Command(argv=("true",), node="orders-9").apply(at)
    with pytest.raises(PermanentError, match="nothing in this run tells which node is the primary"):
        await Command(argv=("true",), node="primary").preview(at)


@pytest.mark.parametrize(
    ("shell", "sentence"),
    [
        (None, "does not say how the shell of orders-1 is reached"),
        (Shell("drd", SecretReference(file=Path("/nothing")), None), "the host key of orders-1 is not known"),
        (Shell("drd", SecretReference(env="KEY"), Path("/nothing")), "is no file, and ssh reads its key from one"),
    ],
)
async def test_a_node_that_cannot_be_reached_safely_is_not_reached_at_all(
    at: Situation, shell: Shell | None, sentence: str
) -> None:
    at = replace(at, machines={"orders-1": Machine("orders-1", "127.0.0.1", shell)})
    with pytest.raises(PermanentError, match=sentence):
        await Command(argv=("true",), node="orders-1").apply(at)


async def test_a_node_is_reached_by_the_program_that_drd_yaml_names_as_well(at: Situation, tmp_path: Path) -> None:
    program = tmp_path / "enter"
    program.write_text('#!/bin/sh\n[ "$1" = orders-1 ] || exit 255\nshift\nexec "$@"\n')
    program.chmod(0o755)
    machines = {
        name: Machine(name, "10.0.0.1", ShellCommand("root", (str(program), name))) for name in ("orders-1", "orders-2")
    }
    at = replace(at, machines=machines)
    made = tmp_path / "two words"
    await Command(argv=("touch", str(made)), node="orders-1").apply(at)
    assert made.exists()
    with pytest.raises(PermanentError, match="false on orders-1 ended with status 1"):
        await Command(argv=("false",), node="orders-1").apply(at)
    with pytest.raises(TransientError, match=f"orders-2 is not reached by {program}") as raised:
        await Command(argv=("true",), node="orders-2").apply(at)
    assert raised.value.hint == f"try it: {program} orders-2"


async def test_a_host_that_ssh_does_not_reach_leaves_open_what_was_done(at: Situation, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").touch()
    (tmp_path / "key").touch(0o600)
    shell = Shell("drd", SecretReference(file=tmp_path / "key"), tmp_path / "known_hosts", port=1)
    at = replace(at, machines={"orders-1": Machine("orders-1", "127.0.0.1", shell)})
    with pytest.raises(TransientError, match="orders-1 is not reached by ssh"):
        await Command(argv=("true",), node="orders-1").apply(at)


@pytest.fixture
def address() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    asked: list[tuple[str, str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            asked.append((self.command, body, self.headers.get("authorization", "")))
            self.send_response(503 if "broken" in self.path else 200)
            self.end_headers()
            self.wfile.write(b"hello")

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    thread.join()
    server.server_close()


async def test_an_address_is_called_and_its_status_compared(
    at: Situation, address: tuple[str, list[tuple[str, str, str]]], tmp_path: Path
) -> None:
    url, asked = address
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    token.chmod(0o600)
    await Http(url=f"{url}/?x=1", method="POST", body="go", token=SecretReference(file=token)).apply(at)
    assert asked == [("POST", "go", "Bearer t0ken")]
    with pytest.raises(PermanentError, match="answered 503 instead of 200"):
        await Http(url=f"{url}/broken").apply(at)
    assert await Http(url=url).rehearse(at) == {}
    assert await Http(url=url, method="POST").rehearse(at) is None
    assert (Http(url=url).is_repeatable, Http(url=url, method="POST").is_repeatable) == (True, False)
    with pytest.raises(TransientError, match="does not answer"):
        await Http(url="http://127.0.0.1:1/").apply(at)


async def test_people_are_told_and_one_who_is_not_reached_fails_the_step(at: Situation, services: FakeServices) -> None:
    action = Notify(people=("anna", "bob"), message="the site burns")
    await action.apply(at)
    words = "orders-loss for orders, stage recover, run 01INCIDENT: the site burns"
    assert services.asked == [("tell", "anna", "bob", words)]
    assert (await action.preview(at)).commands == (f"tell anna, bob: {words}",)
    await action.rehearse(at)
    assert str(services.asked[-1][-1]).startswith("DRILL, nothing is wrong: ")
    services.failures = ("bob: 503",)
    for attempt in (action.apply, action.rehearse):
        with pytest.raises(TransientError, match="bob: 503"):
            await attempt(at)


async def test_backup_and_restore_ask_the_journal_whether_they_are_done(at: Situation, services: FakeServices) -> None:
    backup, restore = Backup(policy="orders", full=True), Restore(policy="orders", to="/srv", at="latest")
    for action in (backup, restore):
        services.is_there = False
        assert await action.is_done(at) is Answer.NOT_DONE
        assert await action.is_done(replace(at, since=None)) is Answer.NOT_DONE
        services.is_there = True
        assert await action.is_done(at) is Answer.DONE
    assert await backup.apply(at) == {"backup": "01RUN"}
    assert await restore.apply(at) == {"restored": "/srv"}
    assert services.asked[-1] == ("restore", "orders", "latest", "/srv", None, "anna")
    assert (await backup.preview(at)).commands == ("drd backup orders --full",)
    offsite = Restore.model_validate({"policy": "orders", "to": "/srv", "from": "offsite"})
    assert (await offsite.preview(at)).commands == ("drd restore orders --at latest --to /srv --from offsite",)


async def test_the_service_is_used_as_was_written(at: Situation, services: FakeServices) -> None:
    assert await Verify(service="orders").apply(at) == {"up": "orders-2"}
    assert await Verify(service="orders", argv=("true",)).apply(at) == {"up": "orders"}
    with pytest.raises(PermanentError):
        await Verify(service="orders", argv=("false",)).apply(at)
    assert await Verify(service="orders", argv=("true",)).rehearse(at) == {}  # a drill ends no outage
    assert (await Verify(service="orders", argv=("true",)).preview(at)).commands == ("here: true",)
    assert "else write and read one row" in (await Verify(service="orders").preview(at)).commands[0]


def test_what_only_waits_says_for_what() -> None:
    approve = Approve.model_validate({"by": "anna", "within": "10m", "on_timeout": "stop"})
    assert approve.waits == Waiting(("anna",), timedelta(minutes=10), Silence.STOP)
    assert Wait.model_validate({"for": "5m"}).waits == Waiting((), timedelta(minutes=5), Silence.CONTINUE)
    assert Wait().waits == Waiting(silence=Silence.STOP, is_for_anybody=True), "as an older release has begun it"
    person = Wait.model_validate({"within": "4h", "on_timeout": "continue"})
    assert person.waits == Waiting((), timedelta(hours=4), Silence.CONTINUE, is_for_anybody=True)
    assert person.summary() == "wait for a person; continue after 4h"


async def test_what_an_action_leaves_out_is_not_carried_out_and_not_taken_back(at: Situation) -> None:
    class Dance(Action):
        """Dance."""

        kind: ClassVar[str] = "dance"

        def summary(self) -> str:
            """What is done."""
            return "dance"

    dance = Dance()
    with pytest.raises(PermanentError, match="dance is nothing that could be carried out"):
        await dance.apply(at)
    with pytest.raises(PermanentError, match="cannot be taken back by itself"):
        await dance.undo(at)
    assert (await dance.preview(at)).commands == ("dance",)
    assert (dance.is_undoable, dance.is_repeatable, dance.waits) == (False, False, None)
    assert (await dance.is_done(at), await dance.found(at), await dance.rehearse(at)) == (Answer.UNKNOWN, {}, None)


@dataclass
class Systemd:
    """A runner in whose machine there is one unit."""

    state: str = "inactive"
    entered: datetime | None = None
    asked: list[tuple[str, ...]] = field(default_factory=list)

    async def run(self, command: Program, on_line: OnLine | None = None) -> Ended:
        assert on_line is not None
        self.asked.append(command.argv)
        if "show" in " ".join(command.argv):
            on_line("stdout", f"ActiveState={self.state}".encode())
            entered = "" if self.entered is None else f"@{self.entered.timestamp():.0f}"
            on_line("stdout", f"ActiveEnterTimestamp={entered}".encode())
        return Ended(0, Ending.EXITED, 0.0)

    async def pipe(self, *_: Any) -> Any:
        raise AssertionError


async def test_a_unit_is_asked_for_its_state_and_told_what_to_do(at: Situation, tmp_path: Path) -> None:
    systemd = Systemd()
    at = replace(at, world=replace(at.world, runner=systemd))
    start, stop = SystemdService(unit="web", do="start"), SystemdService(unit="web", do="stop")
    restart, reload = SystemdService(unit="web", do="restart"), SystemdService(unit="web", do="reload")
    assert [await each.is_done(at) for each in (start, stop, restart, reload)] == [
        Answer.NOT_DONE,
        Answer.DONE,
        Answer.NOT_DONE,
        Answer.UNKNOWN,
    ]
    systemd.state = "active"
    assert await restart.is_done(at) is Answer.UNKNOWN
    systemd.entered = datetime.now(UTC) - timedelta(hours=1)
    assert await restart.is_done(at) is Answer.NOT_DONE
    systemd.entered = datetime.now(UTC)
    assert [await each.is_done(at) for each in (start, stop, restart)] == [Answer.DONE, Answer.NOT_DONE, Answer.DONE]
    assert [each.is_repeatable for each in (start, stop, restart, reload)] == [True, True, False, True]
    systemd.asked.clear()
    assert await restart.rehearse(at) == {"note": "web is active now"}
    assert [argv[1] for argv in systemd.asked] == ["show"], "a drill only asks"
    systemd.asked.clear()
    await start.apply(at)
    await start.undo(at)
    await stop.undo(at)
    assert [argv[1:] for argv in systemd.asked] == [("start", "web"), ("stop", "web"), ("start", "web")]
    assert (await start.preview(at)).commands == ("here: systemctl start web (now active)",)


async def test_over_ssh_a_unit_is_asked_for_by_sudo_with_the_known_host_key_alone(
    at: Situation, tmp_path: Path
) -> None:
    systemd = Systemd(state="active")
    shell = Shell("drd", SecretReference(file=tmp_path / "key"), tmp_path / "known_hosts")
    machines = {"orders-1": Machine("orders-1", "10.0.1.11", shell)}
    at = replace(at, machines=machines, world=replace(at.world, runner=systemd))
    await SystemdService(unit="web", do="restart", node="orders-1").apply(at)
    [argv] = systemd.asked
    assert argv[-3:] == ("drd@10.0.1.11", "--", "sudo -n systemctl restart web")
    assert {"StrictHostKeyChecking=yes", f"UserKnownHostsFile={tmp_path / 'known_hosts'}", "BatchMode=yes"} < set(argv)
