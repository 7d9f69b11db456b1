"""Shells and power of a pair's hosts (tests/postgres_pair.py), as drd reaches them over ssh.

A program `ssh` has what it is told run on the host of that address; `sudo` and `systemctl` are programs of the tests
too. The unit starts its server as systemd does with the drop-in that is shipped, systemd/postgresql-as-standby.conf.
A host whose power is off has no shell.
"""

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.namespaces import NAMESPACES, SWITCH_OFF
from tests.postgres_pair import Pair

DROP_IN = Path(__file__).parents[1] / "systemd" / "postgresql-as-standby.conf"
SSH = """#!/bin/sh
for word; do shift; [ "$word" != -- ] || break; to=${{word#*@}}; done
[ -d {folder}/hosts/$to ] && [ ! -e {folder}/hosts/$to/is-off ] || exit 255
exec nsenter --net=$(cat {folder}/hosts/$to/namespace) \\
    env -i PATH={folder}/bin:{programs}:/usr/bin:/bin HOME=/ sh -c "$*"
"""
SUDO = """#!/bin/sh
shift
if [ "$1" = -u ]; then shift 2; exec setpriv {identity} -- "$@"; fi
exec "$@"
"""
SYSTEMCTL = """#!/bin/sh
cd /
do=$1; [ "$do" != mask ] || shift
[ "$do" != show ] || shift 2
. {folder}/units/$2
pid=$(head -n 1 "$DATA/postmaster.pid" 2>/dev/null)
kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.*Z' "/proc/$pid/status" || pid=
as_owner() {{ setpriv {identity} -- env DRD_DATA_DIRECTORY="$DATA" "$@"; }}
stop() {{ [ -z "$pid" ] || as_owner pg_ctl -D "$DATA" -m fast -w stop > /dev/null; }}
case $do in
  show) if [ -n "$pid" ]; then echo ActiveState=active; else echo ActiveState=inactive; fi
        if [ -e {folder}/units/$2.masked ]; then echo LoadState=masked; else echo LoadState=loaded; fi
        echo "MainPID=${{pid:-0}}";;
  mask) touch {folder}/units/$2.masked; stop;;
  unmask) rm -f {folder}/units/$2.masked;;
  stop) stop;;
  start) [ ! -e {folder}/units/$2.masked ] || exit 1
         [ -z "$pid" ] || exit 0
         as_owner sh -e < {folder}/before &&
         as_owner pg_ctl -D "$DATA" -l "$LOG" -o "$OPTIONS" -t 90 -w start > /dev/null &&
         as_owner sh -e < {folder}/after;;
  *) exit 1;;
esac
"""


class PairShells:
    """The hosts' shells, units and power switches, in a folder; the servers of the pair run already."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        self.pair = pair
        self.folder = folder
        for name in ("bin", "units", "hosts"):
            (folder / name).mkdir(parents=True)
        lab = pair.lab
        identity = f"--reuid={lab.user} --regid={pwd.getpwnam(str(lab.user)).pw_gid} --clear-groups"
        for name, text in (("ssh", SSH), ("sudo", SUDO), ("systemctl", SYSTEMCTL)):
            self._program(f"bin/{name}", text.format(folder=folder, programs=lab.programs, identity=identity))
        for name, key in (("before", "ExecStartPre"), ("after", "ExecStartPost")):
            (folder / name).write_text(_of_drop_in(key))
        for name, cluster in pair.servers.items():
            options = f"-c port={cluster.port} -c listen_addresses={cluster.address}"
            options += f" -c unix_socket_directories={cluster.sockets}"
            (folder / "units" / name).write_text(
                f"DATA={cluster.data}\nLOG={cluster.folder}/unit.log\nOPTIONS='{options}'\n"
            )
            host = self._host(name)
            host.mkdir()
            (host / "namespace").write_text(str(NAMESPACES / pair.host(name).namespace))
            off = SWITCH_OFF.format(namespace=pair.host(name).namespace)
            # Nobody gets a shell there while it goes off.
            self._program(f"{name}.off", off.replace("tries=0", f"touch {host}/is-off\ntries=0", 1))
            # As if its unit had started it.
            boot = cluster.data / "drd-boot"
            boot.write_text(Path("/proc/sys/kernel/random/boot_id").read_text())
            shutil.chown(boot, lab.user)

    @property
    def path(self) -> str:
        """What PATH has to be for drd to find this `ssh`."""
        return f"{self.folder / 'bin'}:{os.environ['PATH']}"

    def settings(self, name: str) -> dict[str, Any]:
        """What drd.yaml says of a node's shell and power."""
        key, known = self.folder / "key", self.folder / "known_hosts"
        for file in (key, known):
            file.touch(mode=0o600)
        return {
            "ssh": {"user": "drd", "key": {"file": str(key)}, "known_hosts": str(known)},
            "power": {"command": [str(self.folder / f"{name}.off")]},
        }

    def systemctl(self, name: str, *words: str) -> int:
        """Have somebody type it on a host; its exit code."""
        command = [*self.pair.host(name).enter, str(self.folder / "bin" / "systemctl"), *words, name]
        environment = {"PATH": f"{self.folder / 'bin'}:{self.pair.lab.programs}:/usr/bin:/bin"}
        return subprocess.run(command, env=environment, check=False, timeout=120).returncode

    def power_off(self, name: str) -> None:
        """Cut a host's power."""
        (self._host(name) / "is-off").touch()
        self.pair.host(name).lose_power()
        self.pair.servers[name].kill()  # and nothing of it stays, as its shared memory

    def power_on(self, name: str) -> int:
        """Give it back: the unit starts unless it is masked. Returns systemd's answer."""
        self.pair.host(name).heal()
        (self._host(name) / "is-off").unlink(missing_ok=True)
        boot = self.pair.servers[name].data / "drd-boot"
        if boot.exists():
            boot.write_text("an earlier boot\n")
        return self.systemctl(name, "start")

    def _host(self, name: str) -> Path:
        return self.folder / "hosts" / self.pair.host(name).address

    def _program(self, name: str, text: str) -> None:
        program = self.folder / name
        program.write_text(text)
        program.chmod(0o755)


def _of_drop_in(key: str) -> str:
    """What systemd has sh run for a key of the drop-in."""
    match = re.search(rf"^{key}=/bin/sh -ec '([^']*)'$", DROP_IN.read_text().replace("\\\n", ""), re.MULTILINE)
    assert match is not None
    return match[1].replace("%%", "%")
