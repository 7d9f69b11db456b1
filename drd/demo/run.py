"""`drd demo run`: the main job on embedded defaults, with nothing to configure."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from drd.app.process import run as run_daemon
from drd.clients.clock import SystemClock
from drd.clients.journal import StateLock
from drd.core.errors import UsageError
from drd.demo.offsite import offsite_server
from drd.demo.platform import Platform

BUCKET = "drd"
PORT = 9476

_SETTINGS = """\
# Written by `drd demo run`; everything of the demonstration lies in this folder.
site: hangzhou
timezone: Asia/Shanghai
state: {folder}/state
data: {folder}/platform
restic: {restic}
policies: {policies}
runbooks: {runbooks}
sites:
  hangzhou: {{latitude: 30.25, longitude: 120.17}}
  xian:     {{latitude: 34.34, longitude: 108.94}}
stores:
  local:
    local: {folder}/local/repository
    site: hangzhou
    password: {{file: {folder}/secrets/local}}
  offsite:
    s3:
      endpoint: http://127.0.0.1:{port}
      bucket: {bucket}
      region: cn-northwest-1
      credentials: {{file: {folder}/secrets/s3}}
    site: xian
    password: {{file: {folder}/secrets/offsite}}
people:
  sre-on-call: {{name: SRE on call, deputy: sre-lead}}
  sre-lead: {{name: SRE lead}}
  dba-on-call: {{name: Database administrator on call, deputy: sre-lead}}
  community-on-call: {{name: Community team on call, deputy: sre-on-call}}
http: {{listen: 127.0.0.1:{listen}}}
"""


async def run_demo(
    folder: Path, policies: Path, runbooks: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> int:
    """Start the platform, the off-site server and the daemon, until SIGTERM or SIGINT; keeps its data in `folder`."""
    for needed in (policies, runbooks):
        if not needed.is_dir():
            raise UsageError(
                f"there is no folder {needed}", "type: make run, in the folder that holds policies/ and runbooks/"
            )
    folder, policies, runbooks = (path.absolute() for path in (folder, policies, runbooks))
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    with StateLock(folder, SystemClock()):
        return await _live(folder, policies, runbooks, environment, say)


async def _live(
    folder: Path, policies: Path, runbooks: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> int:
    listen = environment.get("DRD_DEMO_PORT", str(PORT))
    if not listen.isdigit():
        raise UsageError(f"DRD_DEMO_PORT is {listen!r}, which is no port", "type: DRD_DEMO_PORT=0 make run")
    access_key, secret_key = await asyncio.to_thread(_furnish, folder)
    platform = Platform(folder / "platform")
    await asyncio.to_thread(platform.found)
    async with offsite_server(folder / "offsite", access_key, secret_key, _last_port(folder)) as port:
        settings = await asyncio.to_thread(_configure, folder, policies, runbooks, port, int(listen))
        say(f"a shop platform lives in {folder / 'platform'}")
        say(f"its off-site S3 server, as if in another town, listens on 127.0.0.1:{port}")
        say(f"in another terminal: export DRD_CONFIG={settings}; .venv/bin/drd status")
        living = asyncio.create_task(platform.live(), name="platform")
        try:
            plain = {name: value for name, value in environment.items() if name != "DRD_DEMO_PORT"}
            return await run_daemon(settings, plain, say)
        finally:
            living.cancel()


def _furnish(folder: Path) -> tuple[str, str]:
    """Folders, and secrets that only this user can read; made once."""
    for name in ("state", "platform", "local", f"offsite/{BUCKET}", "secrets"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700 if name == "secrets" else 0o755)
    for name in ("local", "offsite"):
        _secret(folder / "secrets" / name, secrets.token_urlsafe(32))
    keys = _secret(folder / "secrets" / "s3", f"{secrets.token_hex(10)}:{secrets.token_urlsafe(30)}")
    access_key, _, secret_key = keys.partition(":")
    return access_key, secret_key


def _configure(folder: Path, policies: Path, runbooks: Path, port: int, listen: int) -> Path:
    """Write drd.yaml and return its path."""
    (folder / "offsite.port").write_text(f"{port}\n")
    settings = folder / "drd.yaml"
    # Commands in another terminal have another PATH.
    restic = shutil.which("restic") or "restic"
    settings.write_text(
        _SETTINGS.format(
            folder=folder, policies=policies, runbooks=runbooks, restic=restic, port=port, bucket=BUCKET, listen=listen
        )
    )
    return settings


def _secret(path: Path, fresh: str) -> str:
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(f"{fresh}\n")
    return path.read_text().strip()


def _last_port(folder: Path) -> int:
    """The port of the last time, so that the configuration stays the same where it can; 0 for any."""
    try:
        port = int((folder / "offsite.port").read_text())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, ValueError):
        return 0
    return port
