"""One worker for each policy whose nodes are watched; a policy that has changed gets another one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from drd.engines.watching import Watching
from drd.ports.configuration import Protected


class Watchers:
    """Starts and ends the workers as policies come, change and go."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._workers: dict[str, tuple[str, asyncio.Task[None]]] = {}

    def staff(self, policies: Mapping[str, Protected], group: asyncio.TaskGroup) -> None:
        """Let exactly these policies be watched, each as it is now."""
        wanted = {name: each.digest for name, each in policies.items() if each.watch is not None}
        for name in [name for name, (digest, _) in self._workers.items() if wanted.get(name) != digest]:
            self._workers.pop(name)[1].cancel()
        for name in wanted.keys() - self._workers.keys():
            worker = group.create_task(self._watching.serve(name), name=f"nodes of {name}")
            self._workers[name] = wanted[name], worker

    def stop(self) -> None:
        """End them all."""
        for _, worker in self._workers.values():
            worker.cancel()
