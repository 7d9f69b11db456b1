from pathlib import Path

import pytest

from drd.clients.carrier.mounts import unmounted_disk

FSTAB = """\
# what shall be mounted
UUID=1 / ext4 defaults 0 1
UUID=2 /srv/backup ext4 nofail 0 2
UUID=3 /mnt/usb\\040disk ext4 noauto 0 0
UUID=4 none swap sw 0 0

short line
"""
ROOT = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
BACKUP = "40 22 254:16 / /srv/backup rw,relatime shared:2 - ext4 /dev/vdb rw\n"
USB = "41 22 254:32 / /mnt/usb\\040disk rw - ext4 /dev/vdc rw\n"


@pytest.mark.parametrize(
    ("path", "mounted", "missing"),
    [
        ("/srv/backup/repository", ROOT, "/srv/backup"),
        ("/srv/backup", ROOT, "/srv/backup"),
        ("/srv/backup/repository", ROOT + BACKUP, None),
        ("/srv/backups/repository", ROOT, None),
        ("/mnt/usb disk/repository", ROOT + BACKUP, "/mnt/usb disk"),
        ("/mnt/usb disk/repository", ROOT + USB, None),
        ("/home/repository", ROOT, None),
    ],
)
def test_a_disk_that_fstab_names_must_be_mounted(tmp_path: Path, path: str, mounted: str, missing: str | None) -> None:
    (tmp_path / "fstab").write_text(FSTAB)
    (tmp_path / "mountinfo").write_text(mounted)
    found = unmounted_disk(Path(path), tmp_path / "fstab", tmp_path / "mountinfo")
    assert found == (None if missing is None else Path(missing))


def test_a_machine_without_fstab_means_nothing_by_its_folders(tmp_path: Path) -> None:
    assert unmounted_disk(Path("/srv"), tmp_path / "no fstab", tmp_path / "no mountinfo") is None
