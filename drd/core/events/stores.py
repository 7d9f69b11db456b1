"""What happened to stores."""

from __future__ import annotations

from dataclasses import dataclass

from drd.core.events.body import Body


@dataclass(frozen=True)
class StoreCreated(Body):
    """A repository was made."""

    KIND = "store-created"
    store: str
    repository_id: str
    mirror_of: str | None


@dataclass(frozen=True)
class StoreWentAway(Body):
    """A store stopped answering."""

    KIND = "store-went-away"
    store: str
    message: str


@dataclass(frozen=True)
class StoreCameBack(Body):
    """A store that was away answers again."""

    KIND = "store-came-back"
    store: str


@dataclass(frozen=True)
class StoreReconciled(Body):
    """What a store holds was compared with what the journal knew."""

    KIND = "store-reconciled"
    store: str
    snapshots: int
    found: int
    missing: int


@dataclass(frozen=True)
class StoreChecked(Body):
    """A repository was checked, or a restore met damage there. `subset` is empty for the structure alone."""

    KIND = "store-checked"
    store: str
    subset: str
    sound: bool
    errors: int
    first: str
    seconds: float


@dataclass(frozen=True)
class StorePruned(Body):
    """Unreferenced data was removed from a repository."""

    KIND = "store-pruned"
    store: str
    seconds: float


@dataclass(frozen=True)
class HoldPlaced(Body):
    """Nothing is forgotten or pruned in a store until the hold is released."""

    KIND = "hold-placed"
    store: str
    reason: str
    is_identity: bool = False
    """Whether another repository is there than the journal knows, which `drd accept` settles."""
    is_damage: bool = False
    """Whether it is because of damage: then it ends when that is healed, and takes no other hold's place."""


@dataclass(frozen=True)
class HoldReleased(Body):
    """A hold ended."""

    KIND = "hold-released"
    store: str
    by: str
