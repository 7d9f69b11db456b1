"""Runbooks run by a real daemon that is killed in the middle, with real programs, a real address and a real backup."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.system.machine import Machine
from tests.system.programs import wait_for

pytestmark = pytest.mark.system

PATIENCE = 90.0
NAME = "web-loss"


@contextmanager
def an_address() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A web address, and the documents that it was sent."""
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(HTTPStatus.OK)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sh(script: str) -> dict[str, Any]:
    return {"command": {"argv": ["sh", "-c", script]}}


def stages(log: Path, address: str) -> list[dict[str, Any]]:
    slow = f"echo begun >> {log}; sleep 3; echo two >> {log}"
    return [
        {
            "stage": "respond",
            "owner": "anna",
            "deadline": "30m",
            "steps": [
                {"step": "Tell Anna", "notify": {"people": ["anna"], "message": "look"}, "on_failure": "continue"},
                {"step": "Write one", **sh(f"echo one >> {log}")},
                {"step": "Write two slowly", **sh(slow), "done_when": sh(f"grep -q two {log}")},
            ],
        },
        {
            "stage": "recover",
            "owner": "anna",
            "deadline": "40m",
            "steps": [
                {"step": "Let Anna decide", "approve": {"by": "anna", "within": "10m", "on_timeout": "stop"}},
            ],
        },
        {
            "stage": "switch",
            "owner": "anna",
            "deadline": "50m",
            "steps": [
                {"step": "Ask the address", "http": {"url": address}},
                {"step": "Use it", "verify": {"service": "web", "argv": ["grep", "-q", "two", str(log)]}},
                {"step": "Back it up", "backup": {"policy": "web", "full": True}},
            ],
        },
    ]


def test_a_run_goes_on_after_the_daemon_is_killed_in_the_middle_of_a_step(machine: Machine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with an_address() as (address, told):
        machine.set_secret("anna", address)
        machine.settings["people"] = {
            "anna": {"name": "Anna", "notify": [{"file": str(machine.folder / "secrets" / "anna")}]}
        }
        (machine.data / "web").mkdir()
        (machine.data / "web" / "index.html").write_text("hello")
        machine.protect("web", full={"every": "30d"})
        machine.policies["web"]["objectives"] = {"rto": "1h"}
        machine.write()
        runbook = {
            "runbook": NAME,
            "policy": "web",
            "disaster": "process",
            "activate_when": "it is gone",
            "deactivate_when": "it is back",
            "stages": stages(log, address),
        }
        file = machine.folder / "runbooks" / f"{NAME}.yaml"
        file.write_text(json.dumps(runbook))
        machine.start()

        planned = " ".join(machine.drd("runbook", "plan", NAME).done().stdout.split())  # long lines are wrapped
        assert f"here: sh -c 'echo one >> {log}'" in planned
        assert "it was never run whole" in planned
        machine.drd("pause", "web", "--what", "failover", "--for", "2h", "--reason", "kernel").done()
        refused = machine.drd("runbook", "start", NAME, "--reason", "gone", "--confirm", NAME).done(5)
        assert "drd resume web" in refused.stderr
        machine.drd("resume", "web").done()
        assert not log.exists()

        machine.command("runbook", "start", NAME, "--reason", "gone", "--confirm", NAME)
        wait_for(lambda: log.exists() and "begun" in log.read_text(), "the slow step has begun", PATIENCE)
        assert machine.daemon is not None
        machine.daemon.kill()
        assert log.read_text().split() == ["one", "begun"]
        file.write_text(json.dumps({**runbook, "stages": stages(tmp_path / "another", address)}))
        machine.start()  # with another runbook of that name: the run knows its own

        def incident() -> Any:
            return machine.drd("incident", "show", NAME, "--json").done().json

        wait_for(lambda: incident()["state"] == "waiting", "the approval is asked for", PATIENCE)
        assert log.read_text().split() == ["one", "begun", "begun", "two"]
        waiting = incident()
        assert [question["step"] for question in waiting["questions"]] == ["Let Anna decide"]
        assert "asked whether it is done: Write two slowly: not-done" in [each["text"] for each in waiting["timeline"]]
        wait_for(lambda: any("your approval is asked for" in each["text"] for each in told), "Anna is told", PATIENCE)
        second = machine.drd("runbook", "start", NAME, "--reason", "again", "--confirm", NAME).done(75)
        assert waiting["run"] in second.stderr

        machine.drd("runbook", "approve", NAME, "--reason", "go on").done()
        wait_for(lambda: incident()["outcome"], "the run is over", PATIENCE)
        ended = incident()
        assert (ended["outcome"], [step["state"] for step in ended["steps"]]) == ("succeeded", ["done"] * 7)
        assert ended["times"]["is_kept"] is True
        assert not (tmp_path / "another").exists()
        shown = machine.drd("incident", "show", NAME).done().stdout
        assert "RTO         1h, kept" in shown
        assert "go on" in shown
        points = machine.drd("points", "web", "--json").done().json["points"]
        assert len([point for point in points if point["mode"] == "full"]) >= 1
        machine.drd("journal", "verify").done()
        machine.stop()
    assert [each["text"] for each in told if "look" in each["text"]]
