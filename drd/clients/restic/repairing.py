"""Repairing a repository with restic's own commands; those of 0.14 have other names and do less."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from drd.clients.restic.calls import LONG, Call, Lock
from drd.clients.restic.listing import Listing
from drd.ports.repairing import Lost

PACKS_AT_ONCE = 100
"""So many ids go into one command, whose length is limited."""
_SNAPSHOT = re.compile(r"^snapshot ([0-9a-f]{8,64}) of ")
_LOST = re.compile(r'^\s+(?:file|dir) ("(?:[^"\\]|\\.)*"): ')
_MISSING_BLOB = re.compile(r"\bblob ([0-9a-f]{64}) (?:size \d+ )?(?:not found|could not be found)")
_MISSING_TREE = re.compile(r"\bid ([0-9a-f]{64}) not found")


class Repairing(Listing):
    """`Repairer` over restic. Exclusive work clears stale locks first, and never live ones."""

    async def rebuild_index(self) -> None:
        """Make the index anew from the packs. `repair index` is since 0.16 what `rebuild-index` was."""
        words = ("repair", "index") if self._calls.restic.repairs else ("rebuild-index",)
        await self._calls.ask(Call(words, Lock.EXCLUSIVE, LONG, deletes=True))

    async def salvage(self, packs: tuple[str, ...]) -> bool:
        """Save what is whole in damaged packs (`repair packs`). restic leaves a copy of each in its working folder."""
        if not self._calls.restic.salvages:
            return False
        for start in range(0, len(packs), PACKS_AT_ONCE):
            batch = packs[start : start + PACKS_AT_ONCE]
            copies = [self._calls.access.cache / f"pack-{pack}" for pack in batch]
            await asyncio.to_thread(_remove, copies)  # restic refuses where one is left from a try that was stopped
            try:
                await self._calls.ask(Call(("repair", "packs", *batch), Lock.EXCLUSIVE, LONG, deletes=True))
            finally:
                await asyncio.to_thread(_remove, copies)
        return True

    async def lost(self) -> tuple[Lost, ...]:
        """What a dry run of `repair snapshots` would take out of them; before 0.16 what `check` and `find` say."""
        if not self._calls.restic.repairs:
            return await self._lost_by_check()
        answer = await self._calls.ask(Call(("repair", "snapshots", "--dry-run"), deadline=LONG))
        return tuple(_read_dry_run(line.decode(errors="replace") for line in answer.output.stdout))

    async def _lost_by_check(self) -> tuple[Lost, ...]:
        call = Call(("check",), Lock.EXCLUSIVE, LONG, accepted=frozenset({0, 1}))
        said = (await self._calls.ask(call)).output.text
        trees, blobs = set(_MISSING_TREE.findall(said)), set(_MISSING_BLOB.findall(said))
        found = [Lost(each.id, "/") for each in await self.snapshots() if each.tree in trees]
        for kind, ids in (("--tree", sorted(trees)), ("--blob", sorted(blobs))):
            for start in range(0, len(ids), PACKS_AT_ONCE):
                words = ("find", kind, *ids[start : start + PACKS_AT_ONCE])
                answer = await self._calls.ask(Call(words, deadline=LONG, accepted=frozenset({0, 1})))
                found += _read_find(answer.output.stdout)
        return tuple(sorted(set(found), key=lambda each: (each.snapshot_id, each.path)))


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _read_dry_run(lines: Iterable[str]) -> Iterator[Lost]:
    snapshot = ""
    for line in lines:
        if begun := _SNAPSHOT.match(line):
            snapshot = begun[1]
        elif found := _LOST.match(line):
            yield Lost(snapshot, _unquoted(found[1]))


def _read_find(lines: Iterable[bytes]) -> Iterator[Lost]:
    """What `find --json` says: one document of all that it met, which it ends also when it could not go everywhere."""
    for line in lines:
        try:
            documents = json.loads(line)
        except ValueError:
            continue
        for each in documents if isinstance(documents, list) else ():
            yield Lost(each["snapshot"], each["path"])


def _unquoted(text: str) -> str:
    """A name as Go quotes it."""
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1]  # with escapes that JSON does not have: good enough for a person
