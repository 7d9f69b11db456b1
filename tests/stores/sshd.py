"""A real OpenSSH server on loopback that offers nothing but sftp, run by an ordinary user."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

START_SECONDS = 30
STOP_SECONDS = 10


class Sshd:
    """Lets the key `user_key` in; `stop` and `start` may alternate."""

    def __init__(self, parts: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="drd-sshd-"))
        self.folder.chmod(0o755)
        # As root sshd wants a user and a folder of its own on the machine; as anybody else it wants nothing.
        self.user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        self.data = self.folder / "data"
        self.data.mkdir()
        self.user_key = self._new_key("user")
        host_key = self._new_key("host")
        self.port = free_port()
        self.known_hosts = self.folder / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key.with_suffix('.pub').read_text()}")
        self._settings = self.folder / "sshd_config"
        self._settings.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {host_key}\n"
            f"AuthorizedKeysFile {self.user_key}.pub\nPidFile none\nUsePAM yes\nStrictModes no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\n"
            "Subsystem sftp internal-sftp\nForceCommand internal-sftp\n"
        )
        if os.getuid() == 0:
            for path in (host_key, self.data):
                shutil.chown(path, self.user)
        self._parts = parts
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it listens."""
        command = ["setpriv", "--pdeathsig", "KILL"]
        if os.getuid() == 0:
            command += ["--reuid", self.user, "--regid", "nogroup", "--clear-groups"]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, self._parts / "sshd", "-D", "-e", "-f", self._settings],
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": str(self._parts)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until_listening(self.port, self._process)

    def stop(self) -> None:
        """Kill it; does nothing when it is stopped."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def remove(self) -> None:
        """Stop it and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.folder)

    def _new_key(self, name: str) -> Path:
        path = self.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        return path


def free_port() -> int:
    """A port on loopback that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_listening(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until a server on loopback takes connections; raises AssertionError when it does not in time."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"{server.args} does not listen on port {port}")
