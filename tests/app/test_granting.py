"""What a policy's runbooks do on nodes decides which rights are printed for which of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from drd.app.granting import grants
from drd.app.read import read_configuration
from drd.core.errors import UsageError
from drd.ports.configuration import Configuration

SHELL = {"user": "drd", "key": {"file": "/key"}, "known_hosts": "/known"}


def configured(folder: Path, *steps: dict[str, Any], by: dict[str, Any] | None = None) -> Configuration:
    node = {"host": "10.0.1.1", "site": "here", **(by or {"ssh": SHELL})}
    database = {"postgres": {"dsn": {"file": "/dsn"}, "unit": "postgresql@15-main", "data_directory": "/data"}}
    settings = {
        "site": "here",
        "state": str(folder / "state"),
        "sites": {"here": {"latitude": 30.25, "longitude": 120.17}},
        "stores": {"local": {"local": "/repository", "site": "here", "password": {"file": "/password"}}},
        "people": {"anna": {"name": "Anna"}},
        "nodes": dict.fromkeys(("orders-1", "orders-2"), node | database)
        | {"pooler-1": node, "other-1": node, "bare-1": {"host": "10.0.1.9", "site": "here"}},
    }
    policy = {
        "policy": "orders",
        "nodes": ["orders-1", "orders-2"],
        "backup": {
            "source": {"command": {"argv": ["date"], "filename": "date"}},
            "full": {"every": "1d"},
            "to": ["local"],
            "keep": {"last": 3},
        },
    }
    runbook = {
        "runbook": "orders-loss",
        "policy": "orders",
        "disaster": "hardware",
        "activate_when": "it is lost",
        "deactivate_when": "it is back",
        "stages": [{"stage": "switch", "owner": "anna", "deadline": "1h", "steps": list(steps)}],
    }
    for name, content in (("drd", settings), ("policies/orders", policy), ("runbooks/loss", runbook)):
        file = folder / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content))
    return read_configuration(folder / "drd.yaml", {})


async def test_each_node_gets_what_is_done_there_and_no_more(tmp_path: Path) -> None:
    configuration = configured(
        tmp_path,
        {"step": "1", "address": {"address": "10.0.1.100/24", "interface": "eth0", "node": "new_primary"}},
        {
            "step": "2",
            "pgbouncer": {"database": "o", "server": "orders-1", "console": {"file": "/c"}, "node": "pooler-1"},
        },
        {"step": "3", "service": {"unit": "web", "do": "stop", "node": "bare-1"}, "undo": {"wait": {"for": "1s"}}},
        {
            "step": "4",
            "command": {"argv": ["tell", "${new_primary}"], "node": "other-1"},
            "done_when": {"command": {"argv": ["test", "-e", "/told"], "node": "pooler-1"}},
        },
    )
    _, nodes = await grants(configuration, "orders", None)
    assert [each.node for each in nodes] == ["orders-1", "orders-2", "pooler-1", "other-1"]
    assert "ip address add 10.0.1.100/24 dev eth0" in nodes[0].sudoers[0]
    assert "systemctl" not in nodes[0].sudoers[0]  # nothing here fences or promotes
    pooler = nodes[2]
    assert pooler.sudoers == ()
    assert "/etc/pgbouncer/drd/databases.ini" in pooler.ssh
    assert "test -e /told" in pooler.ssh
    assert "arping" not in pooler.ssh
    assert str(nodes[3]).splitlines()[1:] == ["# cannot be granted on other-1: tell '${new_primary}'"]


async def test_where_the_database_is_recovered_its_own_lines_come_first(tmp_path: Path) -> None:
    more = {"step": "2", "service": {"unit": "web", "do": "start", "node": "primary"}}
    configuration = configured(tmp_path, {"step": "1", "fence": {"node": "primary", "by": "ssh"}}, more)
    _, nodes = await grants(configuration, "orders", None)
    assert [each.node for each in nodes] == ["orders-1", "orders-2"]
    assert nodes[0].sudoers[0].endswith("systemctl start web, /usr/bin/systemctl stop web")
    assert nodes[0].sudoers[1] == "drd ALL=(postgres) NOPASSWD: /usr/bin/sh -s"


async def test_a_node_that_is_not_reached_by_ssh_gets_no_line_for_it(tmp_path: Path) -> None:
    by = {"shell": {"user": "drd", "command": ["docker", "exec", "-i", "orders"]}}
    configuration = configured(tmp_path, {"step": "1", "fence": {"node": "primary", "by": "ssh"}}, by=by)
    _, nodes = await grants(configuration, "orders", None)
    assert [(each.ssh, len(each.sudoers)) for each in nodes] == [("", 2), ("", 2)]
    assert "authorized_keys" not in str(nodes[0])


async def test_a_policy_that_needs_nothing_is_told_so(tmp_path: Path) -> None:
    configuration = configured(tmp_path, {"step": "1", "wait": {"for": "1s"}})
    with pytest.raises(UsageError, match="there is nothing to grant"):
        await grants(configuration, "orders", None)
