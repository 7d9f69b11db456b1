"""drd's engines in the test's own process: real restic, real stores, real journal, and a wall clock that tests step.

Nothing works by itself in here: each piece of work is asked for, so that a test decides what happens when.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from drd.app.build import STAGING, furnish
from drd.app.kinds import find_kinds
from drd.clients.clock import SystemClock
from drd.clients.journal import SqliteJournal, StateLock
from drd.clients.process import ChildRunner
from drd.clients.restic import find_restic
from drd.clients.secrets import SystemSecrets
from drd.config.load import load
from drd.core.catalogue import damaged_stores
from drd.core.points import RecoveryPoint, counted
from drd.core.policy import Cause, Mode
from drd.daemon.control import HouseControl
from drd.daemon.house import House
from drd.daemon.startup import start_up
from drd.engines.restore_request import RestoreRequest
from drd.engines.run_result import Request, RunResult
from drd.ports.world import World

PASSWORD = "one password for all stores"
RESTIC_SECONDS = 100.0


class SteppedClock(SystemClock):
    """Wall time that is ahead of the machine's by what was stepped; monotonic time runs as ever."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Wall time, stepped."""
        return datetime.now(UTC) + self._ahead

    def step(self, by: timedelta) -> None:
        """Let time pass."""
        self._ahead += by


@dataclass(frozen=True)
class Place:
    """Where a store is: what drd.yaml says of it, how plain restic finds it, and the folder that its files lie in."""

    settings: Mapping[str, Any]
    location: str
    folder: Path
    environment: Mapping[str, str]

    @classmethod
    def local(cls, folder: Path) -> "Place":
        """A folder."""
        return cls({"local": str(folder)}, str(folder), folder, {})


class InProcess:
    """One drd over a state folder; `house` is it while it is open."""

    def __init__(self, folder: Path, restic: Path, places: Mapping[str, Place], clock: SteppedClock) -> None:
        self.folder = folder
        self.restic = restic
        self.places = places
        self.clock = clock
        self.data = folder / "data"
        self.state = folder / "state"
        self.policies: dict[str, dict[str, Any]] = {}
        self.settings: dict[str, dict[str, Any]] = {name: dict(place.settings) for name, place in places.items()}
        self._house: House | None = None
        self._journal: SqliteJournal | None = None
        self._restored = 0

    @property
    def house(self) -> House:
        """The engines."""
        assert self._house is not None, "it is not open"
        return self._house

    @property
    def journal(self) -> SqliteJournal:
        """Their journal."""
        assert self._journal is not None, "it is not open"
        return self._journal

    def protect(self, policy: str, **backup: Any) -> None:
        """Add a policy of the folder `data/<policy>` into all stores; nothing of it runs by itself."""
        (self.data / policy).mkdir(parents=True, exist_ok=True)
        plan = {
            "source": {"files": {"paths": [policy], "allow_empty": True}},
            "full": {"every": "365d"},
            "incremental": {"every": "365d"},
            "to": list(self.places),
            "keep": {"last": 5},
            "guard": {"shrink": "100%"},
        }
        self.policies[policy] = {"policy": policy, "backup": {**plan, **backup}}

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["InProcess"]:
        """Start it as a daemon starts, without any of its loops."""
        configuration = load(self._written(), {}, find_kinds())
        runner = ChildRunner()
        secrets = SystemSecrets(runner, {})
        world = World(self.clock, runner, secrets, configuration.data, configuration.state / STAGING)
        with StateLock(configuration.state, self.clock):
            restic = await find_restic(configuration.restic, runner)
            async with await SqliteJournal.open(configuration.state, self.clock, ballast_bytes=1) as journal:
                self._journal = journal
                self._house = furnish(configuration, world, journal, restic).house
                try:
                    await start_up(self._house)
                    yield self
                finally:
                    self._house = self._journal = None

    def _written(self) -> Path:
        secret = self.folder / "secret"
        secret.write_text(f"{PASSWORD}\n")
        secret.chmod(0o600)
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.data.mkdir(exist_ok=True)
        stores = {
            name: {**settings, "site": "here", "password": {"file": str(secret)}}
            for name, settings in self.settings.items()
        }
        settings = {
            "site": "here",
            "sites": {"here": {"latitude": 30.25, "longitude": 120.17}},
            "timezone": "Asia/Shanghai",
            "state": str(self.state),
            "data": str(self.data),
            "restic": str(self.restic),
            "stores": stores,
            "http": {"listen": None},
        }
        path = self.folder / "drd.yaml"
        path.write_text(json.dumps(settings))
        (self.folder / "policies").mkdir(exist_ok=True)
        for name, policy in self.policies.items():
            (self.folder / "policies" / f"{name}.yaml").write_text(json.dumps(policy))
        return path

    # --- work -------------------------------------------------------------------------------------------------------

    async def backup(self, policy: str, mode: Mode = Mode.INCREMENTAL) -> tuple[str, RunResult]:
        """One run, and what came of it."""
        ticket = self.house.dispatch.submit(Request(policy, mode, Cause.MANUAL))
        assert ticket is not None
        return ticket.run, await ticket.task

    async def restore(self, policy: str, at: datetime | None = None, store: str | None = None) -> dict[str, bytes]:
        """Bring a point back and return what its files hold. Raises a `DrdError` as the engine does."""
        self._restored += 1
        target = self.folder / f"restored-{self._restored}"
        await self.house.restore.restore(
            self.house.dispatch.new_id(), RestoreRequest(policy, at, str(target), store=store)
        )
        return _taken_away(target, target)

    @property
    def control(self) -> HouseControl:
        """What people ask the daemon for."""
        return HouseControl(self.house, None, _nothing_to_reload)

    # --- the truth --------------------------------------------------------------------------------------------------

    async def claimed(self, policy: str) -> dict[str, tuple[RecoveryPoint, tuple[str, ...]]]:
        """Run → the point, and the stores in which drd counts its copy as good."""
        points = await self.house.catalogue.points(policy)
        damaged = damaged_stores(await self.house.catalogue.stores())
        return {point.run: (point, point.stores) for point in counted(points, damaged)}

    def plainly(self, store: str, *words: str, locks: bool = False) -> subprocess.CompletedProcess[str]:
        """Plain restic in a store, as somebody without drd would type it; without its cache."""
        place = self.places[store]
        return subprocess.run(
            [str(self.restic), "--no-cache", *(() if locks else ("--no-lock",)), "-q", *words],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "RESTIC_REPOSITORY": place.location,
                "RESTIC_PASSWORD": PASSWORD,
                **place.environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RESTIC_SECONDS,
            check=False,
        )

    async def held(
        self, store: str, run: str, policy: str, among: Collection[str] | None = None
    ) -> dict[str, bytes] | None:
        """What plain restic restores of a run's last snapshot in a store, `among` these; None where it cannot."""
        listed = await asyncio.to_thread(self.plainly, store, "snapshots", "--json", "--tag", f"run={run}")
        found = json.loads(listed.stdout) if listed.returncode == 0 and listed.stdout.strip() else []
        found = [each for each in found if among is None or each["id"] in among]
        if not found:
            return None
        self._restored += 1
        target = self.folder / f"plainly-{self._restored}"
        done = await asyncio.to_thread(self.plainly, store, "restore", found[-1]["id"], "--target", str(target))
        if done.returncode != 0:
            shutil.rmtree(target, ignore_errors=True)
            return None
        top = next((each for each in sorted(target.rglob(policy)) if each.is_dir()), None)
        return _taken_away(target, top) if top is not None else {}


def taken(folder: Path) -> dict[str, bytes]:
    """Path below the folder → content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def _taken_away(target: Path, top: Path) -> dict[str, bytes]:
    """What is in `top`; nothing of `target` stays on the disk."""
    content = taken(top)
    shutil.rmtree(target)
    return content


async def _nothing_to_reload() -> tuple[str, ...]:
    return ()
