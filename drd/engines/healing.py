"""Healing what is damaged in a store: first from a store that holds the same files, then by what restic can make anew.

A file is called what it holds hashes to, so a good one of that name in a mirror is the file itself: every snapshot is
afterwards what it was. What is replaced lies aside on this machine, and nothing is given up without being named.
`restic repair snapshots` is never used but to name what is lost: it takes damaged files out of history.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from drd.core.catalogue import Damage, StoreRecord
from drd.core.events import DamageHealed, DamageLeft
from drd.core.events.healing import BY_RESTORE
from drd.core.rotation import Part, read_part
from drd.engines.config_and_keys import ConfigAndKeys
from drd.engines.from_mirrors import FILES_TOLD, Brought, FromMirrors, counted_files, in_words
from drd.engines.healing_case import Case
from drd.engines.progress import ProgressBoard
from drd.engines.proof import Proof
from drd.engines.salvage import Salvage
from drd.engines.stores import Stores
from drd.engines.work_queues import JobClass, WorkQueues
from drd.ports.configuration import Configuration, is_wal_store
from drd.ports.journal import Catalogue, Journal
from drd.ports.repository import Progress
from drd.ports.store import Carrier
from drd.ports.world import World

ASIDE = "damaged"
"""In the state folder: what was damaged, by store, in the layout of its repository."""
AGAIN_AFTER_SECONDS = 3600.0
"""When healing is tried again that did not succeed: a store may have come back that holds what is missing."""
ROUNDS = 5
"""So often what a check names in addition is healed in one try."""
DATA = "data"
SNAPSHOTS = "snapshots/"
SMALL = ("keys", "snapshots", "index")
"""Always looked at: one of them that is damaged keeps restic from saying what else is."""
INDEX_MADE = "the index was made anew from the data"


class Healing:
    """Heals stores in which damage was found."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        stores: Stores,
        carrier: Carrier,
        queues: WorkQueues,
        proof: Proof,
        salvage: Salvage,
        journal: Journal,
        catalogue: Catalogue,
        world: World,
        board: ProgressBoard,
    ) -> None:
        self._configuration = configuration
        self._stores = stores
        self._carrier = carrier
        self._queues = queues
        self._proof = proof
        self._salvage = salvage
        self._opening = ConfigAndKeys(stores, carrier, journal, catalogue, world)
        self._mirrors = FromMirrors(stores, carrier, journal, catalogue, world)
        self._journal = journal
        self._catalogue = catalogue
        self._world = world
        self._board = board
        self._tried: dict[str, tuple[Damage, float]] = {}
        self._salvaged: dict[str, datetime] = {}
        """Store → since when the damage is open for which all was tried that needs no mirror."""

    def is_due(self, record: StoreRecord) -> bool:
        """Whether a store is to be healed now: soon after damage was found or changed, then again after a while."""
        if record.damage is None:
            return False
        tried = self._tried.get(record.store)
        now = self._world.clock.monotonic()
        if tried is None or now - tried[1] >= AGAIN_AFTER_SECONDS:
            return True
        return (tried[0].since, tried[0].files) != (record.damage.since, record.damage.files)

    async def look(self, store: str) -> bool:
        """Whether work in a store failed because its config or keys are damaged, which then is on record."""
        return await self._opening.look(store)

    async def heal(self, store: str) -> bool:
        """Heal a store and read again what was healed; whether nothing is damaged there any more.

        Raises a `DrdError` when it could not be tried.
        """
        record = (await self._catalogue.stores()).get(store)
        if record is None or record.damage is None:
            return True
        begun = self._world.clock.monotonic()
        repository = await self._stores.open(store)
        case = Case(store, record.damage, repository, self._configuration().state / ASIDE / store)
        case.is_salvaged = self._salvaged.get(store) == record.damage.since
        lane = f"heal:{store}"
        with self._board.lane(lane):
            problem = await self._from_mirrors(case, record.damage, lane)
            is_tried = case.is_salvaged and not case.means
            if problem and not is_tried and not case.unasked and case.is_open:
                problem = await self._without_mirrors(case, lane)
        if problem:
            if not is_tried:
                await self._tell_what_is_left(case, problem)
            now = (await self._catalogue.stores())[store].damage
            self._tried[store] = (now or record.damage, self._world.clock.monotonic())
            return False
        self._tried.pop(store, None)
        self._salvaged.pop(store, None)
        seconds = self._world.clock.monotonic() - begun
        means = "; ".join((*case.means, *case.refusals)) or "nothing had to be done: all is good"
        files = tuple(sorted({*case.files, *record.damage.files}))[:FILES_TOLD]
        await self._journal.append(DamageHealed(store, record.damage.subsets, files, means, seconds))
        return True

    async def _from_mirrors(self, case: Case, damage: Damage, lane: str) -> str:
        """What is still wrong when all that stores of the same repository have is in its place; empty for nothing."""
        async with self._turn(case.store, lane):
            brought = await self._mirrors.uncover(case.store, damage.files, case.aside)
            case.files |= {*brought.paths, *brought.bad}
            case.covered = brought.bad
            case.take(brought)
            case.bad, means = await self._opening.mend(case.store, case.aside)
            case.means += means
            case.files |= case.bad.keys()
            case.is_open = not case.bad
            if not case.is_open:
                return in_words(case.bad)
            await self._stores.look(case.store, lasts_seconds=0)
            await self._stores.confirm_identity(case.store, case.repository)
            await self._salvage.put_back(case.store, case.aside)
            now: Damage | None = damage
            problem = "the repository is damaged"
            for _ in range(ROUNDS):
                # An index that was damaged hides which packs are: each round may name more of them.
                if not problem or now is None or (case.known and set(now.files) <= case.known):
                    break
                case.known |= set(now.files)
                case.snapshots = await self._vanished_of(case.store, now)
                await self._find(case, (*_suspects(now), *case.snapshots), lane)
                await self._mend_from_twins(case, lane)
                problem = await self._remaining(case)
                now = (await self._catalogue.stores())[case.store].damage
            if problem and not case.bad and not case.is_salvaged:
                problem = await self._look_deeper(case, lane)
            return problem

    async def _look_deeper(self, case: Case, lane: str) -> str:
        """Where every file that was named is good: an index may be gone, or restic did not say which pack it read."""
        await case.repository.rebuild_index()
        problem = await self._remaining(case)
        if not problem:
            case.means.append(INDEX_MADE)
            return ""
        await self._find(case, (DATA, *case.snapshots), lane)
        await self._mend_from_twins(case, lane)
        problem = await self._remaining(case)
        for twin in await self._mirrors.twins(case.store) if problem and not case.bad else ():
            # Somebody removed more than is named anywhere: what an index has forgotten nothing in the store misses.
            case.take(await self._mirrors.bring_what_lacks(case.store, twin, self._poster(lane)))
            problem = await self._remaining(case)
            if not problem:
                break
        return problem

    async def _vanished_of(self, store: str, damage: Damage) -> tuple[str, ...]:
        """The snapshots among the damaged files that the journal still counts on."""
        held: Collection[str] = await self._catalogue.holdings(store)
        if is_wal_store(store):  # a later batch, or one that was brought again, stands for what is gone
            held = {each.snapshot_id for each in await self._catalogue.lost_wal(store)}
        return tuple(
            path for path in damage.files if path.startswith(SNAPSHOTS) and path.removeprefix(SNAPSHOTS) in held
        )

    async def _without_mirrors(self, case: Case, lane: str) -> str:
        """What is still wrong when everything was tried that needs no store of the same repository."""
        async with self._turn(case.store, lane):
            case.means += await self._salvage.give_up(case.store, case.repository, case.bad, case.aside)
            case.is_salvaged = True
            self._salvaged[case.store] = case.damage.since
            problem = await self._remaining(case)
            if problem and (gone := tuple(path for path in case.snapshots if path in case.bad)):
                case.means += await self._salvage.copy_back(case.store, case.repository, gone)
                case.snapshots = await self._vanished_of(case.store, case.damage)
                case.bad = {}
                problem = await self._remaining(case)
        if problem and is_wal_store(case.store):
            # Not in this store's turn either: what brings WAL takes it.
            case.means += await self._salvage.bring_wal(case.store)
            async with self._turn(case.store, lane):
                case.snapshots, case.bad = await self._vanished_of(case.store, case.damage), {}
                problem = await self._remaining(case)
        if problem and not case.lacks_snapshots_only:
            # Not in this store's turn, which each of them waits for.
            case.means += await self._salvage.save_again(case.store, case.damage.since)
            async with self._turn(case.store, lane):
                problem = await self._remaining(case)
                brought = await self._salvage.bring_back(case.store, case.repository, case.aside) if problem else []
                if brought:
                    case.means += brought
                    problem = await self._remaining(case)
        return problem

    def _turn(self, store: str, lane: str) -> AbstractAsyncContextManager[None]:
        at_once = self._stores.configured(store).limits.at_once
        return self._queues.take(store, JobClass.CHECK, at_once, self._board.waiter(lane))

    async def _find(self, case: Case, suspects: tuple[str, ...], lane: str) -> None:
        """Find out which files are not what they are called."""
        target = await self._stores.configured(case.store).place.backend(self._world)
        case.bad = dict(await self._carrier.examine(target, (*SMALL, *suspects), self._poster(lane)))
        case.files |= case.bad.keys()

    async def _mend_from_twins(self, case: Case, lane: str) -> None:
        """Take good files from every store of the same repository, the nearest first."""
        own = await self._mirrors.uncover(case.store, case.bad, case.aside) if case.bad else Brought({})
        case.bad = {path: why for path, why in case.bad.items() if path not in own.paths}
        case.take(own)
        brought = await self._mirrors.mend(case.store, case.bad, case.aside, self._poster(lane))
        case.bad = dict(brought.bad)
        case.take(brought)

    async def _remaining(self, case: Case) -> str:
        """Read again what was damaged, as it was found, and say what is still wrong; empty when nothing is."""
        packs = () if case.is_salvaged else tuple(path for path in case.files if path.startswith(f"{DATA}/"))
        target = await self._stores.configured(case.store).place.backend(self._world)
        if case.is_salvaged:
            case.bad = {}
        case.bad |= await self._carrier.examine(target, (*SMALL, *case.snapshots, *packs), lambda _: None)
        if case.bad:
            return in_words(case.bad)
        parts: list[Part | None] = [part for each in case.damage.subsets if (part := read_part(each)) is not None]
        for part in parts or [None]:
            report = await self._proof.look(case.store, case.repository, part)
            if not report.sound:
                return report.errors[0] if report.errors else "the repository is damaged"
        return ""

    async def _tell_what_is_left(self, case: Case, problem: str) -> None:
        """Name what could not be healed, once: file by file where restic can still open the repository."""
        lost: tuple[str, ...] = ()
        hint = f"drd tries again every hour; bring back store {' or '.join(sorted(case.unasked))}"
        if not case.unasked:
            hint = "bring back a store that holds the same files, and drd heals it by itself"
            if set(case.snapshots) & case.bad.keys():
                hint += f"; if the snapshots were meant to go, type: drd release {case.store}"
            if case.is_open:
                lost = await self._salvage.lost(case.store, case.repository, case.bad)
        if case.covered:
            first = min(case.covered)
            hint = f"{counted_files(len(case.covered))} cannot be brought back: {first}: {case.covered[first]}"
        hint = "; ".join((hint, *case.refusals))
        record = (await self._catalogue.stores()).get(case.store)
        message = self._proof.without_names(problem)[:300]
        known = record.damage if record is not None else None
        if known is not None and (known.left, known.lost) != (message, lost[:FILES_TOLD]):
            files = tuple(sorted(case.bad or case.files))[:FILES_TOLD]
            await self._journal.append(DamageLeft(case.store, files, message, hint, lost[:FILES_TOLD], len(lost)))

    def _poster(self, lane: str) -> Callable[[Progress], None]:
        def post(progress: Progress) -> None:
            self._board.post(lane, progress)

        return post


def _suspects(damage: Damage) -> tuple[str, ...]:
    """The data that has to be read to know what is damaged: all of it where nobody could say which."""
    packs = tuple(path for path in damage.files if path.startswith(f"{DATA}/"))
    has_been_read = any(read_part(subset) is not None for subset in damage.subsets)
    is_unnamed = BY_RESTORE in damage.subsets or (has_been_read and not packs)
    return (DATA,) if is_unnamed else packs
