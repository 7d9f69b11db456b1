"""Looking for damaged files and putting good ones of the same name in their place.

A name is the SHA-256 of what a file holds, so every file tells by itself whether it is good, and one of that name in
any store of the same repository is the same file. What is replaced or removed is first saved on drd's own machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from drd.clients.carrier.carrying import require_good, require_same_repository, send
from drd.clients.carrier.content import BLOCK_BYTES, Refused
from drd.clients.carrier.files import CONFIG_NAME, FileKind, RepositoryFiles, Vanished, path_of
from drd.clients.carrier.pace import Pace
from drd.clients.carrier.report import Report
from drd.core.errors import TransientError


def examine(target: RepositoryFiles, suspects: tuple[str, ...], report: Report) -> None:
    """Refuse every suspect that is not what it is called.

    A suspect is a file by its path, which is refused when it is not there too, or a folder for all that is in it.
    """
    report.phase("examining")
    for kind in (FileKind.KEY, FileKind.SNAPSHOT, FileKind.INDEX, FileKind.DATA):
        files = {name_of(path) for path in suspects if path.startswith(f"{kind.value}/")}
        if not files and kind.value not in suspects:
            continue
        listed = target.list(kind)
        for name in sorted(files - listed.keys()):
            report.refuse(path_of(kind, name), "it is not there")
        for name in listed if kind.value in suspects else sorted(files & listed.keys()):
            _examine_one(target, kind, name, listed[name], report)


def mend(
    origin: RepositoryFiles,
    target: RepositoryFiles,
    paths: tuple[str, ...],
    pace: Pace,
    report: Report,
    aside: Path | None = None,
) -> None:
    """Put good copies of damaged files in their place. A file that is damaged or missing at `origin` too is refused.

    The config has no name to be verified by: who asks for it has to know that `origin` is the same repository.
    """
    report.phase("mending")
    if CONFIG_NAME in paths:
        _replace(origin, target, FileKind.CONFIG, CONFIG_NAME, pace, report, aside)
    require_same_repository(origin, target)
    listed: dict[FileKind, Mapping[str, int]] = {}
    for path in paths:
        kind, name = FileKind(path.split("/")[0]), name_of(path)
        if kind is FileKind.CONFIG:
            continue
        if kind not in listed:
            listed[kind] = origin.list(kind)
        size = listed[kind].get(name)
        if size is None:
            report.refuse(path, f"{origin.place} does not have it")
            continue
        try:
            # Some servers lose what they have under a name when an upload of that name is broken off, so nothing is
            # sent before the whole file is known to be good.
            require_good(origin, kind, name, size)
            _replace(origin, target, kind, name, pace, report, aside, size)
        except (Refused, Vanished) as refusal:
            report.refuse(path, str(refusal) or f"{origin.place} does not have it")
    target.settle()


def _replace(
    origin: RepositoryFiles,
    target: RepositoryFiles,
    kind: FileKind,
    name: str,
    pace: Pace,
    report: Report,
    aside: Path | None,
    size: int | None = None,
) -> None:
    """Put a file in another's place once that lies aside."""
    if size is None:
        [size] = origin.list(kind).values()
    is_there = put_aside(target, kind, name, aside) if aside is not None else name in target.list(kind)
    if is_there and not target.replaces:  # a server that only appends refuses also to remove what is not there
        target.remove(kind, name)
    send(origin, target, kind, name, size, pace, report)
    report.sent(size)


def remove(target: RepositoryFiles, paths: tuple[str, ...], aside: Path, report: Report) -> None:
    """Take files away that nothing can be made of any more, once they lie aside. One that is good is refused."""
    report.phase("putting aside")
    for path in paths:
        kind, name = FileKind(path.split("/")[0]), name_of(path)
        size = target.list(kind).get(name)
        if size is None:
            continue
        if _is_good(target, kind, name, size):
            report.refuse(path, "it is good")
            continue
        put_aside(target, kind, name, aside)
        target.remove(kind, name)
    target.settle()


def put_all_aside(target: RepositoryFiles, paths: tuple[str, ...], aside: Path, report: Report) -> None:
    """Save files as they are; one that is not there is refused."""
    report.phase("putting aside")
    for path in paths:
        if not put_aside(target, FileKind(path.split("/")[0]), name_of(path), aside):
            report.refuse(path, "it is not there")


def put_aside(target: RepositoryFiles, kind: FileKind, name: str, folder: Path) -> bool:
    """Save a file as it is on this machine; False for one that is not there. Raises `TransientError`."""
    kept = folder / path_of(kind, name)
    try:
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with target.open(kind, name) as source, open(kept, "wb", opener=_private) as file:
            while block := source.read(BLOCK_BYTES):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    except Vanished:
        return False
    except OSError as error:
        raise TransientError(
            f"a damaged file of {target.place} cannot be put aside in {folder}: {error.strerror}", f"df -h {folder}"
        ) from error
    return True


def name_of(path: str) -> str:
    """The name of a file by its path in the repository."""
    return path.rpartition("/")[2]


def _examine_one(target: RepositoryFiles, kind: FileKind, name: str, size: int, report: Report) -> None:
    try:
        require_good(target, kind, name, size)
    except Refused as refusal:
        report.refuse(path_of(kind, name), str(refusal))
    except Vanished:
        return  # removed since it was listed
    report.passed(size)


def _is_good(target: RepositoryFiles, kind: FileKind, name: str, size: int) -> bool:
    try:
        require_good(target, kind, name, size)
    except (Refused, Vanished):
        return False
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
