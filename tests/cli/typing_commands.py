"""Typing a command in a test."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner

from drd.cli.program import main
from tests.fakes.application import FakeApplication


@dataclass(frozen=True)
class Answered:
    """What came of a command."""

    exit_code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def drd(application: FakeApplication, *words: str, typed: str = "") -> Answered:
    # A command runs an event loop of its own, which must not replace the one that pytest's plugins keep in this thread.
    with ThreadPoolExecutor(1) as pool:
        more = {"input": typed, "obj": application.session(), "prog_name": "drd"}
        result = pool.submit(CliRunner().invoke, main, words, **more).result(30)
    assert not isinstance(result.exception, BaseException) or isinstance(result.exception, SystemExit)
    return Answered(result.exit_code, result.stdout, result.stderr)
