"""The scrape: right to Prometheus' own parsers, complete from the first moment, and quick for a thousand policies."""

import subprocess
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from drd.core.catalogue import Pause, PolicyRecord, RestoreRecord, RunRecord, StoreRecord
from drd.core.outage import ServiceState
from drd.core.points import Copy, RecoveryPoint, Standing
from drd.core.policy import Cause, Mode, Outcome
from drd.core.requirements import Clause
from drd.core.runbook_step import Choice
from drd.ports.configuration import Configuration
from drd.ports.control import NodeStatus, ServiceStatus, StoredWal, WalStatus
from drd.ports.incidents import IncidentStatus, Question, StageLine, Times
from drd.reports.exposition import Family, expose
from drd.reports.metrics import MetricsInput, render
from tests.fakes.application import a_configuration, a_policy
from tests.fakes.control import NOW, RUN, minutes

SITE_LOSS = {"site": {"runbook": "uploads-site-loss", "rpo": "1h"}}


def with_a_vault(configuration: Configuration) -> Configuration:
    """The same, with an off-site store that is declared immutable."""
    stores = dict(configuration.stores)
    stores["offsite"] = replace(stores["offsite"], immutable_days=30)
    return replace(configuration, stores=stores)


def a_snapshot(policies: int = 1) -> MetricsInput:
    names = [f"policy-{number:04}" for number in range(policies)]
    protected = tuple(a_policy(name, objectives={"rpo": "15m"}, disasters=SITE_LOSS) for name in names)
    run = RunRecord(
        RUN, "", Mode.FULL, Cause.SCHEDULE, NOW - minutes(5), NOW - minutes(3), Outcome.SUCCEEDED, added_bytes=7
    )
    record = PolicyRecord(
        policy="",
        created=NOW - timedelta(days=40),
        last_start={Mode.FULL: NOW - minutes(5)},
        last_success_start={Mode.FULL: NOW - minutes(5)},
        last_run=run,
        failures_in_a_row=0,
        runs=12,
        failures={"local": {"full": 2}},
        last_total_bytes=1,
        last_success_finished=NOW - minutes(3),
    )
    copies = (Copy("local", "main", "1f"), Copy("offsite", "main", "2e", Standing.PROVEN, NOW))
    points = {
        name: RecoveryPoint(name, RUN, Mode.FULL, NOW - minutes(5), Outcome.SUCCEEDED, 1, 1, copies) for name in names
    }
    return MetricsInput(
        version="0.1.0",
        restic="0.18.0",
        configuration=with_a_vault(a_configuration(protected)),
        is_last_reload_good=True,
        policies={name: replace(record, policy=name) for name in names},
        stores={"local": StoreRecord("local", "id", None, NOW, True, None, None, None)},
        newest={(name, store): points[name] for name in names for store in ("local", "offsite")},
        proven={(name, "offsite"): NOW - minutes(5) for name in names},
        requirements={name: (Clause("copies", True, "2"), Clause("offsite", False, "0 of 1")) for name in names},
        intervals={name: minutes(15) for name in names},
        away=frozenset({"offsite"}),
        free_bytes={"local": 2**40},
        last_tick=NOW,
    )


def a_wal_status(policy: str) -> WalStatus:
    stored = tuple(
        StoredWal(store=store, moment=NOW - minutes(1), segments={"lost": 2}) for store in ("local", "offsite")
    )
    return WalStatus(
        policy=policy,
        is_received=True,
        received=NOW,
        stores=stored,
        is_full=True,
        retained_bytes=2**24,
        safe_bytes=2**30,
    )


def series_of(scrape: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(scrape.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(scrape: bytes, name: str, **labels: str) -> float:
    return series_of(scrape)[name, tuple(sorted(labels.items()))]


def test_what_keeps_a_lost_primary_from_being_replaced_is_told() -> None:
    scrape = render(replace(a_snapshot(), held={"orders": True, "carts": False}, rivals={"orders": 0, "carts": 2}))
    assert value(scrape, "drd_failover_held", policy="orders") == 1
    assert value(scrape, "drd_failover_held", policy="carts") == 0
    assert value(scrape, "drd_rival_daemons", policy="orders") == 0
    assert value(scrape, "drd_rival_daemons", policy="carts") == 2


def test_a_copy_in_a_damaged_store_is_none() -> None:
    sound = a_snapshot()
    damaged = replace(sound.stores["local"], store="offsite", check_sound=False)
    scrape = render(replace(sound, stores={**sound.stores, "offsite": damaged}))
    assert value(render(sound), "drd_copies", policy="policy-0000") == 2
    assert value(scrape, "drd_copies", policy="policy-0000") == 1
    assert value(scrape, "drd_recovery_point_timestamp_seconds", policy="policy-0000", store="offsite") == 0
    assert value(scrape, "drd_recovery_point_proven_timestamp_seconds", policy="policy-0000", store="offsite") == 0
    assert value(scrape, "drd_recovery_point_timestamp_seconds", policy="policy-0000", store="local") > 0


def test_the_wal_of_a_policy_is_told_by_store() -> None:
    scrape = render(replace(a_snapshot(), wal=(a_wal_status("policy-0000"),)))
    policy = {"policy": "policy-0000"}
    assert value(scrape, "drd_wal_receiving", **policy) == 1
    assert value(scrape, "drd_wal_spool_full", **policy) == 1
    assert value(scrape, "drd_wal_slot_safe_bytes", **policy) == 2**30
    shipped = value(scrape, "drd_wal_shipped_timestamp_seconds", store="offsite", **policy)
    assert shipped == (NOW - minutes(1)).timestamp()
    assert value(scrape, "drd_wal_gaps", store="local", state="lost", **policy) == 2


def test_a_policy_that_is_not_started_by_itself_any_more_is_told() -> None:
    scrape = render(replace(a_snapshot(2), quarantined=frozenset({"policy-0001"})))
    assert value(scrape, "drd_policy_quarantined", policy="policy-0000") == 0
    assert value(scrape, "drd_policy_quarantined", policy="policy-0001") == 1


def test_the_rate_is_that_of_the_newest_whole_restore_from_a_store() -> None:
    def restored(
        hour: int, size: int, *, whole: bool = True, outcome: Outcome | None = Outcome.SUCCEEDED
    ) -> RestoreRecord:
        at = NOW - timedelta(hours=hour)
        return RestoreRecord(f"0{hour}", "policy-0000", RUN, "local", "1f", at, at, outcome, size, 10.0, whole)

    restores = (
        restored(9, 500),
        restored(8, 1000),
        restored(7, 7, whole=False),
        restored(6, 7, outcome=Outcome.FAILED),
        restored(5, 0, outcome=None),
    )
    scrape = render(replace(a_snapshot(), restores=restores))
    assert value(scrape, "drd_restore_bytes_per_second", policy="policy-0000", store="local") == 100
    assert value(scrape, "drd_restore_bytes_per_second", policy="policy-0000", store="offsite") == 0


def test_the_scrape_says_what_the_catalogue_knows() -> None:
    scrape = render(a_snapshot())
    policy = {"policy": "policy-0000"}
    assert value(scrape, "drd_build_info", version="0.1.0", restic="0.18.0", site="hangzhou") == 1
    assert value(scrape, "drd_backup_runs_total", **policy) == 12
    assert value(scrape, "drd_backup_failures_total", store="local", mode="full", **policy) == 2
    assert value(scrape, "drd_backup_failures_total", store="offsite", mode="incremental", **policy) == 0
    assert value(scrape, "drd_backup_interval_seconds", **policy) == 900
    assert value(scrape, "drd_backup_last_duration_seconds", **policy) == 120
    assert (
        value(scrape, "drd_backup_last_start_timestamp_seconds", mode="full", **policy)
        == (NOW - minutes(5)).timestamp()
    )
    assert value(scrape, "drd_backup_last_start_timestamp_seconds", mode="incremental", **policy) == 0
    assert (
        value(scrape, "drd_recovery_point_timestamp_seconds", store="local", **policy) == (NOW - minutes(5)).timestamp()
    )
    assert value(scrape, "drd_recovery_point_proven_timestamp_seconds", store="local", **policy) == 0
    assert value(scrape, "drd_copies", **policy) == 2
    assert value(scrape, "drd_requirement_met", clause="copies", **policy) == 1
    assert value(scrape, "drd_requirement_met", clause="offsite", **policy) == 0
    assert value(scrape, "drd_store_up", store="local") == 1
    assert value(scrape, "drd_store_up", store="offsite") == 0
    assert value(scrape, "drd_store_distance_meters", store="offsite") == 1_134_400
    assert value(scrape, "drd_scheduler_last_tick_timestamp_seconds") == NOW.timestamp()


def test_off_site_the_objective_is_what_is_promised_for_the_loss_of_a_site() -> None:
    scrape = render(a_snapshot())
    assert value(scrape, "drd_rpo_objective_seconds", policy="policy-0000", store="local") == 900
    assert value(scrape, "drd_rpo_objective_seconds", policy="policy-0000", store="offsite") == 3600


def test_every_series_of_a_policy_is_there_before_it_has_run_and_goes_with_it() -> None:
    ran = a_snapshot(2)
    fresh = replace(ran, policies={}, stores={}, newest={}, proven={}, last_tick=None)
    assert series_of(render(fresh)).keys() == series_of(render(ran)).keys()
    gone = replace(ran, configuration=with_a_vault(a_configuration((a_policy("policy-0001"),))))
    assert not [labels for _, labels in series_of(render(gone)) if ("policy", "policy-0000") in labels]


def test_a_pause_is_told_with_its_end() -> None:
    pause = Pause("policy-0000", "backup", NOW + minutes(60), "kernel", "eva")
    other = Pause("a-policy-that-is-gone", "backup", NOW, "", "")
    scrape = render(replace(a_snapshot(), pauses=(pause, other)))
    until = value(scrape, "drd_paused_until_timestamp_seconds", policy="policy-0000", what="backup")
    assert until == (NOW + minutes(60)).timestamp()
    assert value(render(a_snapshot()), "drd_paused_until_timestamp_seconds", policy="policy-0000", what="backup") == 0
    assert b"kernel" not in scrape
    assert b"gone" not in scrape


def test_damage_and_holds_of_a_store_are_told() -> None:
    record = StoreRecord("local", "id", None, NOW, False, None, None, "two daemons")
    scrape = render(replace(a_snapshot(), stores={"local": record}))
    assert value(scrape, "drd_store_damaged", store="local") == 1
    assert value(scrape, "drd_store_held", store="local") == 1
    assert value(render(a_snapshot()), "drd_store_damaged", store="local") == 0
    assert b"two daemons" not in scrape


def test_nodes_that_are_watched_are_told_with_what_is_the_matter() -> None:
    nodes = (
        NodeStatus(
            policy="orders", node="one", role="primary", state="up", verdict="well", failures={"postgres": 2, "tcp": 0}
        ),
        NodeStatus(policy="orders", node="two", state="unknown", verdict="unreachable only from here"),
    )
    scrape = render(replace(a_snapshot(), nodes=nodes))

    assert value(scrape, "drd_node_up", policy="orders", node="one") == 1
    assert value(scrape, "drd_node_up", policy="orders", node="two") == 0
    assert value(scrape, "drd_node_well", policy="orders", node="two") == 0
    assert value(scrape, "drd_node_primary", policy="orders", node="one") == 1
    assert value(scrape, "drd_probe_failures_total", policy="orders", node="one", probe="postgres") == 2
    assert b"drd_node" not in render(a_snapshot())


def test_a_service_is_told_with_its_downtime_and_without_a_state_that_nobody_knows() -> None:
    of = partial(ServiceStatus, what="PostgreSQL answers", period=timedelta(days=365), down_at_most=timedelta())
    services = (
        of(policy="orders", state=ServiceState.FAILS, down=timedelta(seconds=90), allowed=timedelta(hours=4)),
        of(policy="members", state=ServiceState.UNKNOWN, down=timedelta()),
    )
    scrape = render(replace(a_snapshot(), services=services))
    assert value(scrape, "drd_service_up", policy="orders") == 0
    assert value(scrape, "drd_service_downtime_seconds", policy="orders") == 90
    assert value(scrape, "drd_service_downtime_allowed_seconds", policy="orders") == 14400
    assert b'drd_service_up{policy="members"}' not in scrape
    assert b"drd_service" not in render(a_snapshot())


def test_no_run_snapshot_or_created_series_is_exported() -> None:
    scrape = render(a_snapshot()).decode()
    assert RUN not in scrape
    assert "_created{" not in scrape.replace("drd_policy_created_timestamp_seconds", "")
    assert "# EOF" not in scrape


def test_names_units_and_labels_follow_the_conventions(promtool: Path) -> None:
    checked = subprocess.run(
        [promtool, "check", "metrics"], check=False, input=render(a_snapshot(2)), capture_output=True, timeout=60
    )
    assert (checked.returncode, checked.stdout.decode() + checked.stderr.decode()) == (0, "")


def test_a_thousand_policies_in_two_stores_are_all_told() -> None:
    assert len(series_of(render(a_snapshot(1000)))) > 15_000


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_whatever_text_and_number_there_is_reads_back_the_same(text: str, explanation: str, number: float) -> None:
    scrape = expose([Family("drd_x", "gauge", explanation, (((("about", text),), number),))])
    [family] = text_string_to_metric_families(scrape.decode())
    [sample] = family.samples
    assert (sample.labels, sample.value) == ({"about": text}, number)


def test_a_family_without_a_series_is_left_out() -> None:
    assert expose([Family("drd_x", "gauge", "nothing", ())]) == b""


@pytest.mark.parametrize("number", [0.0, 1.0, 1.5, 1772440217.0, 1772440217.123456, 2**53])
def test_numbers_are_written_without_loss(number: float) -> None:
    [family] = text_string_to_metric_families(expose([Family("drd_x", "gauge", "x", (((), number),))]).decode())
    assert family.samples[0].value == number


def test_incidents_are_told_by_policy_and_drills_are_not() -> None:
    policy = next(iter(a_snapshot().configuration.policies))
    parts = dict.fromkeys(("detect", "decide", "human_wait", "act", "verify"), timedelta())
    times = Times(bad=NOW, declared=NOW, start=NOW, **parts)
    late = StageLine(stage="respond", owner="anna", deadline=NOW, is_missed=True, is_over=False)
    question = Question(step="Ask", choices=(Choice.APPROVE,), why="")
    running = IncidentStatus(
        run="2",
        runbook="loss",
        policy=policy,
        disaster="hardware",
        is_drill=False,
        by="drd",
        words="",
        digest="",
        state="waiting",
        outcome=None,
        started=NOW,
        finished=None,
        stages=(late,),
        questions=(question,),
        times=times,
    )
    over = running.model_copy(
        update={
            "finished": NOW,
            "times": times.model_copy(update={"rta": timedelta(seconds=2), "rpa": timedelta(seconds=3)}),
        }
    )
    drill = running.model_copy(update={"is_drill": True})
    scrape = render(replace(a_snapshot(), incidents=(drill, running)))
    for name in ("open", "waiting", "late_stages"):
        assert value(scrape, f"drd_incident_{name}", policy=policy) == 1
    scrape = render(replace(a_snapshot(), incidents=(drill, over)))
    assert value(scrape, "drd_incident_open", policy=policy) == 0
    assert value(scrape, "drd_incident_rta_seconds", policy=policy) == 2
    assert value(scrape, "drd_incident_rpa_seconds", policy=policy) == 3
