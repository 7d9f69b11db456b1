"""Where a restore lands: a place that is looked at first, filled under another name, and given its own at the end.

Nothing half-restored ever looks whole: until the end everything lies in a work folder, `NAME.RUN.drd-restoring`. Every
touch of the place has a deadline, for a network file system whose server is away hangs for ever. A place that did not
answer in time is not touched again: the call that hangs in the kernel cannot be stopped, and may yet come back.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from drd.core.errors import PermanentError, UsageError
from drd.core.units import format_size
from drd.engines.private_tmp import demand_visible
from drd.ports.host import Host
from drd.ports.repository import Snapshot
from drd.ports.source import Settled

SUFFIX = ".drd-restoring"
TOUCH_SECONDS = 30.0
"""How long the place may take to answer a look, or to make a folder."""
SWEEP_SECONDS = 900.0
"""How long it may take where every file or name is touched: removing, and giving many names."""

Result = TypeVar("Result")


class Landing:
    """One place, for one restore. Raises `UsageError` for a place that does not fit, else `PermanentError`."""

    def __init__(self, host: Host, place: Path, run: str, *, beside: bool = False) -> None:
        self.place = place
        self._host = host
        self._name = f"{place.name}.{mark_of(run)}{SUFFIX}"
        self._beside = beside
        self._work: Path | None = None
        self._others: dict[Path, Path] = {}
        """What lies in the work folder and appears elsewhere than at the place."""
        self._hangs = False

    @property
    def read(self) -> Path:
        """The empty folder that the next part is written into."""
        return self._begun / "read"

    async def demand_empty(self, is_ours: Callable[[str], bool]) -> None:
        """See that nothing is in the way, once what an interrupted restore left behind has been taken away.

        `is_ours` says of a run's mark whether it is that of a restore that is over, as the journal knows it: nothing
        else is ever deleted.
        """
        if not self._beside:
            await self._touch(lambda: demand_visible(self.place))
        leftovers = await self._touch(lambda: _leftovers(self.place, is_ours, beside=self._beside))
        for folder in leftovers:
            await self._touch(lambda folder=folder: _remove(folder), SWEEP_SECONDS)  # type: ignore[misc]
        if not self._beside:
            await self._touch(lambda: _demand_empty(self.place))

    async def room(self) -> tuple[int, int]:
        """Which file system it is, and how many bytes are free there."""
        existing = await self._touch(lambda: _existing(self.place))
        device = await self._touch(lambda: existing.stat().st_dev)
        return device, await self._host.free_bytes(existing)

    async def begin(self) -> None:
        """Make the work folder, unless that was done."""
        if self._work is None:
            self._work = await self._touch(lambda: _begin(self.place, self._name, beside=self._beside))

    async def keep(self, snapshot: Snapshot, part: str | None) -> None:
        """Put what was read where it will lie, below `part` if that is given, and make room for the next."""
        if not self._beside:
            whole = self._begun / "whole"
            await self._touch(lambda: _keep(self.read, snapshot, whole, part), SWEEP_SECONDS)

    async def keep_inside(self, part: str | None, folder: str) -> None:
        """Put what was read into a folder of a part that was kept, with whole paths, and make room for the next."""
        lies = self._begun / "whole" if part is None else self._begun / "whole" / part
        await self._touch(lambda: _keep_inside(self.read, lies / folder), SWEEP_SECONDS)

    async def settle(self, part: str | None, settle: Callable[[Path], Awaitable[Settled]]) -> Settled:
        """Let a kind make a part whole that was kept, and what it made take the part's place."""
        lies = self._begun / "whole" if part is None else self._begun / "whole" / part
        settled = await settle(lies)
        aside = self._begun / f"aside-{part or 'whole'}"
        await self._touch(lambda: _take_apart(lies, aside, settled))
        for name, place in settled.others.items():
            self._others[aside / name] = place
        return settled

    def scratch(self, name: str) -> Path:
        """A folder that is gone afterwards, on the file system of the place; it is not made."""
        return self._begun / name

    def place_of(self, part: str | None) -> Path:
        """Where a part will lie."""
        return self.place if part is None else self.place / part

    async def appear(self, now: datetime) -> tuple[str, ...]:
        """Give what landed its final name and return it; none where nothing landed."""
        if self._beside:
            return await self._touch(lambda: _appear_beside(self.read, self.place, now), SWEEP_SECONDS)
        whole, named = self._begun / "whole", list[str]()
        try:
            # The place comes last: killed in between, drd leaves nothing there that looks whole and lacks the others.
            for lies, place in self._others.items():
                is_within = place.is_relative_to(self.place)
                final = whole / place.relative_to(self.place) if is_within else place
                await self._touch(lambda lies=lies, final=final: _name(lies, final))  # type: ignore[misc]
                named += [] if is_within else [str(place)]
            await self._touch(lambda: _appear(whole, self.place), SWEEP_SECONDS)
        except BaseException:
            await self.withdraw(tuple(named))
            raise
        return (str(self.place), *map(str, self._others.values()))

    async def withdraw(self, names: tuple[str, ...]) -> None:
        """Take away again what had appeared."""
        await self._give_up(lambda: _take_away(names))

    async def sweep(self) -> None:
        """Take the work folder away; what cannot be removed now is taken away by the next restore to the same place."""
        if self._work is not None:
            work = self._work
            await self._give_up(lambda: _remove(work, ignore_errors=True))

    @property
    def _begun(self) -> Path:
        if self._work is None:
            raise ValueError("begin() comes first")
        return self._work

    async def _touch(self, work: Callable[[], Result], seconds: float = TOUCH_SECONDS) -> Result:
        try:
            return await self._host.within(seconds, work)
        except TimeoutError as error:
            self._hangs = True
            raise PermanentError(
                f"the file system of {self.place} does not answer within {seconds:.0f} s",
                "look at the mount (dmesg | tail), or choose another place with --to",
            ) from error
        except OSError as error:
            raise PermanentError(
                f"could not write to {self.place}: {error.strerror}", "choose another place with --to"
            ) from error

    async def _give_up(self, work: Callable[[], None]) -> None:
        """Work that is only tidying: a place that hangs is left as it is, and the reason for it was told before."""
        if self._hangs:
            return
        try:
            await self._host.within(SWEEP_SECONDS, work)
        except TimeoutError:
            self._hangs = True


async def demand_room(landings: Sequence[Landing], needed_bytes: int) -> None:
    """See that so much fits into the places together: how it is divided among several is known when it has landed."""
    free = sum(dict([await landing.room() for landing in landings]).values())
    if free < needed_bytes:
        raise UsageError(
            f"{format_size(needed_bytes)} do not fit into {format_size(free)} that are free there",
            "name a larger place with --to, or a part with --path",
        )


def mark_of(run: str) -> str:
    """What a work folder's name tells of its run."""
    return run[-6:].lower()


def _leftovers(place: Path, is_ours: Callable[[str], bool], *, beside: bool) -> list[Path]:
    """Work folders of earlier restores to this place: real folders of this user with a mark that is ours."""
    inside: list[Path] = [] if beside or not place.is_dir() else list(place.iterdir())
    around = list(place.parent.iterdir()) if os.access(place.parent, os.R_OK) and place.parent.is_dir() else []
    work = re.compile(rf"{re.escape(place.name)}\.([0-9a-z]+){re.escape(SUFFIX)}")

    def is_left(path: Path) -> bool:
        match = work.fullmatch(path.name)
        if match is None or path.is_symlink() or not path.is_dir() or path.stat().st_uid != os.geteuid():
            return False
        return is_ours(match[1])

    left = [path for path in inside if is_left(path)]
    if left and len(left) < len(inside):
        raise UsageError(
            f"{place} is not empty, and a restore into it was interrupted: what lies there may be half of it",
            "look at it, and name an empty or a new folder with --to",
        )
    return left + [path for path in around if is_left(path)]


def _remove(folder: Path, *, ignore_errors: bool = False) -> None:
    """Remove a work folder, also where folders that came back forbid that to their owner."""
    for parent, names, _ in os.walk(folder):
        for path in (Path(parent) / name for name in names):
            if not path.is_symlink():
                with suppress(OSError):  # what it keeps from being removed is told by the removal
                    path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=ignore_errors)


def _demand_empty(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file", "name an empty or a new folder with --to")
    if target.is_dir() and (first := next(target.iterdir(), None)):
        if first.name.endswith(SUFFIX):
            raise UsageError(
                f"{target} holds {first.name}: a restore is under way there, or left it and is not in this journal",
                "wait for it, or remove that folder when nobody needs it",
            )
        raise UsageError(f"{target} is not empty", "name an empty or a new folder with --to, or write --to beside")
    existing = _existing(target)
    if not os.access(existing, os.W_OK):
        raise UsageError(f"{existing} cannot be written to by this user", "choose another place with --to")


def _existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def _begin(place: Path, name: str, *, beside: bool) -> Path:
    """A work folder on the file system that is meant, which may be mounted at the place itself."""
    is_inside = not beside and place.is_dir() and not any(place.iterdir())
    work = (place if is_inside else place.parent) / name
    work.mkdir(parents=True, mode=0o700)
    (work / "read").mkdir(mode=0o700)
    return work


def _keep(read: Path, snapshot: Snapshot, whole: Path, part: str | None) -> None:
    """A single folder becomes the target itself; several keep their paths below it."""
    roots = [read / path.lstrip("/") for path in snapshot.paths]
    source = read
    if len(roots) == 1 and roots[0].is_dir():
        source = roots[0]
    elif len(roots) == 1 and roots[0].is_file():
        source = roots[0].parent
    if part is not None:
        whole.mkdir(exist_ok=True)
    source.rename(whole if part is None else whole / part)
    if read.exists():
        _remove(read)
    read.mkdir(mode=0o700)


def _keep_inside(read: Path, place: Path) -> None:
    read.rename(place)
    read.mkdir(mode=0o700)


def _take_apart(lies: Path, aside: Path, settled: Settled) -> None:
    if settled.folder != ".":
        lies.rename(aside)
        (aside / settled.folder).rename(lies)


def _name(lies: Path, place: Path) -> None:
    """Give a folder its name; an empty one of that name gives way."""
    if place.is_dir():
        place.rmdir()
    lies.rename(place)


def _appear(whole: Path, place: Path) -> None:
    if whole.parent.parent != place:
        whole.rename(place)
        return
    named: list[Path] = []
    try:
        for child in list(whole.iterdir()):
            child.rename(place / child.name)
            named.append(place / child.name)
    except OSError:
        for path in named:
            path.rename(whole / path.name)
        raise


def _appear_beside(read: Path, place: Path, now: datetime) -> tuple[str, ...]:
    root = read / place.relative_to("/")
    if not os.path.lexists(root):
        return ()
    final = Path(f"{place}.restored-{now:%Y%m%dT%H%M%SZ}")
    root.rename(final)
    return (str(final),)


def _take_away(names: tuple[str, ...]) -> None:
    for name in names:
        if Path(name).is_dir() and not Path(name).is_symlink():
            shutil.rmtree(name, ignore_errors=True)
        else:
            Path(name).unlink(missing_ok=True)
