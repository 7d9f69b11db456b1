"""A repository with two recovery points, everything that can be damaged about it, and how it is served.

One is made for each version of restic, and copied for each case.
"""

import asyncio
import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from drd.core.policy import Outcome
from tests.damage import WAYS, files_of, write
from tests.in_process import PASSWORD, InProcess, Place, SteppedClock
from tests.old_listings import OldListings
from tests.quick_keys import add_key, make_quick
from tests.servers import RcloneS3
from tests.system.programs import wait_for

POLICY = "shop"
FIRST, MIRROR = "first", "mirror"
BUCKET = "drd"


@dataclass(frozen=True)
class Facts:
    """What is known of the repository that every case begins with."""

    first_data: str
    """The pack that holds the first run's files, which both points need."""
    first_trees: str
    """The pack that holds its folders."""
    before: frozenset[str]
    """Paths in the repository as of the first point."""
    contents: tuple[tuple[str, tuple[tuple[str, bytes], ...]], ...]
    """Run → what its point holds."""


@dataclass
class Case:
    """A damaged repository, before anybody has looked."""

    repository: Path
    facts: Facts
    drawn: random.Random
    restic: Path


Harm = Callable[[Case], None]


def _to(kind: str, way: str) -> Harm:
    """Damage to one file of a kind: the one that both points need, or the oldest."""

    def harm(case: Case) -> None:
        names = {"data": case.facts.first_data, "trees": case.facts.first_trees}
        path = (
            case.repository / "data" / names[kind][:2] / names[kind]
            if kind in names
            else files_of(case.repository, kind)[0]
        )
        WAYS[way](path, case.drawn)

    return harm


def _another_config(case: Case) -> None:
    """The config of another repository with the same password."""
    other = case.repository.with_name("another")
    _restic(case.restic, other, "init")
    write(case.repository / "config", (other / "config").read_bytes())


def _forgotten_and_pruned(case: Case) -> None:
    """Somebody who holds the store's password removes the newest point for good."""
    run, _ = case.facts.contents[-1]
    listed = json.loads(_restic(case.restic, case.repository, "snapshots", "--json", "--tag", f"run={run}").stdout)
    _restic(case.restic, case.repository, "forget", listed[0]["id"])
    _restic(case.restic, case.repository, "prune", "--max-unused", "0")


def _stale_lock(case: Case) -> None:
    """A process that was killed left its lock behind."""
    backing_up = subprocess.Popen(
        [str(case.restic), "--no-cache", "backup", "--stdin"],
        env=_environment(case.repository),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: bool(files_of(case.repository, "locks")), "it has a lock")
    backing_up.kill()
    backing_up.communicate()


def _planted_key(case: Case) -> None:
    """A key of somebody else's, made as restic makes it."""
    content = json.loads(files_of(case.repository, "keys")[0].read_bytes())
    add_key(case.repository, json.dumps({**content, "username": "somebody", "hostname": "elsewhere"}).encode())


def _lock_that_is(content: bytes) -> Harm:
    """A lock that restic cannot read."""

    def harm(case: Case) -> None:
        write(case.repository / "locks" / ("ab" * 32), content)

    return harm


def _future_snapshot(case: Case) -> None:
    """Somebody with the writer's credentials plants a snapshot from the future that says to be a part of drd's run."""
    listed = json.loads(_restic(case.restic, case.repository, "snapshots", "--json").stdout)
    tags = ",".join(listed[-1]["tags"])
    planted = case.repository.with_name("planted")
    planted.mkdir()
    (planted / "file").write_bytes(b"planted")
    _restic(case.restic, case.repository, "backup", "--time", "2099-01-01 00:00:00", "--tag", tags, str(planted))


def _dropped(*kinds: str) -> Harm:
    """The store acknowledged what came after the first point, and has dropped it."""

    def harm(case: Case) -> None:
        for kind in kinds:
            for path in files_of(case.repository, kind):
                if str(path.relative_to(case.repository)) not in case.facts.before:
                    path.unlink()

    return harm


def _nothing(_: Case) -> None:
    """All files are there; what harms is how they are served."""


NOBODY: frozenset[str] = frozenset()


def _noticed(*by: str) -> frozenset[str]:
    return frozenset(by)


CORPUS: dict[str, tuple[Harm, frozenset[str]]] = {
    **{f"data {way}": (_to("data", way), _noticed("data", "restore")) for way in WAYS},
    **{f"trees {way}": (_to("trees", way), _noticed("data")) for way in WAYS},
    **{f"index {way}": (_to("index", way), _noticed("structure")) for way in WAYS},
    **{f"snapshot {way}": (_to("snapshots", way), NOBODY) for way in WAYS if way != "missing"},
    "snapshot missing": (_to("snapshots", "missing"), _noticed("reconcile")),
    "snapshot forgotten and pruned by somebody": (_forgotten_and_pruned, _noticed("reconcile")),
    **{f"key {way}": (_to("keys", way), _noticed("structure", "restore")) for way in WAYS if way != "swapped"},
    **{f"config {way}": (_to("config", way), _noticed("structure")) for way in WAYS if way != "swapped"},
    "config of another repository": (_another_config, _noticed("structure")),
    "stale lock": (_stale_lock, NOBODY),
    "lock that cannot be read": (_lock_that_is(b"no lock at all"), NOBODY),
    "empty lock": (_lock_that_is(b""), NOBODY),
    "snapshot from the future": (_future_snapshot, NOBODY),
    "planted key": (_planted_key, NOBODY),
    "packs that were acknowledged and dropped": (_dropped("data"), _noticed("structure", "restore")),
    "indexes that were acknowledged and dropped": (_dropped("index"), _noticed("structure", "restore")),
    "snapshots that were acknowledged and dropped": (_dropped("snapshots"), _noticed("reconcile")),
    "all that was acknowledged and dropped": (_dropped("data", "index", "snapshots"), _noticed("reconcile")),
}
OLD_LISTINGS = "old listings"
HARMLESS = frozenset(
    {"stale lock", "lock that cannot be read", "empty lock", "snapshot from the future", "planted key"}
)
"""Nothing that was saved is damaged there."""
SERVED_DAMAGE: dict[str, tuple[Harm, frozenset[str]]] = {OLD_LISTINGS: (_nothing, _noticed("reconcile"))}
"""What only a server can do."""


class Templates:
    """Folders with drd's state and a repository with two points, each made when it is asked for first."""

    def __init__(self, make_folder: Callable[[str], Path], binaries: dict[str, Path]) -> None:
        self._make_folder = make_folder
        self._binaries = binaries
        self._made: dict[tuple[str, str], tuple[Path, Facts]] = {}

    def get(self, age: str, shape: str = "bare") -> tuple[Path, Facts]:
        """The template for an age of restic. `shape`: `bare` has an empty mirror, `mirrored` a full one,
        `independent` a full one that is another repository, `alone` none.
        """
        if (age, shape) not in self._made:
            folder = self._make_folder(f"prepared-{age}-{shape}")
            self._made[age, shape] = folder, asyncio.run(_prepare(folder, self._binaries[age], shape))
        return self._made[age, shape]


async def _prepare(folder: Path, restic: Path, shape: str) -> Facts:
    (folder / "server").mkdir()
    (folder / "disk").mkdir()
    repository = folder / "server" / BUCKET
    drd = InProcess(folder, restic, places_of(folder, Place.local(repository), shape), SteppedClock())
    drd.protect(POLICY)
    drawn = random.Random(1)
    contents: list[tuple[str, tuple[tuple[str, bytes], ...]]] = []
    before: frozenset[str] = frozenset()
    async with drd.opened():
        for number in (1, 2):
            (drd.data / POLICY / f"file-{number}").write_bytes(drawn.randbytes(30_000))
            run, result = await drd.backup(POLICY)
            assert result.outcome is Outcome.SUCCEEDED
            held = {path.name: path.read_bytes() for path in sorted((drd.data / POLICY).iterdir())}
            contents.append((run, tuple(held.items())))
            drd.clock.step(timedelta(hours=1))
            if number == 1:
                make_quick(repository, PASSWORD)
                kinds = ("data", "index", "snapshots")
                before = frozenset(
                    str(path.relative_to(repository)) for kind in kinds for path in files_of(repository, kind)
                )
                [index] = files_of(repository, "index")
        if shape != "alone":
            await drd.house.stores.open(MIRROR, may_make=True)
            make_quick(folder / "disk" / MIRROR, PASSWORD)
        if shape in ("mirrored", "independent"):
            assert await drd.house.copy.fill(MIRROR)
    packs = json.loads(_restic(restic, repository, "cat", "index", index.name).stdout)["packs"]
    of_kind = {pack["blobs"][0]["type"]: pack["id"] for pack in packs}
    return Facts(of_kind["data"], of_kind["tree"], before, tuple(contents))


def places_of(folder: Path, first: Place, shape: str = "bare") -> dict[str, Place]:
    """The stores of a template's copy; `first` is where the damaged one is."""
    if shape == "alone":
        return {FIRST: first}
    mirror = Place.local(folder / "disk" / MIRROR)
    if shape == "independent":
        mirror = replace(mirror, settings={**mirror.settings, "independent": True})
    return {FIRST: first, MIRROR: mirror}


@contextmanager
def served(where: str, repository: Path, rclone: Path, listed: frozenset[str] | None = None) -> Iterator[Place]:
    """The repository as a folder, or behind a server that is started over it now.

    Of a server that lists nothing newer, `listed` is all that it lists.
    """
    if where == "local":
        yield Place.local(repository)
        return
    server = RcloneS3(rclone, repository.parent.with_name("s3"))
    # Before it runs: it remembers what it has listed.
    repository = repository.rename(server.folder / BUCKET)
    server.start()
    credentials = server.folder.with_name("credentials")
    credentials.write_text(f"{server.access_key}:{server.secret_key}\n")
    credentials.chmod(0o600)
    try:
        with OldListings(server.port, listed) if listed is not None else nullcontext(server) as front:
            yield Place(
                {"s3": {"endpoint": front.url, "bucket": BUCKET, "credentials": {"file": str(credentials)}}},
                f"s3:{front.url}/{BUCKET}",
                repository,
                {
                    "AWS_ACCESS_KEY_ID": server.access_key,
                    "AWS_SECRET_ACCESS_KEY": server.secret_key,
                    "AWS_DEFAULT_REGION": "us-east-1",
                },
            )
    finally:
        server.stop()


def _restic(restic: Path, repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(restic), "--no-cache", "-q", *words],
        env=_environment(repository),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def _environment(repository: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(repository.parent),
        "RESTIC_REPOSITORY": str(repository),
        "RESTIC_PASSWORD": PASSWORD,
    }
