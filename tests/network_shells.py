"""Shells of a pair's hosts that are reached over the lab's network: a host that is silent is not.

A program `ssh` runs what it is told in the host's namespace; `sudo` and `systemctl` are programs of the tests too. With
tests/pair_shells.py a host may be switched off and on, and starts its server as systemd would.
"""

import os
import shlex
import signal
import threading
from typing import Any

from drd.core.node_grants import allowed
from tests.failover_site import PATIENCE, PORT
from tests.namespaces import NAMESPACES, SWITCH_OFF
from tests.postgres_lab import Cluster
from tests.postgres_pair import Pair
from tests.system.programs import wait_for

CONNECT_SECONDS = 5
REAPING_SECONDS = 0.05
SSH = """#!/bin/bash
for word; do shift; [ "$word" != -- ] || break; host=${{word#*@}}; done
timeout {connect} bash -c ": < /dev/tcp/$host/22" 2> /dev/null
[ $? != 124 ] || exit 255
echo "$*" >> {folder}/asked
. {folder}/hosts/$host
exec nsenter --net=$NAMESPACE {as_user} env -i PATH={folder}/node:{programs}:/usr/bin:/bin HOME=/ sh -c "$*"
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
is_alive() {{ [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null; }}
left() {{ find /proc/[0-9]*/cwd -maxdepth 0 -lname "$DATA" 2>/dev/null | cut -d/ -f3; }}
stop() {{
  if is_alive; then kill -INT "$pid"; while is_alive; do sleep 0.01; done; fi
  # As systemd does with what a unit leaves behind.
  while pids=$(left) && [ -n "$pids" ]; do kill -9 $pids 2>/dev/null; sleep 0.01; done
}}
# Its parent waits for it, so that its number is free as soon as it has ended, as under systemd.
start() {{
  export DATA OPTIONS
  setsid sh -c 'postgres -D "$DATA" $OPTIONS; :' >> "$LOG" 2>&1 < /dev/null &
  while kill -0 $! 2>/dev/null; do
    pid=$(head -n 1 "$DATA/postmaster.pid" 2>/dev/null)
    if grep -qsx "PPid:[[:space:]]*$!" "/proc/$pid/status"; then
      case $(sed -n 8p "$DATA/postmaster.pid") in ready*|standby*) return 0;; esac
    fi
    sleep 0.02
  done
  return 1
}}
case $do in
  show) if is_alive; then echo ActiveState=active; else echo ActiveState=inactive; pid=0; fi
        echo "MainPID=$pid"
        if [ -e {folder}/units/$2.masked ]; then echo LoadState=masked; else echo LoadState=loaded; fi;;
  mask) touch {folder}/units/$2.masked; stop;;
  unmask) rm -f {folder}/units/$2.masked;;
  stop) stop;;
  start) [ ! -e {folder}/units/$2.masked ] || exit 1
         is_alive || start;;
  *) exit 1;;
esac
"""


class NetworkShells:
    """The shells of both hosts. drd finds this `ssh` when its PATH begins with `programs`."""

    def __init__(self, pair: Pair) -> None:
        lab = pair.lab
        self.folder = lab.folder / f"shells-{pair.service}"
        for name in ("front", "node", "units", "hosts"):
            (self.folder / name).mkdir(parents=True)
        for folder in (self.folder, self.folder / "units"):
            folder.chmod(0o777)
        as_user = "" if lab.user is None else f"setpriv --reuid={lab.user} --regid={lab.user} --clear-groups"
        given = {"folder": self.folder, "as_user": as_user, "programs": lab.programs, "connect": CONNECT_SECONDS}
        for place, text in (("front/ssh", SSH), ("node/sudo", SUDO), ("node/systemctl", SYSTEMCTL)):
            (self.folder / place).write_text(text.format(**given))
            (self.folder / place).chmod(0o755)
        for name in pair.nodes:
            host, home = pair.host(name), lab.folder / name
            (self.folder / "hosts" / host.address).write_text(f"NAMESPACE={NAMESPACES / host.namespace}\n")
            options = f"-c port={PORT} -c listen_addresses={host.address} -c unix_socket_directories={home / 's'}"
            unit = f"DATA={home / 'data'}\nLOG={home / 'unit.log'}\nOPTIONS='{options}'\n"
            (self.folder / "units" / name).write_text(unit)
            switch = self.folder / f"{name}.off"
            switch.write_text(SWITCH_OFF.format(namespace=host.namespace))
            switch.chmod(0o755)
        self._pair = pair
        self._is_closed = threading.Event()
        threading.Thread(target=self._wait_for_the_dead, daemon=True).start()
        for name in ("key", "known_hosts"):
            (self.folder / name).touch(mode=0o600)

    def close(self) -> None:
        """Leave the hosts to themselves."""
        self._is_closed.set()

    def _wait_for_the_dead(self) -> None:
        """As long as a server's number is taken, though by one that has ended, no other one starts in its place."""
        while not self._is_closed.wait(REAPING_SECONDS):
            for cluster in tuple(self._pair.servers.values()):
                _ = cluster.is_running

    @property
    def path(self) -> str:
        """What PATH has to be for drd to find this `ssh`."""
        return f"{self.folder / 'front'}:{os.environ['PATH']}"

    def settings(self, name: str) -> dict[str, Any]:
        """What drd.yaml says of a node's shell and power; a host whose power was cut is there again at once."""
        key, known = self.folder / "key", self.folder / "known_hosts"
        return {
            "ssh": {"user": "drd", "key": {"file": str(key)}, "known_hosts": str(known)},
            "power": {"command": [str(self.folder / f"{name}.off")]},
        }

    def assert_only_what_grants_allow(self) -> None:
        """Nothing was asked of a shell that `drd grants` does not let drd do."""
        asked = self.folder / "asked"
        may = {shlex.join(argv) for unit in self._pair.nodes for argv in allowed("drd", unit)}
        assert set(asked.read_text().splitlines() if asked.exists() else ()) <= may


def kill_postmaster(cluster: Cluster) -> None:
    """Kill -9 of a server's first process, whoever has started it."""
    os.kill(int((cluster.data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    wait_for(lambda: not cluster.is_running, "it has ended", PATIENCE)
