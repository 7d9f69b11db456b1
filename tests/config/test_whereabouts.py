"""What it takes to find the daemon is read like everything else, and told only where all of it would be."""

from pathlib import Path

import pytest

from drd.config.whereabouts import whereabouts


def written(folder: Path, text: str) -> Path:
    file = folder / "drd.yaml"
    file.write_text(text)
    return file


def found(file: Path, **environment: str) -> tuple[str, str] | None:
    place = whereabouts(file, environment)
    return None if place is None else (str(place.state), place.zone.key)


def test_state_and_time_zone_are_those_of_the_file_of_its_bases_and_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("timezone: Asia/Shanghai\nstate: /srv/base\n")
    file = written(tmp_path, "extends: base.yaml\nstate: /srv/drd\n")
    assert found(file) == ("/srv/drd", "Asia/Shanghai")
    assert found(file, DRD_STATE="/srv/other", DRD_CONFIG="x", HOME="/root") == ("/srv/other", "Asia/Shanghai")


def test_what_the_file_leaves_out_has_the_defaults_of_the_settings(tmp_path: Path) -> None:
    assert found(written(tmp_path, "site: here\n")) == ("/var/lib/drd", "UTC")


def test_a_policy_that_is_wrong_does_not_keep_anybody_from_finding_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "half.yaml").write_text("policy: [")
    assert found(written(tmp_path, "state: /srv/drd\n")) == ("/srv/drd", "UTC")


@pytest.mark.parametrize(
    "text", ["state: 3", "state: [a]", "state: null", "timezone: Asia/Nowhere", "timezone: ../x", "state: [", "- a"]
)
def test_where_drd_yaml_itself_is_wrong_nothing_is_guessed(tmp_path: Path, text: str) -> None:
    assert found(written(tmp_path, text)) is None


def test_a_base_that_is_missing_is_a_mistake_too(tmp_path: Path) -> None:
    assert found(written(tmp_path, "extends: base.yaml\nstate: /srv/drd\n")) is None
