"""A repository in memory that behaves as restic's do: its locks, its tags, and what it keeps silent about."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from zlib import compress

from drd.core.errors import (
    PermanentError,
    RepositoryLocked,
    RepositoryMissing,
    SourceRefused,
    StoreAway,
    WrongPassword,
)
from drd.core.policy import Keep
from drd.ports.clock import Clock
from drd.ports.repairing import Lost
from drd.ports.repository import (
    CheckReport,
    Entry,
    FilesToSave,
    ForgetPlan,
    OnProgress,
    Progress,
    Restored,
    Saved,
    SaveOutcome,
    SaveRequest,
    Snapshot,
    StreamToSave,
)


@dataclass
class FakePlace:
    """What lies at the other end: it outlives every repository object that is opened over it."""

    name: str
    identity: str | None = None
    passwords: set[bytes] = field(default_factory=set)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    trees: dict[str, dict[str, bytes]] = field(default_factory=dict)
    chunker: str = ""
    away: str = ""
    append_only: bool = False
    keeps_versions: bool = False
    tells_sizes: bool = True
    """Whether snapshots say how much they hold, as they do since restic 0.17."""
    damage: tuple[str, ...] = ()
    broken_packs: tuple[str, ...] = ()
    """Those that a check names."""
    bad: set[str] = field(default_factory=set)
    """Paths of files that are not what they are called; when the last of them is good, so is the place."""
    is_index_broken: bool = False
    """Whether the damage is one that making the index anew repairs."""
    indexes_made: int = 0
    salvaged: tuple[str, ...] = ()
    lost: tuple[Lost, ...] = ()
    shared: int = 0
    exclusive: int = 0
    stale_locks: int = 0
    prunes: int = 0
    most_repacked: int | None = None
    """What the last prune was allowed to repack."""
    read_back: list[bool] = field(default_factory=list)
    """Of each restore, whether what landed was to be read back."""
    looks: int = 0
    look_seconds: float = 0.0
    made: int = 0
    """Counts what was ever made there, so that no id comes twice."""

    def new_id(self) -> str:
        self.made += 1
        return sha256(f"{self.name} {self.made}".encode()).hexdigest()

    def heal(self) -> None:
        """What a check finds goes with the last bad file."""
        if not self.bad:
            self.damage = self.broken_packs = ()

    def plant(self, snapshot: Snapshot, tree: dict[str, bytes] | None = None) -> None:
        """Put a snapshot there behind drd's back."""
        self.snapshots[snapshot.id] = snapshot
        self.trees[snapshot.id] = tree or {}


@dataclass
class FakeDisk:
    """What the sources hold: path → file → content. Paths that a test did not name are read from the real disk."""

    folders: dict[str, dict[str, bytes]] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    programs: dict[str, bytes | None] = field(default_factory=dict)
    """First word of a command → its output; None for one that dies."""

    def read(self, content: FilesToSave | StreamToSave) -> tuple[tuple[str, ...], dict[str, bytes], int]:
        """Paths, files and how many items could not be read. Raises what the real client raises."""
        if isinstance(content, StreamToSave):
            output = self.programs.get(content.argv[0])
            if output is None:
                raise SourceRefused(f"the program {content.argv[0]} died", "look at what it prints")
            path = f"/{content.filename}"
            return (path,), {path: output}, 0
        tree: dict[str, bytes] = {}
        unreadable = 0
        for path in content.paths:
            unreadable += self.unreadable.get(str(path), 0)
            if str(path) in self.folders:
                tree.update({f"{path}/{name}": data for name, data in self.folders[str(path)].items()})
            else:
                tree.update({str(file): file.read_bytes() for file in _files(path)})
        return tuple(str(path) for path in content.paths), tree, unreadable


class FakeRepository:
    """One repository, opened with one password."""

    def __init__(self, place: FakePlace, password: bytes, clock: Clock, disk: FakeDisk) -> None:
        self.place = place
        self.seconds: dict[str, float] = {}
        self._password = password
        self._clock = clock
        self._disk = disk
        self.before: Callable[[str], None] = lambda work: None
        """Called as each piece of work begins: a test raises from it, or takes the place away."""

    # --- Snapshots ---

    async def identity(self, config: str = "") -> str:
        async with self._working("identity"):
            return self.place.identity or ""

    async def snapshots(self, tags: tuple[str, ...] = ()) -> tuple[Snapshot, ...]:
        async with self._working("snapshots"):
            found = [each for each in self.place.snapshots.values() if set(tags) <= set(each.tags)]
            return tuple(sorted(found, key=lambda each: (each.time, each.id)))

    # --- Writer ---

    async def save(self, request: SaveRequest, on_progress: OnProgress) -> Saved:
        started, begun = self._clock.now(), self._clock.monotonic()
        async with self._working("save"):
            paths, tree, unreadable = self._disk.read(request.content)
            total = sum(len(data) for data in tree.values())
            on_progress(Progress(total, total, len(tree), len(tree), unreadable, "saving"))
            known = {data for each in self.place.trees.values() for data in each.values()}
            before = {} if request.reread_everything else self._tree_before(paths)
            new = set(tree.values()) - known
            snapshot_id = self._add(started, paths, request.host, request.tags, tree)
        return Saved(
            snapshot_id=snapshot_id,
            outcome=SaveOutcome.INCOMPLETE if unreadable else SaveOutcome.COMPLETE,
            started=started,
            seconds=self._clock.monotonic() - begun,
            total_bytes=total,
            total_files=len(tree),
            added_bytes=sum(len(data) for data in new),
            new_bytes=sum(len(data) for data in new),
            stored_bytes=sum(len(compress(data)) for data in new),
            files_new=len(tree.keys() - before.keys()),
            files_changed=sum(before.get(name, data) != data for name, data in tree.items()),
            files_unmodified=sum(before.get(name) == data for name, data in tree.items()),
            unreadable=unreadable,
        )

    def _tree_before(self, paths: tuple[str, ...]) -> dict[str, bytes]:
        listed = [each for each in self.place.snapshots.values() if each.paths == paths]
        return self.place.trees[listed[-1].id] if listed else {}

    async def save_bytes(self, content: bytes, filename: str, host: str, tags: tuple[str, ...]) -> str:
        async with self._working("save_bytes"):
            return self._add(self._clock.now(), (f"/{filename}",), host, tags, {f"/{filename}": content})

    async def copy_from(self, source: "FakeRepository", snapshot_ids: tuple[str, ...], on_progress: OnProgress) -> None:
        async with source._working("read"), self._working("copy_from"):
            for each in snapshot_ids:
                original = source.place.snapshots.get(each)
                if original is None:
                    raise PermanentError(f"there is no snapshot {each[:8]}", "drd points")
                first = original.original or original.id
                if all(first not in (here.id, here.original) for here in self.place.snapshots.values()):
                    copy = replace(original, id=self.place.new_id(), original=first)
                    self.place.plant(copy, source.place.trees[each])
            on_progress(Progress(phase="copying"))

    async def mark(self, snapshot_id: str, tag: str) -> str:
        async with self._working("mark", is_exclusive=True):
            old = self.place.snapshots.get(snapshot_id)
            if old is None:
                raise PermanentError(f"there is no snapshot {snapshot_id[:8]}", "drd points")
            new = replace(old, id=self.place.new_id(), tags=(*old.tags, tag), original=old.original or old.id)
            self.place.plant(new, self.place.trees[snapshot_id])
            if self.place.append_only:
                raise PermanentError(f"{self.place.name} does not let a snapshot be replaced", "it is append-only")
            del self.place.snapshots[snapshot_id], self.place.trees[snapshot_id]
            return new.id

    # --- Upkeep ---

    async def create(self, like: "FakeRepository | None" = None) -> str:
        self._reach("create")
        if self.place.identity is not None:
            raise PermanentError(f"{self.place.name} holds a repository already", "")
        self.place.identity = self.place.new_id()
        self.place.passwords.add(self._password)
        self.place.chunker = like.place.chunker if like else self.place.identity
        return self.place.identity

    async def plan_forget(self, keep: Keep, tags: tuple[str, ...]) -> ForgetPlan:
        async with self._working("plan_forget"):
            everything = sorted(self.place.snapshots.values(), key=lambda each: (each.time, each.id), reverse=True)
            listed = [each for each in everything if set(tags) <= set(each.tags)]
            reasons = _kept(keep, listed)
            return ForgetPlan(
                keep=tuple(each for each in listed if each.id in reasons),
                remove=tuple(each for each in listed if each.id not in reasons),
                reasons=reasons,
            )

    async def forget(self, snapshot_ids: tuple[str, ...]) -> tuple[str, ...]:
        async with self._working("forget", is_exclusive=True):
            for each in snapshot_ids:
                if not self.place.append_only:  # it says nothing either way
                    self.place.snapshots.pop(each, None)
            return tuple(each for each in snapshot_ids if each not in self.place.snapshots)

    async def prune(self, max_repack_bytes: int | None) -> None:
        async with self._working("prune", is_exclusive=True):
            self.place.prunes += 1
            self.place.most_repacked = max_repack_bytes

    async def check(self, read_subset: str | None = None) -> CheckReport:
        begun = self._clock.monotonic()
        async with self._working("check", is_exclusive=True):
            damage = self.place.damage
        return CheckReport(not damage, damage, self.place.broken_packs, self._clock.monotonic() - begun)

    async def salvage(self, packs: tuple[str, ...]) -> bool:
        async with self._working("repair-packs", is_exclusive=True):
            self.place.salvaged += packs
            self.place.bad -= {f"data/{pack[:2]}/{pack}" for pack in packs}
        return True

    async def lost(self) -> tuple[Lost, ...]:
        self._reach("lost")
        return self.place.lost

    async def rebuild_index(self) -> None:
        async with self._working("rebuild-index", is_exclusive=True):
            self.place.indexes_made += 1
            if self.place.is_index_broken and not self.place.bad:
                self.place.is_index_broken, self.place.damage = False, ()

    async def unlock(self) -> None:
        self._reach("unlock")
        self.place.stale_locks = 0

    async def locks(self) -> tuple[str, ...]:
        self._reach("locks")
        count = self.place.shared + self.place.exclusive + self.place.stale_locks
        return tuple(f"lock-{number}" for number in range(count))

    # --- Restorer ---

    async def restore(
        self,
        snapshot_id: str,
        target: Path,
        include: tuple[str, ...],
        on_progress: OnProgress,
        *,
        is_read_back: bool = True,
    ) -> Restored:
        begun = self._clock.monotonic()
        self.place.read_back.append(is_read_back)
        async with self._working("restore"):
            if snapshot_id not in self.place.trees:
                raise PermanentError(f"there is no snapshot {snapshot_id[:8]}", "drd points")
            if target.exists() and any(target.iterdir()):
                raise PermanentError(f"{target} is not empty", "name a folder that is empty or does not exist yet")
            tree = self.place.trees[snapshot_id]
            wanted = {path: data for path, data in tree.items() if not include or _is_within(path, include)}
            for path, data in wanted.items():
                self.before(f"restore {path}")
                file = target / path.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
                on_progress(Progress(len(data), phase="restoring"))
        seconds = self._clock.monotonic() - begun
        return Restored(len(wanted), sum(len(data) for data in wanted.values()), seconds, len(wanted))

    async def entries(self, snapshot_id: str, path: str | None = None) -> tuple[Entry, ...]:
        async with self._working("entries"):
            tree = self.place.trees[snapshot_id]
            return tuple(
                Entry(each, "file", len(data), None)
                for each, data in tree.items()
                if path is None or _is_within(each, (path,))
            )

    async def restored_bytes(self, snapshot_id: str) -> int:
        async with self._working("restored_bytes"):
            return sum(len(data) for data in self.place.trees[snapshot_id].values())

    # --- how restic works ---

    @asynccontextmanager
    async def _working(self, work: str, is_exclusive: bool = False) -> AsyncIterator[None]:
        self._reach(work)
        if self.place.identity is None:
            raise RepositoryMissing(f"there is no repository at {self.place.name}", "")
        if self._password not in self.place.passwords:
            raise WrongPassword(f"the password does not open {self.place.name}", "")
        if is_exclusive:
            self.place.stale_locks = 0  # exclusive work clears stale locks first
        if self.place.exclusive or (is_exclusive and self.place.shared):
            raise RepositoryLocked(f"{self.place.name} is locked by another", "wait for it")
        self.place.shared += not is_exclusive
        self.place.exclusive += is_exclusive
        try:
            await asyncio.sleep(self.seconds.get(work, 0))
            self._reach(f"end of {work}")
            yield
        finally:
            self.place.shared -= not is_exclusive
            self.place.exclusive -= is_exclusive

    def _reach(self, work: str) -> None:
        self.before(work)
        if self.place.away:
            raise StoreAway(f"{self.place.name} does not answer: {self.place.away}", "")

    def _add(
        self, time: datetime, paths: tuple[str, ...], host: str, tags: tuple[str, ...], tree: dict[str, bytes]
    ) -> str:
        size = sum(len(data) for data in tree.values())
        snapshot = Snapshot(
            self.place.new_id(),
            time,
            paths,
            host,
            tags,
            total_bytes=size if self.place.tells_sizes else None,
            total_files=len(tree) if self.place.tells_sizes else None,
        )
        self.place.plant(snapshot, tree)
        return snapshot.id


def _kept(keep: Keep, newest_first: list[Snapshot]) -> dict[str, tuple[str, ...]]:
    """restic's rules: of each bucket the newest, as many buckets as the rule names."""
    reasons: dict[str, tuple[str, ...]] = {}
    rules = (("hourly", "%Y%m%d%H"), ("daily", "%Y%m%d"), ("weekly", "%G%V"), ("monthly", "%Y%m"), ("yearly", "%Y"))
    for each in newest_first[: keep.last]:
        reasons[each.id] = ("last snapshot",)
    for name, form in rules:
        seen: set[str] = set()
        for each in newest_first:
            bucket = each.time.strftime(form)
            if bucket not in seen and len(seen) < getattr(keep, name):
                seen.add(bucket)
                reasons[each.id] = (*reasons.get(each.id, ()), f"{name} snapshot")
    if keep.within is not None and newest_first:
        for each in newest_first:
            if newest_first[0].time - each.time <= keep.within:
                reasons[each.id] = (*reasons.get(each.id, ()), "within")
    return reasons


def _is_within(path: str, wanted: Iterable[str]) -> bool:
    return any(path == each or path.startswith(each.rstrip("/") + "/") for each in wanted)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
