"""The servers that tests talk to: rclone's for S3, REST and SFTP, and moto's for what S3 can do besides.

Each is a real process on a loopback port that the system chose.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 30
STOP_SECONDS = 10


class Server:
    """One process; `stop` and `start` may alternate, and the port stays what it was."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.folder = folder
        self.port = 0
        folder.mkdir()
        self._command = command
        self._environment: dict[str, str] = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        self._log = folder.with_name(f"{folder.name}.log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it listens; raises AssertionError with its log when it does not within the deadline."""
        assert self._process is None, "it runs already"
        with self._log.open("wb") as log:
            # setpriv lets the server die with the test process, however that ends.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._command, *self._address()],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.port = self._announced_port()

    def stop(self) -> None:
        """Kill it, as a machine that loses its power would; does nothing when it is stopped."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def _address(self) -> list[str]:
        return ["--addr", f"127.0.0.1:{self.port}"]

    def _announced_port(self) -> int:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if announced := re.search(r"(?:http://|listening on )127\.0\.0\.1:(\d+)", self._log.read_text()):
                return int(announced[1])
            time.sleep(0.02)
        self.stop()
        raise AssertionError(f"It does not listen:\n{self._log.read_text()}")


class RcloneS3(Server):
    """`rclone serve s3`: path-style buckets, one pair of keys, region of any name."""

    def __init__(self, rclone: Path, folder: Path, *, hashes: bool = True) -> None:
        """Without `hashes` a listing shows none, and so need not read each new object once more."""
        super().__init__(_rclone_serve(rclone, "s3", folder, *([] if hashes else ["--etag-hash="])), folder)
        self.access_key = "test-access-key"
        self.secret_key = "test-secret-key"
        self._environment["RCLONE_AUTH_KEY"] = f'"{self.access_key},{self.secret_key}"'

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return the place where restic finds a repository in it."""
        (self.folder / name).mkdir()
        return f"s3:{self.url}/{name}"


class RcloneRest(Server):
    """`rclone serve restic`, with or without the right to delete."""

    def __init__(self, rclone: Path, folder: Path, *, append_only: bool) -> None:
        options = ["--append-only"] if append_only else []
        super().__init__(_rclone_serve(rclone, "restic", folder, *options), folder)
        self.append_only = append_only

    def repository(self, name: str) -> str:
        """The place of a repository on this server, as restic writes it."""
        return f"rest:{self.url}/{name}/"


class RcloneSftp(Server):
    """`rclone serve sftp`: one user who shows a key, and a host key that clients know beforehand.

    It ends a session without an exit status, unlike OpenSSH: ssh then exits 255, which restic 0.14 takes for a failure
    of `init`. Later versions do not mind.
    """

    def __init__(self, rclone: Path, folder: Path) -> None:
        keys = folder.with_name(f"{folder.name}-keys")
        keys.mkdir(mode=0o700)
        self.user = "drd"
        self.key = _new_key(keys / "user")
        self.known_hosts = keys / "known_hosts"
        self._host_key = _new_key(keys / "host")
        options = ["--user", self.user, "--key", str(self._host_key), "--authorized-keys", f"{self.key}.pub"]
        super().__init__(_rclone_serve(rclone, "sftp", folder, *options), folder)

    def start(self) -> None:
        super().start()
        host_key = Path(f"{self._host_key}.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key}")


class MotoS3(Server):
    """moto's S3, which has versioning and object lock but takes any secret; what it holds is gone when it stops."""

    def __init__(self, folder: Path) -> None:
        super().__init__([sys.executable, "-m", "moto.server"], folder)
        self.access_key = "test-access-key"
        self.secret_key = "test-secret-key"

    def _address(self) -> list[str]:
        return ["--host", "127.0.0.1", "--port", str(self.port)]


def _rclone_serve(rclone: Path, protocol: str, folder: Path, *options: str) -> list[str]:
    # No configuration file: what the machine's user has set up for himself must not change a test.
    return [str(rclone), "serve", protocol, str(folder), "--config", "/dev/null", *options]


def _new_key(path: Path) -> Path:
    # An ssh client refuses to start for a user whose key it finds readable by others; ssh-keygen writes it 0600.
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return path
