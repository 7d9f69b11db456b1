"""A drd that is worked hard: steps are drawn from a seed, and after each all that has to hold is held against it.

The sequence of steps follows from the seed alone. When exactly a program is killed does not, since programs take as
long as they take.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from drd.core.errors import DrdError
from drd.core.policy import Mode, Outcome
from drd.core.rotation import Part
from tests.damage import WAYS, files_of, write
from tests.endurance.truth import Acknowledged, Truth, Violated
from tests.in_process import PASSWORD, InProcess, Place, SteppedClock
from tests.quick_keys import make_quick

POLICIES = ("shop", "photos")
FIRST, MIRROR, APART = "first", "mirror", "apart"
STORES = (FIRST, MIRROR, APART)
MOST_FILES = 12
LARGEST_BYTES = 40_000
AUDIT_EVERY = 60
PARTS = 3
LOOKED_AT = 6
"""So many copies an audit reads back; the last one reads all."""
KILLED_WITHIN_SECONDS = 0.4

Work = Callable[[], Coroutine[Any, Any, None]]


class Endurance:
    """One drd, its truth, and the steps that can be taken."""

    def __init__(self, folder: Path, restic: Path, seed: int) -> None:
        self.drawn = random.Random(seed)
        self.truth = Truth()
        self.seed = seed
        self.steps = 0
        self.seconds = 0.0
        places = {name: Place.local(folder / "disks" / name / "repository") for name in STORES}
        for place in places.values():
            place.folder.parent.mkdir(parents=True)
        self.drd = InProcess(folder, restic, places, SteppedClock())
        self.drd.settings[APART]["independent"] = True
        self.sources: dict[str, dict[str, bytes]] = {policy: {} for policy in POLICIES}
        self._stack = AsyncExitStack()
        self._weights: dict[Work, int] = {
            self.write: 10,
            self.backup: 22,
            self.fill: 16,
            self.forget: 8,
            self.prune: 6,
            self.check: 4,
            self.reconcile: 6,
            self.restore: 8,
            self.kill: 8,
            self.damage: 3,
            self.repair: 2,
            self.lose: 2,
            self.bring_back: 4,
            self.restart: 1,
        }

    @asynccontextmanager
    async def begun(self) -> AsyncIterator["Endurance"]:
        """With a first point of each policy in each store, whose keys open quickly from then on."""
        for policy in POLICIES:
            self.drd.protect(policy)
        await self._open()
        try:
            for policy in POLICIES:
                await self.write(policy)
                await self.backup(policy)
            for store in (MIRROR, APART):
                await self.drd.house.copy.fill(store)
            for place in self.drd.places.values():
                make_quick(place.folder, PASSWORD)
            yield self
        finally:
            await self._stack.aclose()

    async def run(self, steps: int) -> None:
        """Take so many steps, with an audit now and then and one at the end. Raises `Violated`."""
        works, weights = list(self._weights), list(self._weights.values())
        began = time.monotonic()
        for _ in range(steps):
            self.steps += 1
            self.drd.clock.step(timedelta(minutes=self.drawn.randint(2, 400)))
            [work] = self.drawn.choices(works, weights)
            try:
                await work()
                if self.steps % AUDIT_EVERY == 0:
                    await self.audit()
                self._demand_no_violation()
            except AssertionError as violation:
                raise Violated(f"seed {self.seed}, step {self.steps} ({work.__name__}): {violation}") from violation
        await self.audit(everything=True)
        self.seconds = time.monotonic() - began

    def figures(self) -> str:
        """What was done and injected, for people."""
        each = (self.seconds / self.steps) if self.steps else 0.0
        lines = [f"seed {self.seed}: {self.steps} steps in {self.seconds:.0f} s, {each:.2f} s each"]
        lines += [f"  {what}: {count}" for what, count in sorted(self.truth.done.items())]
        return "\n".join(lines)

    # --- steps ------------------------------------------------------------------------------------------------------

    async def write(self, policy: str = "") -> None:
        """Change a source: files come, change and go."""
        policy = policy or self.drawn.choice(POLICIES)
        source, folder = self.sources[policy], self.drd.data / policy
        for _ in range(self.drawn.randint(1, 4)):
            name = f"file-{self.drawn.randrange(MOST_FILES):02d}"
            if name in source and self.drawn.random() < 0.3:
                del source[name]
                (folder / name).unlink()
            else:
                source[name] = self.drawn.randbytes(self.drawn.randint(1, LARGEST_BYTES))
                (folder / name).write_bytes(source[name])
        self._did("written to")

    async def backup(self, policy: str = "") -> None:
        """A run, acknowledged when drd says so."""
        policy = policy or self.drawn.choice(POLICIES)
        mode = Mode.FULL if self.drawn.random() < 0.1 else Mode.INCREMENTAL
        content = dict(self.sources[policy])
        run, result = await self.drd.backup(policy, mode)
        self._did(f"run {result.outcome}")
        if result.outcome is Outcome.SUCCEEDED:
            [point] = [each for each in await self.drd.house.catalogue.points(policy) if each.run == run]
            self.truth.points[run] = Acknowledged(policy, run, point.moment, content)
        elif self.truth.is_sound(*STORES):
            raise Violated(f"a run of {policy} {result.outcome} with all stores sound: {result.whole_message}")

    async def fill(self) -> None:
        """Bring a further store what it lacks."""
        store = self.drawn.choice((MIRROR, APART))
        is_filled = await self.drd.house.copy.fill(store)
        self._did(f"{store} filled" if is_filled else f"{store} not filled")
        if not is_filled and self.truth.is_sound(*STORES):
            raise Violated(f"{store} is not filled: {self.drd.house.copy.why_late(store)}")

    async def forget(self) -> None:
        """Retention of one policy in one store."""
        store, policy = self.drawn.choice(STORES), self.drawn.choice(POLICIES)
        await self._work("forgotten", store, self.drd.house.retain.forget(policy, store, "the runner"))

    async def prune(self) -> None:
        """Prune a store."""
        store = self.drawn.choice(STORES)
        await self._work("pruned", store, self.drd.house.retain.prune(store))

    async def check(self) -> None:
        """Check a store's structure, and often a part of its data; damage may be found only where there is some."""
        store, part = self.drawn.choice(STORES), Part(self.drawn.randint(1, PARTS), PARTS)
        is_read = self.drawn.random() < 0.7
        report = await self._work("checked", store, self.drd.house.proof.check(store, part=part if is_read else None))
        if report is not None and not report.sound:
            self._did("damage found by a check")
            if self.truth.is_sound(store):
                raise Violated(f"a check finds {store} damaged, which nobody did: {report.errors[:3]}")

    async def reconcile(self) -> None:
        """Compare a store with the journal, and mark what is not good there."""
        store = self.drawn.choice(STORES)
        await self._work("reconciled", store, self.drd.house.reconcile.reconcile(store))
        if self.drd.house.reconcile.has_unmarked(store):
            await self._work("marked", store, self.drd.house.reconcile.mark(store))

    async def restore(self) -> None:
        """Bring a point back that drd claims: it is the same byte for byte, or no store could have given it."""
        policy = self.drawn.choice(POLICIES)
        claimed = {
            run: point.stores
            for run, (point, _) in (await self.drd.claimed(policy)).items()
            if run in self.truth.points and point.stores
        }
        if not claimed:
            return
        run = self.drawn.choice(sorted(claimed))
        wanted = self.truth.points[run]
        stores = claimed[run]
        store = self.drawn.choice((None, *stores))
        try:
            restored = await self.drd.restore(policy, wanted.moment, store)
        except DrdError as error:
            self._did("restore refused")
            for each in (store,) if store else stores:
                if each not in self.truth.away and await self.drd.held(each, run, policy) == wanted.content:
                    raise Violated(f"{run} was not restored, though {each} gives it: {error}") from error
            return
        self._did("restored")
        if restored != wanted.content:
            raise Violated(f"{run} was restored from {store or stores} and differs")

    async def kill(self) -> None:
        """Kill what drd has started, or cancel the work, in the middle of it."""
        work = self.drawn.choice((self.backup, self.fill, self.forget, self.prune, self.check, self.restore))
        is_cancelled, delay = self.drawn.random() < 0.3, self.drawn.random() * KILLED_WITHIN_SECONDS
        was_sound = self.truth.is_sound(*STORES)
        task = asyncio.create_task(self._unless_killed(work))
        await asyncio.sleep(delay)
        if task.done():
            self._did("kill came too late")
        elif is_cancelled:
            task.cancel()
            self._did(f"{work.__name__} cancelled")
        else:
            killed = _kill_children()
            self._did(f"{work.__name__}: child killed" if killed else "kill found nobody")
        with suppress(asyncio.CancelledError):
            await task
        for ticket in self.drd.house.dispatch.running():
            ticket.task.cancel()
            with suppress(asyncio.CancelledError):
                await ticket.task
        await self.drd.house.pay()
        if was_sound:
            self._demand_no_violation()

    async def damage(self) -> None:
        """Damage a file of a store, unless one of the others is damaged too: then no good copy may be left."""
        store = self.drawn.choice(STORES)
        if not self.truth.is_sound(*(each for each in STORES if each != store)) or store in self.truth.away:
            return
        repository = self.drd.places[store].folder
        kind = self.drawn.choice(("data", "data", "data", "index", "snapshots"))
        way = self.drawn.choice(sorted(set(WAYS) - {"swapped"}))
        files = files_of(repository, kind)
        if not files:
            return
        path = self.drawn.choice(files)
        known = self.truth.damaged.setdefault(store, {})
        known.setdefault(path, path.read_bytes())
        WAYS[way](path, self.drawn)
        if kind == "snapshots":
            self.truth.torn.add(store)
        self._did(f"damaged: {kind} {way}")

    async def repair(self) -> None:
        """What a person does about damage and loss: puts the files back, has the index written anew, and says so."""
        for store in sorted(self.truth.away):
            await self._bring_back(store)
        for store in STORES:
            damaged = self.truth.damaged.pop(store, {})
            for path, content in damaged.items():
                write(path, content)
            if damaged:
                await self._index_anew(store)
                self._did("stores repaired")
        self.truth.torn.clear()
        for store in STORES:
            with suppress(DrdError):  # of all data: what was found in a part of it is not taken back by less
                await self.drd.house.proof.check(store, part=Part(1, 1))
                # As its upkeep does: what was gone from a store when it was carried on lacks in the mirror, too.
                await self.drd.house.healing.heal(store)
            record = (await self.drd.house.catalogue.stores())[store]
            if record.hold is not None:
                await self.drd.control.release(store, "the runner")
                self._did("holds released")

    async def lose(self) -> None:
        """A store goes away, disk and all."""
        store = self.drawn.choice(STORES)
        if store not in self.truth.away:
            disk = self.drd.places[store].folder.parent
            disk.rename(disk.with_name(f"{store}-unplugged"))
            self.truth.away.add(store)
            self._did("stores gone away")

    async def bring_back(self) -> None:
        """A store that is away comes back."""
        if self.truth.away:
            await self._bring_back(self.drawn.choice(sorted(self.truth.away)))

    async def restart(self) -> None:
        """drd ends and starts."""
        await self._stack.aclose()
        await self._open()
        self._did("restarts")

    # --- audit ------------------------------------------------------------------------------------------------------

    async def audit(self, *, everything: bool = False) -> None:
        """Put all right that was injected, let drd catch up, and hold every claim against what plain restic gives."""
        await self.repair()
        for store in STORES:
            await self.drd.house.reconcile.reconcile(store)
        for store in (MIRROR, APART):
            if not await self.drd.house.copy.fill(store):
                raise Violated(f"{store} is not filled after repair: {self.drd.house.copy.why_late(store)}")
        for store in STORES:
            read = await asyncio.to_thread(self.drd.plainly, store, "check", "--read-data")
            if read.returncode != 0:
                raise Violated(f"{store} does not check clean after repair: {read.stderr[-800:]}{read.stdout[-400:]}")
        await self._demand_what_was_acknowledged(everything)
        verdict = await asyncio.to_thread(self.drd.journal.verify)
        if not verdict.sound:
            raise Violated(f"the journal does not verify: {verdict}")
        self._did("audits")

    async def _demand_what_was_acknowledged(self, everything: bool) -> None:
        copies: list[tuple[Acknowledged, str]] = []
        for policy in POLICIES:
            claimed = {run: stores for run, (_, stores) in (await self.drd.claimed(policy)).items()}
            for run, point in self.truth.points.items():
                if point.policy != policy:
                    continue
                missing = self.truth.standing.get(run, set()) - set(claimed.get(run, ()))
                if missing:
                    raise Violated(f"the point {run} of {policy} is not claimed in {sorted(missing)} any more")
                copies += [(point, store) for store in claimed.get(run, ())]
        if not everything:
            copies = self.drawn.sample(copies, min(LOOKED_AT, len(copies)))
        for point, store in copies:
            held = await self.drd.held(store, point.run, point.policy)
            if held != point.content:
                what = "cannot be restored" if held is None else "differs"
                raise Violated(f"{store} is claimed to hold {point.run}, which {what}")
            self._did("copies read back")

    # --- the means --------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(self.drd.opened())
        self.drd.journal.observe(self.truth.notice)

    async def _work(self, what: str, store: str, work: Awaitable[Any]) -> Any:
        try:
            result = await work
        except DrdError as error:
            self._did(f"not {what}")
            record = (await self.drd.house.catalogue.stores())[store]
            if self.truth.is_sound(store) and record.hold is None:
                raise Violated(f"{store} is sound and was not {what}: {error} {error.detail}") from error
            return None
        self._did(what)
        return result

    async def _unless_killed(self, work: Work) -> None:
        """A step whose failure says nothing, since its programs were killed; what it leaves behind does."""
        with suppress(DrdError, Violated):
            await work()

    async def _index_anew(self, store: str) -> None:
        """Lists all packs that are there: what was damaged may have been replaced, and be named twice."""
        done = await asyncio.to_thread(self.drd.plainly, store, "unlock")
        done = await asyncio.to_thread(self.drd.plainly, store, "rebuild-index", locks=True)
        assert done.returncode == 0, done.stderr

    async def _bring_back(self, store: str) -> None:
        disk = self.drd.places[store].folder.parent
        disk.with_name(f"{store}-unplugged").rename(disk)
        self.truth.away.discard(store)
        with suppress(DrdError):
            await self.drd.house.stores.look(store, lasts_seconds=0)
        self._did("stores come back")

    def _demand_no_violation(self) -> None:
        if self.truth.violations:
            raise Violated("; ".join(self.truth.violations))

    def _did(self, what: str) -> None:
        self.truth.done[what] += 1


def _kill_children() -> int:
    """Kill every program that this process has started, and tell how many there were."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    return len(children)
