"""Rules about the servers of databases: where they are is said once, and every node that is named has one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drd.config.declared import Declared, words
from drd.config.documents import Entry, Report
from drd.config.yaml import Path, Spot
from drd.ports.source import Source

_SOURCE: Path = ("backup", "source")
_NODES: Path = ("nodes",)


def lint_servers(entry: Entry, declared: Declared, kinds: Mapping[str, type[Source]], report: Report) -> None:
    """Where the servers of a policy's sources are is said once: by an address of the source, or by `nodes:`."""
    nodes = list(words(entry, _NODES))
    needed: set[str] = set()
    for path, verb in _sources(entry, kinds):
        address = kinds[verb].ADDRESS
        if address is None:
            continue
        has_address = entry.has((*path, address))
        if has_address and nodes:
            sentence = f"`{address}`: `nodes:` of the policy say where its servers are: remove one of the two"
            report(entry.problem((*path, address), sentence, Spot.KEY))
        elif not has_address and not nodes:
            sentence = f"`{verb}`: nothing says where its server is: add `{address}:` here, or `nodes:` to the policy"
            report(entry.problem(path, sentence, Spot.OWNER))
        elif not has_address:
            needed.add(verb)
    for place, name in nodes:
        for verb in sorted(needed - set(declared.served_by.get(name, needed))):
            sentence = f"node `{name}` has no `{verb}:` in drd.yaml: add it there, or take the node out of `nodes`"
            report(entry.problem(place, sentence))


def has_database(entry: Entry, kinds: Mapping[str, type[Source]]) -> bool:
    """Whether a policy has servers of a database, in its sources or by nodes of its own."""
    return entry.has(_NODES) or any(kinds[verb].ADDRESS is not None for _, verb in _sources(entry, kinds))


def _sources(entry: Entry, kinds: Mapping[str, type[Source]]) -> Iterator[tuple[Path, str]]:
    """The path of each source, down to the key of its kind, and that kind."""
    written = entry.at(_SOURCE)
    listed = enumerate(written) if isinstance(written, list) else [(None, written)]
    for index, source in listed:
        base: Path = _SOURCE if index is None else (*_SOURCE, index)
        if isinstance(source, dict):
            yield from (((*base, verb), verb) for verb in kinds if verb in source)
