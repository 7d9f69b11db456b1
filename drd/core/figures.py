"""What a run saw of its sources, in figures that tell an ordinary day from a catastrophe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drd.core.entropy import Samples
from drd.core.run import Mode

NO_SAMPLES = Samples()

FEWEST_FILES = 20
"""Shares of fewer files say nothing: of one dump of a database all changes every time."""
FEWEST_BYTES = 64 * 2**10
"""Shares of less new data say nothing: it is mostly the names and times of files."""
FEWEST_COMPRESSED = 4 * 2**10
"""How well less than this compresses says nothing."""


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What a run saw of its sources, all parts together. None is what nobody told."""

    files: int
    bytes: int
    files_before: int | None
    """How many files the run before saw; None in the first one, to which everything is new."""
    gone_files: int | None
    """How many of those are not there any more."""
    changed_files: int | None
    """Files that were there and are not as they were; new ones are none of them."""
    new_bytes: int
    """What the store did not hold, before compression."""
    stored_bytes: int | None
    """What that came to when it was compressed; None where restic does not tell (before 0.17)."""
    is_first_there: bool = False
    """Whether the store held nothing of the policy: that all is new to it says nothing of the source."""
    blocks: int = 0
    """Blocks of its files that were drawn."""
    random_blocks: int = 0
    """How many of those look random."""

    @property
    def gone(self) -> float | None:
        """Share of the files that are gone, of those that were there."""
        if self.gone_files is None or self.files_before is None or self.files_before < FEWEST_FILES:
            return None
        return min(1.0, self.gone_files / self.files_before)

    @property
    def changed(self) -> float | None:
        """Share of the files that changed."""
        if self.changed_files is None or self.files < FEWEST_FILES:
            return None
        return min(1.0, self.changed_files / self.files)

    @property
    def new(self) -> float | None:
        """Share of the bytes that the store did not hold."""
        if self.is_first_there:
            return None
        if self.new_bytes < FEWEST_BYTES:
            return 0.0
        return min(1.0, self.new_bytes / self.bytes) if self.bytes else None

    @property
    def ratio(self) -> float | None:
        """What is stored of a new byte: low for texts and tables, about 1 for what is encrypted."""
        return (
            None
            if self.stored_bytes is None or self.new_bytes < FEWEST_COMPRESSED
            else self.stored_bytes / self.new_bytes
        )

    @property
    def random(self) -> float | None:
        """Share of the files that look random inside, as those that are encrypted do, or compressed."""
        return self.random_blocks / self.blocks if self.blocks >= FEWEST_FILES else None

    @property
    def touched(self) -> float:
        """The greatest share of the source that is not as it was, by any of the figures."""
        return max(self.gone or 0.0, self.changed or 0.0, self.new or 0.0)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What restic told of one part in one run."""

    files: int
    bytes: int
    new_files: int
    changed_files: int
    unmodified_files: int
    new_bytes: int
    stored_bytes: int | None


def figures(
    seen: Sequence[Sighting],
    mode: Mode,
    before: RunFigures | None,
    *,
    is_same_mode: bool = True,
    is_first_there: bool = False,
    samples: Samples = NO_SAMPLES,
) -> RunFigures:
    """A run's figures. `before` are those of the run before it, and whether that was of the same mode.

    Of a database, a full and an incremental are different files, so only with the same mode anything is gone. A full
    compares with nothing, so it tells only how many files are fewer; so does an incremental for which restic found no
    snapshot to compare with, which calls every file new.
    """
    files = sum(each.files for each in seen)
    is_compared = mode is Mode.INCREMENTAL and any(each.changed_files or each.unmodified_files for each in seen)
    new_files = sum(each.new_files for each in seen) if is_compared else 0
    is_packing_told = all(each.stored_bytes is not None for each in seen)
    return RunFigures(
        files=files,
        bytes=sum(each.bytes for each in seen),
        files_before=None if before is None else before.files,
        gone_files=None if before is None or not is_same_mode else max(0, before.files + new_files - files),
        changed_files=sum(each.changed_files for each in seen)
        if is_compared and before is not None and is_same_mode
        else None,
        new_bytes=sum(each.new_bytes for each in seen),
        stored_bytes=sum(each.stored_bytes or 0 for each in seen) if is_packing_told else None,
        is_first_there=is_first_there,
        blocks=samples.blocks,
        random_blocks=samples.random,
    )
