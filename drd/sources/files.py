"""Files and folders of this machine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from drd.clients.blocking import within
from drd.clients.carrier.mounts import mount_points, unmounted_disk
from drd.clients.sampling import drawn_blocks
from drd.core.entropy import Samples
from drd.core.errors import SourceRefused
from drd.core.lists import OneOrMany
from drd.core.units import Flag, Size
from drd.ports.repository import FilesToSave
from drd.ports.source import Prepared, Source
from drd.ports.world import World

LOOK_SECONDS = 30.0
"""How long the file systems may take to answer before the run is refused."""


class Files(Source):
    """Files and folders of this machine, written as `files: {paths: [/srv/shop]}` or just `files: [/srv/shop]`.

    A path that is missing, unreadable, a symbolic link, on a disk that fstab names and that is not mounted, or without
    a single file below it is refused before anything is read: an empty folder in the place of a disk is no backup.
    """

    kind: ClassVar[str] = "files"

    paths: Annotated[OneOrMany[Path], Field(min_length=1)]
    """Files and folders, whole or starting from `data:` of drd.yaml."""
    exclude: OneOrMany[str] = ()
    """Patterns of what is left out, in restic's language: `*.tmp`, `/srv/shop/cache`, `**/node_modules`."""
    exclude_if_present: OneOrMany[str] = ()
    """A folder that holds a file of this name is left out."""
    exclude_caches: Flag = True
    """Whether folders with a CACHEDIR.TAG are left out."""
    exclude_larger_than: Size | None = None
    """Files larger than this are left out."""
    one_file_system: Flag = True
    """Whether what is mounted below the paths is left out; name such a mount point as a path of its own."""
    mounted: Flag = False
    """Whether each path has to be a mount point; disks that fstab names are looked after without this."""
    allow_empty: Flag = False
    """Whether paths without a single file below them are a success."""

    @model_validator(mode="before")
    @classmethod
    def _a_list_of_paths_is_enough(cls, value: Any) -> Any:
        return {"paths": value} if isinstance(value, str | Path | list | tuple) else value

    @property
    def may_be_empty(self) -> bool:
        """What the user said."""
        return self.allow_empty

    def summary(self) -> str:
        """The paths."""
        return f"files {', '.join(map(str, self.paths))}"

    async def sampled(self, world: World, draw: str) -> Samples:
        """Blocks from the middle of a few dozen files."""
        try:
            roots = [_whole(path, world.base) for path in self.paths]
            return await within(LOOK_SECONDS, lambda: Samples.of(drawn_blocks(roots, draw)), ("sample", *roots))
        except (TimeoutError, SourceRefused):
            return Samples()

    @asynccontextmanager
    async def opened(self, world: World) -> AsyncIterator[Prepared]:
        """Look at every path. Raises `SourceRefused` when one of them would make a backup that looks like success."""
        roots = tuple(_whole(path, world.base) for path in self.paths)
        try:
            note = await within(LOOK_SECONDS, lambda: self._look(roots), ("files", *roots))
        except TimeoutError as error:
            raise SourceRefused(
                f"{self.summary()}: the file system does not answer for {LOOK_SECONDS:.0f} s",
                "look at the mount: findmnt, dmesg | tail",
            ) from error
        yield Prepared(
            FilesToSave(
                paths=roots,
                excludes=self.exclude,
                exclude_if_present=self.exclude_if_present,
                exclude_caches=self.exclude_caches,
                exclude_larger_than=self.exclude_larger_than,
                one_file_system=self.one_file_system,
            ),
            note,
        )

    def _look(self, roots: tuple[Path, ...]) -> str:
        """Raise for the first path that cannot be saved; return what a person should know of the others."""
        points = mount_points()
        for root in roots:
            _raise_for_mount(root, points, must_be_mounted=self.mounted)
            _raise_for_access(root)
        if not self.allow_empty:
            for root in roots:
                _raise_for_emptiness(root)
        left_out = sorted(str(point) for point in points if any(root in point.parents for root in roots))
        if not self.one_file_system or not left_out or any(Path(point) in roots for point in left_out):
            return ""
        count = "another file system is" if len(left_out) == 1 else f"{len(left_out)} other file systems are"
        return f"{count} mounted below the paths and left out (findmnt shows them; one_file_system: false saves them)"


def _whole(path: Path, base: Path | None) -> Path:
    if path.is_absolute():
        return path
    if base is None:
        raise SourceRefused(f"the path {path} is not whole", f"write /…/{path}, or set data: in drd.yaml")
    return base / path


def _raise_for_mount(root: Path, points: frozenset[Path], *, must_be_mounted: bool) -> None:
    if disk := unmounted_disk(root):
        raise SourceRefused(f"the disk {disk} is not mounted", f"mount {disk}")
    if must_be_mounted and root not in points:
        raise SourceRefused(f"nothing is mounted at {root}", f"mount {root}, or take mounted: out")


def _raise_for_access(root: Path) -> None:
    try:
        root.lstat()
    except FileNotFoundError as error:
        raise SourceRefused(f"{root} does not exist", f"ls -d {root}, or correct the policy's paths:") from error
    except OSError as error:
        raise SourceRefused(f"{root} cannot be read: {error.strerror}", f"ls -ld {root} {root.parent}") from error
    if root.is_symlink():
        # restic would save the link and nothing of what it points to.
        raise SourceRefused(f"{root} is a symbolic link", f"write {root.resolve()} instead")
    needed = os.R_OK | os.X_OK if root.is_dir() else os.R_OK
    # By default the question is what the user may do without the capability that lets the daemon read every file.
    if not os.access(root, needed, effective_ids=True):
        raise SourceRefused(f"{root} cannot be read by the user that drd runs as", f"ls -ld {root}; id")


def _raise_for_emptiness(root: Path) -> None:
    if root.is_dir() and next(_files_below(root), None) is None:
        raise SourceRefused(
            f"there is not a single file below {root}", "look whether its disk is mounted, or set allow_empty: true"
        )


def _files_below(folder: Path) -> Iterator[str]:
    """Whatever is no folder, nearest first; folders that cannot be read are passed over: restic will report them."""
    for _, _, names in os.walk(folder):
        yield from names
