"""Loading: drd.yaml, the environment, the policies and the runbooks, with all mistakes of all of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from drd.config.advice import of_automatic_runbook, of_mirrors, of_other_standbys, of_sources
from drd.config.build import configuration_of, protected_of
from drd.config.declared import words
from drd.config.documents import Entry, Library
from drd.config.environment import with_environment
from drd.config.kinds import Kinds
from drd.config.lint import Files, lint
from drd.config.policies import policy_model
from drd.config.problems import ConfigurationErrors, Problem
from drd.config.read import digest_of, read_entry, read_folder, read_settings, unread_in
from drd.config.runbooks import runbook_model, runbook_of
from drd.config.settings import settings_model
from drd.config.yaml import forget_positions
from drd.core.encoding import canonical
from drd.ports.configuration import Configuration


def load(path: FilePath, environment: Mapping[str, str], kinds: Kinds) -> Configuration:
    """Read everything that `path`, a drd.yaml, leads to. Raises `ConfigurationErrors` with every mistake there is."""
    try:
        return _Loading(path, environment, kinds).run()
    finally:
        forget_positions()


@dataclass(slots=True)
class _Loading:
    """One loading, from the first file to the configuration."""

    path: FilePath
    environment: Mapping[str, str]
    kinds: Kinds
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def run(self) -> Configuration:
        library = Library(self.problems.append)
        file = library.entry(self.path)
        entry = None if file is None else with_environment(file, self.environment)
        settings = None
        if entry is not None:
            settings = read_settings(entry, settings_model(self.kinds), self.problems.append)
        policies, has_all_policies = self._folder(entry, "policies", "policy", library)
        runbooks, has_all_runbooks = self._folder(entry, "runbooks", "runbook", library)
        read_policies = self._all(policies, policy_model(self.kinds))
        read_runbooks = self._all(runbooks, runbook_model(self.kinds))
        lint(Files(entry, policies, runbooks, has_all_policies, has_all_runbooks), self.kinds, self.problems.append)
        if self.problems or settings is None or entry is None:
            raise ConfigurationErrors(self.problems)
        made = [protected_of(read, _digest(source, entry), source.file, settings) for source, read in read_policies]
        for (file, _), protected in zip(read_policies, made, strict=True):
            self.warnings += of_sources(file, protected)
        drawn = [runbook_of(read, digest_of(source.value), canonical(source.value)) for source, read in read_runbooks]
        for (file, _), runbook in zip(read_runbooks, drawn, strict=True):
            by_name = {each.policy.name: each for each in made}
            self.warnings += [*of_automatic_runbook(file, runbook, by_name), *of_other_standbys(file, runbook, by_name)]
        digest = digest_of(entry.value, [policy.digest for policy in made], [runbook.digest for runbook in drawn])
        notes = tuple(of_mirrors(entry, made))
        return configuration_of(self.path, settings, made, drawn, digest, tuple(self.warnings), notes)

    def _all(self, entries: tuple[Entry, ...], model: Any) -> list[tuple[Entry, Any]]:
        return [(entry, read_entry(entry, model, self.problems.append)) for entry in entries]

    def _folder(
        self, settings: Entry | None, key: str, name_key: str, library: Library
    ) -> tuple[tuple[Entry, ...], bool]:
        """The files of a folder that drd.yaml names; one that nobody named need not be there."""
        named = None if settings is None else settings.at((key,))
        folder = self.path.parent / (named if isinstance(named, str) and named else key)
        try:
            found = read_folder(folder, name_key, library)
            self.warnings += [
                f"{file} is not read: only files right in {folder} are" for file in unread_in(folder, library)
            ]
            return found
        except OSError as error:
            sentence = f"the folder {folder} cannot be read ({error.strerror}): create it, or name another by `{key}:`"
        if settings is not None and named is not None:
            self.problems.append(settings.problem((key,), f"`{key}`: {sentence}"))
        else:
            self.warnings.append(sentence)
        return (), named is None


def _digest(policy: Entry, settings: Entry) -> str:
    """Of a policy with the nodes that it names: where a server is belongs to what is protected."""
    nodes = [settings.at(("nodes", name)) for _, name in words(policy, ("nodes",))]
    return digest_of(policy.value, *nodes)
