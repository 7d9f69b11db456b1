"""Which restic there is and what it can do, which follows from the version's number and never from a guess."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from drd.core.errors import ProgramMissing
from drd.ports.runner import Command, Runner

OLDEST = (0, 14, 0)
"""What Debian 12 carries; older ones know neither compression nor `--from-repo`."""
NEWER_HINT = "apt-get install restic, or name another one by `restic:` in drd.yaml"

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Restic:
    """A restic program; the features' releases are those of restic's changelog."""

    path: str
    """A path, or a name that is looked for in PATH at each use."""
    version: Version

    @property
    def waits_for_locks(self) -> bool:
        """`--retry-lock`."""
        return self.version >= (0, 16, 0)

    @property
    def restores_with_messages(self) -> bool:
        """`restore --json` tells how far it is."""
        return self.version >= (0, 16, 0)

    @property
    def names_whole_snapshot_ids(self) -> bool:
        """`backup --json` gives the snapshot's whole id instead of its first 8 characters, and `init` gives JSON."""
        return self.version >= (0, 15, 0)

    @property
    def mistrusts_its_cache(self) -> bool:
        """A damaged file in the cache is fetched again."""
        return self.version >= (0, 15, 0)

    @property
    def limits_stuck_requests(self) -> bool:
        """`--stuck-request-timeout`: a request to a store that nothing answers is tried again."""
        return self.version >= (0, 17, 1)

    @property
    def repairs(self) -> bool:
        """`repair index`, which was `rebuild-index` before."""
        return self.version >= (0, 16, 0)

    @property
    def salvages(self) -> bool:
        """`repair packs`, which also reads packs that are cut off since 0.17."""
        return self.version >= (0, 17, 0)

    @property
    def version_text(self) -> str:
        """As `0.19.1`."""
        return ".".join(map(str, self.version))


async def find_restic(program: str, runner: Runner) -> Restic:
    """The restic that `program` names: a path, or a name that is looked for in PATH.

    Raises `ProgramMissing` when it is not there, is no restic, or is too old.
    """
    lines: list[str] = []
    command = Command((program, "version"), deadline=timedelta(seconds=20))
    await runner.run(command, lambda _, line: lines.append(line.decode(errors="replace")))
    match = re.match(r"restic (\d+)\.(\d+)\.(\d+)", "\n".join(lines))
    if match is None:
        raise ProgramMissing(f"{program} is not restic", NEWER_HINT)
    version = (int(match[1]), int(match[2]), int(match[3]))
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ProgramMissing(f"{program} is restic {'.'.join(match.groups())}, drd needs {oldest} or later", NEWER_HINT)
    return Restic(program, version)
