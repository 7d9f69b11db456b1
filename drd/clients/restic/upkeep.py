"""Keeping a repository usable: making it, forgetting, pruning, checking, locks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from drd.clients.restic.calls import LONG, Answer, Call, Lock
from drd.clients.restic.listing import Listing, read_snapshot
from drd.clients.restic.messages import CheckSummary, ItemFailed, parse
from drd.clients.restic.outcomes import tells_of_a_store_that_is_away
from drd.core.errors import PermanentError, RepositoryDamaged, StoreAway
from drd.core.policy import Keep
from drd.ports.repository import CheckReport, ForgetPlan, Snapshot, Upkeep

FORGET_DEADLINE = timedelta(hours=1)
"""Each snapshot is a request to the store: hundreds, after a policy's `keep:` was lowered."""
_DAMAGED = re.compile(r"repository contains errors|The repository (contains damaged|is damaged)")
_PACK = re.compile(r"(?:pack |want )([0-9a-f]{64})")
_OTHER_SIZE = re.compile(r"pack ([0-9a-f]{64}): unexpected file size")
SHORT_ID = 10
"""As many characters of a pack's name stand in messages at least."""
# What `check` says around its findings: what it is doing, and advice that would remove damaged files from history.
_NO_FINDING = re.compile(
    r"^(\[|using temporary cache|create exclusive lock|load indexes|check all packs|check snapshots|read |"
    r"no errors were found|Fatal: repository contains errors|restic repair|Damaged pack files|"
    r"The repository (contains damaged|is damaged|must)|\d+ additional files were found|repository .* opened|"
    r"Load\(|.*, retrying after )"
)
_ID = re.compile(rb"^[0-9a-f]{64}$")


class Keeping(Listing):
    """`Upkeep` over restic. Exclusive work clears stale locks first, and never live ones."""

    async def create(self, like: Upkeep | None = None) -> str:
        """Make the repository (with the chunker parameters of `like`) and return its id."""
        arguments: tuple[str, ...] = ("init", "--repository-version", "2")
        if like is None:
            await self._calls.ask(Call(arguments))
        elif isinstance(like, Keeping):
            await self._calls.ask(Call((*arguments, "--copy-chunker-params"), other=like.access))
        else:
            raise TypeError("restic takes chunker parameters only from a repository that it can open itself")
        return await self.identity()

    async def plan_forget(self, keep: Keep, tags: tuple[str, ...]) -> ForgetPlan:
        """What restic's own dry run would keep and remove among the snapshots with all of `tags`, as one group."""
        rules = _rules(keep)
        if not rules:
            raise PermanentError("`keep:` keeps nothing, so nothing is forgotten", "write for example keep: {daily: 7}")
        arguments = ("forget", "--dry-run", "--group-by", "", *rules, *(("--tag", ",".join(tags)) if tags else ()))
        answer = await self._calls.ask(Call(arguments))
        groups = self._document(answer.output.stdout, "forget") or [] if any(answer.output.stdout) else []
        kept = [read_snapshot(each) for group in groups for each in group.get("keep") or ()]
        removed = [read_snapshot(each) for group in groups for each in group.get("remove") or ()]
        return ForgetPlan(tuple(kept), tuple(removed), _reasons(groups, kept))

    async def forget(self, snapshot_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Forget exactly these, list again, and return those that are really gone.

        An append-only store refuses with exit code 1, 0 or 3, as restic's version likes, so only the new list counts.
        """
        if not snapshot_ids:
            return ()
        words = ("forget", *snapshot_ids)
        call = Call(words, Lock.EXCLUSIVE, FORGET_DEADLINE, accepted=frozenset({0, 1, 3}), deletes=True)
        answer = await self._calls.ask(call)
        still_there = {snapshot.id for snapshot in await self.snapshots()}
        gone = tuple(each for each in snapshot_ids if each not in still_there)
        if not gone and answer.ended.code != 0:
            raise self._calls.failure(answer)
        return gone

    async def prune(self, max_repack_bytes: int | None) -> None:
        """Remove unreferenced data, repacking at most so many bytes."""
        bound = () if max_repack_bytes is None else ("--max-repack-size", str(max_repack_bytes))
        await self._calls.ask(Call(("prune", *bound), Lock.EXCLUSIVE, LONG, deletes=True))

    async def check(self, read_subset: str | None = None) -> CheckReport:
        """Check the structure, and read the given share of the data (`n/t` or `x%`).

        Raises a `DrdError` when the check itself could not be made; damage is a report, not an error.
        """
        subset = () if read_subset is None else ("--read-data-subset", read_subset)
        answer = await self._calls.ask(Call(("check", *subset), Lock.EXCLUSIVE, LONG, accepted=frozenset({0, 1})))
        said = answer.output.text
        if answer.ended.code != 0 and not _DAMAGED.search(said):
            failure = self._calls.failure(answer)
            if not isinstance(failure, RepositoryDamaged):  # 0.14 gives up at the first index that it cannot read
                raise failure
        if answer.ended.code != 0 and tells_of_a_store_that_is_away(_but_of_short_packs(said)):
            raise StoreAway(
                f"the store {self._calls.access.place} went away during the check", "drd checks again by itself"
            )
        findings = tuple(dict.fromkeys(_findings(answer))) if answer.ended.code != 0 else ()
        summaries = [summary for line in answer.output.stdout if (summary := parse(line, CheckSummary))]
        named = [pack for summary in summaries for pack in summary.broken_packs]
        found = [pack for finding in findings for pack in _PACK.findall(finding)]
        return CheckReport(
            sound=answer.ended.code == 0,
            errors=tuple(map(self._calls.shown, findings)),
            broken_packs=tuple(dict.fromkeys([*named, *found])),
            seconds=answer.ended.seconds,
        )

    async def unlock(self) -> None:
        """Remove stale locks only."""
        await self._calls.unlock()

    async def locks(self) -> tuple[str, ...]:
        """The ids of the locks that are there now."""
        answer = await self._calls.ask(Call(("list", "locks")))
        return tuple(line.decode() for line in answer.output.stdout if _ID.match(line))


def _but_of_short_packs(said: str) -> str:
    """What a check said of all else: a pack that the store lists with another size ends early, and not on the way."""
    short = [pack[:SHORT_ID] for pack in _OTHER_SIZE.findall(said)]
    return "\n".join(line for line in said.splitlines() if not any(each in line for each in short))


def _rules(keep: Keep) -> list[str]:
    words: list[str] = []
    for unit in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
        count = getattr(keep, unit)
        if count:
            words += [f"--keep-{unit}", str(count)]
    if keep.within is not None:
        words += ["--keep-within", _within(keep.within)]
    return words


def _within(duration: timedelta) -> str:
    """Restic's form of a duration, which knows no less than hours; rounded up, so that nothing goes too early."""
    hours = -(-duration // timedelta(hours=1))
    return f"{hours // 24}d{hours % 24}h"


def _reasons(groups: list[Mapping[str, Any]], kept: list[Snapshot]) -> dict[str, tuple[str, ...]]:
    """Snapshot id → why it is kept. Before 0.17 a reason does not name the id, so time and tree find it."""
    ids = {(snapshot.time, snapshot.tree): snapshot.id for snapshot in kept}
    reasons: dict[str, tuple[str, ...]] = {}
    for each in (reason for group in groups for reason in group.get("reasons") or ()):
        snapshot = read_snapshot(each["snapshot"])
        reasons[snapshot.id or ids[snapshot.time, snapshot.tree]] = tuple(each.get("matches") or ())
    return reasons


def _findings(answer: Answer) -> Iterator[str]:
    for line in (*answer.output.stderr, *answer.output.stdout):
        message = parse(line, ItemFailed)
        text = message.text if message is not None else line.decode(errors="replace")
        finding = text.strip()
        if finding and not finding.startswith("{") and not _NO_FINDING.match(finding):
            yield finding
