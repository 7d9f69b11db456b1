"""Where the servers of a policy's database are is said once, and every node that is named has one."""

from pathlib import Path

import pytest

from drd.app.kinds import find_kinds
from drd.config.load import load
from drd.config.problems import ConfigurationErrors
from drd.core.health import Hysteresis
from drd.ports.configuration import Configuration
from tests.config.arranging import write

DRD_YAML = """\
site: hangzhou
sites: {hangzhou: {latitude: 30.25, longitude: 120.17}}
stores: {local: {local: /srv/drd/repository, site: hangzhou, password: {file: /etc/drd/local}}}
nodes:
  orders-1: {host: 10.0.1.11, site: hangzhou, postgres: {dsn: {file: /etc/drd/orders-1}}}
  orders-2: {host: 10.0.1.12, site: hangzhou, priority: 1, postgres: {dsn: {file: /etc/drd/orders-2}}}
  web-1: {host: 10.0.1.21, site: hangzhou}
"""
POLICY = """\
policy: orders
%s
backup:
  source: {postgres: %s}
  full: {every: 1d}
  to: [local]
  keep: {last: 3}
"""


def read(folder: Path, nodes: str, source: str, settings: str = DRD_YAML) -> Configuration:
    write(folder / "drd.yaml", settings)
    write(folder / "policies" / "orders.yaml", POLICY % (nodes, source))
    return load(folder / "drd.yaml", {}, find_kinds())


def told(folder: Path, nodes: str, source: str) -> list[str]:
    with pytest.raises(ConfigurationErrors) as caught:
        read(folder, nodes, source)
    return [str(problem).replace(f"{folder}/policies/orders.yaml:", "") for problem in caught.value.problems]


def test_a_source_knows_the_nodes_of_its_policy(tmp_path: Path) -> None:
    source = "{from: standby, fallback: primary}"
    protected = read(tmp_path, "nodes: [orders-2, orders-1]", source).policies["orders"]
    assert protected.servers is not None
    assert protected.servers.names == ("orders-2", "orders-1")
    assert protected.sources["main"].summary() == "PostgreSQL on orders-2, orders-1"


def test_a_connection_string_names_the_only_server(tmp_path: Path) -> None:
    protected = read(tmp_path, "", "{dsn: {file: /etc/drd/orders}}").policies["orders"]
    assert protected.servers is not None
    assert protected.servers.names == ("",)


def test_a_policy_whose_node_moves_has_changed(tmp_path: Path) -> None:
    here = read(tmp_path, "nodes: [orders-1]", "{}").policies["orders"].digest
    moved = DRD_YAML.replace("/etc/drd/orders-1", "/etc/drd/orders-9")
    assert read(tmp_path, "nodes: [orders-1]", "{}", moved).policies["orders"].digest != here
    other = DRD_YAML.replace("/etc/drd/orders-2", "/etc/drd/orders-9")
    assert read(tmp_path, "nodes: [orders-1]", "{}", other).policies["orders"].digest == here


def test_where_the_server_is_said_nowhere_or_twice_is_a_mistake(tmp_path: Path) -> None:
    assert told(tmp_path, "", "{}") == [
        "4:12: `postgres`: nothing says where its server is: add `dsn:` here, or `nodes:` to the policy"
    ]
    assert told(tmp_path, "nodes: [orders-1]", "{wal: none, dsn: {file: /etc/drd/orders}}") == [
        "4:34: `dsn`: `nodes:` of the policy say where its servers are: remove one of the two"
    ]


def test_wal_of_a_lone_standby_is_a_mistake(tmp_path: Path) -> None:
    assert told(tmp_path, "", "{dsn: {file: /etc/drd/orders}, from: standby, wal: continuous}") == [
        "4:73: `wal`: only a primary tells what it has committed: name both servers as `nodes:` of the policy"
    ]


def test_a_rate_slows_down_only_what_the_server_sends(tmp_path: Path) -> None:
    assert told(tmp_path, "", "{dsn: {file: /etc/drd/orders}, read: data_directory, rate: 5 MiB/s}") == [
        "4:81: `rate`: it slows down only what the server sends: write `limits:` at the stores instead"
    ]


def test_a_node_without_a_server_is_a_mistake(tmp_path: Path) -> None:
    assert told(tmp_path, "nodes: [orders-1, web-1]", "{}") == [
        "2:19: node `web-1` has no `postgres:` in drd.yaml: add it there, or take the node out of `nodes`"
    ]


def test_a_fallback_is_another_role(tmp_path: Path) -> None:
    assert told(tmp_path, "nodes: [orders-1]", "{from: standby, fallback: standby}") == [
        "4:48: `fallback`: `from` says standby already: write the other one, or leave it out"
    ]
    assert told(tmp_path, "nodes: [orders-1]", "{from: orders-1}") == [
        "4:29: `from`: `orders-1` is no choice here: write one of `primary`, `standby`"
    ]


@pytest.mark.parametrize(
    ("rpo", "least"), [("500ms", "safe on this machine within 1s, no sooner: write 1s or more"), ("5s", "")]
)
def test_an_rpo_that_wal_cannot_keep_is_a_mistake_whatever_the_schedule_is(
    tmp_path: Path, rpo: str, least: str
) -> None:
    also = f"nodes: [orders-1]\nobjectives: {{rpo: {rpo}}}"
    if least:
        assert told(tmp_path, also, "{wal: continuous}") == [f"3:19: `rpo`: WAL is {least}"]
    else:
        assert read(tmp_path, also, "{wal: continuous}").policies["orders"].wal_stores == ("local.wal",)


RUNBOOK = """\
runbook: orders-back
policy: orders
disaster: corruption
activate_when: rows are missing
deactivate_when: they are back
mode: manual
stages:
  - stage: switch
    owner: someone
    deadline: 20m
    steps:
      - step: Use it as a client does
        verify: {service: orders%s}
"""


@pytest.mark.parametrize("more", ["", ", argv: [ls]"], ids=["by a row", "by a program"])
@pytest.mark.parametrize("source", ["postgres: {dsn: {file: /etc/drd/orders}}", "files: {paths: [/srv/orders]}"])
@pytest.mark.parametrize("also", ["", "service: {tcp: {host: shop.example, port: 443}}"], ids=["", "with a service"])
def test_a_service_is_used_where_it_is_said_how_or_there_is_a_database(
    source: str, more: str, also: str, tmp_path: Path
) -> None:
    write(tmp_path / "drd.yaml", DRD_YAML + "people: {someone: {name: Someone}}\n")
    write(tmp_path / "policies" / "orders.yaml", (POLICY % (also, "{}")).replace("postgres: {}", source))
    write(tmp_path / "runbooks" / "orders-back.yaml", RUNBOOK % more)
    problems: list[str] = []
    try:
        load(tmp_path / "drd.yaml", {}, find_kinds())
    except ConfigurationErrors as errors:
        problems = [str(problem).replace(f"{tmp_path}/", "") for problem in errors.problems]
    sentence = (
        "the policy `orders` has no database: say there with `service:` how its users reach it, or write here with "
        "`argv:` a program that does"
    )
    is_refused = "files" in source and not more and not also
    assert problems == ([f"runbooks/orders-back.yaml:13:27: {sentence}"] if is_refused else [])


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ("{tcp: {port: 443}}", "2:11: `tcp`: nothing says where it is: add `host:`"),
        ("{postgres: {write_check: true}}", "2:11: `postgres`: nothing says how it is reached: add `dsn:`"),
        (
            '{http: {url: "http://shop.example/", certificate: 30d}}',
            "2:60: `certificate`: `url` is of http, which shows no certificate: write https:// there, or remove this",
        ),
        ("{every: 1s}", "2:10: `service`: no kind of probe is named: add one of command, host, http, postgres, tcp"),
    ],
)
def test_a_service_says_where_it_is_looked_at(service: str, why: str, tmp_path: Path) -> None:
    assert told(tmp_path, f"service: {service}", "{dsn: {file: /etc/drd/orders}}") == [why]


def test_a_service_is_looked_at_by_one_probe_with_its_own_rhythm(tmp_path: Path) -> None:
    written = "service: {postgres: {dsn: {file: /etc/drd/shop}, timeout: 2s}, every: 250ms, rise: 2}"
    found = read(tmp_path, written, "{dsn: {file: /etc/drd/orders}}").policies["orders"].service
    assert found is not None
    assert found.rules == Hysteresis(every_seconds=0.25, timeout_seconds=2, fall=3, rise=2)
    assert found.probe.why_not(found.target) == ""


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("", 300),
        ("\nobjectives: {rto: 30s}", 15),
        ("\nobjectives: {rto: 30s}\ndisasters: {process: {runbook: orders-restart, rto: 20s}}", 10),
        ("\nobjectives: {rto: 30s}\ndisasters: {process: {runbook: orders-restart}}", 15),
    ],
)
def test_a_primary_that_recovers_is_waited_for_by_what_is_promised(said: str, seconds: int, tmp_path: Path) -> None:
    stages = "[{stage: detect, owner: ann, deadline: 5s, steps: [{step: Wait, wait: {for: 1s}}]}]"
    restart = f"runbook: orders-restart\npolicy: orders\ndisaster: process\nmode: manual\nstages: {stages}\n"
    restart += "activate_when: it crashed\ndeactivate_when: it serves\n"
    if "disasters" in said:
        write(tmp_path / "runbooks" / "orders-restart.yaml", restart)
    people = "people: {ann: {name: Ann, notify: [{file: /etc/drd/ann}]}}\n"
    found = read(tmp_path, f"nodes: [orders-1]{said}", "{}", DRD_YAML + people).policies["orders"].watch
    assert found is not None
    assert found.rules.recovering_seconds == seconds
