"""An incremental base backup that was restored, made a full one with all that it follows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from drd.clients.postgres_tools import restored
from drd.clients.postgres_tools.manifests import digest
from drd.clients.postgres_tools.tools import ProgramsOfPostgres
from drd.clients.postgres_tools.touching import within
from drd.core.errors import PermanentError
from drd.core.postgres.base import BaseFacts
from drd.core.postgres.increments import Member
from drd.ports.postgres_tools import CombineRequest
from drd.ports.repository import OnProgress, Progress
from drd.ports.source import Earlier

_OTHER_POINT = "restore another point; drd store check tells whether the store is damaged"
_COMBINED = "combined"


async def combine(
    tools: ProgramsOfPostgres, folder: Path, facts: tuple[str, ...], earlier: Sequence[Earlier], on_progress: OnProgress
) -> str:
    """Put a full in the place of the incremental one in `folder`; what was done, in words.

    `facts` are what was said of it when it was saved. Each of them is verified by its manifest before, and that they
    follow one another. Raises `PermanentError` for one that lacks or is damaged.
    """
    chain = [*earlier, Earlier(folder, facts)]
    await within(lambda: _demand_chain(chain))
    described = [
        await within(lambda each=each: restored.facts_beside(each.folder / restored.FACTS))  # type: ignore[misc]
        for each in chain
    ]
    for number, (each, of_it) in enumerate(zip(chain, described, strict=True), start=1):
        on_progress(Progress(phase=f"verifying base backup {number} of {len(chain)}"))
        await within(lambda each=each, of_it=of_it: _link(each.folder, of_it))  # type: ignore[misc]
        data = each.folder / restored.DATA
        found = await tools.verify(data, data / "pg_wal" if of_it.holds_wal else None)
        if not found.is_sound:
            raise PermanentError(
                f"base backup {number} of {len(chain)} is not as the server had sent it: {found.problems[0]}",
                _OTHER_POINT,
            )
    on_progress(Progress(phase=f"combining {len(chain)} base backups"))
    made = folder / _COMBINED
    spaces = {
        folder / restored.SPACES / str(space.oid): made / restored.SPACES / str(space.oid)
        for space in described[-1].tablespaces
    }
    await within(lambda: (made / restored.SPACES).mkdir(parents=True))
    folders = tuple(each.folder / restored.DATA for each in chain)
    await tools.combine(CombineRequest(folders, made / restored.DATA, spaces))
    await within(lambda: _take_place(made, folder, [each.folder for each in earlier]))
    return f"{len(chain)} base backups, each found whole, were combined: a full and {len(earlier)} that followed it"


def _demand_chain(chain: Sequence[Earlier]) -> None:
    before = ""
    for each in chain:
        member = Member.of_tags(each.facts)
        try:
            found = digest(each.folder / restored.DATA / restored.MANIFEST)
        except OSError as error:
            raise PermanentError(f"a base backup lacks its manifest: {error.strerror}", _OTHER_POINT) from error
        if member is None or found != member.manifest or member.prior != before:
            raise PermanentError("the base backups that it is made of do not follow one another", _OTHER_POINT)
        before = member.manifest


def _link(folder: Path, facts: BaseFacts) -> None:
    """Its links to tablespaces lead to where it lay when it was made."""
    spaces = {space.oid: folder / restored.SPACES / str(space.oid) for space in facts.tablespaces}
    restored.link_tablespaces(folder / restored.DATA, spaces)


def _take_place(made: Path, folder: Path, earlier: Sequence[Path]) -> None:
    for name in (restored.DATA, restored.SPACES):
        if (folder / name).exists():
            shutil.rmtree(folder / name)
        (made / name).rename(folder / name)
    for each in (made, *earlier):
        shutil.rmtree(each)
