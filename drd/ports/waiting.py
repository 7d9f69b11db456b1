"""Waiting for what does not come."""

from __future__ import annotations

import asyncio


async def never() -> None:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()
