"""A machine that systemd has booted: this one's own files under an overlay, in a container of systemd-nspawn.

Everything that is written there lies in memory and is gone with it. Its mounts are in a namespace of their own, so that
not even a test run that is killed leaves any behind.
"""

import fcntl
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.system.disks import require_root
from tests.system.programs import Finished, Running, wait_for

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "drd.service"
PASSWORD = "the-password-of-a-credential-5527"
COMMAND_SECONDS = 60.0
ALL_OF_IT = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")
"""What a command shares with the machine, in nsenter's words."""
LOCK = Path(tempfile.gettempdir()) / "drd-test-systemd.lock"
"""systemd-nspawn uses one place in the tree of control groups where no systemd runs outside, so one boots at a time."""

# Nothing of this machine's own services is started, mounted or told the time there: only what drd.service asks for.
BOOT = """
set -eu
root=$1/root
mount -t tmpfs -o size=128m,mode=0755 drd-test "$1"
mkdir "$1/upper" "$1/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" drd-test "$root"
: > "$root/etc/fstab"
units=$root/etc/systemd/system
ln -sfn /dev/null "$units/timers.target"
printf '[Unit]\\nRequires=basic.target\\nAfter=basic.target\\nAllowIsolate=yes\\n' > "$units/drd-test.target"
id drd > /dev/null 2>&1 ||
    useradd --root "$root" --system --home-dir /var/lib/drd --shell /usr/sbin/nologin drd
install -m 0644 "$2" "$units/drd.service"
ln -sfn "$3" "$root/usr/bin/drd"
shift 3
exec systemd-nspawn --register=no --private-network --link-journal=no --directory="$root" "$@" \\
    --boot -- --unit=drd-test.target
"""


class Booted:
    """The machine. `/etc/drd` and `/srv` of it are the folders `etc` and `srv`."""

    def __init__(self, folder: Path, restic: Path) -> None:
        self.etc = folder / "etc"
        self.srv = folder / "srv"
        self._restic = restic
        self._log = folder / "console.log"
        over = folder / "over"
        for each in (self.etc, self.srv, over):
            each.mkdir()
        self.needed = tuple(dict.fromkeys((ROOT, Path(sys.prefix).resolve(), restic.parent.resolve())))
        """What drd needs of this machine, wherever it is mounted; below /tmp, say, which the unit has for itself."""
        binds = [f"--bind-ro={place}" for place in self.needed]
        binds += [f"--bind={self.etc}:/etc/drd", f"--bind={self.srv}:/srv"]
        # Where systemd runs outside it gives the container a place of its own in the tree of control groups.
        keep = [] if Path("/run/systemd/system").exists() else ["--keep-unit"]
        words = [str(over), str(UNIT), str(Path(sys.prefix) / "bin" / "drd"), *binds, *keep]
        self._container = Running(
            ["unshare", "--mount", "sh", "-c", BOOT, "sh", *words], {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, self._log
        )
        self._leader = 0

    def wait_until_booted(self) -> None:
        """Return when everything that the units may rely on is there."""
        wait_for(self._has_booted, "systemd has booted")

    def run(self, *words: str) -> Finished:
        """Run a command there, as root, to its end."""
        ended = subprocess.run(
            ["nsenter", f"--target={self._leader}", *ALL_OF_IT, "--", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return Finished(ended.returncode, ended.stdout, ended.stderr)

    def systemctl(self, *words: str) -> Finished:
        return self.run("systemctl", *words)

    def drd(self, *words: str) -> Finished:
        """Run a command of drd's there, as the daemon's user."""
        return self.run("runuser", "-u", "drd", "--", "drd", "--config", "/etc/drd/drd.yaml", *words)

    def property(self, name: str) -> str:
        """What systemd knows of the service."""
        return self.systemctl("show", "drd", "--value", "--property", name).done().stdout.strip()

    def start(self) -> None:
        """Start the service and wait until it is ready."""
        started = self.systemctl("start", "drd")
        assert started.code == 0, f"{started.stderr}\n{self.log()}"

    def log(self) -> str:
        """What the service has said so far."""
        return self.run("journalctl", "--unit=drd", "--output=cat", "--no-pager").done().stdout

    def configure(self, *lines: str, http: str | None = None) -> None:
        """Write the configuration and, as `systemctl edit drd` does, what the unit leaves to each machine."""
        settings: dict[str, Any] = {
            "site": "hangzhou",
            "state": "/var/lib/drd",
            "restic": str(self._restic.resolve()),
            "sites": {"hangzhou": {"latitude": 30.25, "longitude": 120.17}},
            "stores": {
                "local": {
                    "local": "/srv/drd/repository",
                    "site": "hangzhou",
                    "password": {"credential": "restic-local"},
                }
            },
            "http": {"listen": http},
        }
        (self.etc / "drd.yaml").write_text(json.dumps(settings))
        secret = self.etc / "secrets" / "restic-local"
        secret.parent.mkdir(mode=0o700, exist_ok=True)
        secret.write_text(f"{PASSWORD}\n")
        secret.chmod(0o600)
        own = [
            "LoadCredential=restic-local:/etc/drd/secrets/restic-local",
            "ReadWritePaths=/srv/drd",
            *(f"BindReadOnlyPaths={place}" for place in self.needed),
            *lines,
        ]
        drop_in = "\n".join(["[Service]", *own, ""])
        self.run("mkdir", "-p", "/etc/systemd/system/drd.service.d").done()
        self.run("sh", "-c", f"cat > /etc/systemd/system/drd.service.d/override.conf <<'END'\n{drop_in}END\n").done()
        self.systemctl("daemon-reload").done()

    def write_policy(self, name: str, **backup: Any) -> None:
        """Protect `/srv/<name>`."""
        plan = {
            "source": {"files": {"paths": [f"/srv/{name}"]}},
            "full": {"every": "30d"},
            "incremental": {"every": "30d"},
            "to": ["local"],
            "keep": {"last": 3},
        }
        (self.etc / "policies").mkdir(exist_ok=True)
        (self.etc / "policies" / f"{name}.yaml").write_text(json.dumps({"policy": name, "backup": {**plan, **backup}}))

    def shut_down(self) -> None:
        """Power off."""
        self._container.stop()

    def _has_booted(self) -> bool:
        assert self._container.is_alive, self._container.said()
        inside = psutil.Process(self._container.pid).children()
        if not inside:
            return False
        self._leader = inside[0].pid
        return self.run("systemctl", "is-active", "--quiet", "drd-test.target").code == 0


@contextmanager
def booted_machine(folder: Path, restic: Path) -> Iterator[Booted]:
    """A machine with the unit installed, and nothing of it started; the only one at a time."""
    require_root()
    if shutil.which("systemd-nspawn") is None:
        pytest.fail("systemd-nspawn is missing; type: apt-get install systemd-container", pytrace=False)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        machine = Booted(folder, restic)
        try:
            machine.wait_until_booted()
            yield machine
        finally:
            machine.shut_down()
