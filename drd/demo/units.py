"""What stands for ssh, sudo and systemd on the demonstration's nodes, whose servers are children of `drd demo run`.

Each node has a folder of programs, with a shell that drd.yaml names (`shell: {command: …}`). Its `systemctl` stops and
masks the server itself; to start it, it leaves a word for the demonstration, so that the server ends with that.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from drd.core.errors import DrdError
from drd.demo.leftover import end_leftover
from drd.demo.server import Server, owner_of

USER: Final = "postgres"
"""Whom drd takes itself for on a node: the owner of the data."""
UNIT: Final = "postgresql@15-main"
"""As the shipped runbooks call it."""
MASKED, WANTED, FAILED, STARTED = "masked", "start-wanted", "start-failed", "started"
LOOK_SECONDS: Final = 0.1
_SHELL: Final = """\
#!/bin/sh
# The shell of this node: drd names it in drd.yaml, and it runs what drd asks for as the owner of the server.
cd /
exec {as_owner}env -i PATH={path} HOME=/ "$@"
"""
_SUDO: Final = """\
#!/bin/sh
# What drd asks root for here is always systemctl, which stands beside this.
[ "$1" != -n ] || shift
exec "$@"
"""
_SYSTEMCTL: Final = """\
#!/bin/sh
# Stands for systemd over the one server of this node.
folder={folder}
lock="$folder/data/postmaster.pid"
is_alive() {{
    # A number that somebody else has got meanwhile is of no server there, nor is that of one that has ended.
    pid=$(head -n 1 "$lock" 2>/dev/null) && [ "$(readlink "/proc/$pid/cwd")" = "$folder/data" ]
}}
stop() {{
    rm -f "$folder/{wanted}"
    tries=0
    while is_alive && [ "$tries" -lt 600 ]; do
        [ "$tries" -gt 0 ] || kill -INT "$pid"  # "fast"
        tries=$((tries + 1))
        sleep 0.05
    done
    "$folder/power-off"  # as systemd does with what a unit leaves
}}
start() {{
    [ ! -e "$folder/{masked}" ] || {{ echo "the unit is masked" >&2; exit 1; }}
    ! is_alive || exit 0
    rm -f "$folder/{failed}"
    : > "$folder/{wanted}"
    tries=0
    while [ -e "$folder/{wanted}" ] && [ "$tries" -lt 1200 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
    is_alive || {{ cat "$folder/{failed}" >&2; exit 1; }}
}}
case $1 in
    show)
        if is_alive; then echo ActiveState=active; else echo ActiveState=inactive; pid=0; fi
        echo "MainPID=$pid"
        echo "ActiveEnterTimestamp=@$(stat -c %Y "$folder/{started}" 2>/dev/null || echo 0)"
        if [ -e "$folder/{masked}" ]; then echo LoadState=masked; else echo LoadState=loaded; fi ;;
    mask) : > "$folder/{masked}"; [ "$2" != --now ] || stop ;;
    unmask) rm -f "$folder/{masked}" ;;
    start) start ;;
    stop) stop ;;
    restart) stop; start ;;
    reload) is_alive && kill -HUP "$pid" ;;
    *) echo "$1 is not known here" >&2; exit 1 ;;
esac
"""


class Units:
    """The servers of all nodes; each has a folder of its name, in which its `data` and its `power-off` lie."""

    def __init__(self, folder: Path, servers: Mapping[str, Server]) -> None:
        self._folder = folder
        self._servers = servers

    def prepare(self) -> None:
        """Write the nodes' programs, and forget what was asked of an earlier demonstration."""
        for name, server in self._servers.items():
            node = self._folder / name
            for left in (MASKED, WANTED, FAILED):
                (node / left).unlink(missing_ok=True)
            (node / STARTED).touch()
            path = f"{node / 'bin'}:{server.programs.folder}:/usr/bin:/bin"
            given = {"folder": shlex.quote(str(node)), "path": shlex.quote(path)}
            given |= {"masked": MASKED, "wanted": WANTED, "failed": FAILED, "started": STARTED}
            given["as_owner"] = _as(server.data)
            (node / "bin").mkdir(exist_ok=True)
            (node / "bin").chmod(0o755)
            for program, text in (("shell", _SHELL), ("sudo", _SUDO), ("systemctl", _SYSTEMCTL)):
                (node / "bin" / program).write_text(text.format(**given))
                (node / "bin" / program).chmod(0o755)

    async def serve(self, say: Callable[[str], None]) -> None:
        """Start what is asked for, until cancelled."""
        while True:
            for name, server in self._servers.items():
                if (self._folder / name / WANTED).exists():
                    await self._start(self._folder / name, server, say)
            await asyncio.sleep(LOOK_SECONDS)

    async def _start(self, node: Path, server: Server, say: Callable[[str], None]) -> None:
        try:
            await server.stop()
            await end_leftover(server.data, say)
            port = server.port
            await server.start(say)
            if (node / MASKED).exists() or server.port != port:  # fenced meanwhile, or where nobody looks for it
                await server.stop()
                (node / FAILED).write_text(f"the unit was masked, or port {port} is taken by another program\n")
            (node / STARTED).touch()
        except (DrdError, OSError, ValueError, IndexError) as error:
            (node / FAILED).write_text(f"{error}\n")
        (node / WANTED).unlink(missing_ok=True)


def shell_of(folder: Path, node: str) -> Path:
    """The program that reaches a node's shell."""
    return folder / node / "bin" / "shell"


def _as(data: Path) -> str:
    """What makes a command one of the server's owner, where that is not us."""
    owner = owner_of(data)
    if owner is None or pwd.getpwnam(owner).pw_uid == os.geteuid():
        return ""
    group = pwd.getpwnam(owner).pw_gid
    return f"{shlex.join(['setpriv', f'--reuid={owner}', f'--regid={group}', '--clear-groups', '--'])} "
