"""What works as it is written, and would work better otherwise: sentences for a person, none of them a mistake."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from drd.config.documents import Entry
from drd.config.yaml import Spot
from drd.core.fencing import Rung, why_silence_is_not_served
from drd.core.runbook import OTHER_STANDBYS, Runbook, RunbookMode
from drd.ports.configuration import Protected


def of_sources(file: Entry, protected: Protected) -> Iterator[str]:
    """What a policy's sources advise, each sentence with its place."""
    for index, (name, source) in enumerate(protected.sources.items()):
        for sentence in source.advice():
            told = f"policy {protected.policy.name}, source {name}: {sentence}"
            yield str(file.problem(("backup", "source", index, source.kind), told, Spot.OWNER))


def of_mirrors(settings: Entry, policies: Iterable[Protected]) -> Iterator[str]:
    """Which stores share a master key with another one, and what to write where that may not be."""
    told: set[str] = set()
    for protected in policies:
        first, *further = protected.policy.backup.to
        for store in further:
            if store not in told and not settings.at(("stores", store, "independent")):
                told.add(store)
                sentence = (
                    f"store {store} is a mirror of {first} and shares its master key: whoever has the password of one"
                    " and the files of the other reads both; where that may not be, write `independent: true`"
                )
                yield str(settings.problem(("stores", store), sentence, Spot.OWNER))


def of_automatic_runbook(file: Entry, runbook: Runbook, policies: Mapping[str, Protected]) -> Iterator[str]:
    """What a runbook that starts by itself cannot serve all the same, with its place."""
    rungs = runbook.fences
    if runbook.mode is not RunbookMode.AUTOMATIC or not rungs:
        return
    protected = policies.get(runbook.policy)
    targets = () if protected is None or protected.watch is None else protected.watch.targets
    why = why_silence_is_not_served(map(Rung, rungs), [each.node for each in targets if not each.has_power])
    if why:
        yield str(file.problem(("mode",), f"`mode`: {why}"))


def of_other_standbys(file: Entry, runbook: Runbook, policies: Mapping[str, Protected]) -> Iterator[str]:
    """Who would still follow the old primary when a runbook has made another one, with its place."""
    protected = policies.get(runbook.policy)
    nodes = () if protected is None else protected.policy.nodes
    left = len(nodes) - 1 - len(set(runbook.brought_back))
    if not runbook.moves_primary or len(nodes) < 3 or left <= 0 or OTHER_STANDBYS in runbook.brought_back:
        return
    sentence = (
        f"`stages`: {runbook.policy} has {len(nodes)} nodes, and nothing makes the other standbys follow the new "
        f"primary: add a step with `postgres_rejoin: {{node: {OTHER_STANDBYS}}}` to the stage reconstitute"
    )
    yield str(file.problem(("stages",), sentence, Spot.KEY))
