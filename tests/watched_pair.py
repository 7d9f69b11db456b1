"""drd watching a pair (tests/postgres_pair.py) from a host of its own, with the shipped policy and runbooks.

The files are those of policies/ and runbooks/, unchanged but for where HAProxy's socket and state lie, the secret with
which drd goes the way of the service's users, and the nodes where there are more than two.
"""

import json
import threading
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any

from drd.core.postgres.heartbeat import CREATE
from tests.failover_site import PATIENCE, PORT
from tests.namespaces import SWITCH_OFF
from tests.network_shells import NetworkShells
from tests.pair_shells import PairShells
from tests.postgres_lab import OWNER
from tests.postgres_pair import Pair
from tests.system.machine import OFFSITE_PASSWORD, Machine, _ControlConnection
from tests.system.programs import wait_for

REPOSITORY = Path(__file__).parent.parent
SOCKET, STATE = "/run/haproxy/admin.sock", "/var/lib/haproxy/server-state"
PEOPLE = ("sre-on-call", "sre-lead", "dba-on-call")
IN_PLACE = {
    "mode: manual": "mode: automatic\ntriggers:\n  - health: {{node: primary, is: down}}\n# ",
    "unit: postgresql@15-main": "unit: {unit}",
}
"""What makes orders-restart one that drd begins by itself, for a unit of the lab."""


class Watcher:
    """The daemon of a pair, with one policy of the repository."""

    def __init__(
        self, machine: Machine, pair: Pair, policy: str = "orders", *, shells: PairShells | NetworkShells | None = None
    ) -> None:
        """Without `shells` drd has nothing but the nodes' power."""
        self.machine = machine
        self.pair = pair
        self.policy = policy
        self.shells = shells
        machine.wrapper = (*pair.host("watcher").enter, *(("env", f"PATH={shells.path}") if shells else ()))
        machine.settings["people"] = {name: {"name": name} for name in PEOPLE}
        machine.settings["nodes"] = {name: self._node(name) for name in pair.nodes}
        machine.settings["stores"]["offsite"] = {
            "local": str(machine.folder / "offsite"),
            "site": "xian",
            "password": machine._secret("offsite", OFFSITE_PASSWORD),
        }
        machine.write()
        users, here = f"{{credential: {policy}}}", json.dumps(machine._secret(f"{policy}-users", pair.proxied))
        pair_of_nodes, nodes = (f"nodes: [{', '.join(names)}]" for names in (pair.nodes[:2], pair.nodes))
        text = (REPOSITORY / "policies" / f"{policy}.yaml").read_text()
        assert (users in text, pair_of_nodes in text) == (True, True)
        machine.policy_file(policy).write_text(text.replace(users, here).replace(pair_of_nodes, nodes))
        for file in (REPOSITORY / "runbooks").glob(f"{policy}-*.yaml"):
            text = file.read_text().replace(SOCKET, str(pair.socket)).replace(STATE, str(pair.proxy_state))
            (machine.folder / "runbooks" / file.name).write_text(text)

    def start(self) -> None:
        """Start it, and wait until it sees both nodes to be well."""
        for server in self.pair.servers.values():
            if not server.value("SELECT pg_is_in_recovery()"):
                for statement in CREATE:
                    server.execute(statement)
        self.machine.start()
        wait_for(lambda: set(self.verdicts().values()) == {"well"}, "both nodes are well", PATIENCE)

    def starts_in_place_first(self) -> None:
        """Have orders-restart begun by itself where the first node's process is gone, before anybody takes over."""
        file = self.machine.folder / "runbooks" / "orders-restart.yaml"
        text = file.read_text()
        for shipped, wanted in IN_PLACE.items():
            assert shipped in text
            text = text.replace(shipped, wanted.format(unit=self.pair.nodes[0]))
        file.write_text(text)

    def holds_on_before(self, step: str) -> None:
        """Have the failover wait before a step until `go_on`; the daemon has to read its files after that."""
        file = self.machine.folder / "runbooks" / f"{self.policy}-failover.yaml"
        text, wait = file.read_text(), f"while [ ! -e {self._go} ]; do sleep 0.1; done"
        assert text.count(f"- step: {step}\n") + text.count(f"- step: {step} ") == 1
        held = f'- step: Hold on\n        command: {{argv: [sh, -c, "{wait}"]}}\n        timeout: 10m\n      '
        file.write_text(text.replace(f"- step: {step}", f"{held}- step: {step}"))

    def go_on(self) -> None:
        """Have it go on."""
        self._go.touch()

    @property
    def _go(self) -> Path:
        return self.machine.folder / "go"

    def verdicts(self) -> dict[str, str]:
        """What it says of each node."""
        return {node["node"]: node["verdict"] for node in self.machine.status()["nodes"]}

    def began(self) -> list[str]:
        """The runs of runbooks that were begun, of this policy."""
        return [event["run"] for event in self.machine.events("incident-started", self.policy)]

    def acted(self) -> list[dict[str, Any]]:
        """The steps that have fenced or promoted."""
        facts = ("fenced", "new_primary")
        return [step for step in self.machine.events("step-finished") if any(fact in step["facts"] for fact in facts)]

    def is_switched(self) -> bool:
        """Whether clients were sent to the new primary. An AssertionError tells of a run that has ended before."""
        return self.is_done("Send clients to the new primary")

    def is_done(self, step: str) -> bool:
        """Whether a step has succeeded, or was found to be done. An AssertionError tells of a run that has ended."""
        finished = self.machine.events("incident-finished", self.policy)
        ends = {event["step"]: event["outcome"] for event in self.machine.events("step-finished")}
        checks = {event["step"]: event["answer"] for event in self.machine.events("step-checked")}
        is_done = ends.get(step) == "succeeded" or checks.get(step) == "done"
        assert is_done or not finished, finished
        return is_done

    def is_over(self) -> bool:
        """Whether a run of this policy has ended."""
        return bool(self.machine.events("incident-finished", self.policy))

    def explained(self) -> str:
        """What it would do now, in words, on one line."""
        return " ".join(self.machine.drd("explain", self.policy).done().stdout.split())

    def begin(self, runbook: str, primary: str, *, fenced: str = "", **variables: str) -> None:
        """Have it start a runbook at once, as `drd runbook start` does."""
        order = {
            "by": "the lab",
            "words": "told to",
            "began": None,
            "is_drill": False,
            "fenced": fenced,
            "variables": {"primary": primary, **variables},
        }
        begun = threading.Event()

        def ask() -> None:
            socket = self.machine.state / "control.sock"
            with closing(_ControlConnection(socket)) as connection, suppress(OSError, HTTPException):
                body = json.dumps(order)
                connection.request("POST", f"/runbooks/{runbook}/start", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                assert answer.status == HTTPStatus.OK, answer.read()
                begun.set()
                answer.read()

        threading.Thread(target=ask, daemon=True).start()
        assert begun.wait(PATIENCE), f"{runbook} was not started"

    def incident(self, runbook: str) -> dict[str, Any]:
        """What it tells of the newest run of a runbook."""
        told: dict[str, Any] = self.machine.drd("incident", "show", runbook, "--json").done().json
        return told

    def _node(self, name: str) -> dict[str, Any]:
        host, machine = self.pair.host(name), self.machine
        switch = machine.folder / f"switch-off-{name}"
        switch.write_text(SWITCH_OFF.format(namespace=host.namespace))
        switch.chmod(0o700)
        dsn = f"host={host.address} port={PORT} user={OWNER} dbname=postgres"
        if self.shells is not None:
            data = {"data_directory": str(self.pair.servers[name].data), "unit": name}
            postgres = {"dsn": machine._secret(name, dsn), **data}
            return {"host": host.address, "site": "hangzhou", "postgres": postgres, **self.shells.settings(name)}
        return {
            "host": host.address,
            "site": "hangzhou",
            "postgres": {"dsn": machine._secret(name, dsn)},
            "power": {"command": [str(switch)]},
        }
