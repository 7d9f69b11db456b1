"""One worker for each policy whose nodes or service are watched; a policy that has changed gets others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from drd.engines.serving import Serving
from drd.engines.watching import Watching
from drd.ports.configuration import Protected

NODES: Final = "nodes"
SERVICE: Final = "service"


class Watchers:
    """Starts and ends the workers as policies come, change and go."""

    def __init__(self, watching: Watching, serving: Serving) -> None:
        self._serve = {NODES: watching.serve, SERVICE: serving.serve}
        self._workers: dict[tuple[str, str], tuple[str, asyncio.Task[None]]] = {}

    def staff(self, policies: Mapping[str, Protected], group: asyncio.TaskGroup) -> None:
        """Let exactly these policies be watched, each as it is now."""
        wanted = {(NODES, name): each.digest for name, each in policies.items() if each.watch is not None}
        wanted |= {(SERVICE, name): each.digest for name, each in policies.items() if each.service is not None}
        for key in [key for key, (digest, _) in self._workers.items() if wanted.get(key) != digest]:
            self._workers.pop(key)[1].cancel()
        for key in wanted.keys() - self._workers.keys():
            what, name = key
            worker = group.create_task(self._serve[what](name), name=f"{what} of {name}")
            self._workers[key] = wanted[key], worker

    def stop(self) -> None:
        """End them all."""
        for _, worker in self._workers.values():
            worker.cancel()
