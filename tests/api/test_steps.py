"""Steps and problems on their way over the control socket."""

import json

import pytest

from drd.core.errors import Busy, DrdError
from drd.core.run import Outcome
from drd.ports.steps import Problem, Step


@pytest.mark.parametrize(
    "step",
    [
        Step(kind="started", run="01R", text="保存 of orders"),
        Step(kind="progress", phase="local", done_bytes=2**40, total_bytes=2**41, done_files=3, total_files=9),
        Step(kind="finished", outcome=Outcome.SUCCEEDED, exit_code=3, message="late", result={"late": ["offsite"]}),
    ],
)
def test_a_step_arrives_as_it_was_sent_on_one_line(step: Step) -> None:
    line = step.to_json()
    assert "\n" not in line
    assert Step.from_json(line.encode()) == step


@pytest.mark.parametrize(
    "line", [b"[]", b"{", b"{}", b'{"kind":"fact","of_later":1}', b'{"kind":"fact","outcome":"?"}']
)
def test_what_another_version_says_is_an_error_in_words(line: bytes) -> None:
    with pytest.raises(DrdError, match="not understood"):
        Step.from_json(line)


def test_a_problem_is_the_same_error_again() -> None:
    line = Problem.from_error(Busy("uploads runs already", "drd status")).to_json().encode()
    found = Problem.in_line(line)
    assert found is not None
    error = found.to_error()
    assert (type(error), error.message, error.hint) == (Busy, "uploads runs already", "drd status")
    assert Problem.in_line(json.dumps({"kind": "fact"}).encode()) is None
