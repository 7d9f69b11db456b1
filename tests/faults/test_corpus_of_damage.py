"""Every kind of damage to a store: somebody notices, and no copy counts as good that cannot be restored.

One repository with two recovery points is made for each version of restic and copied for each case, where it lies in a
folder or behind an S3 server. Each case is looked at by everything that looks at stores: reconciling, a check of the
structure, a check that reads all data, filling a mirror, a restore, opening.
`CORPUS` says which of them have to notice; more may.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from drd.core.errors import DrdError
from drd.core.rotation import Part
from tests.damage import copied
from tests.faults.corpus import (
    BUCKET,
    CORPUS,
    FIRST,
    MIRROR,
    OLD_LISTINGS,
    POLICY,
    SERVED_DAMAGE,
    Case,
    Facts,
    Templates,
    places_of,
    served,
)
from tests.in_process import InProcess, SteppedClock

pytestmark = [pytest.mark.faults, pytest.mark.timeout(480)]


TRIED_FOR_LONG = {f"{kind} {way}" for kind in ("data", "trees") for way in ("cut", "empty", "missing", "swapped")}
"""restic 0.14 tries for minutes to read what ends early or is gone; in every run `data cut` is enough."""


PLACES = [*((kind, where) for kind in CORPUS for where in ("local", "s3")), *((kind, "s3") for kind in SERVED_DAMAGE)]


def _marks(kind: str, where: str, age: str) -> list[pytest.MarkDecorator]:
    is_long = age == "oldest" and kind in TRIED_FOR_LONG and (kind, where) != ("data cut", "local")
    return [pytest.mark.endurance] if is_long else []


CASES = [
    pytest.param(kind, where, age, marks=_marks(kind, where, age))
    for age in ("newest", "oldest")
    for kind, where in PLACES
]


@pytest.fixture(scope="module")
def templates(restic_binaries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(tmp_path_factory.mktemp, restic_binaries)


@pytest.mark.parametrize(("kind", "where", "age"), CASES)
async def test_damage_is_noticed_and_never_claimed_good(
    kind: str,
    where: str,
    age: str,
    tmp_path: Path,
    templates: Templates,
    restic_binaries: dict[str, Path],
    rclone_binary: Path,
) -> None:
    template, facts = await asyncio.to_thread(templates.get, age)
    folder = copied(template, tmp_path / "machine")
    harm, expected = {**CORPUS, **SERVED_DAMAGE}[kind]
    repository = folder / "server" / BUCKET
    await asyncio.to_thread(harm, Case(repository, facts, random.Random(kind), restic_binaries[age]))
    listed = facts.before if kind == OLD_LISTINGS else None
    with served(where, repository, rclone_binary, listed) as place:
        drd = InProcess(folder, restic_binaries[age], places_of(folder, place), SteppedClock())
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
        # What upkeep does where a store could not be opened: work there has told that something is wrong, not what.
        "opening": lambda: drd.house.healing.look(FIRST),
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
    for run, (point, stores) in (await drd.claimed(POLICY)).items():
        for store in stores:
            # Of one that lost its config drd says that it is not the store that it was, and works there no more.
            if run in contents and store not in held:
                copies = {each.snapshot_id for each in point.copies_in(store)}
                held_there = [await drd.held(store, run, POLICY, {each}) for each in copies]
                assert held_there == [contents[run]], f"{store} is claimed to hold {run}"
