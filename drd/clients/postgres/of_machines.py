"""The database servers of machines: how each is reached, and whether it leads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from drd.clients.postgres.following_primary import Leading, leading
from drd.core.errors import DrdError, PermanentError
from drd.ports.machines import Machine
from drd.ports.secrets import Secrets


async def dsn_of(secrets: Secrets, machine: Machine) -> bytes:
    """How the database of a machine is reached. Raises `PermanentError` where drd.yaml does not say."""
    if machine.dsn is None:
        raise PermanentError(
            f"drd.yaml does not say how the database of {machine.name} is reached", "write `postgres:` at the node"
        )
    return await secrets.read(machine.dsn)


async def lead_of(secrets: Secrets, machine: Machine) -> Leading | DrdError | None:
    """What its server leads, None for one that is a standby, or why it does not answer."""
    try:
        return await leading(await dsn_of(secrets, machine))
    except DrdError as error:
        return error


async def leads_of(secrets: Secrets, machines: Sequence[Machine]) -> tuple[Leading | DrdError | None, ...]:
    """The same of several, all asked at once."""
    return tuple(await asyncio.gather(*(lead_of(secrets, machine) for machine in machines)))
