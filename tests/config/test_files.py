"""Files that cannot be read, and folders that are not what they should be."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drd.config.problems import ConfigurationErrors
from tests.config.arranging import loaded, mistakes, sound_folder, write

NOBODY = 65534
REJOIN = "        postgres_rejoin: {node: old_primary}"


@pytest.fixture
def drd_yaml(tmp_path: Path) -> Path:
    return sound_folder(tmp_path)


@pytest.fixture
def policies(drd_yaml: Path) -> Path:
    return drd_yaml.parent / "policies"


def test_a_file_of_10_mib_is_refused_without_being_parsed(drd_yaml: Path, policies: Path) -> None:
    (policies / "big.yaml").write_bytes(b"policy: big # " + b"x" * 10 * 2**20)

    assert mistakes(drd_yaml) == [
        "policies/big.yaml:1:1: the file is larger than 1 MiB: split it, no file of settings is that long"
    ]


def test_a_file_that_may_not_be_read_is_told(drd_yaml: Path, policies: Path) -> None:
    write(policies / "closed.yaml", "policy: closed\n")
    (policies / "closed.yaml").chmod(0)
    drd_yaml.parent.chmod(0o755)

    with without_roots_rights(drd_yaml.parent):
        told = mistakes(drd_yaml)

    assert told == [
        (
            "policies/closed.yaml:1:1: the file may not be read: give its group to the user that runs drd, "
            "and type chmod 0640"
        )
    ]


def test_a_folder_with_the_name_of_a_file_is_told(drd_yaml: Path, policies: Path) -> None:
    (policies / "folder.yaml").mkdir()

    assert mistakes(drd_yaml) == ["policies/folder.yaml:1:1: this is a folder: rename it, or write a file here"]


def test_a_link_to_itself_is_told(drd_yaml: Path, policies: Path) -> None:
    (policies / "loop.yaml").symlink_to("loop.yaml")

    assert mistakes(drd_yaml) == ["policies/loop.yaml:1:1: the link leads in a circle: let it lead to a file"]


def test_a_link_to_nothing_is_told(drd_yaml: Path, policies: Path) -> None:
    (policies / "gone.yaml").symlink_to("nowhere.yaml")

    assert mistakes(drd_yaml) == ["policies/gone.yaml:1:1: there is no such file: create it, or name another"]


def test_a_pipe_is_not_waited_for(drd_yaml: Path, policies: Path) -> None:
    os.mkfifo(policies / "pipe.yaml")

    assert mistakes(drd_yaml) == ["policies/pipe.yaml:1:1: this is no regular file: write one here"]


def test_a_drd_yaml_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "drd.yaml") == ["drd.yaml:1:1: there is no such file: create it, or name another"]


def test_the_standby_of_another_database_is_not_promoted_for_a_policy(drd_yaml: Path) -> None:
    runbook = drd_yaml.parent / "runbooks" / "orders-failover.yaml"
    settings, text = drd_yaml.read_text(), runbook.read_text()
    strange = "nodes:\n  payments-2: {host: 10.0.2.12, site: hangzhou, postgres: {dsn: {credential: payments-2}}}\n"
    write(drd_yaml, settings.replace("nodes:\n", strange, 1))
    write(runbook, text.replace("postgres_promote: {node: best_standby}", "postgres_promote: {node: orders-2}"))
    assert mistakes(drd_yaml) == []
    write(runbook, text.replace("postgres_promote: {node: best_standby}", "postgres_promote: {node: payments-2}"))

    [told] = mistakes(drd_yaml)
    assert "`payments-2` is no node of the policy: write best_standby" in told


def test_policies_are_still_checked_when_drd_yaml_cannot_be_read(drd_yaml: Path, policies: Path) -> None:
    write(drd_yaml, "site: [\n")
    write(policies / "orders.yaml", "policy: Orders\n")

    told = mistakes(drd_yaml)

    assert told[0].startswith("drd.yaml:1:8:")
    assert any(line.startswith("policies/orders.yaml:1:9:") for line in told)


def test_a_byte_order_mark_and_windows_line_ends_do_not_move_a_column(drd_yaml: Path, policies: Path) -> None:
    (policies / "windows.yaml").write_bytes(b"\xef\xbb\xbfpolicy: Windows\r\nbackup: 5\r\n")

    assert mistakes(drd_yaml) == [
        (
            "policies/windows.yaml:1:9: `policy`: write a name of at most 63 lower-case letters, digits and hyphens, "
            "as `orders-1`"
        ),
        "policies/windows.yaml:2:9: `backup`: write keys with their values, as `key: value`",
    ]


def test_what_an_editor_leaves_behind_is_not_read(drd_yaml: Path, policies: Path) -> None:
    write(policies / ".orders.yaml.swp", "no: [yaml\n")
    write(policies / ".hidden.yaml", "no: [yaml\n")
    write(policies / "notes.txt", "no: [yaml\n")

    assert mistakes(drd_yaml) == []


def test_a_folder_that_nobody_named_may_be_missing_and_is_warned_of(drd_yaml: Path) -> None:
    for file in (*drd_yaml.parent.glob("runbooks/*"), *drd_yaml.parent.glob("policies/*")):
        file.unlink()
    (drd_yaml.parent / "runbooks").rmdir()

    configuration = loaded(drd_yaml)

    assert configuration.runbooks == {}
    assert "runbooks cannot be read" in configuration.warnings[0]


def test_a_file_in_a_folder_below_is_warned_of_unless_it_is_a_base(drd_yaml: Path, policies: Path) -> None:
    write(policies / "bases" / "daily.yaml", "backup: {keep: {daily: 7}}\n")
    write(policies / "team" / "videos.yaml", "policy: videos\n")
    orders = (policies / "orders.yaml").read_text()
    write(policies / "orders.yaml", "extends: bases/daily.yaml\n" + orders)

    assert loaded(drd_yaml).warnings == (
        f"{policies}/team/videos.yaml is not read: only files right in {policies} are",
    )


def test_a_mirror_is_said_to_share_its_master_key_unless_it_is_independent(drd_yaml: Path) -> None:
    [note] = loaded(drd_yaml).notes
    place, sentence = note.split(": ", 1)
    assert sentence.startswith("store offsite is a mirror of local and shares its master key")
    assert "write `independent: true`" in sentence
    line = int(place.split(":")[1])
    assert "offsite:" in drd_yaml.read_text().splitlines()[line - 1]


def test_an_automatic_runbook_that_cannot_replace_a_silent_host_is_told(drd_yaml: Path) -> None:
    runbook = drd_yaml.parent / "runbooks" / "orders-failover.yaml"
    write(runbook, runbook.read_text().replace("by: [ssh, power, revoke, proxy]", "by: [ssh, power]"))

    [warning] = loaded(drd_yaml).warnings
    assert warning.endswith("give orders-2 a `power:` in drd.yaml, or `revoke`")
    assert "orders-failover.yaml:" in warning


def test_standbys_that_would_follow_the_old_primary_still_are_told(drd_yaml: Path, policies: Path) -> None:
    node = "\n  orders-3: {host: 10.0.1.13, site: hangzhou, postgres: {dsn: {file: /etc/drd/orders-3}}}\n"
    write(drd_yaml, drd_yaml.read_text().rstrip() + node)
    write(policies / "orders.yaml", (policies / "orders.yaml").read_text().replace("orders-2]", "orders-2, orders-3]"))

    [warning] = loaded(drd_yaml).warnings
    assert "orders has 3 nodes, and nothing makes the other standbys follow the new primary" in warning
    runbook = drd_yaml.parent / "runbooks" / "orders-failover.yaml"
    text = runbook.read_text()
    others = REJOIN.replace("old_primary", "other_standbys")
    both = text.replace(REJOIN, f"{REJOIN}\n      - step: Have the others follow\n{others}")
    assert both != text
    write(runbook, both)
    assert loaded(drd_yaml).warnings == ()


def test_what_a_source_advises_is_a_warning_that_names_its_policy(drd_yaml: Path, policies: Path) -> None:
    orders = (policies / "orders.yaml").read_text()
    write(policies / "orders.yaml", orders.replace("argv: [pg_dump, orders]", "argv: [gzip, orders]"))

    [warning] = loaded(drd_yaml).warnings
    place, sentence = warning.split(": ", 1)
    assert sentence == "policy orders, source main: its output is compressed"
    file, line, column = place.rsplit(":", 2)
    assert file == f"{policies}/orders.yaml"
    assert (policies / "orders.yaml").read_text().splitlines()[int(line) - 1][int(column) - 1 :].startswith("command:")


def test_all_mistakes_of_all_files_are_told_at_once_and_in_order(drd_yaml: Path, policies: Path) -> None:
    write(policies / "a.yaml", "policy: A\nbackup: 5\n")
    write(policies / "b.yaml", "policy: [\n")
    text = drd_yaml.read_text()
    write(drd_yaml, text.replace("site: xian", "site: xianyang", 1))

    with pytest.raises(ConfigurationErrors) as raised:
        loaded(drd_yaml)

    problems = raised.value.problems
    assert [Path(problem.file).name for problem in problems] == ["drd.yaml", "a.yaml", "a.yaml", "b.yaml"]
    assert list(problems) == sorted(problems)
    assert raised.value.exit_code == 2


def test_a_file_with_thousands_of_mistakes_is_told_in_time(drd_yaml: Path, policies: Path) -> None:
    write(policies / "many.yaml", "policy: many\n" + "".join(f"key{number}: 1\n" for number in range(20_000)))

    told = mistakes(drd_yaml)

    assert len(told) < 60
    assert any("more mistakes" in line for line in told)


@contextmanager
def without_roots_rights(folder: Path) -> Iterator[None]:
    """Root may read everything, so while it runs the tests it becomes nobody for a moment."""
    if os.geteuid() != 0:
        yield
        return
    opened = [path for path in (folder, *folder.parents) if path != Path("/") and not path.stat().st_mode & 0o001]
    for path in opened:
        path.chmod(path.stat().st_mode | 0o011)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        for path in opened:
            path.chmod(path.stat().st_mode & ~0o011)
