"""What a sound configuration becomes."""

from datetime import timedelta
from pathlib import Path

import pytest

from drd.core.policy import DisasterClass
from drd.core.runbook import StageName
from tests.config.arranging import loaded, mistakes, sound_folder, write
from tests.config.kinds import Command, Files, Local


@pytest.fixture
def drd_yaml(tmp_path: Path) -> Path:
    return sound_folder(tmp_path)


def test_the_daemon_knows_its_place(drd_yaml: Path) -> None:
    configuration = loaded(drd_yaml)

    assert configuration.site == "hangzhou"
    assert configuration.zone.key == "Asia/Shanghai"
    assert configuration.state == Path("/var/lib/drd")
    assert configuration.data == Path("/srv/platform")
    assert configuration.restic == "restic"
    assert configuration.listen == ("127.0.0.1", 9476)
    assert configuration.tokens is not None
    assert configuration.people["sre-on-call"] == "SRE on call"
    assert configuration.loaded is None


def test_a_store_knows_how_far_away_it_is(drd_yaml: Path) -> None:
    stores = loaded(drd_yaml).stores

    assert stores["local"].distance_metres == 0
    assert stores["nearby"].distance_metres == pytest.approx(140_000, rel=0.03)
    assert stores["offsite"].distance_metres == pytest.approx(1_148_000, rel=0.01)


def test_a_store_has_its_limits_its_lock_and_a_cache_of_its_own(drd_yaml: Path) -> None:
    offsite = loaded(drd_yaml).stores["offsite"]

    assert (offsite.limits.upload, offsite.limits.download, offsite.limits.at_once) == (50 * 2**20, None, 2)
    assert offsite.immutable_days == 30
    assert offsite.cache == Path("/var/lib/drd/cache/offsite")
    assert not offsite.independent


def test_a_kind_may_be_written_as_a_bare_text(drd_yaml: Path) -> None:
    assert loaded(drd_yaml).stores["local"].place == Local(path=Path("/srv/drd/repository"))


def test_a_single_source_is_the_part_main(drd_yaml: Path) -> None:
    assert loaded(drd_yaml).policies["orders"].sources == {"main": Command(argv=("pg_dump", "orders"))}


def test_several_sources_are_parts_called_by_their_kind_or_as_written(drd_yaml: Path) -> None:
    orders = drd_yaml.parent / "policies" / "orders.yaml"
    single = "{command: {argv: [pg_dump, orders]}}"
    write(
        orders,
        orders.read_text().replace(
            single, f"[{single}, {{part: pictures, files: {{paths: [p]}}}}, {{files: {{paths: [q]}}}}]"
        ),
    )

    assert loaded(drd_yaml).policies["orders"].sources == {
        "command": Command(argv=("pg_dump", "orders")),
        "pictures": Files(paths=("p",)),
        "files": Files(paths=("q",)),
    }


def test_a_policy_is_the_cores_value(drd_yaml: Path) -> None:
    protected = loaded(drd_yaml).policies["orders"]

    assert protected.policy.objectives.rpo == timedelta(hours=1)
    assert protected.policy.backup.window.not_ == ("09:00-11:00",)
    assert protected.policy.backup.guard.shrink == pytest.approx(0.3)
    assert protected.policy.disasters[DisasterClass.HARDWARE].runbook == "orders-failover"
    assert protected.file == drd_yaml.parent / "policies" / "orders.yaml"
    assert not hasattr(protected.policy.backup, "source")


def test_the_worked_example_of_a_runbook_is_read_unchanged(drd_yaml: Path) -> None:
    runbook = loaded(drd_yaml).runbooks["orders-failover"]

    assert [stage.stage for stage in runbook.stages] == list(StageName)
    assert [step.action.summary() for stage in runbook.stages for step in stage.steps] == [
        "ask observers whether primary is gone",
        "tell sre-on-call",
        "fence primary by ssh, then power, then revoke, then proxy",
        "promote best_standby",
        "send clients of orders to ${new_primary}",
        "use orders as a client does",
        "bring old_primary back as a standby",
        "take a full backup of orders",
    ]


def test_a_step_keeps_how_it_is_undone_and_when_it_is_done(drd_yaml: Path) -> None:
    file = drd_yaml.parent / "runbooks" / "orders-failover.yaml"
    write(
        file,
        file.read_text().replace(
            "        postgres_rejoin: {node: old_primary}\n",
            "        postgres_rejoin: {node: old_primary}\n"
            "        undo: {wait: }\n        done_when: {verify: {service: orders}}\n        retry: 2\n",
        ),
    )

    last = loaded(drd_yaml).runbooks["orders-failover"].stage(StageName.RECONSTITUTE)

    assert last is not None
    step = last.steps[0]
    assert step.undo is not None
    assert step.undo.summary() == "wait for a person"
    assert step.done_when is not None
    assert step.retry == 2


def test_the_environment_wins_over_the_file(drd_yaml: Path) -> None:
    environment = {"DRD_SITE": "ningbo", "DRD_STATE": "/mnt/state", "DRD_HTTP__LISTEN": "[::1]:0", "PATH": "/bin"}

    configuration = loaded(drd_yaml, environment)

    assert configuration.site == "ningbo"
    assert configuration.state == Path("/mnt/state")
    assert configuration.listen == ("::1", 0)
    assert configuration.tokens is not None
    assert configuration.stores["offsite"].cache == Path("/mnt/state/cache/offsite")


def test_the_environment_reaches_into_the_maps_of_the_file(drd_yaml: Path) -> None:
    environment = {"DRD_STORES__OFFSITE__LIMITS__AT_ONCE": "7"}

    limits = loaded(drd_yaml, environment).stores["offsite"].limits

    assert (limits.upload, limits.at_once) == (50 * 2**20, 7)


def test_a_misspelt_variable_is_told_with_what_was_meant(drd_yaml: Path) -> None:
    assert mistakes(drd_yaml, {"DRD_SITEE": "xian", "DRD_HTTP__LISTN": "x"}) == [
        "DRD_HTTP__LISTN: `listn` is unknown here: did you mean `listen`?",
        "DRD_SITEE: `sitee` is unknown here: did you mean `site`?",
    ]


def test_a_wrong_variable_is_told_by_its_name(drd_yaml: Path) -> None:
    assert mistakes(drd_yaml, {"DRD_SITE": "hangzou", "DRD_STATE": "here", "DRD_POLICIES": "nowhere"}) == [
        (
            "DRD_POLICIES: `policies`: the folder nowhere cannot be read (No such file or directory): "
            "create it, or name another by `policies:`"
        ),
        "DRD_SITE: there is no site `hangzou` under `sites:`: did you mean `hangzhou`?",
        "DRD_STATE: `state`: write the whole path, as /var/lib/drd",
    ]


def test_the_command_lines_own_variable_is_no_setting(drd_yaml: Path) -> None:
    assert mistakes(drd_yaml, {"DRD_CONFIG": str(drd_yaml)}) == []


def test_nothing_is_served_when_listen_is_null(drd_yaml: Path) -> None:
    write(drd_yaml, drd_yaml.read_text().replace("listen: 127.0.0.1:9476", "listen: null"))

    assert loaded(drd_yaml).listen is None


def test_folders_are_named_relative_to_drd_yaml(drd_yaml: Path) -> None:
    (drd_yaml.parent / "policies").rename(drd_yaml.parent / "plans")
    write(drd_yaml, drd_yaml.read_text().replace("data: /srv/platform", "data: platform\npolicies: plans"))

    configuration = loaded(drd_yaml)

    assert set(configuration.policies) == {"orders"}
    assert configuration.data == drd_yaml.parent / "platform"


def test_the_same_files_have_the_same_digest_and_a_change_has_another(drd_yaml: Path) -> None:
    first = loaded(drd_yaml)
    again = loaded(drd_yaml)
    write(drd_yaml, drd_yaml.read_text().replace("at_once: 2", "at_once: 3"))
    changed = loaded(drd_yaml)

    assert first == again
    assert changed.digest != first.digest
    assert changed.policies["orders"].digest == first.policies["orders"].digest
