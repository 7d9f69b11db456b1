"""The face of the product, word for word, at 100 columns and without colour."""

from pathlib import Path

import pytest

from drd.ports.control import CopyStatus, NodeStatus, PolicyStatus, Status
from tests.cli.typing_commands import drd
from tests.fakes.application import FakeApplication, a_configuration
from tests.fakes.control import NOW, FakeControl, a_status, minutes

GOLDEN = Path(__file__).parent / "golden"


def calm() -> Status:
    status = a_status()
    return status.model_copy(update={"policies": status.policies[:1], "stores": status.stores[:1], "warnings": ()})


def without_a_daemon() -> Status:
    return a_status().model_copy(update={"running": False, "since": None})


def with_a_daemon_that_hangs() -> Status:
    return without_a_daemon().model_copy(update={"silent": True})


def empty() -> Status:
    return a_status().model_copy(update={"policies": (), "stores": (), "warnings": ()})


def with_many_stores() -> Status:
    copies = tuple(CopyStatus(store=f"store-{number}", moment=NOW - minutes(number)) for number in range(1, 6))
    policy = PolicyStatus(
        name="a-policy-with-a-name-that-is-rather-long", state="late", note="offsite lags", copies=copies
    )
    return a_status().model_copy(update={"policies": (policy,), "warnings": ()})


def with_nodes() -> Status:
    nodes = (
        NodeStatus(policy="orders", node="orders-1", state="down", verdict="process dead", why="it refuses"),
        NodeStatus(
            policy="orders", node="orders-2", role="standby", state="up", verdict="well", since=NOW, seconds=0.0042
        ),
    )
    return calm().model_copy(update={"nodes": nodes})


PAGES = [a_status, calm, without_a_daemon, with_a_daemon_that_hangs, empty, with_many_stores, with_nodes]


@pytest.mark.parametrize("status", PAGES)
def test_the_status_page_reads_as_designed(status) -> None:
    application = FakeApplication(FakeControl(answer=status()), a_configuration())
    golden = GOLDEN / f"{status.__name__}.txt"
    assert drd(application, "status").out == golden.read_text()


def test_state_is_told_in_words_and_not_by_colour_alone() -> None:
    out = drd(FakeApplication(), "status").out
    for word in ("ok", "failed", "never run", "away"):
        assert f" {word} " in out


def test_a_thousand_policies_fit_the_width_and_come_quickly() -> None:
    one = a_status().policies[0]
    many = tuple(one.model_copy(update={"name": f"policy-{number:04}"}) for number in range(1000))
    application = FakeApplication(FakeControl(answer=a_status().model_copy(update={"policies": many})))
    out = drd(application, "status").out
    assert out.count("\n") > 1000
    assert max(map(len, out.splitlines())) <= 100
