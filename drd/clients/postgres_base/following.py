"""Taking a base backup that follows an earlier one where that is possible, and else a full."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from drd.clients.postgres_tools.manifests import Manifests, digest
from drd.core.postgres.errors import NoIncrement
from drd.core.postgres.increments import OLDEST, Member, why_full
from drd.core.postgres.server import ServerFacts
from drd.ports.postgres_tools import Base, BaseRequest, PostgresTools


@dataclass(frozen=True, slots=True)
class Taken:
    """A base backup, and whether it follows another."""

    base: Base
    member: Member | None
    """None where nothing can follow it: servers before 17."""
    why_full: str = ""
    """Why it is a full, where an incremental was asked for."""


@dataclass(frozen=True, slots=True)
class Following:
    """What a base backup of one cluster may follow."""

    server: ServerFacts
    kept: Path | None
    """Where manifests are kept between runs; None: nowhere, so that each is a full."""
    earlier: tuple[tuple[str, ...], ...] | None
    """The tags of what may be followed, newest first; None: a full is wanted."""

    async def take(self, tools: PostgresTools, request: BaseRequest) -> Taken:
        """Take it; see `PostgresTools.base_backup`. Where the server cannot say what changed, it is a full."""
        prior, manifest, why = await asyncio.to_thread(self._prior)
        try:
            base = await tools.base_backup(replace(request, since=manifest), lambda _: None)
        except NoIncrement as error:
            prior, why = "", error.message
            base = await tools.base_backup(request, lambda _: None)
        if self.server.major < OLDEST:
            return Taken(base, None, why)
        return Taken(base, Member(await asyncio.to_thread(digest, base.manifest), prior), why)

    async def keep(self, taken: Taken) -> None:
        """Remember one that was saved, so that the next may follow it. What cannot be kept is not followed."""
        if taken.member is not None and (manifests := self._manifests) is not None:
            await asyncio.to_thread(manifests.keep, taken.base.manifest, taken.member.manifest)

    @property
    def _manifests(self) -> Manifests | None:
        return None if self.kept is None else Manifests(self.kept, self.server.system_identifier)

    def _prior(self) -> tuple[str, Path | None, str]:
        """Which one to follow, by its digest and its manifest, or why none."""
        if self.earlier is None:
            return "", None, ""
        newest = self.earlier[0] if self.earlier else ()
        if why := why_full(newest, self.server):
            return "", None, why
        member = Member.of_tags(newest)
        manifest = None if member is None or self._manifests is None else self._manifests.find(member.manifest)
        if member is None or manifest is None:
            return "", None, "the manifest of the newest one is not kept here"
        return member.manifest, manifest, ""
