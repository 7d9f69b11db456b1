"""A real PgBouncer sends clients to another of two real servers, and those who wait do not notice."""

import asyncio
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from drd.actions.pgbouncer import Pgbouncer
from drd.clients.pgbouncer import Console, commands
from drd.core.errors import DrdError, PermanentError, TransientError
from drd.core.node_grants import forced
from drd.core.runbook_step import Answer
from drd.core.secrets import SecretReference
from drd.ports.action import Situation
from drd.ports.machines import Machine, Shell
from tests.postgres_lab import Cluster, Lab, free_port, unprivileged_user
from tests.waiting import until_true

PATIENCE = 90.0
SSH = """#!/bin/sh
for word; do shift; [ "$word" != -- ] || break; done
SSH_ORIGINAL_COMMAND="$*" exec sh {folder}/forced
"""
"""What sshd does with a forced command."""


@dataclass
class Pooler:
    folder: Path
    port: int

    @property
    def file(self) -> Path:
        return self.folder / "databases.ini"

    def dsn(self, user: str, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user={user} password=secret dbname={database} connect_timeout=90"

    def action(self, **given: object) -> Pgbouncer:
        secret = self.folder / "console"
        secret.write_text(self.dsn("drd", "pgbouncer"))
        secret.chmod(0o600)
        usual = {
            "database": "shop-1",
            "server": "new_primary",
            "console": {"file": str(secret)},
            "file": str(self.file),
        }
        return Pgbouncer.model_validate({**usual, **given})


@pytest.fixture(scope="module")
def servers(postgres_lab: Lab) -> tuple[Cluster, Cluster]:
    made = (postgres_lab.new("one", has_port=True), postgres_lab.new("two", has_port=True))
    for cluster in made:
        cluster.make_role("shop", "secret")
    return made


@pytest.fixture
def pooler(pgbouncer: Path, servers: tuple[Cluster, Cluster]) -> Iterator[Pooler]:
    """It runs as an ordinary user, as it insists on; the file of databases is one that its own includes."""
    folder = Path(tempfile.mkdtemp(prefix="drd-pooler-"))
    folder.chmod(0o755)
    made = Pooler(folder, free_port())
    made.file.write_text(
        f"; moved by drd\n[databases]\nshop-1 = host=127.0.0.1 port={servers[0].port} dbname=postgres "
        "user=shop password='secret'\n"
    )
    (folder / "users").write_text('"drd" "secret"\n"shop" "secret"\n"viewer" "secret"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\nleft = host=127.0.0.1 port={servers[0].port}\n%include {made.file}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {made.port}\n"
        "unix_socket_dir =\nauth_type = scram-sha-256\n"
        f"auth_file = {folder}/users\nadmin_users = drd\nstats_users = viewer\npool_mode = transaction\n"
    )
    words = ["setpriv", "--pdeathsig", "KILL"]
    if user := unprivileged_user():
        account = pwd.getpwnam(user)
        words += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*words, "--", pgbouncer, folder / "pgbouncer.ini"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield made
    finally:
        process.kill()
        process.wait(PATIENCE)
        shutil.rmtree(folder)


@pytest.fixture
async def there(at: Situation, pooler: Pooler, servers: tuple[Cluster, Cluster]) -> Situation:
    """A run in which the second server was promoted, and a PgBouncer that answers."""
    machines = {}
    for name, cluster in zip(("orders-1", "orders-2"), servers, strict=True):
        secret = pooler.folder / name
        secret.write_bytes(cluster.dsn(by_port=True))
        secret.chmod(0o600)
        machines[name] = Machine(name, "127.0.0.1", dsn=SecretReference(file=secret))
    here = replace(at, machines=machines, variables={"new_primary": "orders-2"})

    async def answers() -> bool:
        try:
            return await pooler.action().is_done(here) is Answer.NOT_DONE
        except TransientError:
            return False

    await until_true(answers, "PgBouncer answers", PATIENCE)
    return here


async def client(pooler: Pooler) -> psycopg.AsyncConnection[tuple[int]]:
    return await psycopg.AsyncConnection.connect(pooler.dsn("shop", "shop-1"), autocommit=True, prepare_threshold=None)


async def reached(connection: psycopg.AsyncConnection[tuple[int]]) -> int:
    """The port of the server that a client's statement comes to."""
    row = await (await connection.execute("SELECT inet_server_port()")).fetchone()
    assert row is not None
    return row[0]


async def test_clients_go_on_at_the_new_server_without_noticing_and_back(
    there: Situation, pooler: Pooler, servers: tuple[Cluster, Cluster]
) -> None:
    action, (one, two) = pooler.action(drain="60s"), servers
    before = pooler.file.read_text()
    idle, busy = await client(pooler), await client(pooler)
    assert await reached(idle) == one.port
    planned = await action.preview(there)
    assert [line.partition(": ")[2] for line in planned.commands] == [
        f'PAUSE "shop-1", after 1m KILL (now 127.0.0.1:{one.port})',
        f"{pooler.file}: shop-1 = … host=127.0.0.1 port={two.port}",
        "RELOAD",
        'RESUME "shop-1"',
    ]
    assert planned.unchecked == ()
    assert await action.rehearse(there) == {}
    assert pooler.file.read_text() == before  # neither of them has changed anything

    async with busy.transaction():
        assert await reached(busy) == one.port
        moving = asyncio.create_task(action.apply(there))

        async def waits() -> bool:
            return (await Console(pooler.dsn("drd", "pgbouncer").encode()).pool("shop-1")).is_paused

        await until_true(waits, "PgBouncer is told to pause", PATIENCE)
        late = asyncio.create_task(reached(idle))
        assert await reached(busy) == one.port  # what was begun comes to its end where it began
        assert not moving.done()
    facts = await moving
    assert facts == {"pgbouncer shop-1": f"127.0.0.1:{one.port}"}
    assert await late == await reached(busy) == two.port
    assert pooler.file.read_text() == before.replace(str(one.port), str(two.port))
    assert pooler.file.stat().st_mode & 0o777 == 0o644
    assert await action.is_done(there) is Answer.DONE
    assert await action.apply(there) == {}  # a second time changes nothing

    await action.undo(replace(there, variables={**there.variables, **facts}))
    assert await reached(idle) == one.port
    assert pooler.file.read_text() == before
    with pytest.raises(PermanentError, match="not on record"):
        await action.undo(there)
    for each in (idle, busy):
        await each.close()


async def test_who_cancels_while_transactions_come_to_their_end_leaves_nobody_waiting(
    there: Situation, pooler: Pooler, servers: tuple[Cluster, Cluster]
) -> None:
    console = Console(pooler.dsn("drd", "pgbouncer").encode())
    idle, busy = await client(pooler), await client(pooler)

    async def waits() -> bool:
        return (await console.pool("shop-1")).is_paused

    async with busy.transaction():
        assert await reached(busy) == servers[0].port
        moving = asyncio.create_task(pooler.action(drain="1h").apply(there))
        await until_true(waits, "PgBouncer is told to pause", PATIENCE)
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving
        assert not await waits()
        assert await asyncio.wait_for(reached(idle), PATIENCE) == servers[0].port
    for each in (idle, busy):
        await each.close()


async def test_who_does_not_let_go_in_time_is_cut_and_a_pause_that_was_left_ends(
    there: Situation, pooler: Pooler, servers: tuple[Cluster, Cluster]
) -> None:
    holding = await client(pooler)
    await holding.execute("BEGIN")
    assert await reached(holding) == servers[0].port
    fenced = replace(there, variables={**there.variables, "fenced": "orders-1"})
    await pooler.action(drain="1h").apply(fenced)  # who is fenced ends no transaction
    with pytest.raises(psycopg.OperationalError):
        await reached(holding)
    await holding.close()
    again = await client(pooler)
    assert await reached(again) == servers[1].port
    # As a daemon leaves it that was killed between the pause and its end.
    assert await Console(pooler.dsn("drd", "pgbouncer").encode()).pause("shop-1", timedelta(seconds=PATIENCE))
    assert await pooler.action().is_done(there) is Answer.NOT_DONE
    await pooler.action().apply(there)
    assert await reached(again) == servers[1].port
    await again.execute("BEGIN")
    assert await reached(again) == servers[1].port
    await pooler.action(server="orders-1", drain="200ms").apply(there)
    with pytest.raises(psycopg.OperationalError):
        await reached(again)
    await again.close()


async def test_on_a_node_the_commands_that_are_granted_are_enough(
    there: Situation, pooler: Pooler, servers: tuple[Cluster, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    action = pooler.action(node="pooler-1")
    allowed = action.commands_on("pooler-1", "drd", is_own=False)
    (pooler.folder / "forced").write_text(forced(allowed))
    assert "\n" not in forced(allowed)  # authorized_keys has one line a key
    (pooler.folder / "ssh").write_text(SSH.format(folder=pooler.folder))
    (pooler.folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{pooler.folder}:{os.environ['PATH']}")
    shell = Shell("drd", SecretReference(file=Path("/key")), Path("/known_hosts"))
    here = replace(there, machines={**there.machines, "pooler-1": Machine("pooler-1", "127.0.0.1", shell)})
    facts = await action.apply(here)
    assert facts == {"pgbouncer shop-1 on pooler-1": f"127.0.0.1:{servers[0].port}"}
    assert str(servers[1].port) in pooler.file.read_text()
    assert await action.is_done(here) is Answer.DONE
    assert action.commands_on("orders-1", "drd", is_own=True) == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another group")
def test_a_new_file_has_the_group_that_pgbouncer_reads_it_by_or_the_old_one_stays() -> None:
    somebody = pwd.getpwnam("nobody")
    who = ["setpriv", f"--reuid={somebody.pw_uid}", f"--regid={somebody.pw_gid}", "--clear-groups", "--"]

    def done(argv: tuple[str, ...], given: str = "") -> str:
        ran = subprocess.run([*who, *argv], input=given, capture_output=True, text=True, check=False)
        return ran.stderr or str(ran.returncode)

    with tempfile.TemporaryDirectory(prefix="drd-pooler-") as made:
        folder, file = Path(made), Path(made) / "databases.ini"
        file.write_text("old\n")
        file.chmod(0o640)
        os.chown(file, somebody.pw_uid, 0)
        os.chown(folder, somebody.pw_uid, somebody.pw_gid)
        _, demand, write = commands(file)
        order = "".join(f"{hashlib.sha256(text).hexdigest()}  -\n" for text in (b"old\n", b"new\n")) + "new\n"
        for refused in (done(demand), done(write, order)):
            assert refused == "nobody is not in its group, root\n"
        assert file.read_text() == "old\n"
        os.chown(folder, somebody.pw_uid, 0)
        folder.chmod(0o2750)
        assert (done(demand), done(write, order)) == ("0", "0")
        assert (file.read_text(), file.stat().st_gid, file.stat().st_mode & 0o777) == ("new\n", 0, 0o640)


async def test_what_keeps_it_from_working_is_said_before_anybody_is_cut_off(
    there: Situation, pooler: Pooler, servers: tuple[Cluster, Cluster]
) -> None:
    here = await client(pooler)
    elsewhere = pooler.folder / "elsewhere.ini"
    elsewhere.write_text("[databases]\nleft = host=127.0.0.1\n")
    wrong = pooler.folder / "wrong"
    wrong.write_text(pooler.dsn("shop", "pgbouncer"))
    wrong.chmod(0o600)
    viewer = pooler.folder / "viewer"
    viewer.write_text(pooler.dsn("viewer", "pgbouncer"))
    viewer.chmod(0o600)
    refused = [
        ({"console": {"file": str(viewer)}}, "takes no orders from viewer"),
        ({"database": "cart"}, "has no database cart"),
        ({"file": str(pooler.folder / "nothing.ini")}, "here: .*nothing.ini: .*No such file"),
        ({"file": str(elsewhere)}, "no line in .*elsewhere.ini is for the database shop-1"),
        ({"console": {"file": str(wrong)}}, "not allowed"),
        ({"node": "pooler-1"}, "there is no node pooler-1"),
    ]
    for given, why in refused:
        action = pooler.action(**given)
        for attempt in (action.apply, action.rehearse):
            with pytest.raises(DrdError, match=why):
                await attempt(there)
    assert await reached(here) == servers[0].port
    # A file that PgBouncer does not read: nothing tells before, so nobody is left waiting and it is said.
    elsewhere.write_text(pooler.file.read_text())
    with pytest.raises(PermanentError, match=r"sends clients of shop-1 to .* all the same") as raised:
        await pooler.action(file=str(elsewhere)).apply(there)
    assert raised.value.hint == f"write `%include {elsewhere}` into its pgbouncer.ini"
    assert await reached(here) == servers[0].port
    await here.close()
