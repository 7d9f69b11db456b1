"""What can be made of a repository of which files are damaged or missing for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lost:
    """A file or folder that a snapshot cannot give back any more; of a folder also all that is in it."""

    snapshot_id: str
    """Whole, or its first 8 characters."""
    path: str


class Repairer(Protocol):
    """Repairs that take nothing away but what is damaged already."""

    async def rebuild_index(self) -> None:
        """Make the index anew from what the packs themselves say; what names packs that are not there goes."""
        ...

    async def salvage(self, packs: tuple[str, ...]) -> bool:
        """Save what is whole in damaged packs, and remove them; False where this restic cannot.

        The packs have to be there, and to lie elsewhere too: nothing else of them is kept.
        """
        ...

    async def lost(self) -> tuple[Lost, ...]:
        """Everything that snapshots cannot give back, because no pack of the index holds it; nothing is changed."""
        ...
