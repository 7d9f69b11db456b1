"""A file that begins from another one."""

from pathlib import Path

import pytest

from tests.config.arranging import loaded, mistakes, sound_folder, write

BASE = """\
owner: sre-on-call
backup:
  full: {cron: "0 2 * * *"}
  incremental: {every: 15m}
  to: [local, offsite]
  keep: {hourly: 24, daily: 7}
"""


@pytest.fixture
def drd_yaml(tmp_path: Path) -> Path:
    drd_yaml = sound_folder(tmp_path)
    write(tmp_path / "policies" / "base.yaml", BASE)
    return drd_yaml


def policy(drd_yaml: Path, name: str, text: str) -> None:
    write(drd_yaml.parent / "policies" / f"{name}.yaml", f"policy: {name}\n{text}")


def test_maps_merge_lists_replace_and_null_removes(drd_yaml: Path) -> None:
    policy(
        drd_yaml,
        "videos",
        """\
extends: base.yaml
owner: null
backup:
  source: {files: {paths: [videos]}}
  incremental: null
  to: [local]
  keep: {daily: 30, hourly: null}
""",
    )

    read = loaded(drd_yaml).policies["videos"].policy

    assert read.owner is None
    assert read.backup.full is not None
    assert read.backup.incremental is None
    assert read.backup.to == ("local",)
    assert (read.backup.keep.daily, read.backup.keep.hourly) == (30, 0)


def test_a_base_without_a_name_is_no_policy_itself(drd_yaml: Path) -> None:
    policy(drd_yaml, "videos", "extends: base.yaml\nbackup: {source: {files: {paths: [videos]}}}\n")

    assert set(loaded(drd_yaml).policies) == {"orders", "videos"}


def test_a_file_without_a_name_that_nothing_extends_is_told(drd_yaml: Path) -> None:
    assert "policies/base.yaml:1:1: `policy` is missing: add `policy:`" in mistakes(drd_yaml)


def test_each_mistake_names_the_file_that_it_stands_in(drd_yaml: Path) -> None:
    write(drd_yaml.parent / "policies" / "base.yaml", BASE.replace("every: 15m", "every: 15").replace("daily", "dayly"))
    policy(
        drd_yaml, "videos", "extends: base.yaml\nbackup: {source: {files: {paths: [videos]}}, keep: {weekly: four}}\n"
    )
    policy(drd_yaml, "films", "extends: base.yaml\nbackup: {source: {files: {paths: [films]}}}\n")

    assert mistakes(drd_yaml) == [
        "policies/base.yaml:4:24: `every`: a duration needs a unit: write 15m, 15h or 15d",
        "policies/base.yaml:6:22: `dayly` is unknown here: did you mean `daily`?",
        "policies/videos.yaml:3:61: `weekly`: write a whole number, as 3",
    ]


def test_what_is_missing_is_told_in_the_file_that_extends(drd_yaml: Path) -> None:
    policy(drd_yaml, "videos", "extends: base.yaml\nbackup: {catch_up: false}\n")

    assert mistakes(drd_yaml) == ["policies/videos.yaml:3:1: `source` is missing in `backup`: add `source:`"]


def test_a_base_may_extend_another(drd_yaml: Path) -> None:
    write(drd_yaml.parent / "policies" / "films-base.yaml", "extends: base.yaml\nbackup: {keep: {monthly: 12}}\n")
    policy(drd_yaml, "films", "extends: films-base.yaml\nbackup: {source: {files: {paths: [films]}}}\n")

    keep = loaded(drd_yaml).policies["films"].policy.backup.keep

    assert (keep.daily, keep.monthly) == (7, 12)


def test_a_circle_of_three_is_told_where_it_closes(drd_yaml: Path) -> None:
    folder = drd_yaml.parent / "policies"
    policy(drd_yaml, "videos", "extends: base.yaml\n")
    write(folder / "base.yaml", "extends: other.yaml\n" + BASE)
    write(folder / "other.yaml", "extends: videos.yaml\n")

    told = mistakes(drd_yaml)

    assert (
        "policies/other.yaml:1:10: `extends` leads in a circle, "
        "videos.yaml → base.yaml → other.yaml → videos.yaml: remove one of them"
    ) in told


def test_drd_yaml_may_extend_what_several_machines_share(drd_yaml: Path) -> None:
    (drd_yaml.parent / "policies" / "base.yaml").unlink()
    shared = drd_yaml.read_text().replace("site: hangzhou\n", "", 1)
    write(drd_yaml.parent / "shared.yaml", shared)
    write(drd_yaml, "extends: shared.yaml\nsite: ningbo\n")

    assert loaded(drd_yaml).site == "ningbo"


def test_a_change_in_the_base_changes_the_policys_digest(drd_yaml: Path) -> None:
    policy(drd_yaml, "videos", "extends: base.yaml\nbackup: {source: {files: {paths: [videos]}}}\n")
    before = loaded(drd_yaml).policies["videos"].digest
    write(drd_yaml.parent / "policies" / "base.yaml", BASE.replace("daily: 7", "daily: 8"))

    assert loaded(drd_yaml).policies["videos"].digest != before


def test_a_comment_does_not_change_the_digest(drd_yaml: Path) -> None:
    policy(drd_yaml, "videos", "extends: base.yaml\nbackup: {source: {files: {paths: [videos]}}}\n")
    before = loaded(drd_yaml)
    write(drd_yaml.parent / "policies" / "base.yaml", "# a word about it\n" + BASE)

    assert loaded(drd_yaml).digest == before.digest
