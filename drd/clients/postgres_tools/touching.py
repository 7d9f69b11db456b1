"""Work on the files of a restored cluster, which may lie on a file system that hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from drd.clients.host import MachineHost
from drd.core.errors import PermanentError

SECONDS: Final = 3600.0
"""How long a step may take that touches every file."""
Result = TypeVar("Result")


async def within(work: Callable[[], Result]) -> Result:
    """Do blocking work; a failure of the disk is a `PermanentError`."""
    try:
        return await MachineHost().within(SECONDS, work)
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        raise PermanentError(f"could not put the cluster right: {named}", "choose another place") from error
    except TimeoutError as error:
        raise PermanentError("the place does not answer any more", "dmesg | tail; choose another place") from error
