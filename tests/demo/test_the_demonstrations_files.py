"""Which of the repository's files the demonstration uses."""

from pathlib import Path

from drd.demo.files import arrange
from tests.demo.conftest import REPOSITORY

SOCKET = "/run/haproxy/admin.sock"
USERS = "{credential: orders}"


def test_what_needs_nodes_that_the_demonstration_lacks_is_left_out_and_all_else_is_the_files_themselves(
    tmp_path: Path,
) -> None:
    policies, runbooks = arrange(
        tmp_path,
        REPOSITORY / "policies",
        REPOSITORY / "runbooks",
        ("orders-1", "orders-2"),
        {SOCKET: "/here.sock", USERS: "{file: /here}"},
    )
    shipped = {file.name for file in (REPOSITORY / "policies").iterdir()}
    assert shipped - {file.name for file in policies.iterdir()} == {"payments.yaml"}
    assert (policies / "recordings.yaml").resolve() == REPOSITORY / "policies" / "recordings.yaml"
    shipped_text = (REPOSITORY / "policies" / "orders.yaml").read_text()
    assert USERS in shipped_text
    assert (policies / "orders.yaml").read_text() == shipped_text.replace(USERS, "{file: /here}")
    assert not [file for file in runbooks.iterdir() if "payments" in file.name]
    shipped_text = (REPOSITORY / "runbooks" / "orders-failover.yaml").read_text()
    assert (runbooks / "orders-failover.yaml").read_text() == shipped_text.replace(SOCKET, "/here.sock")
    assert (runbooks / "recordings-site-loss.yaml").is_symlink()


def test_a_file_that_cannot_be_read_is_kept_so_that_it_is_told(tmp_path: Path) -> None:
    for name in ("policies", "runbooks", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "policies" / "broken.yaml").write_text("policy: [\n")
    policies, _ = arrange(tmp_path / "here", tmp_path / "policies", tmp_path / "runbooks", (), {})
    assert [file.name for file in policies.iterdir()] == ["broken.yaml"]
