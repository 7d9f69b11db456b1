"""Wake-ups."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol


class Timer(Protocol):
    """One wake-up a key. A wake-up only asks for a look at what is due; being early or late is harmless."""

    def arm(self, key: str, moment: datetime, wake: Callable[[str], None]) -> None:
        """Call `wake(key)` at about `moment`; replaces the key's earlier wake-up."""
        ...

    def disarm(self, key: str) -> None:
        """Forget the key's wake-up, if there is one."""
        ...

    def start(self) -> None:
        """Begin to wake."""
        ...

    def stop(self) -> None:
        """Never wake again."""
        ...
