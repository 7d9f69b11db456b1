"""What is read of a recovery point, and which of it lands where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from drd.core.errors import PermanentError, UsageError
from drd.core.points import Copy, RecoveryPoint
from drd.engines.landing import Landing
from drd.engines.restore_request import BESIDE, RestoreRequest
from drd.ports.host import Host
from drd.ports.repository import Snapshot


@dataclass(frozen=True, slots=True)
class Piece:
    """What is read at once into one place: a part, or, beside the source, what lies below one of its paths."""

    copy: Copy
    """As the journal knows it."""
    snapshot: Snapshot
    """As the store lists it."""
    landing: Landing
    include: tuple[str, ...]
    """The paths that are wanted, as the snapshot names them; empty for all of it."""
    part: str | None
    """Below what name at the place, where there are several."""
    is_data: bool = False
    """Whether it is laid into `DATA_FOLDER` of the part, which was read before it."""


def pieces_of(
    host: Host, run: str, request: RestoreRequest, point: RecoveryPoint, store: str, listed: Mapping[str, Snapshot]
) -> list[Piece]:
    """What is read, and where it lands: all at the one target, or each path beside itself, on its file system.

    What belongs to a part comes after it.
    Raises `PermanentError` for a copy that the store does not list, and `UsageError` for paths that fit nothing.
    """
    at_target = Landing(host, Path(request.target), run)
    pieces: list[Piece] = []
    copies = _in_order(point, store, listed)
    is_alone = len(point.parts) == 1
    for copy in copies:
        snapshot = _of(copy, listed)
        include = tuple(_inside(snapshot, path) for path in request.include)
        if request.target != BESIDE:
            whole = copy.part if request.include else point.part_with(copy.part)
            part = None if is_alone and (len(copies) == 1 or not request.include) else whole
            pieces.append(Piece(copy, snapshot, at_target, include, part, is_data=whole != copy.part))
            continue
        for root in snapshot.paths:
            wanted = _below(root, include) if include or len(snapshot.paths) > 1 else ()
            if wanted or not include:
                landing = Landing(host, _beside(root), run, beside=True)
                pieces.append(Piece(copy, snapshot, landing, wanted, None))
    return pieces


def _in_order(point: RecoveryPoint, store: str, listed: Mapping[str, Snapshot]) -> list[Copy]:
    """The parts in the order in which the point's own run wrote them, each followed by what belongs to it.

    A store may have got them in any other.
    """
    own = (each for each in listed.values() if each.tag("run") == point.run)
    written = {each.tag("part"): number for number, each in enumerate(sorted(own, key=lambda each: each.time))}

    def rank(copy: Copy) -> tuple[int, bool]:
        owner = point.part_with(copy.part)
        return written.get(owner, len(written)), owner != copy.part

    return sorted(point.copies_in(store), key=rank)


def landings(pieces: Sequence[Piece]) -> list[Landing]:
    """The places of these pieces, each once."""
    return list(dict.fromkeys(piece.landing for piece in pieces))


def _of(copy: Copy, listed: Mapping[str, Snapshot]) -> Snapshot:
    if copy.snapshot_id not in listed:
        raise PermanentError(
            f"store {copy.store} does not list snapshot {copy.snapshot_id[:8]} any more", "try another with --from"
        )
    return listed[copy.snapshot_id]


def _beside(root: str) -> Path:
    """The path that a restore lands beside."""
    path = Path(root)
    if path.parent == Path("/"):
        raise UsageError(
            f"{path} lies in the root folder, or is a program's output: nothing is restored beside it",
            "name an empty or a new folder with --to",
        )
    return path


def _below(root: str, include: tuple[str, ...]) -> tuple[str, ...]:
    """What is wanted of one path of a snapshot: all of it, what of it is named, or nothing."""
    path = PurePosixPath(root)
    if not include or any(path.is_relative_to(each) for each in include):
        return (root,)
    return tuple(each for each in include if PurePosixPath(each).is_relative_to(path))


def _inside(snapshot: Snapshot, path: str) -> str:
    """A path as the snapshot names it; relative ones start at the source's only root."""
    if PurePosixPath(path).is_absolute():
        return path
    if len(snapshot.paths) != 1:
        raise UsageError(
            f"{path} could be below any of {', '.join(snapshot.paths)}", "write the whole path after --path"
        )
    return str(PurePosixPath(snapshot.paths[0]) / path)
