"""`drd demo run`: the main job on embedded defaults, with nothing to configure."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from drd.app.process import run as run_daemon
from drd.clients.clock import SystemClock
from drd.clients.journal import StateLock
from drd.core.errors import UsageError
from drd.demo.chat import chat_room
from drd.demo.database import DATA, FOLDER, NODES, PROXIED, shop_database, socket_of, state_of, switch_of
from drd.demo.files import arrange
from drd.demo.meanwhile import meanwhile
from drd.demo.offsite import offsite_server
from drd.demo.orders import Acknowledged, keep_ordering
from drd.demo.platform import Platform
from drd.demo.ports import is_free, noted_port
from drd.demo.secret_files import kept, put
from drd.demo.sold import NOTE
from drd.demo.units import UNIT, USER, shell_of

BUCKET = "drd"
PORT = 9476
SOCKET = "/run/haproxy/admin.sock"
"""Where the shipped runbooks look for HAProxy; here it is somewhere else."""
PROXY_STATE = "/var/lib/haproxy/server-state"
"""Where they keep what it must not forget."""
USERS = "{credential: orders}"
"""How the shipped policy goes the way of the service's users."""
_NODE = """\
  {name}:
    host: 127.0.0.1
    site: hangzhou
    postgres:
      dsn: {{file: {folder}/secrets/{name}}}
      data_directory: {data}
      unit: {unit}
    shell: {{user: {user}, command: [{shell}]}}
    power: {{command: [{switch}]}}
"""

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
nodes:
{nodes}people:
  sre-on-call: {{name: SRE on call, deputy: sre-lead, notify: [{chat}]}}
  sre-lead: {{name: SRE lead, notify: [{chat}]}}
  dba-on-call: {{name: Database administrator on call, deputy: sre-lead, notify: [{chat}]}}
  community-on-call: {{name: Community team on call, deputy: sre-on-call, notify: [{chat}]}}
http: {{listen: 127.0.0.1:{listen}}}
"""


async def run_demo(
    folder: Path,
    policies: Path,
    runbooks: Path,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    *,
    is_watched: bool = False,
) -> int:
    """Start the platform, the off-site server and the daemon, until SIGTERM or SIGINT; keeps its data in `folder`.

    `is_watched`: `say` fills a terminal.
    """
    for needed in (policies, runbooks):
        if not needed.is_dir():
            raise UsageError(
                f"there is no folder {needed}", "type: make run, in the folder that holds policies/ and runbooks/"
            )
    # Without links: another user, whom PostgreSQL may need, goes the whole way.
    folder, policies, runbooks = (path.resolve() for path in (folder, policies, runbooks))
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    with StateLock(folder, SystemClock()):
        return await _until_told(_live(folder, policies, runbooks, environment, say, is_watched))


async def _until_told(living: Coroutine[object, object, int]) -> int:
    """Live. A signal to stop that comes before the daemon listens to it stops what was started so far: 0."""
    loop, is_told = asyncio.get_running_loop(), asyncio.Event()
    life = asyncio.create_task(living)

    def stop() -> None:
        is_told.set()
        life.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        return await life
    except asyncio.CancelledError:
        if is_told.is_set():
            return 0
        raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _live(
    folder: Path,
    policies: Path,
    runbooks: Path,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    is_watched: bool,
) -> int:
    listen = environment.get("DRD_DEMO_PORT", str(PORT))
    if not listen.isdigit():
        raise UsageError(f"DRD_DEMO_PORT is {listen!r}, which is no port", "type: DRD_DEMO_PORT=0 make run")
    access_key, secret_key = await asyncio.to_thread(_furnish, folder)
    port_note = folder / "offsite.port"
    async with (
        _platform(folder / "platform"),
        chat_room(say) as chat,
        _shop(folder, say),
        offsite_server(folder / "offsite", access_key, secret_key, _last_port(port_note)) as port,
    ):
        port_note.write_text(f"{port}\n")
        put(folder / "secrets" / "chat", chat)
        settings = await asyncio.to_thread(_configure, folder, policies, runbooks, port, int(listen))
        say(f"its off-site S3 server, as if in another town, listens on 127.0.0.1:{port}")
        say(f"in another terminal: export DRD_CONFIG={settings}; .venv/bin/drd status")
        plain = {name: value for name, value in environment.items() if name != "DRD_DEMO_PORT"}
        return await run_daemon(settings, plain, say, is_watched=is_watched)


@asynccontextmanager
async def _platform(folder: Path) -> AsyncIterator[None]:
    platform = Platform(folder)
    await asyncio.to_thread(platform.found)
    async with meanwhile(platform.live()):
        yield


@asynccontextmanager
async def _shop(folder: Path, say: Callable[[str], None]) -> AsyncIterator[None]:
    async with shop_database(folder / FOLDER, folder / "secrets", say) as dsn:
        say(f"a shop platform lives in {folder / 'platform'}, and takes orders into PostgreSQL at {dsn.place}")
        async with meanwhile(keep_ordering(dsn, Acknowledged(folder / FOLDER / NOTE))):
            yield


def _furnish(folder: Path) -> tuple[str, str]:
    """Folders, and secrets that only this user can read; made once."""
    for name in ("state", "platform", "local", f"offsite/{BUCKET}", "secrets"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700 if name == "secrets" else 0o755)
    for name in ("local", "offsite"):
        kept(folder / "secrets" / name)
    keys = kept(folder / "secrets" / "s3", f"{secrets.token_hex(10)}:{secrets.token_urlsafe(30)}")
    access_key, _, secret_key = keys.partition(":")
    return access_key, secret_key


def _configure(folder: Path, policies: Path, runbooks: Path, port: int, listen: int) -> Path:
    """Write drd.yaml and return its path."""
    settings = folder / "drd.yaml"
    # Commands in another terminal have another PATH.
    restic = shutil.which("restic") or "restic"
    nodes = "".join(_node(folder, name) for name in NODES)
    addresses = {SOCKET: str(socket_of(folder)), PROXY_STATE: str(state_of(folder))}
    addresses[USERS] = f"{{file: {folder / 'secrets' / PROXIED}}}"
    policies, runbooks = arrange(folder, policies, runbooks, NODES, addresses)
    given = {"policies": policies, "runbooks": runbooks, "nodes": nodes, "restic": restic}
    given["chat"] = f"{{file: {folder / 'secrets' / 'chat'}}}"
    settings.write_text(_SETTINGS.format(folder=folder, port=port, bucket=BUCKET, listen=listen, **given))
    return settings


def _node(folder: Path, name: str) -> str:
    data, shell = folder / FOLDER / name / DATA, shell_of(folder / FOLDER, name)
    given = {"data": data, "shell": shell, "switch": switch_of(folder, name), "unit": UNIT, "user": USER}
    return _NODE.format(folder=folder, name=name, **given)


def _last_port(note: Path) -> int:
    port = noted_port(note)
    return port if port and is_free(port) else 0
