"""A machine with drd on it: configuration, stores, the daemon and the command line, all real, in one folder."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from drd.app.records import journal_reader
from drd.core.events import kinds
from drd.reports.journal import event_document
from tests.servers import RcloneS3
from tests.system.programs import Finished, Running, wait_for

DRD = Path(sys.prefix) / "bin" / "drd"
COMMAND_SECONDS = 100.0
BUCKET = "drd"
LOCAL_PASSWORD = "the-local-password-8471"
OFFSITE_PASSWORD = "the-offsite-password-3920"
NO_READ_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Makes root a user like others: files of mode 000 cannot be read."""


class Machine:
    """`settings` and `policies` may be changed; `write` puts them on the disk."""

    def __init__(self, folder: Path, restic: Path, s3: RcloneS3 | None = None) -> None:
        self.folder = folder
        self.restic = restic
        self.s3 = s3
        self.state = folder / "state"
        self.data = folder / "data"
        self.repository = folder / "repository"
        self.settings_file = folder / "drd.yaml"
        self.daemon: Running | None = None
        self.wrapper: tuple[str, ...] = ()
        """Words before `drd run`."""
        self.program: tuple[str, ...] = (str(DRD),)
        """What runs as the daemon."""
        self.policies: dict[str, dict[str, Any]] = {}
        self._daemons: list[Running] = []
        self.settings = self._settings()
        self.data.mkdir()

    def _settings(self) -> dict[str, Any]:
        stores: dict[str, Any] = {
            "local": {
                "local": str(self.repository),
                "site": "hangzhou",
                "password": self._secret("local", LOCAL_PASSWORD),
            }
        }
        if self.s3 is not None:
            self.s3.make_bucket(BUCKET)
            stores["offsite"] = {
                "s3": {
                    "endpoint": self.s3.url,
                    "bucket": BUCKET,
                    "credentials": self._secret("s3", f"{self.s3.access_key}:{self.s3.secret_key}"),
                },
                "site": "xian",
                "password": self._secret("offsite", OFFSITE_PASSWORD),
            }
        return {
            "site": "hangzhou",
            "timezone": "Asia/Shanghai",
            "state": str(self.state),
            "data": str(self.data),
            "restic": str(self.restic),
            "sites": {
                "hangzhou": {"latitude": 30.25, "longitude": 120.17},
                "xian": {"latitude": 34.34, "longitude": 108.94},
            },
            "stores": stores,
            "http": {"listen": None},
        }

    def _secret(self, name: str, value: str) -> dict[str, str]:
        path = self.folder / "secrets" / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(f"{value}\n")
        path.chmod(0o600)
        return {"file": str(path)}

    def set_secret(self, name: str, value: str) -> None:
        """Change what a reference to a secret finds: `local`, `offsite` or `s3`."""
        self._secret(name, value)

    # --- what is protected -------------------------------------------------------------------------------------------

    def protect(self, name: str, source: Any | None = None, **backup: Any) -> "Machine":
        """Add a policy, or change it: by default of the folder `data/<name>`, into all stores.

        Its first run starts by itself, as soon as the daemon knows it; the next one would be a month later.
        """
        plan: dict[str, Any] = {
            "source": source if source is not None else {"files": {"paths": [name]}},
            "full": {"every": "30d"},
            "incremental": {"every": "30d"},
            "to": list(self.settings["stores"]),
            "keep": {"last": 20},
        }
        self.policies[name] = {"policy": name, "backup": {**plan, **backup}}
        return self.write()

    def write(self) -> "Machine":
        """Put the configuration on the disk; JSON is YAML."""
        self.settings_file.write_text(json.dumps(self.settings, indent=1))
        for name in ("policies", "runbooks"):
            (self.folder / name).mkdir(exist_ok=True)
        for name, policy in self.policies.items():
            self.policy_file(name).write_text(json.dumps(policy, indent=1))
        return self

    def policy_file(self, name: str) -> Path:
        return self.folder / "policies" / f"{name}.yaml"

    # --- the programs ------------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def drd(self, *words: str, environment: Mapping[str, str] | None = None) -> Finished:
        """Run a command to its end."""
        ended = subprocess.run(
            [str(DRD), "--config", str(self.settings_file), *words],
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert "Traceback" not in ended.stderr, ended.stderr
        return Finished(ended.returncode, ended.stdout, ended.stderr)

    def command(self, *words: str) -> Running:
        """Start a command and leave it running."""
        return self._running([str(DRD), "--config", str(self.settings_file), *words], "command.log")

    def launch(self) -> Running:
        """Start the daemon and do not wait for it."""
        self.daemon = self._running(
            [*self.wrapper, *self.program, "--config", str(self.settings_file), "run"], "drd.log"
        )
        return self.daemon

    def start(self) -> Running:
        """Start the daemon and wait until it answers."""
        daemon = self.launch()
        wait_for(lambda: not daemon.is_alive or self._answers(), "the daemon answers")
        assert daemon.is_alive, f"the daemon did not start:\n{daemon.said()}"
        return daemon

    def stop(self) -> None:
        """Stop the daemon in an orderly way."""
        assert self.daemon is not None
        assert self.daemon.stop() == 0, self.daemon.said()
        assert "Traceback" not in self.daemon.said(), self.daemon.said()

    def restart(self) -> Running:
        """Stop it if it runs, and start it."""
        if self.daemon is not None and self.daemon.is_alive:
            self.stop()
        return self.start()

    def daemon_log(self) -> str:
        """What the daemon has said since it was started."""
        assert self.daemon is not None
        return self.daemon.said()

    def shut_down(self) -> None:
        """Kill everything that was started here."""
        for running in self._daemons:
            running.kill()

    def _running(self, command: list[str], log: str) -> Running:
        running = Running(command, self.environment, self.folder / log)
        self._daemons.append(running)
        return running

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(OSError):
            probe.settimeout(5)
            probe.connect(str(self.state / "control.sock"))
            return True
        return False

    # --- what became of it -------------------------------------------------------------------------------------------

    def events(self, kind: str | None = None, policy: str | None = None) -> list[dict[str, Any]]:
        """The journal, oldest first; each event's body lies flat in it, beside `kind`, `run` and `sequence`.

        It is what `drd journal show --json` reads, without starting a program each time that a test looks.
        """
        assert kind is None or kind in kinds(), kind
        with journal_reader(self.state) as reader:
            documents = [event_document(event) for event in reader.events(kind=kind)]
        found = [{**document, **document["body"]} for document in documents]
        return [event for event in found if policy is None or event.get("policy") == policy]

    def points(self, policy: str) -> list[dict[str, Any]]:
        """The recovery points, newest first."""
        if self._answers():
            found: list[dict[str, Any]] = json.loads(self._get(f"/policies/{policy}/points"))
        else:
            found = self.drd("points", policy, "--json").done().json["points"]
        return found

    def status(self) -> dict[str, Any]:
        """What `drd status` says, of a running daemon."""
        found: dict[str, Any] = json.loads(self._get("/status"))
        return found

    def status_of(self, policy: str) -> dict[str, Any]:
        """What it says of a policy."""
        found: dict[str, Any] = next(each for each in self.status()["policies"] if each["name"] == policy)
        return found

    def state_of(self, store: str) -> str:
        """What it says of a store, in a word."""
        return next(str(each["state"]) for each in self.status()["stores"] if each["name"] == store)

    def metrics(self) -> str:
        """What Prometheus would get, by way of the control socket."""
        return self._get("/metrics")

    def _get(self, path: str) -> str:
        """A quick look, without starting a program for it."""
        with closing(_ControlConnection(self.state / "control.sock")) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode()
            assert answer.status == HTTPStatus.OK, body
            return body

    def restic_in(self, store: str, *words: str) -> Finished:
        """Plain restic in a store, as an operator without drd would type it."""
        is_local = store == "local"
        ended = subprocess.run(
            [str(self.restic), "--no-cache", "-q", *words],
            env={
                **self.environment,
                "RESTIC_REPOSITORY": str(self.repository) if is_local else self._bucket_url(),
                "RESTIC_PASSWORD": LOCAL_PASSWORD if is_local else OFFSITE_PASSWORD,
                "AWS_ACCESS_KEY_ID": "" if self.s3 is None else self.s3.access_key,
                "AWS_SECRET_ACCESS_KEY": "" if self.s3 is None else self.s3.secret_key,
                "AWS_DEFAULT_REGION": "us-east-1",
            },
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return Finished(ended.returncode, ended.stdout, ended.stderr)

    def snapshots_in(self, store: str) -> list[dict[str, Any]]:
        """What restic lists there."""
        listed: list[dict[str, Any]] = self.restic_in(store, "--no-lock", "snapshots", "--json").done().json
        return listed

    def _bucket_url(self) -> str:
        assert self.s3 is not None
        return f"s3:{self.s3.url}/{BUCKET}"


class _ControlConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("drd", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
