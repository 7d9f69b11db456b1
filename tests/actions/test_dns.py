"""A name is made to lead elsewhere at a real DNS server, and at a server that speaks as Route 53 does."""

import base64
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from drd.actions.dns import Dns
from drd.clients.dns import Route53, UpdatedServer
from drd.core.dns import Change, Record, type_of, value_of
from drd.core.errors import DrdError, PermanentError, TransientError
from drd.core.runbook_step import Answer
from drd.ports.action import Situation
from drd.ports.machines import Machine
from tests.postgres_lab import free_port
from tests.servers import MotoS3
from tests.waiting import until_true

NAME = "orders.example.net"
SHARED = base64.b64encode(b"a secret of thirty-two bytes, 1234").decode()
KEY = f"hmac-sha256:drd:{SHARED}"
PATIENCE = 90.0
ZONE = """$ORIGIN example.net.
@ 60 SOA ns hostmaster 1 60 60 60 60
@ 60 NS ns
ns 60 A 127.0.0.1
orders 30 A 10.0.1.11
both 30 A 10.0.1.11
both 60 AAAA fd00::11
other 30 A 10.0.1.99
"""


@dataclass
class Server:
    folder: Path
    port: int

    def secret(self, text: str) -> dict[str, str]:
        path = self.folder / f"key-{len(list(self.folder.iterdir()))}"
        path.write_text(text)
        path.chmod(0o600)
        return {"file": str(path)}

    def action(self, key: str = KEY, **given: object) -> Dns:
        update = {"server": "127.0.0.1", "port": self.port, "zone": "example.net", "key": self.secret(key)}
        more = given.pop("update", {})
        assert isinstance(more, dict)
        return Dns.model_validate({"name": NAME, "node": "new_primary", "update": {**update, **more}, **given})

    def records(self) -> UpdatedServer:
        return UpdatedServer("127.0.0.1", self.port, "example.net", KEY.encode())


@pytest.fixture
def server(knotd: Path) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="drd-dns-"))
    made = Server(folder, free_port())
    (folder / "example.net.zone").write_text(ZONE)
    (folder / "knot.conf").write_text(
        f"server:\n  rundir: {folder}\n  listen: 127.0.0.1@{made.port}\n"
        f"database:\n  storage: {folder}\n"
        f"key:\n  - id: drd\n    algorithm: hmac-sha256\n    secret: {SHARED}\n"
        f"  - id: reader\n    algorithm: hmac-sha256\n    secret: {SHARED}\n"
        "acl:\n  - id: drd\n    key: drd\n    action: update\n"
        f"zone:\n  - domain: example.net\n    storage: {folder}\n    file: example.net.zone\n    acl: drd\n"
    )
    with (folder / "log").open("wb") as log:
        words = ["setpriv", "--pdeathsig", "KILL", "--", knotd, "-c", folder / "knot.conf"]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield made
    finally:
        process.kill()
        process.wait(PATIENCE)
        shutil.rmtree(folder)


@pytest.fixture
def run(at: Situation) -> Situation:
    hosts = {"orders-1": "10.0.1.11", "orders-2": "10.0.1.12", "orders-6": "FD00:0::6", "orders-n": "DB.example.org"}
    machines = {name: Machine(name, host) for name, host in hosts.items()}
    return replace(at, machines=machines, variables={"new_primary": "orders-2"})


async def answering(server: Server) -> None:
    async def answers() -> bool:
        try:
            return await server.records().look(NAME, "A") is not None
        except DrdError:
            return False

    await until_true(answers, "the DNS server answers", PATIENCE)


async def test_a_signed_update_moves_the_name_and_back(server: Server, run: Situation) -> None:
    await answering(server)
    action = server.action()
    assert await action.is_done(run) is Answer.NOT_DONE
    planned = await action.preview(run)
    assert planned.commands == (f"127.0.0.1:{server.port}: {NAME} A 10.0.1.12, TTL 5s (now 10.0.1.11)",)
    assert await action.rehearse(run) == {}
    assert await server.records().look(NAME, "A") == Record(("10.0.1.11",), 30)  # neither has changed anything

    facts = await action.apply(run)
    assert facts == {f"dns {NAME}": "A 30 10.0.1.11"}
    assert await server.records().look(NAME, "A") == Record(("10.0.1.12",), 5)
    assert await action.is_done(run) is Answer.DONE
    assert await action.apply(run) == {}  # a second time changes nothing
    await action.undo(replace(run, variables={**run.variables, **facts}))
    assert await server.records().look(NAME, "A") == Record(("10.0.1.11",), 30)
    with pytest.raises(PermanentError, match="is not on record"):
        await action.undo(run)

    new = server.action(name="new.example.net", node="orders-6")
    made = await new.apply(run)
    assert await new.is_done(run) is Answer.DONE
    assert await server.records().look("new.example.net", "AAAA") == Record(("fd00::6",), 5)
    await new.undo(replace(run, variables=made))
    assert await server.records().look("new.example.net", "AAAA") is None
    await server.action(name="alias.example.net", node="orders-n").apply(run)
    assert await server.records().look("alias.example.net", "CNAME") == Record(("db.example.org.",), 5)


async def test_a_name_of_both_types_leads_nowhere_else_any_more(server: Server, run: Situation) -> None:
    await answering(server)
    records = server.records()
    for node, kind, value in (("orders-2", "A", "10.0.1.12"), ("orders-6", "AAAA", "fd00::6")):
        action, other = server.action(name="both.example.net", node=node), "AAAA" if kind == "A" else "A"
        old = {each: await records.look("both.example.net", each) for each in ("A", "AAAA")}
        assert await action.is_done(run) is Answer.NOT_DONE
        goes = old[other]
        assert goes is not None
        assert (await action.preview(run)).commands[1] == (
            f"127.0.0.1:{server.port}: no both.example.net {other} (now {goes.values[0]})"
        )
        facts = await action.apply(run)
        assert await records.look("both.example.net", kind) == Record((value,), 5)
        assert await records.look("both.example.net", other) is None
        assert await action.is_done(run) is Answer.DONE
        assert await action.apply(run) == {}
        await action.undo(replace(run, variables={**run.variables, **facts}))
        assert {each: await records.look("both.example.net", each) for each in ("A", "AAAA")} == old


async def test_what_the_server_refuses_is_said_and_never_with_the_key(server: Server, run: Situation) -> None:
    await answering(server)
    other = base64.b64encode(b"quite another secret").decode()
    records = server.records()
    refused: list[tuple[Dns, str]] = [
        (server.action(key=f"hmac-sha256:drd:{other}"), "has another secret for the key"),
        (server.action(key=f"hmac-sha256:nobody:{SHARED}"), "does not know the key"),
        (server.action(key=f"hmac-sha256:reader:{SHARED}"), "does not let it change the zone|says (NOTAUTH|REFUSED)"),
        (server.action(key=SHARED), "is no TSIG key"),
        (server.action(key="hmac-sha256:drd:!"), "is no TSIG key"),
        # A name that has other records takes no CNAME, and RFC 2136 has the server say nothing of it.
        (server.action(node="orders-n"), "leads to nothing all the same"),
    ]
    for action, why in refused:
        with pytest.raises(PermanentError, match=why) as raised:
            await action.apply(run)
        assert SHARED not in str(raised.value)
        assert other not in str(raised.value)
    with pytest.raises(PermanentError, match="was changed by somebody else meanwhile"):
        await records.change(NAME, [Change("A", Record(("10.0.1.99",), 30), Record(("10.0.1.12",), 5))])
    assert await records.look(NAME, "A") == Record(("10.0.1.11",), 30)
    away = server.action(update={"port": free_port()})
    with pytest.raises(TransientError, match="is not reached"):
        await away.apply(run)
    assert "is not reached" in (await away.preview(run)).unchecked[0]


async def test_a_server_is_reached_by_whichever_of_its_addresses_answers(server: Server) -> None:
    await answering(server)
    with socket.socket() as silent, socket.socket() as queued:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)  # the kernel takes one connection, and answers no other
        queued.connect(silent.getsockname())

        class OfThree(UpdatedServer):
            async def _addresses(self) -> list[tuple[int, Any]]:
                places = (("127.0.0.1", free_port()), silent.getsockname(), ("127.0.0.1", server.port))
                return [(socket.AF_INET, place) for place in places]

        assert await OfThree("ns.example", 1, "example.net", KEY.encode()).look(NAME, "A") == Record(("10.0.1.11",), 30)


@pytest.mark.slow
async def test_route_53_is_changed_by_one_batch_that_holds_only_if_nobody_was_quicker(
    moto_s3: MotoS3, run: Situation, tmp_path: Path
) -> None:
    """moto speaks Route 53's protocol; that AWS's own answers alike is not shown here."""
    client = boto3.client(
        "route53",
        endpoint_url=moto_s3.url,
        region_name="us-east-1",
        aws_access_key_id=moto_s3.access_key,
        aws_secret_access_key=moto_s3.secret_key,
    )
    zone = client.create_hosted_zone(Name="example.net", CallerReference="1")["HostedZone"]["Id"].rpartition("/")[2]
    secret = tmp_path / "keys"
    secret.write_text(f"{moto_s3.access_key}:{moto_s3.secret_key}\n")
    secret.chmod(0o600)
    place = {"zone": zone, "credentials": {"file": str(secret)}, "endpoint": moto_s3.url}
    found = {"Name": NAME, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "10.0.1.11"}]}
    changes = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": found}]}
    client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=changes)
    action = Dns.model_validate({"name": NAME, "node": "new_primary", "route53": place})
    facts = await action.apply(run)
    assert facts == {f"dns {NAME}": "A 60 10.0.1.11"}
    keys = f"{moto_s3.access_key}:{moto_s3.secret_key}".encode()
    records = Route53(run.world.runner, zone, moto_s3.url, keys)
    with pytest.raises(PermanentError, match=r"it says Invalid(ChangeBatch|Input)"):
        await records.change(NAME, [Change("A", Record(("10.0.1.99",), 60), Record(("10.0.1.13",), 5))])
    # That it is the new one still is what lets the old one be put back.
    await action.undo(replace(run, variables=facts))
    assert await action.model_copy(update={"node": "orders-6"}).apply(run) == {f"dns {NAME}": "AAAA; A 60 10.0.1.11"}
    assert await records.look(NAME, "AAAA") == Record(("fd00::6",), 5)
    assert await records.look(NAME, "A") is None
    with pytest.raises(PermanentError, match="it says NoSuchHostedZone"):
        await replace(records, zone="Z0NOTHING").look(NAME, "A")


def test_what_a_record_says_is_told_by_the_host() -> None:
    assert [type_of(host) for host in ("10.0.0.1", "fd00::1", "db.example")] == ["A", "AAAA", "CNAME"]
    assert value_of("db.example") == "db.example."
    assert Record.parse(str(Record(("b", "a"), 5))) == Record(("a", "b"), 5)
