"""A restore does not go where only the daemon would see it."""

from pathlib import Path

from drd.engines.private_tmp import demand_visible, private_mount

UNDER_SYSTEMD = """\
310 280 8:1 / / ro,relatime shared:150 master:1 - ext4 /dev/sda1 rw
342 310 8:1 /tmp/systemd-private-0f3a-drd.service-hN2xYb/tmp /tmp rw,relatime shared:170 master:1 - ext4 /dev/sda1 rw
343 310 0:35 /systemd-private-0f3a-drd.service-9QxLmc/tmp /var/tmp rw,nosuid shared:171 - tmpfs tmpfs rw
344 310 8:17 / /srv rw,relatime shared:172 master:3 - ext4 /dev/sdb1 rw
"""


def test_the_tmp_folders_of_a_unit_with_private_tmp_are_its_own() -> None:
    assert private_mount(UNDER_SYSTEMD, Path("/tmp/restored")) == "/tmp"
    assert private_mount(UNDER_SYSTEMD, Path("/var/tmp/a/b")) == "/var/tmp"
    assert private_mount(UNDER_SYSTEMD, Path("/tmp")) == "/tmp"


def test_everything_else_is_seen_by_all() -> None:
    assert private_mount(UNDER_SYSTEMD, Path("/srv/restored")) is None
    assert private_mount(UNDER_SYSTEMD, Path("/tmpfiles")) is None
    assert private_mount("", Path("/tmp/restored")) is None


def test_a_process_without_a_private_tmp_may_write_there(tmp_path: Path) -> None:
    demand_visible(tmp_path)
