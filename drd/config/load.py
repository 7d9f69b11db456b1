"""Loading: drd.yaml, the environment, the policies and the runbooks, with all mistakes of all of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from drd.config.build import configuration_of, protected_of
from drd.config.documents import Entry, Library
from drd.config.kinds import Kinds
from drd.config.lint import Files, lint
from drd.config.policies import policy_model
from drd.config.problems import ConfigurationErrors, Problem
from drd.config.read import digest_of, read_entry, read_folder, read_settings
from drd.config.runbooks import runbook_model, runbook_of
from drd.config.settings import Settings, settings_model, variable_at, variables
from drd.config.yaml import Value, forget_positions
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
        entry = library.entry(self.path)
        if entry is None:
            raise ConfigurationErrors(self.problems)
        settings = read_settings(entry, settings_model(self.kinds), self.environment, self.problems.append)
        policies = self._folder(entry, settings, "policies", "policy", library)
        runbooks = self._folder(entry, settings, "runbooks", "runbook", library)
        read_policies = self._all(policies, policy_model(self.kinds))
        read_runbooks = self._all(runbooks, runbook_model(self.kinds))
        lint(Files(entry, settings, policies, runbooks, self.environment), self.problems.append, self.warnings.append)
        if self.problems or settings is None:
            raise ConfigurationErrors(self.problems)
        made = [protected_of(read, digest_of(source.value), source.file) for source, read in read_policies]
        drawn = [runbook_of(read, digest_of(source.value)) for source, read in read_runbooks]
        digest = digest_of(
            entry.value, self._variables(), [policy.digest for policy in made], [runbook.digest for runbook in drawn]
        )
        return configuration_of(self.path, settings, made, drawn, digest, tuple(self.warnings))

    def _all(self, entries: tuple[Entry, ...], model: Any) -> list[tuple[Entry, Any]]:
        return [(entry, read_entry(entry, model, self.problems.append)) for entry in entries]

    def _folder(
        self, entry: Entry, settings: Settings | None, key: str, name_key: str, library: Library
    ) -> tuple[Entry, ...]:
        """The entries of a folder that drd.yaml names; a folder that nobody named need not be there."""
        named = self._named_folder(entry, settings, key)
        folder = self.path.parent / (named or key)
        try:
            return read_folder(folder, name_key, library)
        except OSError as error:
            sentence = f"`{key}`: the folder {folder} cannot be read ({error.strerror}): create it, or name another"
            if named is None:
                self.warnings.append(sentence.removeprefix(f"`{key}`: "))
                return ()
            variable = variable_at((key,), self.environment)
            self.problems.append(Problem(variable, 0, 0, sentence) if variable else entry.problem((key,), sentence))
            return ()

    def _named_folder(self, entry: Entry, settings: Settings | None, key: str) -> str | None:
        variable = variable_at((key,), self.environment)
        value: Value = self.environment[variable] if variable else entry.at((key,))
        return value if isinstance(value, str) and value else None

    def _variables(self) -> dict[str, Value]:
        return {name: self.environment[name] for name in variables(self.environment).values()}
