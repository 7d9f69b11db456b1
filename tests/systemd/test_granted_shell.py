"""What `drd grants` prints is put on a node as it stands: real sshd and sudo let drd fence there and do nothing else.

The node has a real systemd and a real PostgreSQL; drd runs as its shipped unit and knows the node's host key.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.programs import Finished, wait_for
from tests.systemd.booted import Booted, booted_machine

pytestmark = [pytest.mark.system, pytest.mark.slow]

PATIENCE = 90.0
UNIT = "postgresql@15-main"
DATA = "/srv/postgresql/main"
MOVED = "10.9.9.9/24"
SSHD = """
Port 2222
ListenAddress 127.0.0.1
HostKey /etc/drd/host
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""
POSTGRES = f"""
[Service]
User=postgres
ExecStart=/usr/local/pgsql/bin/postgres -D {DATA} -c listen_addresses= -c unix_socket_directories=/tmp
Restart=always
"""
PREPARE = f"""
set -eu
id postgres > /dev/null 2>&1 || useradd --system postgres
useradd --system sshd
useradd --create-home --shell /bin/sh failover
usermod --password '*' failover
mkdir -p /run/sshd /usr/local/pgsql
ln -s "$1" /usr/local/pgsql/bin
cp /srv/openssh/sshd /usr/sbin/sshd
cp /srv/openssh/libwrap.so.0 /usr/lib/
ldconfig
install -m 0755 "$2" /usr/bin/arping
ip link add wire0 type veth peer name wire1
ip link set wire0 up
ip link set wire1 up
install -d -o postgres /srv/postgresql
install -d -o postgres -m 0700 {DATA}
runuser -u postgres -- /usr/local/pgsql/bin/initdb -D {DATA} -A trust --wal-segsize=1 -N > /dev/null
"""
AUTHORIZE = """
set -eu
install -d -o failover -m 0700 ~failover/.ssh
install -o failover -m 0600 /etc/drd/authorized_keys ~failover/.ssh/authorized_keys
install -m 0440 /etc/drd/sudoers /etc/sudoers.d/drd
visudo -c -q
"""


@pytest.fixture
def machine(
    tmp_path_factory: pytest.TempPathFactory, newest_restic: Path, postgres_programs: Path, sshd: Path, arping: Path
) -> Iterator[Booted]:
    if shutil.which("visudo", path="/usr/sbin:/usr/bin") is None:
        pytest.fail("sudo is missing; type: scripts/apt-install sudo", pytrace=False)
    with booted_machine(tmp_path_factory.mktemp("machine"), newest_restic) as made:
        shutil.copytree(sshd.parent, made.srv / "openssh")
        for name in ("host", "wrong", "ssh"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made.etc / name)]
            subprocess.run(words, check=True)
        made.run("sh", "-c", PREPARE, "sh", str(postgres_programs), str(arping.parent / "program")).done()
        write_unit(made, f"{UNIT}.service", POSTGRES)
        (made.etc / "sshd_config").write_text(SSHD)
        write_unit(made, "node-sshd.service", "[Service]\nExecStart=/usr/sbin/sshd -D -e -f /etc/drd/sshd_config\n")
        made.configure("LoadCredential=ssh:/etc/drd/ssh")
        configure(made)
        yield made


def write_unit(machine: Booted, name: str, text: str, folder: str = "/usr/lib/systemd/system") -> None:
    machine.run("sh", "-c", f"cat > '{folder}/{name}' <<'END'\n{text}END\n").done()
    machine.systemctl("daemon-reload").done()
    machine.systemctl("start", name).done()


def configure(machine: Booted) -> None:
    """One node: its database is fenced, and it is given an address."""
    machine.write_policy("orders")
    know_host(machine, "host")
    machine.run("install", "-d", "-o", "drd", "-m", "0700", "/srv/drd", "/srv/orders").done()
    settings = json.loads((machine.etc / "drd.yaml").read_text())
    settings["people"] = {"anna": {"name": "Anna"}}
    shell = {"user": "failover", "key": {"credential": "ssh"}, "known_hosts": "/etc/drd/known_hosts", "port": 2222}
    database = {"dsn": {"file": "/etc/drd/secrets/dsn"}, "data_directory": DATA, "unit": UNIT}
    settings["nodes"] = {"orders-1": {"host": "127.0.0.1", "site": "hangzhou", "ssh": shell, "postgres": database}}
    (machine.etc / "drd.yaml").write_text(json.dumps(settings))
    policy = json.loads((machine.etc / "policies" / "orders.yaml").read_text())
    (machine.etc / "policies" / "orders.yaml").write_text(json.dumps({**policy, "nodes": ["orders-1"]}))
    steps: list[dict[str, Any]] = [
        {"step": "Fence it", "fence": {"node": "orders-1", "by": "ssh"}},
        {"step": "Give it the address", "address": {"address": MOVED, "interface": "wire0", "node": "orders-1"}},
        {"step": "Look who drd is there", "command": {"argv": ["id", "-un"], "node": "orders-1"}},
    ]
    (machine.etc / "runbooks").mkdir()
    write_runbook(machine, "orders-fence", *steps)
    promotion = {"step": "Promote", "postgres_promote": {"node": "best_standby"}}
    write_runbook(machine, "orders-promote", {"step": "Fence", "fence": {"node": "primary", "by": "ssh"}}, promotion)


def write_runbook(machine: Booted, name: str, *steps: dict[str, Any]) -> None:
    runbook = {
        "runbook": name,
        "policy": "orders",
        "disaster": "hardware",
        "activate_when": "the node must take no more writes",
        "deactivate_when": "it takes none",
        "stages": [{"stage": "respond", "owner": "anna", "deadline": "5m", "steps": steps}],
    }
    (machine.etc / "runbooks" / f"{name}.yaml").write_text(json.dumps(runbook))


def know_host(machine: Booted, key: str) -> None:
    words = (machine.etc / f"{key}.pub").read_text()
    (machine.etc / "known_hosts").write_text(f"[127.0.0.1]:2222 {words}")


def authorize(machine: Booted, printed: str) -> None:
    """Do what the lines say: what stands below each heading goes into the file that the heading names."""
    parts: dict[str, list[str]] = {}
    for line in printed.splitlines():
        if line.startswith("# on orders-1, in "):
            parts[line.rpartition(" in ")[2]] = below = []
        else:
            below.append(line.removeprefix("#   "))
    assert list(parts) == ["/etc/sudoers.d/drd:", "the authorized_keys of drd's user:"]
    sudoers, [key] = parts.values()
    (machine.etc / "sudoers").write_text("\n".join([*sudoers, ""]))
    public = (machine.etc / "ssh.pub").read_text().strip()
    assert key.count("PUBLIC-KEY") == 1
    (machine.etc / "authorized_keys").write_text(key.replace("PUBLIC-KEY", public))
    machine.run("sh", "-c", AUTHORIZE).done()


def ssh(machine: Booted, command: str) -> Finished:
    """What somebody does who has stolen the key."""
    options = "-F /dev/null -o BatchMode=yes -o UserKnownHostsFile=/etc/drd/known_hosts -i /etc/drd/ssh -p 2222"
    return machine.run("ssh", *options.split(), "failover@127.0.0.1", "--", command)


def run_of(machine: Booted) -> dict[str, Any]:
    """Start the runbook, and what became of it when it ends or waits."""
    said = machine.drd("runbook", "start", "orders-fence", "--confirm", "orders-fence", "--reason", "a test")
    shown = machine.drd("incident", "show", "orders-fence", "--json").done().json
    return {"code": said.code, "text": said.stdout + said.stderr, **shown}


def answers(machine: Booted) -> bool:
    words = ["/usr/local/pgsql/bin/psql", "-h", "/tmp", "-U", "postgres", "-c", "SELECT 1"]
    return machine.run("runuser", "-u", "postgres", "--", *words).code == 0


def test_the_printed_lines_are_enough_for_a_fence_and_for_nothing_else(machine: Booted) -> None:
    wait_for(lambda: answers(machine), "PostgreSQL answers", PATIENCE)
    printed = machine.drd("grants", "orders").done().stdout
    wait_for(lambda: "listening on" in machine.run("journalctl", "-u", "node-sshd").stdout, "sshd listens", PATIENCE)
    authorize(machine, printed)
    for command in ("id", "sudo -n systemctl stop sshd", f"sudo -n systemctl mask --now {UNIT}; id", "bash", ""):
        refused = ssh(machine, command)
        assert refused.code == 126, refused
    for command in ("systemctl stop node-sshd", "ip link del wire0", "arping -D -c 2 -w 2 -I wire0 10.9.9.8", "id"):
        words = ["runuser", "-u", "failover", "--", "sudo", "-n", *command.split()]
        assert "password is required" in machine.run(*words).stderr

    machine.start()
    know_host(machine, "wrong")
    strange = run_of(machine)
    assert strange["code"] == 1
    assert "Host key verification failed" in json.dumps(strange)
    assert answers(machine)  # who knows another key for that host gives no orders there

    know_host(machine, "host")
    write_unit(machine, f"{UNIT}.service", POSTGRES, "/etc/systemd/system")
    machine.run(
        "sh", "-c", "install -d -o drd -m 0700 /srv/keys && install -o drd -m 0600 /etc/drd/ssh /srv/keys"
    ).done()
    reach = "CREDENTIALS_DIRECTORY=/srv/keys drd --config /etc/drd/drd.yaml validate --reach"
    said = machine.run("runuser", "-u", "drd", "--", "sh", "-c", reach)
    found = " ".join((said.stdout + said.stderr).split())
    assert f"{UNIT} on orders-1 cannot be masked" in found, found
    assert "PostgreSQL may start as a primary by itself after a reboot" in found
    kept = run_of(machine)
    assert kept["code"] == 1
    assert f"cannot be masked, since /etc/systemd/system/{UNIT}.service is its own file" in json.dumps(kept)
    assert answers(machine)

    machine.run("rm", f"/etc/systemd/system/{UNIT}.service").done()
    machine.systemctl("daemon-reload").done()
    fenced = run_of(machine)
    assert fenced["code"] == 0, fenced["text"]
    assert not answers(machine)
    assert machine.systemctl("is-enabled", UNIT).stdout.strip().startswith("masked")
    assert machine.systemctl("start", UNIT).code != 0
    assert machine.run("test", "-e", f"{DATA}/standby.signal").code == 0
    assert MOVED in machine.run("ip", "-4", "address", "show", "wire0").done().stdout
