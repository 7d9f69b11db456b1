"""Every kind of damage to a store: somebody notices, and no copy counts as good that cannot be restored.

One repository with two recovery points is made for each version of restic and copied for each case. Each case is looked
at by everything that looks at stores: reconciling, a check of the structure, a check that reads all data, filling a
mirror, a restore. `CORPUS` says which of them have to notice; more may.
"""

import asyncio
import json
import os
import random
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from drd.core.errors import DrdError
from drd.core.policy import Outcome
from drd.core.rotation import Part
from tests.damage import WAYS, copied, files_of, write
from tests.in_process import PASSWORD, InProcess, Place, SteppedClock
from tests.quick_keys import add_key, make_quick
from tests.servers import RcloneS3
from tests.system.programs import wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

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


NOBODY: frozenset[str] = frozenset()


def _noticed(*by: str) -> frozenset[str]:
    return frozenset(by)


CORPUS: dict[str, tuple[Harm, frozenset[str]]] = {
    **{f"data {way}": (_to("data", way), _noticed("data", "restore")) for way in WAYS},
    **{f"trees {way}": (_to("trees", way), _noticed("data")) for way in WAYS},
    **{f"index {way}": (_to("index", way), _noticed("structure")) for way in WAYS},
    **{f"snapshot {way}": (_to("snapshots", way), NOBODY) for way in WAYS},
    **{f"key {way}": (_to("keys", way), _noticed("structure", "restore")) for way in ("flipped", "cut", "empty")},
    **{f"config {way}": (_to("config", way), _noticed("structure")) for way in ("flipped", "cut", "missing")},
    "config of another repository": (_another_config, _noticed("structure")),
    "stale lock": (_stale_lock, NOBODY),
    "planted key": (_planted_key, NOBODY),
}


@pytest.fixture(scope="module")
def prepared(
    restic_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, Facts]]:
    """Age of restic → a folder with drd's state and a repository with two points, and what is known of it."""
    made: dict[str, tuple[Path, Facts]] = {}

    def prepare(age: str) -> tuple[Path, Facts]:
        if age not in made:
            folder = tmp_path_factory.mktemp(f"prepared-{age}")
            made[age] = folder, asyncio.run(_prepare(folder, restic_binaries[age]))
        return made[age]

    return prepare


@pytest.mark.parametrize("age", ["newest"])
@pytest.mark.parametrize(
    ("kind", "where"), [*((kind, "local") for kind in CORPUS), ("trees flipped", "s3"), ("trees cut", "s3")]
)
async def test_damage_is_noticed_and_never_claimed_good(
    kind: str,
    where: str,
    age: str,
    tmp_path: Path,
    prepared: Callable[[str], tuple[Path, Facts]],
    restic_binaries: dict[str, Path],
    rclone_binary: Path,
) -> None:
    template, facts = await asyncio.to_thread(prepared, age)
    folder = copied(template, tmp_path / "machine")
    harm, expected = CORPUS[kind]
    repository = folder / "server" / BUCKET
    await asyncio.to_thread(harm, Case(repository, facts, random.Random(kind), restic_binaries[age]))
    with _served(where, repository, rclone_binary) as place:
        drd = InProcess(folder, restic_binaries[age], _places(folder, place), SteppedClock())
        drd.clock.step(timedelta(days=1))
        drd.protect(POLICY)
        async with drd.opened():
            noticed = await _looked(drd, facts)
            assert expected <= noticed, f"noticed by {sorted(noticed)} only"
            await _assert_nothing_false_is_claimed(drd, facts)


async def _looked(drd: InProcess, facts: Facts) -> set[str]:
    """Who notices, of all that look."""

    async def check(store: str, part: Part | None = None) -> bool:
        return not (await drd.house.proof.check(store, part=part)).sound

    async def reconcile() -> bool:
        return any(await drd.house.reconcile.reconcile(FIRST))

    async def mirror() -> bool:
        return not await drd.house.copy.fill(MIRROR)

    async def restore() -> bool:
        _, content = facts.contents[-1]
        restored = await drd.restore(POLICY, store=FIRST)
        assert restored in [dict(each) for _, each in facts.contents], "a restore gave what was never saved"
        return restored != dict(content)

    looks: dict[str, Callable[[], Awaitable[bool]]] = {
        "restore": restore,
        "mirror": mirror,
        "reconcile": reconcile,
        "structure": lambda: check(FIRST),
        "data": lambda: check(FIRST, Part(1, 1)),
        # What has gone from the origin without a trace is missing in the mirror too, and only its own check can tell.
        "mirror's structure": lambda: check(MIRROR),
    }
    noticed = set()
    for name, look in looks.items():
        try:
            if await look():
                noticed.add(name)
        except DrdError:
            noticed.add(name)
    return noticed


async def _assert_nothing_false_is_claimed(drd: InProcess, facts: Facts) -> None:
    """What counts as good can be restored by plain restic, from each store in which it counts."""
    contents = {run: dict(content) for run, content in facts.contents}
    held = {name for name, record in (await drd.house.catalogue.stores()).items() if record.is_identity_held}
    for run, (_, stores) in (await drd.claimed(POLICY)).items():
        for store in stores:
            # Of one that lost its config drd says that it is not the store that it was, and works there no more.
            if run in contents and store not in held:
                assert await drd.held(store, run, POLICY) == contents[run], f"{store} is claimed to hold {run}"


async def _prepare(folder: Path, restic: Path) -> Facts:
    (folder / "server").mkdir()
    (folder / "disk").mkdir()
    repository = folder / "server" / BUCKET
    drd = InProcess(folder, restic, _places(folder, Place.local(repository)), SteppedClock())
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
        await drd.house.stores.open(MIRROR, may_make=True)
        make_quick(folder / "disk" / MIRROR, PASSWORD)
    packs = json.loads(_restic(restic, repository, "cat", "index", index.name).stdout)["packs"]
    of_kind = {pack["blobs"][0]["type"]: pack["id"] for pack in packs}
    return Facts(of_kind["data"], of_kind["tree"], before, tuple(contents))


def _places(folder: Path, first: Place) -> dict[str, Place]:
    return {FIRST: first, MIRROR: Place.local(folder / "disk" / MIRROR)}


@contextmanager
def _served(where: str, repository: Path, rclone: Path) -> Iterator[Place]:
    """The repository as a folder, or behind a server that is started over it now."""
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
        yield Place(
            {"s3": {"endpoint": server.url, "bucket": BUCKET, "credentials": {"file": str(credentials)}}},
            f"s3:{server.url}/{BUCKET}",
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
