"""Nodes with real servers, whose shells are reached as over ssh: a program `ssh` that runs what it is told right here.

`sudo` and `systemctl` are programs of the tests too: a unit is a cluster, which is started and stopped by `pg_ctl`.
"""

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from drd.core.node_grants import allowed
from drd.core.secrets import SecretReference
from drd.ports.machines import Machine, Shell
from tests.postgres_lab import Cluster, Lab

SSH = """#!/bin/sh
for word; do shift; [ "$word" != -- ] || break; done
echo "$*" >> {folder}/asked
exec {as_user} env -i PATH={folder}/bin:{programs}:/usr/bin:/bin HOME=/ sh -c "$*"
"""
SUDO = """#!/bin/sh
shift
[ "$1" != -u ] || shift 2
exec "$@"
"""
SYSTEMCTL = """#!/bin/sh
do=$1; [ "$do" != mask ] || shift
[ "$do" != show ] || shift 2
. {folder}/units/$2
pid=$(head -n 1 "$DATA/postmaster.pid" 2>/dev/null)
kill -0 "$pid" 2>/dev/null || pid=
stop() {{ [ -z "$pid" ] || pg_ctl -D "$DATA" -m fast -w stop > /dev/null; }}
case $do in
  show) if [ -n "$pid" ]; then echo ActiveState=active; else echo ActiveState=inactive; fi
        if [ -e {folder}/units/$2.masked ]; then echo LoadState=masked; else echo LoadState=loaded; fi
        echo "MainPID=${{pid:-0}}";;
  mask) touch {folder}/units/$2.masked; stop;;
  unmask) rm -f {folder}/units/$2.masked;;
  stop) stop;;
  start) [ ! -e {folder}/units/$2.masked ] || exit 1
         [ -n "$pid" ] || pg_ctl -D "$DATA" -l "$LOG" -o "$OPTIONS" -t 90 -w start > /dev/null;;
  *) exit 1;;
esac
"""


@dataclass
class DatabaseNodes:
    """Clusters as nodes. `PATH` has to begin with `programs` for drd to find this `ssh`."""

    lab: Lab
    folder: Path

    def __post_init__(self) -> None:
        for name in ("bin", "units"):
            (self.folder / name).mkdir(parents=True)
            (self.folder / name).chmod(0o777)
        self.folder.chmod(0o777)
        (self.folder / "asked").touch()
        (self.folder / "asked").chmod(0o666)
        as_user = "" if self.lab.user is None else f"setpriv --reuid={self.lab.user} --clear-groups"
        for name, text in (("ssh", SSH), ("sudo", SUDO), ("systemctl", SYSTEMCTL)):
            program = self.folder / "bin" / name
            program.write_text(text.format(folder=self.folder, as_user=as_user, programs=self.lab.programs))
            program.chmod(0o755)
        self._clusters: list[Cluster] = []
        self._units: list[str] = []

    @property
    def path(self) -> str:
        """What PATH has to be for drd to find this `ssh`."""
        return f"{self.folder / 'bin'}:{os.environ['PATH']}"

    @property
    def asked(self) -> list[str]:
        """Every command that was given to a node."""
        return (self.folder / "asked").read_text().splitlines()

    def add(self, name: str, cluster: Cluster, dsn: bytes = b"") -> Machine:
        """A cluster as a node of that name, which is its unit too; without a `dsn` drd is a superuser there."""
        options = f"-c port={cluster.port} -c listen_addresses= -c unix_socket_directories={cluster.sockets}"
        if cluster.has_port:
            options = options.replace("listen_addresses=", "listen_addresses=127.0.0.1")
        unit = self.folder / "units" / name
        unit.write_text(f"DATA={cluster.data}\nLOG={cluster.folder}/unit.log\nOPTIONS='{options}'\n")
        self._clusters.append(cluster)
        self._units.append(name)
        secret, key, known = (self.folder / f"{name}.{part}" for part in ("dsn", "key", "known_hosts"))
        secret.write_bytes(dsn or cluster.dsn())
        for file in (key, known):
            file.touch()
        for file in (secret, key):
            file.chmod(0o600)
        return Machine(
            name,
            "127.0.0.1",
            Shell("drd", SecretReference(file=key), known),
            unit=name,
            dsn=SecretReference(file=secret),
            data_directory=cluster.data,
        )

    def close(self) -> None:
        """Stop what units have started, and see that nothing was asked for that `drd grants` does not allow."""
        for cluster in self._clusters:
            words = [self.lab.programs / "pg_ctl", "-D", cluster.data, "-m", "immediate", "stop"]
            subprocess.run(words, capture_output=True, check=False, cwd="/", **self.lab.identity)
            cluster.stop()  # whoever the lab itself had started has ended, and is waited for
        may = {shlex.join(argv) for unit in self._units for argv in allowed("drd", unit)}
        assert set(self.asked) <= may
