"""An address moves between machines that are network namespaces, and their neighbour notices at once."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from drd.actions.address import Address
from drd.core.errors import PermanentError, UsageError
from drd.core.node_grants import node_grants
from drd.core.runbook_step import Answer
from drd.core.secrets import SecretReference
from drd.ports.action import Situation
from drd.ports.machines import Machine, Shell
from tests.namespaces import NAMESPACES, Host, Network, network
from tests.system.programs import wait_for

NODES = ("orders-1", "orders-2")
PATIENCE = 90.0
MOVED = "10.77.0.200"
SSH = """#!/bin/sh
for word; do shift; case $word in *@*) host=${{word#*@}};; --) break;; esac; done
[ ! -e {folder}/$host.silent ] || exit 255
echo "$*" >> {folder}/asked
exec nsenter --net={folder}/$host env PATH={folder}:$PATH:/usr/sbin sh -c "$*"
"""
PLAYED = """#!/bin/sh
for word; do shift; case $word in *@*) at={folder}/${{word#*@}};; --) break;; esac; done
case "$*" in
    *"address show"*)
        [ ! -e $at.broken ] || exit 1
        [ ! -e $at.has ] || echo "2: eth0    inet {moved}/24 scope global eth0" ;;
    *"address del"*)
        [ ! -e $at.slow ] || sleep 1
        rm $at.has ;;
    *"address add"*) touch $at.has ;;
    *"arping -D"*) echo "Received 0 response(s)" ;;
esac
"""
"""Machines that are files: HOST.has where one has the address."""
SUDO = '#!/bin/sh\nshift\nexec "$@"\n'


@dataclass
class Segment:
    """Two nodes, whose shells are reached by a program `ssh`, and a client, all on one wire."""

    net: Network
    folder: Path

    def __post_init__(self) -> None:
        for name in (*NODES, "client"):
            host = self.net.add(name)
            (self.folder / host.address).symlink_to(NAMESPACES / host.namespace)

    def host(self, name: str) -> Host:
        return self.net.hosts[name]

    def machines(self) -> dict[str, Machine]:
        shell = Shell("drd", SecretReference(file=Path("/key")), Path("/known_hosts"))
        return {name: Machine(name, self.host(name).address, shell) for name in NODES}

    def silence_shell(self, name: str) -> None:
        (self.folder / f"{self.host(name).address}.silent").touch()

    def holders(self) -> list[str]:
        return [name for name in NODES if MOVED in self.host(name).run("ip", "-4", "address", "show", "eth0")]

    def hardware(self, name: str) -> str:
        words = self.host(name).run("ip", "-o", "link", "show", "eth0").split()
        return words[words.index("link/ether") + 1]

    def learn(self) -> None:
        """Have the client talk to the address, as one that has a connection does."""
        self.host("client").run("bash", "-c", f"echo > /dev/udp/{MOVED}/9")
        wait_for(self.known, "the client knows where the address is", PATIENCE)

    def known(self) -> str:
        """Where the client sends what is meant for the address; it asks nobody now."""
        words = self.host("client").run("ip", "neighbour", "show", MOVED).split()
        return words[words.index("lladdr") + 1] if "lladdr" in words else ""


@pytest.fixture
def segment(arping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Segment]:
    for name, text in (("ssh", SSH.format(folder=tmp_path)), ("sudo", SUDO)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "arping").symlink_to(arping)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with network() as net:
        yield Segment(net, tmp_path)


@pytest.fixture
def run(at: Situation, segment: Segment) -> Situation:
    return replace(at, machines=segment.machines(), members=NODES, variables={"new_primary": "orders-2"})


def moved_to(node: str) -> Address:
    return Address(address=f"{MOVED}/24", interface="eth0", node=node)


@pytest.mark.system
async def test_the_old_node_gives_it_up_and_the_neighbour_finds_the_new_one(run: Situation, segment: Segment) -> None:
    segment.host("orders-1").run("ip", "address", "add", f"{MOVED}/24", "dev", "eth0")
    segment.learn()
    assert segment.known() == segment.hardware("orders-1")
    action = moved_to("new_primary")
    assert await action.is_done(run) is Answer.NOT_DONE
    planned = await action.preview(run)
    assert planned.unchecked == ()
    assert planned.commands == (
        f"on orders-1: sudo -n ip address del {MOVED}/24 dev eth0, where it is there (now on orders-1)",
        f"on orders-2: sudo -n arping -D -c 2 -w 2 -I eth0 {MOVED}, and on only if nobody answers",
        f"on orders-2: sudo -n ip address add {MOVED}/24 dev eth0",
        f"on orders-2: sudo -n arping -U -c 1 -I eth0 {MOVED}",
        f"on orders-2: sudo -n arping -A -c 1 -I eth0 {MOVED}",
    )
    assert await action.rehearse(run) == {}
    assert segment.holders() == ["orders-1"]  # neither of them has moved anything

    facts = await action.apply(run)
    assert facts == {f"address {MOVED}": "orders-1"}
    assert segment.holders() == ["orders-2"]
    assert segment.known() == segment.hardware("orders-2")
    assert await action.is_done(run) is Answer.UNKNOWN  # it is there, and nobody sees whether it was announced
    after = replace(run, variables={**run.variables, **facts})
    assert await action.apply(after) == {}  # so it is done once more, and where it was stays on record

    await action.undo(after)
    assert segment.holders() == ["orders-1"]
    assert segment.known() == segment.hardware("orders-1")
    with pytest.raises(PermanentError, match="is not on record"):
        await action.undo(run)
    may = {" ".join(argv) for argv in action.commands_on("orders-1", "drd", is_own=True)}
    assert set((segment.folder / "asked").read_text().splitlines()) <= may


@pytest.mark.system
async def test_it_is_added_nowhere_as_long_as_another_machine_answers_for_it(run: Situation, segment: Segment) -> None:
    assert await moved_to("orders-1").apply(run) == {f"address {MOVED}": ""}
    segment.silence_shell("orders-1")
    action = moved_to("new_primary")
    who = segment.hardware("orders-1").upper()
    with pytest.raises(PermanentError, match=f"{MOVED} is answered for by {who}, as orders-2 hears"):
        await action.apply(run)
    assert segment.holders() == ["orders-1"]
    assert (await action.preview(run)).unchecked == ("orders-1 is not reached by ssh: ",)

    segment.host("orders-1").run("ip", "link", "set", "eth0", "down")  # gone, where only its shell had been before
    facts = await action.apply(run)
    assert facts["note"] == f"{MOVED} could not be taken from orders-1, and nobody answered for it"
    assert "orders-2" in segment.holders()
    segment.learn()
    assert segment.known() == segment.hardware("orders-2")
    with pytest.raises(PermanentError, match=r"orders-2 has 10\.77\.0\.200/24 on eth0") as raised:
        await Address(address=f"{MOVED}/32", interface="eth0", node="orders-2").apply(run)
    assert raised.value.hint.endswith("ip address del 10.77.0.200/24 dev eth0")


@pytest.fixture
def played(at: Situation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Situation:
    """A run with three nodes; `orders-1` has the address."""
    (tmp_path / "ssh").write_text(PLAYED.format(folder=tmp_path, moved=MOVED))
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    names = (*NODES, "orders-3")
    (tmp_path / "orders-1.has").touch()
    shell = Shell("drd", SecretReference(file=Path("/key")), Path("/known_hosts"))
    return replace(at, machines={name: Machine(name, name, shell) for name in names}, members=names)


async def test_an_attempt_that_was_cut_off_is_not_followed_by_one_that_says_nobody_had_it(
    played: Situation, tmp_path: Path
) -> None:
    (tmp_path / "orders-1.has").unlink()  # by the attempt that was cut off before it could tell
    action = moved_to("orders-2")
    facts = await action.apply(replace(played, is_again=True))
    assert facts == {}
    with pytest.raises(PermanentError, match="is not on record"):
        await action.undo(replace(played, variables=dict(facts)))
    assert [path.name for path in tmp_path.glob("*.has")] == ["orders-2.has"]
    assert await moved_to("orders-3").apply(replace(played, is_again=True)) == {f"address {MOVED}": "orders-2"}


async def test_who_fails_does_so_when_all_others_are_done(played: Situation, tmp_path: Path) -> None:
    (tmp_path / "orders-1.slow").touch()
    (tmp_path / "orders-3.broken").touch()
    with pytest.raises(PermanentError, match="orders-3"):
        await moved_to("orders-2").apply(played)
    assert not list(tmp_path.glob("*.has"))


async def test_a_nodes_own_address_is_not_moved_and_a_node_without_power_is_not_waited_for(at: Situation) -> None:
    machines = {name: Machine(name, f"10.77.0.{number}") for number, name in enumerate(NODES, 10)}
    run = replace(at, machines=machines, members=NODES, variables={"fenced": "orders-1", "fenced_by": "power"})
    with pytest.raises(UsageError, match=r"10\.77\.0\.10 is the address of orders-1 itself"):
        await Address(address="10.77.0.10/24", interface="eth0", node="orders-2").apply(run)
    planned = await moved_to("orders-2").preview(run)
    assert not any("orders-1" in line for line in planned.commands)
    assert planned.unchecked == ("drd.yaml does not say how the shell of orders-2 is reached",)
    grants = node_grants("orders-1", "drd", None, moved_to("primary").commands_on("orders-1", "drd", is_own=True))
    [line] = grants.sudoers
    assert line == (
        f"drd ALL=(root) NOPASSWD: /usr/sbin/ip address add {MOVED}/24 dev eth0, "
        f"/usr/sbin/ip address del {MOVED}/24 dev eth0, /usr/bin/arping -D -c 2 -w 2 -I eth0 {MOVED}, "
        f"/usr/bin/arping -U -c 1 -I eth0 {MOVED}, /usr/bin/arping -A -c 1 -I eth0 {MOVED}"
    )
