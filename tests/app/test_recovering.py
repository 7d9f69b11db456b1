"""What validate and grants say about the nodes of a policy whose runbooks promote."""

import tempfile
from pathlib import Path

import pytest

from drd.app.granting import grants
from drd.app.reaching import reach
from drd.app.read import read_configuration
from drd.core.findings import Finding, Severity
from drd.ports.configuration import Configuration
from tests.config.arranging import write
from tests.database_nodes import DatabaseNodes
from tests.postgres_lab import Lab

RUNBOOK = """\
runbook: orders-failover
policy: orders
disaster: hardware
activate_when: the primary is gone
deactivate_when: another one serves
mode: manual
stages:
  - stage: respond
    owner: anna
    deadline: 10m
    steps:
      - step: Fence
        fence: {node: primary, by: [ssh, revoke]}
  - stage: recover
    owner: anna
    deadline: 20m
    steps:
      - step: Promote
        postgres_promote: {node: best_standby}
      - step: Bring it back
        postgres_rejoin: {node: old_primary}
"""
POLICY = """\
policy: orders
nodes: [orders-1, orders-2]
backup:
  source: {postgres: {}}
  full: {every: 1d}
  to: [local]
  keep: {last: 3}
disasters:
  hardware: {runbook: orders-failover}
"""


@pytest.fixture
def configuration(tmp_path: Path, newest_restic: Path) -> Configuration:
    return configured(tmp_path, newest_restic, RUNBOOK)


def configured(tmp_path: Path, restic: Path, runbook: str, data: Path | None = None, more: str = "") -> Configuration:
    placed = "" if data is None else f", data_directory: {data}"
    settings = f"""\
site: here
state: {tmp_path}/state
sites: {{here: {{latitude: 30.25, longitude: 120.17}}}}
people: {{anna: {{name: Anna}}}}
stores: {{local: {{local: {tmp_path}/repository, site: here, password: {{file: {tmp_path}/dsn}}}}}}
nodes:
  orders-1:
    host: 127.0.0.1
    site: here
    postgres: {{dsn: {{file: {tmp_path}/dsn}}, unit: postgresql@15-main{placed}}}
    ssh: {{user: drd, key: {{file: {tmp_path}/dsn}}, known_hosts: {tmp_path}/dsn}}
  orders-2: {{host: 192.0.2.9, site: here, postgres: {{dsn: {{file: {tmp_path}/dsn}}}}}}
"""
    write(tmp_path / "drd.yaml", settings)
    write(tmp_path / "policies" / "orders.yaml", POLICY + more)
    write(tmp_path / "runbooks" / "orders-failover.yaml", runbook)
    place = tmp_path / "dsn"
    place.touch(mode=0o600)
    place.write_text("host=/nowhere user=drd")
    return read_configuration(tmp_path / "drd.yaml", {"DRD_RESTIC": str(restic)})


async def test_what_a_promotion_lacks_is_told_node_by_node(configuration: Configuration) -> None:
    found = [str(finding) for finding in await reach(configuration) if finding.what.startswith("node ")]
    assert found[0].startswith("node orders-1: drd runs on the same machine")
    assert any(each.startswith("node orders-1: /nowhere") for each in found)
    assert any("does not say where the data of orders-2 lies" in each for each in found)
    assert not any("same machine" in each for each in found if each.startswith("node orders-2"))


async def test_a_proxy_that_could_not_be_told_is_named_before_that_matters(tmp_path: Path, newest_restic: Path) -> None:
    more = """\
  - stage: switch
    owner: anna
    deadline: 30m
    steps:
      - step: Send clients over
        haproxy: {backend: orders, server: "${new_primary}", socket: /nowhere/admin.sock}
"""
    found = await reach(configured(tmp_path, newest_restic, RUNBOOK + more))
    [told] = [finding for finding in found if finding.what == "runbook orders-failover, step Send clients over"]
    assert "/nowhere/admin.sock" in told.message
    assert (told.severity, told.hint) == (Severity.WARNING, "drd runbook plan orders-failover")


async def test_a_service_that_does_not_answer_or_would_hang_its_clients_is_named_with_its_place(
    tmp_path: Path, newest_restic: Path
) -> None:
    users = tmp_path / "users"
    users.touch(mode=0o600)
    users.write_text(f"host={tmp_path},{tmp_path} port=1,2 user=shop")
    service = f"service: {{postgres: {{dsn: {{file: {users}}}, timeout: 2s}}}}\n"
    found = await reach(configured(tmp_path, newest_restic, RUNBOOK, more=service))
    told = [finding for finding in found if finding.what == "policy orders, service"]
    assert {(each.line, each.column) for each in told} == {(10, 11)}
    gone, hanging, standing, short = told
    assert (gone.severity, gone.hint) == (Severity.BROKEN, "drd explain orders")
    assert "clients without connect_timeout hang" in hanging.message
    assert "clients without target_session_attrs stay" in standing.message
    assert "looks end after 2s" in short.message
    assert {each.severity for each in told[1:]} == {Severity.WARNING}


async def test_grants_tells_the_shells_of_the_nodes_as_well(configuration: Configuration) -> None:
    (first, *_), [node] = await grants(configuration, "orders", None)
    assert any("pg_promote" in statement for statement in first.sql)
    assert node.node == "orders-1"
    assert "postgresql@15-main" in node.ssh


async def test_whoever_promotes_is_told_that_nobody_can_see_what_a_reboot_does(
    tmp_path: Path, newest_restic: Path
) -> None:
    found = await reach(configured(tmp_path, newest_restic, RUNBOOK.partition("      - step: Bring it back")[0]))
    assert any("nobody can tell whether PostgreSQL starts as a primary by itself" in each.message for each in found)


@pytest.mark.slow
async def test_a_runbook_that_asks_nobody_is_refused_where_an_old_primary_may_come_back_beside_the_new_one(
    tmp_path: Path, newest_restic: Path, postgres_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = postgres_lab.new("guarded", segment_mib=1)
    nodes = DatabaseNodes(postgres_lab, Path(tempfile.mkdtemp(prefix="nodes-", dir=postgres_lab.folder)))
    nodes.add("postgresql@15-main", server)
    monkeypatch.setenv("PATH", nodes.path)
    by_itself = RUNBOOK.replace("mode: manual", "mode: automatic\ntriggers: [{health: {node: primary, is: down}}]")

    async def told(runbook: str) -> list[tuple[Severity, str]]:
        found = await reach(configured(tmp_path, newest_restic, runbook, server.data))
        return [(each.severity, each.message) for each in found if "start as a primary by itself" in each.message]

    # As in a copy of a node that has the drop-in: that was started in another machine's boot.
    (server.data / "drd-boot").write_text("of another machine\n")
    [(severity, message)] = await told(by_itself)
    assert severity is Severity.BROKEN
    assert message.endswith("so `mode: automatic` of orders-failover is refused")
    [(severity, message)] = await told(RUNBOOK)
    assert severity is Severity.WARNING
    assert "refused" not in message
    (server.data / "drd-boot").write_text(Path("/proc/sys/kernel/random/boot_id").read_text())
    (server.data / "drd-boot").chmod(0o644)
    assert await told(by_itself) == []
    nodes.close()


@pytest.mark.slow
async def test_a_standby_that_asks_too_late_for_a_revocation_is_told_with_what_to_set(
    tmp_path: Path, newest_restic: Path, postgres_lab: Lab
) -> None:
    server = postgres_lab.new("asking", segment_mib=1)

    async def told(timeout: str, health: str = "{every: 250ms, probes: [postgres: {timeout: 500ms}]}") -> list[Finding]:
        server.execute(f"ALTER SYSTEM SET wal_receiver_timeout = '{timeout}'")
        server.reload()
        configuration = configured(tmp_path, newest_restic, RUNBOOK)
        (tmp_path / "dsn").write_bytes(server.dsn())
        write(tmp_path / "policies" / "orders.yaml", f"{POLICY}health: {health}\n")
        configuration = read_configuration(tmp_path / "drd.yaml", {"DRD_RESTIC": str(newest_restic)})
        found = await reach(configuration)
        return [each for each in found if "wal_receiver_timeout" in each.message and "`revoke`" in each.message]

    for timeout in ("2s", "3s", "1min"):
        assert await told(timeout) == []
    late = await told("6s")
    assert {each.what for each in late} == {"node orders-1", "node orders-2"}
    assert "sure only after up to 5 s" in late[0].message
    assert "counts for 3.5 s" in late[0].message
    assert (late[0].severity, late[0].hint[:50]) == (
        Severity.WARNING,
        "ALTER SYSTEM SET wal_receiver_timeout = '3000ms'; ",
    )
    hasty = await told("2s", "{every: 100ms, fall: 2, probes: [postgres: {timeout: 100ms}]}")
    assert "raise `fall:`" in hasty[0].hint


@pytest.mark.slow
async def test_two_policies_that_would_replace_the_primary_of_one_cluster_are_refused_whatever_its_nodes_are_called(
    tmp_path: Path, newest_restic: Path, postgres_lab: Lab
) -> None:
    one, two = postgres_lab.new("shop", segment_mib=1), postgres_lab.new("another", segment_mib=1)
    by_itself = RUNBOOK.replace("mode: manual", "mode: automatic\ntriggers: [{health: {node: primary, is: down}}]")
    settings = """\
  billing-1: {host: 192.0.2.1, site: here, postgres: {dsn: {file: PLACE/billing}}}
  billing-2: {host: 192.0.2.2, site: here, postgres: {dsn: {file: PLACE/billing}}}
"""

    async def told(secret: bytes, runbook: str) -> list[Finding]:
        configured(tmp_path, newest_restic, by_itself)
        (tmp_path / "dsn").write_bytes(one.dsn())
        (tmp_path / "billing").touch(mode=0o600)
        (tmp_path / "billing").write_bytes(secret)
        with (tmp_path / "drd.yaml").open("a") as file:
            file.write(settings.replace("PLACE", str(tmp_path)))
        more = tmp_path / "policies" / "billing.yaml", tmp_path / "runbooks" / "billing-failover.yaml"
        for place, text in zip(more, (POLICY, runbook), strict=True):
            write(place, text.replace("orders", "billing"))
        found = await reach(read_configuration(tmp_path / "drd.yaml", {"DRD_RESTIC": str(newest_restic)}))
        for place in more:
            place.unlink()
        return [each for each in found if "one after the other" in each.message]

    [shared] = await told(one.dsn(), by_itself)
    assert (shared.severity, shared.what) == (Severity.BROKEN, "policy orders")
    assert shared.message.startswith("orders-1 belongs to the cluster of billing-1, whose primary the policy billing")
    assert (shared.file.rpartition("/")[2], shared.line) == ("orders.yaml", 2)
    assert "mode: manual" in shared.hint
    assert await told(two.dsn(), by_itself) == []
    assert await told(one.dsn(), RUNBOOK) == []
    assert await told(b"host=/nowhere user=drd", by_itself) == []
