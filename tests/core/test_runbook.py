"""What a runbook says of itself: what starts it, whether it promotes, and how it fences."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from pydantic import TypeAdapter, ValidationError

from drd.core.findings import Finding
from drd.core.kinds import Model, Spec
from drd.core.lists import OneOrMany
from drd.core.policy import DisasterClass
from drd.core.runbook import OnFailure, Runbook, Stage, StageName, Step, Trigger


class Plain(Spec):
    """An action that neither fences nor promotes."""

    kind: ClassVar[str] = "command"

    def summary(self) -> str:
        return "does something"


class Promote(Plain):
    """An action of the kind that promotes."""

    kind: ClassVar[str] = "postgres_promote"


class Rejoin(Plain):
    """An action of the kind that makes a node follow the primary."""

    kind: ClassVar[str] = "postgres_rejoin"

    node: str


class Fence(Plain):
    """An action of the kind that fences."""

    kind: ClassVar[str] = "fence"

    by: tuple[str, ...]
    proxy: Any = None


def a_runbook(**stages: tuple[Spec, ...]) -> Runbook:
    return Runbook(
        runbook="orders-loss",
        policy="orders",
        disaster=DisasterClass.HARDWARE,
        activate_when="it is lost",
        deactivate_when="it is back",
        digest="5e",
        stages=tuple(
            Stage(
                stage=StageName(name),
                owner="anna",
                deadline=timedelta(minutes=place),
                steps=tuple(Step(step=f"{name} {number}", action=each) for number, each in enumerate(actions)),
            )
            for place, (name, actions) in enumerate(stages.items(), start=1)
        ),
    )


def test_a_runbook_tells_its_rungs_in_order_and_each_once() -> None:
    through = SimpleNamespace(addresses=("10.0.0.7", "10.0.0.8"))
    found = a_runbook(
        respond=(Fence(by=("ssh", "power")), Plain(), Fence(by=("power", "proxy"), proxy=through)), recover=(Promote(),)
    )
    assert found.name == "orders-loss"
    assert found.fences == ("ssh", "power", "proxy")
    assert found.proxies == {"10.0.0.7", "10.0.0.8"}
    assert found.promotes
    assert found.moves_primary


@pytest.mark.parametrize("on_failure", OnFailure)
def test_a_runbook_asks_to_fence_where_its_first_fence_does(on_failure: OnFailure) -> None:
    found = a_runbook(respond=(Plain(), Fence(by=("ssh",))), recover=(Promote(),), reconstitute=(Fence(by=("ssh",)),))
    [respond, *others] = found.stages
    asking = respond.steps[1].model_copy(update={"on_failure": on_failure})
    stages = (respond.model_copy(update={"steps": (respond.steps[0], asking)}), *others)
    assert found.model_copy(update={"stages": stages}).asks_to_fence is (on_failure is OnFailure.ASK)
    assert not a_runbook(recover=(Plain(),)).asks_to_fence


def test_a_runbook_tells_whom_it_brings_back() -> None:
    found = a_runbook(reconstitute=(Plain(), Rejoin(node="old_primary"), Rejoin(node="orders-3")))
    assert found.brought_back == ("old_primary", "orders-3")
    assert not found.moves_primary


def test_a_runbook_that_does_neither_says_so_and_knows_the_stages_that_it_has() -> None:
    found = a_runbook(recover=(Plain(),))
    assert (found.fences, found.proxies, found.promotes) == ((), frozenset(), False)
    assert found.stage(StageName.SWITCH) is None
    recover = found.stage(StageName.RECOVER)
    assert recover is not None
    assert [step.title for step in recover.steps] == ["recover 0"]


@pytest.mark.parametrize("written", [{}, {"webhook": True, "health": {"node": "primary", "is": "down"}}])
def test_a_trigger_names_exactly_one_thing(written: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="name one trigger here"):
        Trigger.model_validate(written)


def test_a_trigger_with_a_misspelt_key_is_told_that_key() -> None:
    with pytest.raises(ValidationError, match="helth"):
        Trigger.model_validate({"helth": {"node": "primary", "is": "down"}})
    assert Trigger.model_validate({"webhook": True}).webhook


def test_one_value_stands_for_a_list_of_one_in_a_file_and_in_its_schema() -> None:
    class People(Model):
        people: OneOrMany[str]

    assert People.model_validate({"people": "anna"}) == People.model_validate({"people": ["anna"]})
    with pytest.raises(ValidationError):
        People.model_validate({"people": None})
    schema = TypeAdapter(People).json_schema()["properties"]["people"]["anyOf"]
    assert [each["type"] for each in schema] == ["string", "array"]


@pytest.mark.parametrize(("file", "place"), [("drd.yaml", "drd.yaml:4:2: "), ("", "")])
def test_a_finding_is_told_with_the_place_where_it_is_written(file: str, place: str) -> None:
    found = Finding("store offsite", "its key is gone", "", file=file, line=4 if file else 0, column=2 if file else 0)
    assert str(found) == f"{place}store offsite: its key is gone"
