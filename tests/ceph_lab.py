"""Ceph on one machine, for its S3: a monitor, an object store in memory and radosgw, each a real daemon."""

import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import boto3.session

from tests.stores.sshd import free_port

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "ceph", "ceph-authtool", "monmaptool", "radosgw-admin")
START_SECONDS = 90
COMMAND_SECONDS = 60
ACCESS_KEY = "AKDRDWRITER"
SECRET_KEY = "SKDRDWRITERSECRET"
SETTINGS = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{monitor}]
mon initial members = a
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
run dir = {folder}
pid file = {folder}/$name.pid
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
mon cluster log file = {folder}/cluster.log
osd objectstore = memstore
memstore device bytes = 1073741824
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
"""


def missing() -> list[str]:
    """The programs that it takes and this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Ceph:
    """One cluster in a folder, whose user `drd` may do in S3 what the owner of a bucket may."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._settings = folder / "ceph.conf"
        self._daemons: list[subprocess.Popen[bytes]] = []
        self.url = ""

    def start(self) -> None:
        """Make and start everything; raises AssertionError when something does not come up."""
        fsid, monitor, port = str(uuid.uuid4()), free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._settings.write_text(SETTINGS.format(fsid=fsid, monitor=monitor, port=port, folder=self._folder))
        keyring = self._folder / "keyring"
        for name in ("mon.", "client.admin", "client.rgw", "osd.0"):
            rights = [word for kind in ("mon", "osd", "mgr") for word in ("--cap", kind, "allow *")]
            create = [] if keyring.exists() else ["--create-keyring"]
            _run("ceph-authtool", *create, str(keyring), "--gen-key", "-n", name, *rights)
        monitors = str(self._folder / "monmap")
        _run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{monitor}]", monitors)
        for name in ("mon", "osd"):
            (self._folder / name).mkdir()
        self._ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--keyring", str(keyring))
        self._start("ceph-mon", "-i", "a")
        _wait(lambda: self._answers("status"), "the monitor answers")
        self._ceph("ceph", "auth", "import", "-i", str(keyring))
        store = str(uuid.uuid4())
        self._ceph("ceph", "osd", "new", store, "0")
        self._ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
        self._start("ceph-osd", "-i", "0")
        _wait(self._has_storage, "the object store is up")
        self._start("radosgw", "-n", "client.rgw")
        names = ("--uid", "drd", "--display-name", "drd", "--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY)
        self._ceph("radosgw-admin", "user", "create", *names)
        _wait(self._serves, "radosgw answers")

    def stop(self) -> None:
        """Kill everything."""
        for daemon in reversed(self._daemons):
            daemon.kill()
            daemon.wait()
        self._daemons.clear()

    def _start(self, program: str, *words: str) -> None:
        with (self._folder / f"{program}.out").open("wb") as log:
            command = ["setpriv", "--pdeathsig", "KILL", program, "-c", str(self._settings), "-f", *words]
            self._daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def _ceph(self, program: str, *words: str) -> str:
        return _run(program, "-c", str(self._settings), *words)

    def _answers(self, *words: str) -> bool:
        command = ["ceph", "-c", str(self._settings), "--connect-timeout", "5", *words]
        return subprocess.run(command, capture_output=True, check=False, timeout=COMMAND_SECONDS).returncode == 0

    def _has_storage(self) -> bool:
        return bool(json.loads(self._ceph("ceph", "osd", "stat", "--format", "json"))["num_up_osds"])

    def _serves(self) -> bool:
        client = boto3.session.Session(ACCESS_KEY, SECRET_KEY, region_name="us-east-1").client(
            "s3", endpoint_url=self.url
        )
        try:
            client.list_buckets()
        except OSError:
            return False
        except Exception as error:  # boto3 makes its own classes of what the server answers
            if "connect" in str(error).lower():
                return False
            raise
        finally:
            client.close()
        return True


def _run(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
    assert ended.returncode == 0, f"{command}: {ended.stderr}"
    return ended.stdout


def _wait(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {START_SECONDS} s: {what}"
        time.sleep(0.2)
