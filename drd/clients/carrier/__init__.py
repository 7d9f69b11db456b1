"""Carries a restic repository's files between stores as they are, in a child process.

The child (`python -m drd.clients.carrier`) keeps boto3's memory and the hashing out of the daemon. Its modules import
only what they need, so that a round with nothing new is over in a fraction of a second; the daemon's half, `client`, is
imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drd.clients.carrier.client import ProcessCarrier, examine

__all__ = ["ProcessCarrier", "examine"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from drd.clients.carrier import client  # the child must not pay for it

    return getattr(client, name)
